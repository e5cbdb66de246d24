//! More than one thing wrong with a target: injected on top of each other, proven apart, fixed one after the other.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::story::{REDIS, Story, finding, incident, investigation};
use crate::domain::diagnosis::{Grade, JudgedCause};
use crate::domain::effect::{Besides, Command, Effect, Input};
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Check, ExecutionState, Verification};
use crate::domain::finding::FindingKind;
use crate::domain::health::Health;
use crate::domain::ids::{CauseId, FaultId, Ids, IncidentId};
use crate::domain::incident::Status;
use crate::domain::proposal::Risk;

fn inject(story: &mut Story, fault: &'static str, beside: bool) -> Result<(), String> {
    let reply = story.say(Input::Inject {
        actor: "ops1".into(),
        fault: FaultId::of(fault),
        target: REDIS,
        params: BTreeMap::new(),
        ttl: TimeDelta::seconds(120),
        undo: vec![],
        beside,
    });
    reply.unwrap().map(|_| ()).map_err(|refused| refused.reason)
}

#[test]
fn a_second_fault_comes_only_where_it_is_wanted_and_they_go_in_reverse_order() {
    let mut story = Story::new();
    super::make_healthy(&mut story);
    inject(&mut story, "leak-oom", false).unwrap();
    assert!(inject(&mut story, "maxclients", false).unwrap_err().contains("f-1 (leak-oom)"));
    assert!(inject(&mut story, "leak-oom", true).unwrap_err().contains("f-1 (leak-oom)"));
    inject(&mut story, "maxclients", true).unwrap();
    story.order(Command::Clear { injection: None, target: None }).unwrap();
    let order: Vec<(u64, usize)> = story
        .effects
        .iter()
        .map(|effect| {
            let Effect::Revert { injection, after } = effect else { panic!("{effect:?}") };
            (injection.number, after.len())
        })
        .collect();
    assert_eq!(order, [(2, 0), (1, 1)], "the first waits for the second");
}

/// A proposal for `leak-oom` where another cause is confirmed too, carried out as far as its proof.
fn two_causes() -> Story {
    let mut story = Story::opened();
    let (incident, execution, revision) = story.thinking();
    let mut result = investigation(Risk::Low);
    let other = JudgedCause {
        cause: "maxmemory-lowered".into(),
        grade: Grade::Confirmed,
        because: "maxmemory came down".into(),
        evidence: vec!["e1".into()],
        missing: None,
    };
    result.diagnosis.causes.push(other);
    story.say(Input::Diagnosed { incident, execution, revision, result });
    story.begin();
    story.ran(true);
    story
}

fn besides(story: &Story) -> Besides {
    story
        .effects
        .iter()
        .find_map(|effect| {
            let Effect::Verify { goal, .. } = effect else { return None };
            Some(goal.besides.clone())
        })
        .expect("it is measured")
}

fn proven(story: &mut Story, left_out: &[&str]) {
    let (incident, execution) = story.active();
    let check =
        Check { name: "the cause is gone".into(), passed: Some(true), detail: "measured".into() };
    let verification = Verification {
        checks: vec![check],
        rounds: 3,
        left_out: left_out.iter().map(|text| (*text).to_owned()).collect(),
        cause_gone: false,
        held_ms: 10_000,
        health_after: Health::Score(0),
        symptom_free_after_ms: Some(40),
    };
    story.say(Input::Verified { incident, execution, verification });
}

#[test]
fn a_fix_is_proven_for_its_own_cause_and_the_other_one_is_next() {
    let mut story = two_causes();
    assert_eq!(besides(&story).causes, [CauseId::of("maxmemory-lowered")]);
    proven(&mut story, &["it writes: OOM"]);
    assert_eq!(story.incident().executions[0].state, ExecutionState::Completed);
    assert_eq!(story.incident().status, Status::Investigating, "the symptom is still there");
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    assert!(story.lines().iter().any(|line| line.contains("what is left: maxmemory-lowered")));
    story.after_crash();
}

#[test]
fn a_fix_that_made_the_symptom_go_is_the_end_whatever_else_was_found() {
    let mut story = two_causes();
    proven(&mut story, &[]);
    assert_eq!(story.incident().status, Status::Resolved);
}

#[test]
fn the_symptoms_of_other_incidents_are_named_to_the_proof() {
    let mut story = Story::begun(Risk::Low);
    let other = crate::domain::incident::Incident {
        id: IncidentId(Ids::seeded(98).next(story.now)),
        number: 2,
        finding: FindingKind::ClientsRefused,
        ..incident(story.now)
    };
    let opened = finding(FindingKind::ClientsRefused, story.now);
    let event = Event {
        seq: story.world.ledger.seq + 1,
        at: story.now,
        incident: Some(other.id),
        target: Some(REDIS),
        actor: "detector".into(),
        body: EventBody::IncidentOpened { incident: Box::new(other), finding: opened },
    };
    story.world.ledger.apply(&event);
    story.log.push(event);
    story.ran(true);
    assert_eq!(besides(&story).findings, [FindingKind::ClientsRefused]);
    assert!(story.lines().iter().any(|line| line.contains("not due to clients-refused")));
}

#[test]
fn what_removed_a_confirmed_cause_stays_although_clients_still_suffer() {
    let mut story = Story::begun(Risk::Low);
    story.ran(true);
    let (incident, execution) = story.active();
    let failed =
        Check { name: "it writes".into(), passed: Some(false), detail: "still refused".into() };
    let verification = Verification {
        checks: vec![failed],
        rounds: 3,
        cause_gone: true,
        ..Verification::default()
    };
    story.say(Input::Verified { incident, execution, verification });
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]), "{:?}", story.effects);
    assert_eq!(story.incident().executions[0].state, ExecutionState::Failed);
    assert!(!story.incident().executions[0].rolled_back);
    let told = "its own cause is gone, so what was done stays; it writes: still refused";
    assert!(story.lines().iter().any(|line| line == told), "{:?}", story.lines());
    story.after_crash();
}
