//! The decision as conversations: what is said, what follows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::effect::{Accepted, Command, Effect, Input, Prepared, Refused};
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Decision, ExecutionState, Seen, Verification};
use crate::domain::finding::FindingKind;
use crate::domain::ids::{ActionId, FaultId, Ids, IncidentId, TargetId};
use crate::domain::incident::{RemediationMode, Status};
use crate::domain::injection::InjectionState;
use crate::domain::ledger::{Breaker, Ledger};
use crate::domain::policy::{Demand, Policy, Rule};
use crate::domain::proposal::Risk;
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample, reading};

use story::{REDIS, Story, incident, investigation_of};

mod again;
mod alerts;
mod by_hand;
mod crash;
mod job;
mod request;
mod several;
mod stop;
mod story;
mod undo;

#[test]
fn the_whole_path_from_finding_to_resolved() {
    let mut story = Story::opened();
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    story.propose(Risk::High);
    assert!(story.effects.is_empty(), "nothing runs without a decision: {:?}", story.effects);
    let print = story.fingerprint();
    story.approve(&print[..6], Some("redis-test")).unwrap();
    assert!(matches!(story.effects[..], [Effect::Recheck { step: 0, .. }]));
    story.ready();
    assert!(matches!(story.effects[..], [Effect::Run { step: 0, .. }]));
    story.ran(true);
    assert!(matches!(story.effects[..], [Effect::Verify { .. }]));
    story.measured(Some(true));
    assert_eq!(story.state(), Some(ExecutionState::Completed));
    assert_eq!(story.statuses(), ["triage", "investigating", "fixing", "resolved"]);
    assert_eq!(story.incident().executions.len(), 1);
    assert_eq!(story.incident().tried[0].outcome, "worked");
}

#[test]
fn an_approval_is_refused_with_the_reason() {
    type Try<'a> = &'a dyn Fn(&mut Story) -> Result<Accepted, String>;
    let cases: &[(&str, Try<'_>, &str)] = &[
        ("wrong fingerprint", &|s| s.approve("000000", Some("redis-test")), "names no proposal"),
        (
            "too short",
            &|s| {
                let p = s.fingerprint();
                s.approve(&p[..5], Some("redis-test"))
            },
            "names no proposal",
        ),
        (
            "not typed",
            &|s| {
                let p = s.fingerprint();
                s.approve(&p, None)
            },
            "nothing was typed",
        ),
        (
            "mistyped",
            &|s| {
                let p = s.fingerprint();
                s.approve(&p, Some("Redis-test"))
            },
            "`Redis-test` was typed",
        ),
        (
            "late",
            &|s| {
                let p = s.fingerprint();
                s.later(300).approve(&p, Some("redis-test"))
            },
            "expired",
        ),
        (
            "another incident",
            &|s| {
                s.order(Command::Approve {
                    incident: 7,
                    fingerprint: "abcdef".into(),
                    typed: None,
                    seen: None,
                })
            },
            "INC-0007 is not open",
        ),
    ];
    for (name, act, reason) in cases {
        let mut story = Story::proposed(Risk::High);
        let refused = act(&mut story).expect_err(name);
        assert!(refused.contains(reason), "{name}: {refused}");
        assert!(story.effects.is_empty(), "{name}: {:?}", story.effects);
        assert_eq!(story.count("action_started"), 0, "{name}");
    }
}

#[test]
fn two_approvals_run_it_once() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    let refused = story.approve(&print, None).unwrap_err();
    assert!(refused.contains("decided already"), "{refused}");
    assert!(story.effects.is_empty());
    story.ready();
    let refused = story.approve(&print, None).unwrap_err();
    assert!(refused.contains("decided already"), "{refused}");
    assert_eq!(story.count("action_started"), 1);
    assert_eq!(story.count("decision_refused"), 2);
}

#[test]
fn an_approval_after_the_end_is_refused() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    story.ran(true);
    story.measured(Some(true));
    assert!(story.approve(&print, None).unwrap_err().contains("is resolved"));
}

