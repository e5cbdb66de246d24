//! Taking back what was done because a person says so.

use super::*;
use crate::domain::proposal::Undo;
use crate::domain::undo::{UNDO_WINDOW, undoable};

fn undo(story: &mut Story, typed: Option<&str>) -> Result<Accepted, String> {
    story.order(Command::Undo { incident: 1, typed: typed.map(str::to_owned) })
}

fn with_undo_kind(story: &mut Story, kind: &Undo) {
    for incident in story.world.ledger.incidents.values_mut() {
        for proposal in incident.executions.iter_mut().filter_map(|e| e.proposal.as_mut()) {
            proposal.draft.steps.iter_mut().for_each(|step| step.undo = kind.clone());
        }
    }
}

#[test]
fn what_was_done_is_taken_back_after_the_incident_was_resolved() {
    let mut story = Story::resolved();
    let plan = undoable(story.incident(), story.now).unwrap();
    let ended = story.incident().executions[0].completed_at.unwrap();
    assert_eq!(plan.until, ended + UNDO_WINDOW);
    assert_eq!(plan.lines, ["unlink_keys: put the keys back"]);
    undo(&mut story, Some("redis-test")).unwrap();
    let [Effect::Undo { ref steps, .. }] = story.effects[..] else { panic!("{:?}", story.effects) };
    assert_eq!(*steps, plan.steps);
    assert!(story.world.ledger.acting_on(&REDIS).is_some(), "nothing else may act meanwhile");
    story.taken_back(true);
    assert!(story.incident().executions[0].rolled_back);
    assert!(story.world.ledger.acting_on(&REDIS).is_none());
    assert_eq!(story.incident().status, Status::Resolved, "nothing leaves resolved");
    assert!(matches!(story.effects[..], [Effect::Report { .. }]), "{:?}", story.effects);
    let said = story.lines();
    let [.., by, command, result] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(by, "ops1 takes back unlink_keys");
    assert_eq!(command, "unlink_keys: put the keys back");
    assert_eq!(result, "the keys are back");
    assert!(undo(&mut story, Some("redis-test")).unwrap_err().contains("taken back already"));
}

#[test]
fn the_commands_that_were_recorded_are_the_ones_that_are_told() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    let (incident, execution) = story.active();
    let undo_commands = vec!["redis-cli CONFIG SET maxmemory 1000".to_owned()];
    let prepared = Prepared { undo_commands: undo_commands.clone(), ..Prepared::default() };
    story.say(Input::Rechecked { incident, execution, step: 0, result: Ok(prepared) });
    story.ran(true);
    story.measured(Some(true));
    assert_eq!(undoable(story.incident(), story.now).unwrap().lines, undo_commands);
    assert!(undoable(story.after_crash().incident(), story.now).is_ok());
}

#[test]
fn an_undo_is_refused_with_the_reason() {
    type Case<'a> = (&'a str, fn() -> Story, Option<&'a str>, &'a str);
    let cases: &[Case<'_>] = &[
        (
            "nothing acted",
            || Story::proposed(Risk::Low),
            Some("redis-test"),
            "nothing was executed",
        ),
        ("still running", || Story::begun(Risk::Low), Some("redis-test"), "still runs (executing)"),
        (
            "being verified",
            || {
                let mut story = Story::begun(Risk::Low);
                story.ran(true);
                story
            },
            Some("redis-test"),
            "still runs (verifying)",
        ),
        ("done by itself", Story::failed, Some("redis-test"), "was taken back already"),
        (
            "too late",
            || {
                let mut story = Story::resolved();
                story.later(30 * 60 + 1);
                story
            },
            Some("redis-test"),
            "closed at 08:30",
        ),
        (
            "impossible",
            || {
                let mut story = Story::resolved();
                with_undo_kind(&mut story, &Undo::Impossible);
                story
            },
            Some("redis-test"),
            "there is no undo (unlink_keys: cannot be undone)",
        ),
        (
            "not needed",
            || {
                let mut story = Story::resolved();
                with_undo_kind(&mut story, &Undo::NotNeeded);
                story
            },
            Some("redis-test"),
            "there is no undo (unlink_keys: nothing to undo)",
        ),
        ("not typed", Story::resolved, None, "redis-test (nothing was typed)"),
        ("mistyped", Story::resolved, Some("Redis-test"), "`Redis-test` was typed"),
        (
            "under way",
            || {
                let mut story = Story::resolved();
                undo(&mut story, Some("redis-test")).unwrap();
                story
            },
            Some("redis-test"),
            "being taken back already",
        ),
        (
            "busy",
            || {
                let mut story = Story::resolved();
                let mut other = story.incident().clone();
                (other.id, other.number) = (IncidentId(story.ids.next(story.now)), 2);
                other.status = Status::Fixing;
                other.executions[0].state = ExecutionState::Executing;
                story.world.ledger.incidents.insert(other.id, other);
                story
            },
            Some("redis-test"),
            "an action for INC-0002 still runs on redis-test",
        ),
    ];
    for (name, given, typed, reason) in cases {
        let mut story = given();
        let recorded = story.count("undo_started");
        let refused = undo(&mut story, *typed).expect_err(name);
        assert!(refused.contains(reason), "{name}: {refused}");
        assert!(story.effects.is_empty(), "{name}: {:?}", story.effects);
        assert_eq!(story.count("undo_started"), recorded, "{name}");
        assert_eq!(story.count("decision_refused"), 1, "{name}");
    }
    let mut story = Story::new();
    assert!(undo(&mut story, None).unwrap_err().contains("not among the recent incidents"));
}

