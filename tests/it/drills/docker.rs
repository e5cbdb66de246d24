//! Drills, approvals and audits on the lab in containers, by the built binary.

use serde_json::Value;

use crate::crash::bench::{Engine, Lab, Said, eventually};

mod by_hand;
mod mended;
mod several;

/// Keys of an application beside the leak, one of them with a time to live.
fn put_ordinary_keys(lab: &Lab) {
    for n in 0..20 {
        lab.redis(&["SET", &format!("basket-{n}"), &format!("value {n}")]);
    }
    lab.redis(&["EXPIRE", "basket-0", "3600"]);
}

fn ordinary_keys_are_there(lab: &Lab) {
    for n in 0..20 {
        assert_eq!(lab.redis(&["GET", &format!("basket-{n}")]), format!("value {n}"));
    }
    let left: i64 = lab.redis(&["TTL", "basket-0"]).parse().expect("seconds");
    assert!(left > 3_000 && left <= 3_600, "{left}");
}

/// Drills, and returns the table as JSON.
fn drill(lab: &Lab, fault: &str, target: &str) -> Value {
    let said = lab.home.run(&["drill", fault, "--target", &lab.name(target), "--yes", "--json"]);
    assert_eq!(said.code, 0, "{fault}: {said:?}");
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(told["passed"], true, "{told}");
    assert_eq!(told["left_over"], serde_json::json!([]), "{told}");
    told
}

/// One line of the newest incident's story.
fn newest(lab: &Lab, sql: &str) -> String {
    let newest = "(select id from incidents order by number desc limit 1)";
    lab.store(&sql.replace("NEWEST", newest))
}

/// What the store must hold after any drill: one incident with its whole life, one execution, real commands.
fn story_is_stored(lab: &Lab, number: u64, cause: &str) {
    assert_eq!(lab.store("select count(*) from incidents"), number.to_string());
    let history = newest(
        lab,
        "select string_agg(to_status, ' ' order by at, id) from incident_status_history where incident_id = NEWEST",
    );
    assert_eq!(history, "triage investigating fixing resolved");
    assert_eq!(newest(lab, "select cause from incidents where id = NEWEST"), cause);
    assert_eq!(
        newest(lab, "select state from agent_executions where incident_id = NEWEST"),
        "completed"
    );
    let odd = "select coalesce(string_agg(agent_actions::text, ' '), '') from agent_actions \
               where incident_id = NEWEST and not (result = 'success' and exit_code = 0 \
               and command like 'docker %' and duration_ms >= 0 \
               and health_before is not null and health_after is not null)";
    assert_eq!(newest(lab, odd), "", "an action without its whole record");
    let decided = newest(
        lab,
        "select string_agg(decision, ' ' order by at) from approvals where incident_id = NEWEST",
    );
    assert!(decided.ends_with("approved"), "{decided}");
    let report = lab.home.ok(&["report", &number.to_string()]);
    for told in [cause, "PASS", "docker ", "approved by ops1"] {
        assert!(report.contains(told), "the report tells of {told}:\n{report}");
    }
}

fn actions(lab: &Lab) -> String {
    newest(
        lab,
        "select string_agg(action, ' ' order by executed_at) from agent_actions where incident_id = NEWEST",
    )
}

#[test]
fn every_drill_is_proven_and_leaves_its_story_in_the_store() {
    let lab = Lab::up();
    put_ordinary_keys(&lab);

    let told = drill(&lab, "leak-oom", "redis-test");
    assert_eq!(
        (told["cause"].as_str(), told["grade"].as_str()),
        (Some("leak-oom"), Some("confirmed"))
    );
    story_is_stored(&lab, 1, "leak-oom");
    assert_eq!(actions(&lab), "kill_redis_clients unlink_keys");
    ordinary_keys_are_there(&lab);

    drill(&lab, "maxmemory-lowered", "redis-test");
    story_is_stored(&lab, 2, "maxmemory-lowered");
    assert_eq!(actions(&lab), "reset_redis_setting");
    ordinary_keys_are_there(&lab);
    assert!(lab.redis(&["CONFIG", "GET", "maxmemory"]).ends_with("52428800"));

    let told = drill(&lab, "idle-leak", "postgres-test");
    assert_eq!(told["health"], serde_json::json!({ "before": 100, "at_open": 50, "after": 100 }));
    story_is_stored(&lab, 3, "idle-leak");

    drill(&lab, "exhaust", "postgres-test");
    story_is_stored(&lab, 4, "idle-leak");
    assert_eq!(
        newest(&lab, "select finding_kind from incidents where id = NEWEST"),
        "clients-refused"
    );

    for (number, target) in [(5, "redis-test"), (7, "postgres-test")] {
        drill(&lab, "container-paused", target);
        story_is_stored(&lab, number, "container-paused");
        drill(&lab, "container-killed", target);
        story_is_stored(&lab, number + 1, "container-killed");
    }
    lab.home.ok(&["audit", "verify"]);
    records_that_were_touched_are_named(&lab);
}

