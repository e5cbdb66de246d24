//! Real servers in containers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::bench::{Engine, Lab, eventually, kill, said};

/// Where the engine is killed, the fault that leads there, and the event that says it is there.
const PHASES: [(&str, &str, &str); 4] = [
    ("thinking", "container-paused", "investigation_started"),
    ("awaiting approval", "maxmemory-lowered", "proposed"),
    ("executing", "container-killed", "action_started"),
    ("verifying", "maxmemory-lowered", "execution_moved"),
];

fn target_of(lab: &Lab) -> String {
    lab.name("redis-test")
}

fn inject(lab: &Lab, fault: &str, ttl: &str) {
    lab.wait_until_well();
    let target = target_of(lab);
    lab.home.ok(&["inject", fault, "--target", &target, "--ttl", ttl]);
}

/// Follows the engine to this event, approving what is proposed before it.
fn reach(lab: &Lab, engine: &mut Engine, kind: &str) -> Value {
    loop {
        let event = engine.any(kind, |event| {
            let body = &event["body"];
            body["kind"] == "proposed" || (body["kind"] == kind && body["to"] != "previewing")
        });
        if event["body"]["kind"] == kind {
            return event;
        }
        lab.approve(&event);
    }
}

fn started(lab: &Lab) -> Engine {
    let mut engine = lab.home.engine();
    engine.event("engine_started", |_| true);
    engine
}

/// Follows an incident to its end, approving whatever is proposed; whether it was resolved.
fn follow_to_the_end(lab: &Lab, engine: &mut Engine) -> bool {
    let open = "select count(*) from incidents where status not in ('resolved', 'failed')";
    let waiting = "select body::text from events e where kind = 'proposed' and not exists \
        (select from events d where d.seq > e.seq and d.incident_id = e.incident_id \
         and d.kind in ('decided', 'investigation_started')) order by seq desc limit 1";
    // What waits from before is not told again.
    let text = lab.store(waiting);
    let mut approved = Value::Null;
    if !text.is_empty() {
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let incident = body["proposal"]["incident"].clone();
        approved = body["proposal"]["fingerprint"].clone();
        lab.approve(&serde_json::json!({ "incident": incident, "body": body }));
    }
    loop {
        if lab.store(open) == "0" {
            return lab.store("select status from incidents order by number desc limit 1")
                == "resolved";
        }
        let event = engine.any("the incident's end", |event| {
            ["proposed", "incident_resolved", "incident_failed"]
                .iter()
                .any(|kind| event["body"]["kind"] == *kind)
        });
        if event["body"]["kind"] == "proposed"
            && event["body"]["proposal"]["fingerprint"] != approved
        {
            lab.approve(&event);
        }
    }
}

/// Undoes what is injected, if anything still is, and waits for its record.
fn clear(lab: &Lab) {
    lab.home.ok(&["clear", "--all"]);
    let live = "select count(*) from injections where state not in ('reverted', 'did_not_take')";
    eventually("no injection is live", || (lab.store(live) == "0").then_some(()));
    let dir = lab.home.state_dir().join("injections");
    let is_journal = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
    let left = || {
        let files = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        files.filter(|file| is_journal(&file.path())).count()
    };
    eventually("nothing is left of it in the state directory", || (left() == 0).then_some(()));
}

/// No step of an execution ran twice, and the log is whole.
fn nothing_ran_twice(lab: &Lab) {
    let twice = "select count(*) from (select 1 from agent_actions \
        group by execution_id, action having count(*) > 1) as twice";
    assert_eq!(lab.store(twice), "0");
    lab.home.ok(&["audit", "verify"]);
}

fn status_of_last(lab: &Lab) -> String {
    lab.store("select body->'executions'->-1->>'state' from incidents order by number desc limit 1")
}