#[test]
fn a_later_stage_of_the_problem_voids_the_proposal() {
    let mut story = Story::proposed(Risk::Low);
    let old = story.fingerprint();
    for _ in 0..2 {
        story.now += TimeDelta::milliseconds(250);
        let sample = refused_write(story.now);
        story.say(Input::Sampled { target: REDIS, sample });
    }
    assert_eq!(story.incident().finding, FindingKind::WritesRefused);
    assert_eq!(story.state(), Some(ExecutionState::Thinking));
    let superseded = |event: &Event| matches!(&event.body, EventBody::Decided { approval, .. } if matches!(approval.decision, Decision::Superseded { .. }));
    assert!(story.log.iter().any(superseded));
    assert!(story.approve(&old, None).is_err());
    story.propose(Risk::Low);
    assert_ne!(story.fingerprint(), old, "another revision is another fingerprint");
    let refused = story.approve(&old, None).unwrap_err();
    assert!(
        refused.contains("an older proposal") || refused.contains("names no proposal"),
        "{refused}"
    );
    assert_eq!(story.incident().executions.len(), 1, "the same execution looks again");
}

fn refused_write(at: DateTime<Utc>) -> Sample {
    let text = "OOM command not allowed when used memory > 'maxmemory'.";
    let readings = Readings::from([
        (reading::USED_MEMORY_BYTES, 52_400_000.0),
        (reading::MAXMEMORY_BYTES, 52_428_800.0),
        (reading::REFUSES_WHEN_FULL, 1.0),
    ]);
    Sample {
        at,
        origin: Origin::Held,
        took_ms: 0.4,
        connect: Answer::Ok,
        read: Answer::Ok,
        write: Answer::Error { code: "OOM".into(), text: text.into() },
        readings,
    }
}

#[test]
fn nobody_decides_and_nothing_runs() {
    let mut story = Story::proposed(Risk::Low);
    story.later(299).say(Input::Tick);
    assert_eq!(story.state(), Some(ExecutionState::AwaitingApproval));
    story.later(1).say(Input::Tick);
    assert_eq!(story.state(), Some(ExecutionState::Cancelled));
    assert_eq!(story.incident().status, Status::Failed);
    let decision = story.incident().executions[0].approval.as_ref().map(|a| a.decision.as_str());
    assert_eq!(decision, Some("expired"));
    assert_eq!(story.count("action_started"), 0);
}

#[test]
fn a_denial_hands_over_and_a_retry_starts_fresh() {
    let mut story = Story::proposed(Risk::High);
    story
        .order(Command::Reject { incident: 1, fingerprint: None, reason: "too broad".into() })
        .unwrap();
    assert_eq!(story.incident().status, Status::Failed);
    assert!(
        story.incident().failure_reason.as_ref().unwrap().contains("denied by ops1: too broad")
    );
    story.order(Command::Retry { incident: 1 }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    assert_eq!(story.incident().executions.len(), 2);
}

#[test]
fn what_changed_since_the_preview_voids_the_approval() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    let (incident, execution) = story.active();
    let result = Err("keys was 5 and is now 9".to_owned());
    story.say(Input::Rechecked { incident, execution, step: 0, result });
    assert_eq!(story.count("action_started"), 0);
    assert_eq!(story.state(), Some(ExecutionState::Thinking));
    assert!(story.approve(&print, None).is_err(), "a used approval does not come back");
}

#[test]
fn a_fix_that_is_not_proven_is_taken_back_and_the_next_one_proposed() {
    for passed in [Some(false), None] {
        let mut story = Story::proposed(Risk::Low);
        let print = story.fingerprint();
        story.approve(&print, None).unwrap();
        story.ready();
        story.ran(true);
        story.measured(passed);
        let [Effect::Undo { incident, execution, .. }] = story.effects[..] else {
            panic!("{passed:?}: {:?}", story.effects)
        };
        story.say(Input::Undone {
            incident,
            execution,
            ok: true,
            detail: "the keys are back".into(),
        });
        assert_eq!(story.incident().executions[0].state, ExecutionState::Failed);
        assert!(story.incident().executions[0].rolled_back);
        let [Effect::Investigate { known, .. }] = &story.effects[..] else {
            panic!("{passed:?}: {:?}", story.effects)
        };
        // What was not measured says nothing about the cause.
        let said: Vec<&str> = known.refusals.iter().map(|(_, said)| said.as_str()).collect();
        let measured: &[&str] = if passed.is_some() { &["it writes: as measured"] } else { &[] };
        assert_eq!(said, measured);
    }
}