/// With the rights of the store's owner: an edited record and cut records are named.
fn records_that_were_touched_are_named(lab: &Lab) {
    let broken = |what: &str| {
        let said = lab.home.run(&["audit", "verify"]);
        assert_eq!(said.code, 1, "{what}: {said:?}");
        said.out
    };
    for (column, edit) in [
        ("body", "jsonb_set(body, '{version}', '\"0.0.0\"')"),
        ("actor", "'somebody'"),
        ("at", "at + interval '1 microsecond'"),
    ] {
        lab.store("create table if not exists kept as table events");
        lab.store(&format!("update events set {column} = {edit} where seq = 1"));
        assert!(broken(column).contains("record 1:"), "{column}");
        lab.store(&format!("update events e set {column} = k.{column} from kept k where k.seq = e.seq and e.seq = 1"));
    }
    lab.home.ok(&["audit", "verify"]);
    let last: u64 = lab.store("select max(seq) from events").parse().expect("a number");
    lab.store(&format!("delete from events where seq > {}", last - 2));
    assert!(broken("the end").contains(&format!("{}", last - 1)), "{}", broken("the end"));
}

/// The engine answers and has found both targets in order.
fn watched(lab: &Lab) {
    eventually("a healthy lab under watch", || {
        let said = lab.home.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&said.out).ok()?;
        (said.code == 0 && status["engine"].is_object()).then_some(())
    });
}

/// The incident and the fingerprint that waits once the symptom has reached its last stage: a proposal for an
/// earlier one (memory nearly full, then writes refused) is void by then.
fn inject_and_wait(lab: &Lab, engine: &mut Engine, fault: &str, finding: &str) -> (u64, String) {
    watched(lab);
    lab.home.ok(&["inject", fault]);
    engine.event("proposed", |_| true);
    let waiting = format!(
        "select i.number || ' ' || e.fingerprint from incidents i \
         join agent_executions e on e.incident_id = i.id \
         where i.id = NEWEST and i.finding_kind = '{finding}' and e.state = 'awaiting_approval'"
    );
    eventually("a proposal for the last stage waits", || {
        let told = newest(lab, &waiting);
        let (number, fingerprint) = told.split_once(' ')?;
        Some((number.parse().expect("a number"), fingerprint.to_owned()))
    })
}

/// The incident with this cause, and the fingerprint that waits for it.
fn proposal(lab: &Lab, cause: &str) -> (String, String) {
    let waiting = format!(
        "select i.number || ' ' || e.fingerprint from incidents i \
         join agent_executions e on e.incident_id = i.id \
         where i.cause = '{cause}' and e.state = 'awaiting_approval'"
    );
    eventually(&format!("a proposal against {cause} waits"), || {
        let told = lab.store(&waiting);
        told.split_once(' ').map(|(number, print)| (number.to_owned(), print.to_owned()))
    })
}

fn refused(said: &Said, why: &str) {
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(why) && said.err.lines().count() == 1, "{why}: {said:?}");
}

fn acted(lab: &Lab) -> String {
    newest(lab, "select count(*) from agent_actions where incident_id = NEWEST")
}

#[test]
fn only_one_valid_approval_runs_anything_and_only_once() {
    let lab = Lab::up();
    let mut engine = lab.home.engine();
    let (number, print) = inject_and_wait(&lab, &mut engine, "leak-oom", "writes-refused");
    let name = number.to_string();
    let target = lab.name("redis-test");
    let approve = |words: &[&str]| lab.home.run(&[&["approve", &name], words].concat());

    refused(&approve(&["--fingerprint", "000000", "--type", &target]), "names no proposal");
    let untyped = approve(&["--fingerprint", &print]);
    assert_eq!(untyped.code, 2, "{untyped:?}");
    assert!(untyped.err.contains(&format!("--type {target}")), "{untyped:?}");
    refused(&approve(&["--fingerprint", &print, "--type", "redis"]), "`redis` was typed");
    assert_eq!(acted(&lab), "0");

    let both: Vec<Said> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| approve(&["--fingerprint", &print, "--type", &target]));
        [one(), one()].into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let accepted = both.iter().filter(|said| said.code == 0).count();
    assert_eq!(accepted, 1, "{both:?}");
    engine.event("incident_resolved", |_| true);
    assert_eq!(acted(&lab), "2", "two actions of one proposal");
    refused(&approve(&["--fingerprint", &print, "--type", &target]), "resolved");

    let (denied, _) = inject_and_wait(&lab, &mut engine, "idle-leak", "connection-pressure");
    lab.home.ok(&["reject", &denied.to_string(), "--reason", "the batch ends in a minute"]);
    let failed =
        newest(&lab, "select status || ': ' || failure_reason from incidents where id = NEWEST");
    assert!(
        failed.starts_with("failed: ") && failed.contains("the batch ends in a minute"),
        "{failed}"
    );
    assert_eq!(acted(&lab), "0");
    lab.home.ok(&["clear", "--all"]);
    eventually("it ends by itself", || {
        (newest(&lab, "select status from incidents where id = NEWEST") == "resolved").then_some(())
    });
    assert_eq!(engine.terminate(), 0);
}

