//! Stopping and killing: what is dropped, what is let end, and who has it afterwards.

use super::*;
use crate::domain::execution::Execution;

fn two_steps() -> Story {
    let mut story = Story::opened();
    let (incident, execution, revision) = story.thinking();
    let result = investigation_of(&[("unlink_keys", Risk::Low), ("restart_redis", Risk::Low)]);
    story.say(Input::Diagnosed { incident, execution, revision, result });
    story.begin();
    story
}

fn between_steps() -> Story {
    let mut story = two_steps();
    story.ran(true);
    assert!(matches!(story.effects[..], [Effect::Recheck { step: 1, .. }]));
    story
}

fn verifying() -> Story {
    let mut story = Story::begun(Risk::Low);
    story.ran(true);
    story
}

fn taking_back() -> Story {
    let mut story = verifying();
    story.measured(Some(false));
    story
}

fn previewing() -> Story {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story
}

fn is_handed_over(story: &Story, name: &str, error: &str) {
    assert_eq!(story.state(), Some(ExecutionState::Cancelled), "{name}");
    assert_eq!(story.incident().status, Status::Failed, "{name}");
    assert_eq!(story.incident().executions[0].error.as_deref(), Some(error), "{name}");
    let reason = story.incident().failure_reason.clone().unwrap();
    assert_eq!(reason, format!("needs a person: {error}"), "{name}");
    assert!(story.effects.iter().any(|effect| matches!(effect, Effect::Report { .. })), "{name}");
}

fn orders() -> [Command; 2] {
    [Command::Stop { incident: 1 }, Command::Kill { incident: 1 }]
}

#[test]
fn where_nothing_is_being_done_both_end_it_at_once() {
    type Case<'a> = (&'a str, fn() -> Story, &'a str);
    let cases: &[Case<'_>] = &[
        ("thinking", Story::opened, "stopped by ops1 before anything ran"),
        ("waiting", || Story::proposed(Risk::High), "stopped by ops1 before anything ran"),
        ("previewing", previewing, "stopped by ops1 before anything ran"),
        ("between", between_steps, "stopped by ops1 after step 1 of 2"),
        ("verifying", verifying, "stopped by ops1 after step 1 of 1; nothing proves it"),
    ];
    for (name, given, error) in cases {
        for order in orders() {
            let mut story = given();
            let ran = story.count("action_started");
            story.order(order).unwrap();
            assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Report { .. }]));
            is_handed_over(&story, name, error);
            assert!(story.after_crash().effects.is_empty(), "{name}");
            story.say(Input::Tick);
            assert_eq!(story.count("action_started"), ran, "{name}");
        }
    }
}

#[test]
fn a_proposal_that_waited_cannot_be_approved_after_the_stop() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.order(Command::Stop { incident: 1 }).unwrap();
    assert!(story.approve(&print, None).is_err());
    assert_eq!(story.count("action_started"), 0);
}

#[test]
fn a_stop_lets_the_running_step_end_and_begins_no_other() {
    for (ok, given, error) in [
        (true, two_steps as fn() -> Story, "stopped by ops1 after step 1 of 2"),
        (false, two_steps, "stopped by ops1 after step 1 of 2"),
        (true, || Story::begun(Risk::Low), "stopped by ops1 after step 1 of 1"),
    ] {
        let mut story = given();
        story.order(Command::Stop { incident: 1 }).unwrap();
        assert!(story.effects.is_empty(), "{:?}", story.effects);
        assert_eq!(story.state(), Some(ExecutionState::Executing));
        let again = story.order(Command::Stop { incident: 1 }).unwrap_err();
        assert!(again.contains("ops1 ordered that already"), "{again}");
        story.ran(ok);
        is_handed_over(&story, "stopped", error);
        assert_eq!(story.count("action_started"), 1);
        assert_eq!(story.world.ledger.breakers[0].failures, 0, "a stop is no failure");
    }
}

#[test]
fn a_kill_drops_the_step_says_what_is_not_known_and_measures() {
    let mut story = two_steps();
    story.order(Command::Kill { incident: 1 }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Verify { .. }]));
    let end = story.incident().executions[0].steps[0].end.clone().unwrap();
    assert!(!end.ok);
    assert_eq!(end.output.stderr, "killed by ops1; what it did so far is not known");
    assert!(matches!(story.after_crash().effects[..], [Effect::Verify { .. }]));

    let mut proven = story.after_crash();
    proven.measured(Some(true));
    assert_eq!(proven.incident().status, Status::Resolved, "the truth is the truth");

    story.measured(Some(false));
    let error = "killed by ops1 in step 1 of 2; what it did so far is not known; \
                 not proven: it writes: as measured";
    is_handed_over(&story, "killed", error);
    assert_eq!(story.count("undo_started") + story.count("rolled_back"), 0, "a person decides");
    story.ran_late();
    assert_eq!(story.state(), Some(ExecutionState::Cancelled));
}

#[test]
fn a_kill_beats_a_stop() {
    let mut story = two_steps();
    story.order(Command::Stop { incident: 1 }).unwrap();
    story.order(Command::Kill { incident: 1 }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Verify { .. }]));
    assert!(story.incident().executions[0].stop.as_ref().is_some_and(|order| order.kill));
}

#[test]
fn taking_back_is_let_end_by_a_stop_and_dropped_by_a_kill() {
    let error = "stopped by ops1 after step 1 of 1; not proven: it writes: as measured";
    let mut story = taking_back();
    story.order(Command::Stop { incident: 1 }).unwrap();
    assert!(story.effects.is_empty());
    story.taken_back(true);
    is_handed_over(&story, "stopped", error);
    assert!(story.incident().executions[0].rolled_back);

    let mut story = taking_back();
    story.order(Command::Kill { incident: 1 }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Report { .. }]));
    assert_eq!(story.state(), Some(ExecutionState::Cancelled));
    assert!(!story.incident().executions[0].rolled_back);
}

#[test]
fn an_undo_that_a_person_ordered_is_ended_by_a_kill_only() {
    let mut story = Story::resolved();
    story.order(Command::Undo { incident: 1, typed: Some("redis-test".into()) }).unwrap();
    assert!(story.order(Command::Stop { incident: 1 }).is_err());
    story.order(Command::Kill { incident: 1 }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }, Effect::Report { .. }]));
    assert!(story.world.ledger.acting_on(&REDIS).is_none());
    let undone: &Execution = &story.incident().executions[0];
    assert!(!undone.rolled_back, "nobody knows how far it came");
    assert_eq!(story.incident().status, Status::Resolved);
}

#[test]
fn a_crash_after_the_order_keeps_it() {
    let mut story = two_steps();
    story.order(Command::Stop { incident: 1 }).unwrap();
    let mut next = story.after_crash();
    assert!(matches!(next.effects[..], [Effect::Verify { .. }]), "measured, nothing repeated");
    next.measured(Some(false));
    assert_eq!(next.state(), Some(ExecutionState::Cancelled));
    assert!(!next.effects.iter().any(|effect| matches!(effect, Effect::Undo { .. })));
}

#[test]
fn where_nothing_runs_there_is_nothing_to_stop() {
    for order in orders() {
        for (mut story, reason) in [
            (Story::failed(), "nothing runs for INC-0001; it is failed"),
            (Story::resolved(), "INC-0001 is resolved"),
        ] {
            let refused = story.order(order.clone()).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
            assert!(story.effects.is_empty());
        }
        assert!(Story::new().order(order).is_err());
    }
}