#[test]
fn an_engine_killed_in_any_phase_leaves_what_the_next_one_brings_to_its_end() {
    let lab = Lab::up();
    let mut engine = started(&lab);
    for (phase, fault, kind) in PHASES {
        inject(&lab, fault, "120");
        reach(&lab, &mut engine, kind);
        engine.kill();
        eprintln!("{phase}: killed while {}", status_of_last(&lab));
        let settings = lab.status("redis-test") == "running"
            && lab.redis(&["CONFIG", "RESETSTAT"]).contains("OK");
        engine = started(&lab);
        let resolved = follow_to_the_end(&lab, &mut engine);
        eprintln!("{phase}: resolved {resolved}");
        if settings && phase == "verifying" {
            let stats = lab.redis(&["INFO", "commandstats"]);
            assert!(!stats.contains("config|set"), "{phase}: set again: {stats}");
        }
        nothing_ran_twice(&lab);
        clear(&lab);
        give_up_failed(&lab);
    }
    assert_eq!(engine.terminate(), 0);
    nothing_ran_twice(&lab);
}

#[test]
fn an_injection_ends_in_time_when_no_simctl_is_left_and_its_watchdogs_death_is_made_up_for() {
    let lab = Lab::up();
    let limit = || lab.redis(&["CONFIG", "GET", "maxmemory"]);
    let before = limit();

    // While it starts: nobody comes back.
    let mut engine = started(&lab);
    inject(&lab, "maxmemory-lowered", "6");
    engine.event("injection_started", |_| true);
    engine.kill();
    eventually("the limit is back", || (limit() == before).then_some(()));

    // While it is active; nobody comes back.
    let mut engine = started(&lab);
    engine.event("injection_moved", |_| true);
    inject(&lab, "container-paused", "6");
    engine.event("injection_moved", |event| event["body"]["state"].to_string().contains("active"));
    engine.kill();
    assert_eq!(lab.status("redis-test"), "paused");
    eventually("it runs", || (lab.status("redis-test") == "running").then_some(()));

    // The watchdog dies too: `clear` without an engine, and the next start.
    for by_next_start in [false, true] {
        let mut engine = started(&lab);
        lab.home.ok(&["clear", "--all"]);
        for number in lab.store("select number from incidents where status <> 'resolved'").lines() {
            lab.home.run(&["incidents", "resolve", number, "--reason", "the test goes on"]);
        }
        inject(&lab, "maxmemory-lowered", "120");
        engine.event("injection_moved", |event| {
            event["body"]["state"].to_string().contains("active")
        });
        let watchdog = watchdog_of(&lab);
        engine.kill();
        kill(watchdog, Signal::KILL);
        assert_ne!(limit(), before);
        if by_next_start {
            engine = started(&lab);
            engine.event("injection_moved", |event| {
                event["body"]["state"].to_string().contains("reverted")
            });
            clear(&lab);
            assert_eq!(engine.terminate(), 0);
        } else {
            let said = lab.home.ok(&["clear", "--all"]);
            assert!(said.contains("is reverted"), "{said}");
        }
        assert_eq!(limit(), before);
    }
    // The first may have been killed before it did anything.
    let ends = lab.store("select state from injections where number > 1");
    assert_eq!(ends, "reverted\nreverted\nreverted");
    nothing_ran_twice(&lab);
}