#[test]
fn it_is_possible_until_the_last_moment_of_the_window() {
    let mut story = Story::resolved();
    story.later(30 * 60 - 1);
    undo(&mut story, Some("redis-test")).unwrap();
}

#[test]
fn a_crash_while_taking_back_takes_back_again() {
    let mut story = Story::resolved();
    undo(&mut story, Some("redis-test")).unwrap();
    let mut next = story.after_crash();
    assert_eq!(next.effects, story.effects, "the same undo with the same data");
    next.taken_back(true);
    assert!(next.incident().executions[0].rolled_back);
    let after = next.after_crash();
    assert!(after.effects.is_empty(), "{:?}", after.effects);
}

/// Failed and not taken back: the agent's own undo did not work.
fn failed_with_leftovers() -> Story {
    let mut story = Story::begun(Risk::Low);
    story.ran(true);
    story.measured(Some(false));
    story.taken_back(false);
    story
}

#[test]
fn of_an_open_incident_the_agent_lets_go_and_a_person_has_it() {
    let mut story = failed_with_leftovers();
    assert_eq!(story.state(), Some(ExecutionState::Thinking), "the agent looks again");
    undo(&mut story, Some("redis-test")).unwrap();
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Undo { .. }]));
    assert!(story.order(Command::Retry { incident: 1 }).unwrap_err().contains("being taken back"));
    let next = story.after_crash();
    assert!(matches!(next.effects[..], [Effect::Undo { .. }]), "{:?}", next.effects);
    story.taken_back(true);
    assert_eq!(story.incident().status, Status::Failed);
    let reason = story.incident().failure_reason.clone().unwrap();
    assert_eq!(reason, "needs a person: ops1 took back what was done");
    story.order(Command::Retry { incident: 1 }).unwrap();
}

#[test]
fn an_undo_that_fails_says_so_and_may_be_tried_again() {
    let mut story = Story::resolved();
    undo(&mut story, Some("redis-test")).unwrap();
    story.taken_back(false);
    assert!(!story.incident().executions[0].rolled_back);
    undo(&mut story, Some("redis-test")).unwrap();
    story.later(91).say(Input::Tick);
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Report { .. }]));
    assert!(story.world.ledger.acting_on(&REDIS).is_none());
    assert!(story.lines().last().unwrap().contains("no end of it in time"));
    story.taken_back(true);
    assert!(!story.incident().executions[0].rolled_back, "what comes late is not believed");
}

#[test]
fn what_a_person_took_back_does_not_run_again_by_itself_at_once() {
    let mut story = Story::resolved();
    story.later(600);
    undo(&mut story, Some("redis-test")).unwrap();
    story.taken_back(true);
    let (ledger, action) = (&story.world.ledger, ActionId::of("unlink_keys"));
    assert!(ledger.cooling(&REDIS, &action, &story.world.limits, story.now).is_some());
    assert_eq!(ledger.breakers[0].failures, 0);
}
