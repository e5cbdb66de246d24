//! The post-mortem, read as a whole.

use super::example::{at, events, incident, injection};
use super::*;

#[test]
fn a_report_tells_the_whole_story_from_facts() {
    let over = InjectionState::Reverted { at: at(18_000), by: "engine".into(), left_over: vec![] };
    insta::assert_snapshot!(markdown(&incident(), &events(), &[injection(over)]));
}

#[test]
fn a_young_incident_has_a_report_too() {
    let mut young = incident();
    young.diagnosis = None;
    young.executions.clear();
    young.resolved_at = None;
    young.health_at_end = None;
    let text = markdown(&young, &[], &[]);
    assert!(text.contains("No diagnosis was made."), "{text}");
    assert!(text.contains("| resolved | not yet |"), "{text}");
    assert!(!text.contains("Attempt"), "{text}");
}

#[test]
fn only_injections_on_this_target_at_this_time_are_told() {
    let reverted = |ms| InjectionState::Reverted { at: at(ms), by: "x".into(), left_over: vec![] };
    let mut elsewhere = injection(reverted(18_000));
    elsewhere.target = "postgres-test".into();
    let before = injection(reverted(-1));
    let mut after = injection(reverted(99_000));
    after.started_at = at(30_000);
    let text = markdown(&incident(), &[], &[elsewhere, before, after]);
    assert!(!text.contains("Injected"), "{text}");
}

#[test]
fn output_cannot_leave_its_code_block_or_control_a_terminal() {
    let text = markdown(&incident(), &events(), &[]);
    assert!(text.contains("````text\n46201\n```\nok\n````"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(text.contains(r"\x1b[31mred"), "{text}");
}
