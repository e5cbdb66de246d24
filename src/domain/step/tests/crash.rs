//! What the next engine makes of what a crash left.

use super::*;

#[test]
fn a_crash_at_every_phase_repeats_nothing_and_ends() {
    // Thinking: looks again in the same execution.
    let next = Story::opened().after_crash();
    assert!(matches!(next.effects[..], [Effect::Investigate { .. }]));
    assert_eq!(next.incident().executions.len(), 1);

    // Awaiting approval: the proposal still waits, unchanged.
    let story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    let mut next = story.after_crash();
    assert!(next.effects.is_empty());
    next.approve(&print, None).unwrap();

    // Approved, nothing begun: checked again first; too late, it is void.
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    assert!(matches!(story.after_crash().effects[..], [Effect::Recheck { .. }]));
    story.later(301);
    assert!(matches!(
        story.after_crash().effects[..],
        [Effect::Cancel { .. }, Effect::Investigate { .. }]
    ));

    // Executing: measured, never run again.
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    let mut next = story.after_crash();
    assert!(matches!(next.effects[..], [Effect::Verify { .. }]), "{:?}", next.effects);
    next.measured(Some(true));
    assert_eq!(next.incident().status, Status::Resolved);
    assert_eq!(next.count("action_started"), 1);

    // Verifying: measured again.
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    story.ran(true);
    let mut next = story.after_crash();
    assert!(matches!(next.effects[..], [Effect::Verify { .. }]));
    next.measured(Some(true));
    assert_eq!(next.incident().status, Status::Resolved);
}

#[test]
fn what_a_crash_may_have_kept_from_running_may_be_proposed_again() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    story.ready();
    let mut next = story.after_crash();
    next.measured(Some(false));
    let (incident, execution) = next.active();
    next.say(Input::Undone { incident, execution, ok: true, detail: "put back".into() });
    next.propose(Risk::Low);
    assert_eq!(next.count("proposed"), 2);
    assert_eq!(next.count("action_started"), 1, "not without another approval");
    let print = next.fingerprint();
    next.approve(&print, None).unwrap();
    next.ready();
    assert_eq!(next.count("action_started"), 2);
}
