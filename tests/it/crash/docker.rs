//! Real servers in containers.

use rustix::process::Signal;
use serde_json::Value;

use super::bench::{Engine, Lab, eventually};

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
    if !text.is_empty() {
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let incident = body["proposal"]["incident"].clone();
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
        if event["body"]["kind"] == "proposed" {
            lab.approve(&event);
        }
    }
}

/// Undoes what is injected, if anything still is, and waits for its record.
fn clear(lab: &Lab) {
    lab.home.ok(&["clear", "--all"]);
    let live = "select count(*) from injections where state not in ('reverted', 'did_not_take')";
    eventually("no injection is live", || (lab.store(live) == "0").then_some(()));
    let left = std::fs::read_dir(lab.home.state_dir().join("injections")).map_or(0, Iterator::count);
    eventually("nothing is left of it in the state directory", || (left == 0).then_some(()));
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
        let number = lab.store("select number from incidents where status = 'failed'");
        for number in number.lines() {
            lab.home.ok(&["incidents", "resolve", number, "--reason", "the test goes on"]);
        }
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
    engine.event("injection_moved", |event| event["body"]["state"]["state"] == "active"
        || event["body"]["state"].to_string().contains("active"));
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
        super::bench::kill(watchdog, Signal::KILL);
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
    let ends = lab.store("select distinct state from injections");
    assert_eq!(ends, "reverted");
    nothing_ran_twice(&lab);
}

fn watchdog_of(lab: &Lab) -> u32 {
    let dir = lab.home.state_dir().join("injections");
    let file = std::fs::read_dir(dir).expect("journals").next().expect("a journal").expect("a file");
    let journal: Value =
        serde_json::from_slice(&std::fs::read(file.path()).expect("read")).expect("JSON");
    journal["watchdog"]["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}