#[test]
fn nothing_measured_is_a_failed_proof() {
    let nothing = Verification { checks: vec![], rounds: 5, ..Verification::default() };
    assert!(!nothing.passed());
    assert_eq!(nothing.failure().as_deref(), Some("nothing was measured"));
}

#[test]
fn two_attempts_and_then_a_person() {
    let mut story = Story::opened();
    for action in ["unlink_keys", "clear_redis_cache"] {
        let (incident, execution, revision) = story.thinking();
        let result = investigation_of(&[(action, Risk::Low)]);
        story.say(Input::Diagnosed { incident, execution, revision, result });
        let print = story.fingerprint();
        story.approve(&print, None).unwrap();
        story.ready();
        story.ran(true);
        story.measured(Some(false));
        let (incident, execution) = story.active();
        story.say(Input::Undone { incident, execution, ok: true, detail: "back".into() });
        story.later(60);
    }
    assert_eq!(story.incident().status, Status::Failed);
    let reason = story.incident().failure_reason.clone().unwrap();
    assert!(
        reason.contains("unlink_keys for leak-oom") && reason.contains("clear_redis_cache"),
        "{reason}"
    );
}

#[test]
fn the_same_remedy_is_not_tried_twice() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    story.ran(true);
    story.measured(Some(false));
    let (incident, execution) = story.active();
    story.say(Input::Undone { incident, execution, ok: true, detail: "back".into() });
    story.later(60);
    story.propose(Risk::Low);
    assert_eq!(story.incident().status, Status::Failed);
    assert!(story.incident().failure_reason.as_ref().unwrap().contains("already tried"));
}

#[test]
fn the_policy_decides_who_is_asked() {
    let rule = |demand| Rule { name: "r".into(), demand: Some(demand), ..Rule::default() };
    let cases = [
        (Demand::Automatic, RemediationMode::Automatic, ExecutionState::Previewing),
        (Demand::Automatic, RemediationMode::Approval, ExecutionState::AwaitingApproval),
        (Demand::Approval, RemediationMode::Automatic, ExecutionState::AwaitingApproval),
        (Demand::Typed, RemediationMode::Automatic, ExecutionState::AwaitingApproval),
        (Demand::Forbidden, RemediationMode::Automatic, ExecutionState::Cancelled),
    ];
    for (demand, mode, expected) in cases {
        let policy = Policy { rules: vec![rule(demand)], version: "v".into() };
        let mut story = Story::with(Ledger::default(), policy);
        story.open();
        let id = story.incident().id;
        story.world.ledger.incidents.get_mut(&id).unwrap().remediation = mode;
        story.propose(Risk::Low);
        assert_eq!(story.state(), Some(expected), "{demand:?} in mode {mode:?}");
    }
}

#[test]
fn what_is_automatic_waits_where_a_loop_or_a_clash_threatens() {
    let automatic = || {
        let rule = Rule { name: "all".into(), demand: Some(Demand::Automatic), ..Rule::default() };
        let mut story =
            Story::with(Ledger::default(), Policy { rules: vec![rule], version: "v".into() });
        story.open();
        let id = story.incident().id;
        story.world.ledger.incidents.get_mut(&id).unwrap().remediation = RemediationMode::Automatic;
        story
    };
    let waits = |story: &Story, why: &str| {
        assert_eq!(story.state(), Some(ExecutionState::AwaitingApproval));
        let ruling =
            &story.incident().active_execution().unwrap().proposal.as_ref().unwrap().ruling;
        assert!(ruling.rule.contains(why), "{}", ruling.rule);
        assert!(story.effects.is_empty());
    };

    let mut cooling = automatic();
    let (action, last_used) = (ActionId::of("unlink_keys"), cooling.now);
    cooling.world.ledger.breakers.push(Breaker { target: REDIS, action, failures: 0, last_used });
    cooling.later(59).propose(Risk::Low);
    waits(&cooling, "cools down");

    let mut away = automatic();
    away.say(Input::StoreLost { reason: "gone".into() });
    away.propose(Risk::High);
    waits(&away, "the store is away");

    let mut busy = automatic();
    let mut other = incident(busy.now);
    other.id = IncidentId(Ids::seeded(7).next(busy.now));
    (other.number, other.finding) = (2, FindingKind::ProbeFailing);
    other.executions = Story::proposed(Risk::Low).incident().executions.clone();
    other.executions[0].state = ExecutionState::Executing;
    busy.world.ledger.incidents.insert(other.id, other);
    busy.propose(Risk::Low);
    waits(&busy, "an action for INC-0002 still runs");
}