fn watchdog_of(lab: &Lab) -> u32 {
    let dir = lab.home.state_dir().join("injections");
    let files = std::fs::read_dir(dir).expect("journals").flatten().map(|file| file.path());
    let mut journals = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let file = journals.next().expect("a journal");
    let journal: Value = serde_json::from_slice(&std::fs::read(file).expect("read")).expect("JSON");
    journal["watchdog"]["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// The events of a kind that are stored.
fn count(lab: &Lab, kind: &str) -> String {
    lab.store(&format!("select count(*) from events where kind = '{kind}'"))
}

fn wait_for_store(lab: &Lab) {
    let name = lab.name("simctl-store");
    let ready = ["exec", &name, "pg_isready", "-U", "postgres", "-d", "simctl"];
    eventually("the store answers", || {
        let asked = Command::new("docker").args(ready).output().expect("docker runs");
        asked.status.success().then_some(())
    });
}

/// What `simctl status` says about the store.
fn store_view(lab: &Lab) -> Value {
    let said = lab.home.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&said.out).expect("JSON");
    status["engine"]["store"].clone()
}

#[test]
fn an_engine_told_to_stop_in_any_phase_stops_in_order_and_the_next_one_starts_at_once() {
    let lab = Lab::up();
    let mut engine = started(&lab);
    for (phase, fault, kind) in PHASES {
        inject(&lab, fault, "120");
        reach(&lab, &mut engine, kind);
        let began = Instant::now();
        assert_eq!(engine.terminate(), 0, "{phase}");
        assert!(began.elapsed() < Duration::from_secs(15), "{phase}: {:?}", began.elapsed());
        let last = lab.store("select kind from events order by seq desc limit 1");
        assert_eq!(last, "engine_stopped", "{phase}");
        assert_eq!(lab.store("select count(*) from agent_actions where result = 'running'"), "0");
        let began = Instant::now();
        engine = started(&lab);
        assert!(began.elapsed() < Duration::from_secs(5), "{phase}: the lease was kept");
        follow_to_the_end(&lab, &mut engine);
        nothing_ran_twice(&lab);
        clear(&lab);
        give_up_failed(&lab);
    }
    assert_eq!(engine.terminate(), 0);
}

#[test]
fn a_store_that_stops_during_an_incident_misses_nothing() {
    let lab = Lab::up();
    let name = lab.name("simctl-store");
    let mut engine = started(&lab);
    inject(&lab, "maxmemory-lowered", "120");
    let proposed = reach_proposal(&mut engine);
    lab.docker(&["stop", "-t", "5", &name]);
    // Low risk may run meanwhile; the incident ends without the store.
    lab.approve(&proposed);
    engine.event("store_lost", |_| true);
    engine.event("incident_resolved", |_| true);
    let view = store_view(&lab);
    assert_eq!(view["reachable"], false);
    assert!(view["journaled"].as_u64().is_some_and(|waiting| waiting > 3), "{view}");
    let text = lab.home.run(&["status"]).out;
    assert!(text.contains("not reachable") && text.contains("events journaled"), "{text}");
    lab.docker(&["start", &name]);
    engine.event("store_returned", |event| event["body"]["merged"].as_u64() > Some(3));
    assert_eq!(lab.store("select status from incidents"), "resolved");
    assert_eq!(store_view(&lab)["journaled"], 0);
    clear(&lab);
    nothing_ran_twice(&lab);

    // Hung instead of gone: what is lost is lost once, and watching goes on.
    inject(&lab, "container-killed", "120");
    let proposed = reach_proposal(&mut engine);
    lab.docker(&["pause", &name]);
    let began = Instant::now();
    lab.approve(&proposed);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    engine.event("store_lost", |_| true);
    let began = Instant::now();
    engine.event("verified", |_| true);
    engine.event("incident_resolved", |_| true);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    lab.docker(&["unpause", &name]);
    engine.event("store_returned", |_| true);
    clear(&lab);
    assert_eq!(
        (count(&lab, "store_lost"), count(&lab, "store_returned")),
        ("2".into(), "2".into())
    );
    nothing_ran_twice(&lab);
    assert_eq!(engine.terminate(), 0);
}

#[test]
fn a_journal_that_a_killed_engine_left_is_merged_before_anything_else() {
    let lab = Lab::up();
    let name = lab.name("simctl-store");
    let mut engine = started(&lab);
    inject(&lab, "maxmemory-lowered", "120");
    reach_proposal(&mut engine);
    lab.docker(&["stop", "-t", "5", &name]);
    let note = lab.home.run(&["incidents", "note", "1", "the store is away"]);
    assert_eq!(note.code, 0, "{note:?}");
    engine.event("incident_noted", |_| true);
    engine.event("store_lost", |_| true);
    engine.kill();
    assert!(lab.home.state_dir().join("journal.jsonl").metadata().expect("a journal").len() > 0);

    let (code, words) = lab.home.engine().ended();
    assert_eq!(code, 1, "{words:?}");
    let sentence = words.last().expect("a sentence");
    assert!(sentence.contains("start it"), "{words:?}");

    lab.docker(&["start", &name]);
    wait_for_store(&lab);
    let mut engine = started(&lab);
    let order = lab.store(
        "select string_agg(kind, ' ' order by seq) from events \
         where kind in ('incident_noted', 'store_lost', 'engine_started')",
    );
    assert_eq!(order, "engine_started incident_noted store_lost engine_started");
    assert!(follow_to_the_end(&lab, &mut engine));
    clear(&lab);
    nothing_ran_twice(&lab);
    assert_eq!(engine.terminate(), 0);
}

fn reach_proposal(engine: &mut Engine) -> Value {
    engine.event("proposed", |_| true)
}

fn give_up_failed(lab: &Lab) {
    for number in lab.store("select number from incidents where status = 'failed'").lines() {
        lab.home.ok(&["incidents", "resolve", number, "--reason", "the test goes on"]);
    }
}

#[test]
fn without_the_container_engine_every_command_says_so_in_a_sentence() {
    let lab = Lab::up();
    for args in [
        &["up"][..],
        &["down"],
        &["status"],
        &["doctor"],
        &["run"],
        &["drill", "leak-oom", "--yes"],
    ] {
        let said = said(lab.home.command(args).env("DOCKER_HOST", "unix:///nonexistent.sock"));
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        let all = format!("{}{}", said.out, said.err);
        assert!(
            all.contains("unix:///nonexistent.sock") && all.contains("start it"),
            "{args:?}: {all}"
        );
        assert!(!all.contains("panicked") && said.err.lines().count() <= 1, "{args:?}: {all}");
    }

    // The engine loses it while it runs.
    let wire = Wire::to_docker(&lab.home.path().join("d.sock"));
    let host = format!("unix://{}", wire.path.display());
    let mut command = lab.home.command(&["run", "--json"]);
    command.env("DOCKER_HOST", &host);
    let mut engine = Engine::of(command);
    engine.event("engine_started", |_| true);
    lab.wait_until_well();
    wire.cut();
    lab.docker(&["kill", &lab.name("redis-test")]);
    // Seen over the connections.
    engine.event("incident_opened", |_| true);
    let ended = engine.any("a proposal or a hand-over", |event| {
        ["proposed", "incident_failed"].iter().any(|kind| event["body"]["kind"] == *kind)
    });
    if ended["body"]["kind"] == "proposed" {
        lab.approve(&ended);
        engine.event("incident_failed", |_| true);
    }
    let log = eventually("a sentence in the log", || {
        let log = log_of(&lab);
        log.contains("tells no events").then_some(log)
    });
    assert!(!log.contains("panicked"), "{log}");
    lab.docker(&["start", &lab.name("redis-test")]);
    assert_eq!(engine.terminate(), 0);
    nothing_ran_twice(&lab);
}

fn log_of(lab: &Lab) -> String {
    let files = std::fs::read_dir(lab.home.state_dir()).expect("the state directory").flatten();
    let logs = files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains("log"));
    logs.flat_map(|path| {
        std::fs::read_dir(&path).map_or(vec![path], |dir| dir.flatten().map(|f| f.path()).collect())
    })
    .filter_map(|path| std::fs::read_to_string(path).ok())
    .collect()
}

/// A wire to the Docker engine's socket that can be cut.
struct Wire {
    path: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Wire {
    fn to_docker(path: &Path) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener =
            runtime.block_on(async { tokio::net::UnixListener::bind(path) }).expect("listen");
        runtime.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let docker = tokio::net::UnixStream::connect("/var/run/docker.sock").await;
                    let mut far = docker.expect("the Docker engine's socket");
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { path: path.to_owned(), runtime }
    }

    fn cut(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        std::fs::remove_file(self.path).expect("the socket's file");
    }
}