#[test]
fn an_approval_that_comes_too_late_or_after_a_change_runs_nothing() {
    let lab = Lab::with("[limits]\napproval_ttl = \"4s\"\n");
    let mut engine = lab.home.engine();
    let (number, print) = inject_and_wait(&lab, &mut engine, "idle-leak", "connection-pressure");
    engine.event("decided", |event| event["body"]["approval"]["decision"]["is"] == "expired");
    let said = lab.home.run(&["approve", &number.to_string(), "--fingerprint", &print]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(
        newest(&lab, "select decision from approvals where incident_id = NEWEST"),
        "expired"
    );
    assert_eq!(acted(&lab), "0");

    // Cleared before anybody decides: the symptom goes, and the proposal with it.
    lab.home.ok(&["clear", "--all"]);
    engine.event("incident_resolved", |_| true);
    let (number, print) = inject_and_wait(&lab, &mut engine, "container-paused", "server-hung");
    let unit = engine
        .seen
        .iter()
        .rev()
        .find_map(|event| event["target"].as_str())
        .expect("a target")
        .to_owned();
    lab.docker(&["unpause", &unit]);
    engine.event("runtime_observed", |event| event["body"]["event"]["kind"] == "unpaused");
    let said = lab.home.run(&["approve", &number.to_string(), "--fingerprint", &print]);
    engine.event("incident_resolved", |_| true);
    assert_eq!(acted(&lab), "0", "{said:?}");
    assert_eq!(engine.terminate(), 0);
}

#[test]
fn the_guards_of_injection_hold() {
    let lab = Lab::up();
    let engine = lab.home.engine();
    watched(&lab);
    let before = lab.redis(&["CONFIG", "GET", "maxmemory"]);
    let dry = lab.home.ok(&["inject", "maxmemory-lowered", "--dry-run"]);
    assert!(dry.contains("CONFIG SET maxmemory 5mb") && dry.contains("undo"), "{dry}");
    assert_eq!(lab.redis(&["CONFIG", "GET", "maxmemory"]), before);

    lab.home.ok(&["inject", "maxmemory-lowered"]);
    refused(&lab.home.run(&["inject", "leak-oom"]), "clear it first");
    assert_eq!(engine.terminate(), 0);
    // No engine is left; the injection is undone all the same.
    eventually("the fault has taken", || {
        (lab.redis(&["CONFIG", "GET", "maxmemory"]) != before).then_some(())
    });
    lab.home.ok(&["clear", "--all"]);
    assert_eq!(lab.redis(&["CONFIG", "GET", "maxmemory"]), before);
    let said = lab.home.run(&["inject", "leak-oom"]);
    refused(&said, "no engine is running");
}

#[test]
fn a_container_that_only_looks_like_the_labs_is_watched_and_not_broken() {
    let lab = Lab::up();
    let name = lab.name("redis-test");
    let publish = format!("{}:6379", lab.docker(&["port", &name, "6379/tcp"]));
    let label = format!("simctl.lab={}", lab.id);
    lab.docker(&["rm", "-f", &name]);
    lab.docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "--label",
        &label,
        "--label",
        "simctl.unit=redis-test",
        "-p",
        &publish,
        "--entrypoint",
        "redis-server",
        "simctl-lab/redis",
        "--protected-mode",
        "no",
        "--maxmemory",
        "50mb",
    ]);
    let mut engine = lab.home.engine();
    watched(&lab);
    let why = "was not made from here";
    let refused = lab.home.run(&["inject", "leak-oom", "--target", &name]);
    assert!(refused.code == 1 && refused.err.contains(why), "{refused:?}");
    engine.event("injection_moved", |event| event["body"]["state"].to_string().contains(why));
    assert!(lab.redis(&["DBSIZE"]).parse::<u64>().expect("a number") < 3, "only what beats");
    let up = lab.home.run(&["up"]);
    assert!(up.code == 0 && up.err.contains(why), "{up:?}");
    assert_eq!(engine.terminate(), 0);
}