#[test]
fn advisory_mode_approves_nothing() {
    let mut story = Story::proposed(Risk::Low);
    let id = story.incident().id;
    story.world.ledger.incidents.get_mut(&id).unwrap().remediation = RemediationMode::Advisory;
    let print = story.fingerprint();
    assert!(story.approve(&print, None).unwrap_err().contains("advisory"));
}

#[test]
fn what_is_hard_to_take_back_waits_for_the_store() {
    let mut story = Story::proposed(Risk::High);
    story.say(Input::StoreLost { reason: "gone".into() });
    let print = story.fingerprint();
    assert!(story.approve(&print, Some("redis-test")).unwrap_err().contains("the store is away"));
    story.say(Input::StoreReturned { merged: 3 });
    story.approve(&print, Some("redis-test")).unwrap();

    // Approved before, and checked again while the store is away: nothing runs, another approval is needed.
    story.say(Input::StoreLost { reason: "gone again".into() });
    story.ready();
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]), "{:?}", story.effects);
    assert_eq!(story.count("action_started"), 0);
    story.propose(Risk::High);
    let print = story.fingerprint();
    assert!(story.approve(&print, Some("redis-test")).unwrap_err().contains("the store is away"));

    // Low risk need not wait.
    let mut story = Story::proposed(Risk::Low);
    story.say(Input::StoreLost { reason: "gone".into() });
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    assert_eq!(story.count("action_started"), 1);
}

#[test]
fn work_without_an_end_is_given_up() {
    let mut story = Story::opened();
    story.later(61).say(Input::Tick);
    assert_eq!(story.incident().status, Status::Failed);
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Report { .. }]));
}

#[test]
fn only_a_healthy_lab_target_is_broken_and_only_once() {
    let inject = |target: TargetId| Input::Inject {
        actor: "ops1".into(),
        fault: FaultId::of("leak-oom"),
        target,
        params: BTreeMap::new(),
        ttl: TimeDelta::seconds(120),
        undo: vec![],
        beside: false,
    };
    let mut story = Story::new();
    let refused = |reply: Option<Result<Accepted, Refused>>| reply.unwrap().unwrap_err().reason;
    assert!(refused(story.say(inject(TargetId::of("elsewhere")))).contains("not watched"));
    assert!(
        refused(story.say(inject(REDIS))).contains("not measured yet"),
        "nothing measured is not healthy"
    );
    make_healthy(&mut story);
    assert!(story.say(inject(REDIS)).unwrap().is_ok());
    assert!(matches!(story.effects[..], [Effect::Inject { .. }]));
    assert!(refused(story.say(inject(REDIS))).contains("f-1 (leak-oom) is still on redis-test"));

    let mut real = Story::new();
    real.world.watches.get_mut(&REDIS).unwrap().window.target.lab = None;
    make_healthy(&mut real);
    assert!(refused(real.say(inject(REDIS))).contains("only the lab may be broken"));
    assert!(real.effects.is_empty());
}

fn make_healthy(story: &mut Story) {
    for origin in [Origin::Held, Origin::Fresh] {
        let mut sample = refused_write(story.now);
        sample.origin = origin;
        sample.write = Answer::Ok;
        sample.readings = sample.readings.with(reading::USED_MEMORY_BYTES, 1_000_000.0);
        story.say(Input::Sampled { target: REDIS, sample });
    }
}

#[test]
fn an_injection_that_outlives_its_deadline_is_reverted_by_the_engine() {
    let mut story = Story::new();
    make_healthy(&mut story);
    story.say(Input::Inject {
        actor: "ops1".into(),
        fault: FaultId::of("idle-leak"),
        target: REDIS,
        params: BTreeMap::new(),
        ttl: TimeDelta::seconds(30),
        undo: vec![],
        beside: false,
    });
    story.later(34).say(Input::Tick);
    assert!(story.effects.is_empty(), "the watchdog has its grace");
    story.later(2).say(Input::Tick);
    assert!(matches!(story.effects[..], [Effect::Revert { .. }]));
    story.later(1).say(Input::Tick);
    assert!(story.effects.is_empty(), "once is enough");
    let injection = story.world.ledger.injections.values().next().unwrap().id;
    let state = InjectionState::Reverted { at: story.now, by: "engine".into(), left_over: vec![] };
    story.say(Input::InjectionMoved { injection, state: state.clone() });
    // Told again, as after a crash: nothing is recorded twice, its journal goes all the same.
    let recorded = story.log.len();
    for _ in 0..2 {
        assert_eq!(story.effects, [Effect::Forget { injection }]);
        assert_eq!(story.log.len(), recorded);
        story.say(Input::InjectionMoved { injection, state: state.clone() });
    }
    let overdue = story.after_crash();
    assert!(overdue.effects.is_empty(), "a reverted injection is left alone");
}

#[test]
fn how_the_proposal_was_read_is_kept_with_the_approval_and_told() {
    let mut story = Story::proposed(Risk::Low);
    let seen = Seen { open_ms: 8_460, columns: 120, rows: 35 };
    let (incident, fingerprint) = (1, story.fingerprint());
    let command = Command::Approve { incident, fingerprint, typed: None, seen: Some(seen) };
    let sent = serde_json::to_value(&command).unwrap();
    assert_eq!(serde_json::from_value::<Command>(sent).unwrap(), command);
    story.order(command).unwrap();
    let approval = story.incident().executions[0].approval.clone().unwrap();
    assert_eq!(approval.decision, Decision::Approved { typed: None, seen: Some(seen) });
    let line = story.lines().pop().unwrap();
    assert!(line.ends_with("after 0 s (open for 8.4 s at 120x35)"), "{line}");
    story.after_crash();

    let old = serde_json::json!({ "is": "approved", "typed": "redis-test" });
    let read: Decision = serde_json::from_value(old.clone()).unwrap();
    assert_eq!(read, Decision::Approved { typed: Some("redis-test".into()), seen: None });
    assert_eq!(serde_json::to_value(&read).unwrap(), old, "an old record keeps its hash");
    let old = serde_json::json!({ "do": "approve", "incident": 1, "fingerprint": "abc" });
    assert!(matches!(serde_json::from_value(old), Ok(Command::Approve { seen: None, .. })));
}

#[test]
fn data_that_went_while_an_action_ran_is_no_news_and_later_it_is() {
    let lost = |story: &mut Story, age: f64| {
        for _ in 0..2 {
            let (target, at) = (REDIS, story.later(1).now);
            let readings =
                [(reading::KEYS_LOST_TO_FLUSH, 900.0), (reading::FLUSH_AGE_SECONDS, age)];
            let sample = Sample {
                at,
                origin: Origin::Held,
                took_ms: 0.2,
                connect: Answer::Ok,
                read: Answer::Ok,
                write: Answer::Ok,
                readings: readings.into(),
            };
            story.say(Input::Sampled { target, sample });
        }
        story.world.ledger.incidents.len()
    };
    let mut story = Story::resolved();
    let ended = story.now;
    assert_eq!(lost(&mut story, 1.5), 1, "the flush was what was approved");
    story.later(300);
    let ago = (story.now - ended).num_seconds() as f64;
    assert_eq!(lost(&mut story, ago), 1, "long after, it still was");
    assert_eq!(lost(&mut story, 0.5), 2, "this one nobody approved");
}
