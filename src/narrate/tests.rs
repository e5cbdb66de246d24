//! Every kind of event, told.

use super::*;
use crate::domain::execution::Check;
use crate::report::example::{approval, event, events, incident, verification};

fn names(_: IncidentId) -> Option<String> {
    Some("INC-0042 critical".into())
}

#[test]
fn every_kind_of_event_is_one_line() {
    let lines: Vec<_> = events().iter().filter_map(|event| sentence(event, &names)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn no_line_has_a_control_character_or_is_said_twice() {
    let lines: Vec<_> = events().iter().filter_map(|event| sentence(event, &names)).collect();
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let mut unique = lines.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), lines.len());
}

#[test]
fn every_decision_has_its_words() {
    let told = |decision| words(&event(0, "x", decided_body(decision))).unwrap();
    assert_eq!(
        told(Decision::Approved { typed: None, seen: None }),
        ("operator", "ops1 approved 7f3a9c".to_owned())
    );
    assert_eq!(
        told(Decision::Denied { reason: "no".into() }),
        ("operator", "ops1 rejected 7f3a9c: no".to_owned())
    );
    let rule = "low risk".to_owned();
    assert_eq!(
        told(Decision::Automatic { rule }),
        ("policy", "approved 7f3a9c by rule: low risk".to_owned())
    );
    assert_eq!(told(Decision::Expired), ("expired", "7f3a9c: nobody decided in time".to_owned()));
}

fn decided_body(decision: Decision) -> EventBody {
    let execution = crate::domain::ids::ExecutionId(uuid::Uuid::nil());
    EventBody::Decided { execution, approval: approval(decision) }
}

#[test]
fn a_failed_proof_names_what_did_not_pass() {
    let mut proof = verification();
    let check = |passed| Check { name: "writes".into(), passed, detail: "OOM".into() };
    proof.checks.push(check(None));
    assert_eq!(verified(&proof), "FAIL, writes: OOM, health 96");
    proof.checks.clear();
    assert_eq!(verified(&proof), "FAIL, nothing was measured, health 96");
}

#[test]
fn labels_follow_the_severity() {
    let mut labels = Labels::default();
    let mut opened = incident();
    opened.severity = crate::domain::finding::Severity::Medium;
    let finding = crate::report::example::finding();
    let id = opened.id;
    let health = Health::Score(0);
    assert_eq!(labels.get(id), None);
    let incident = Box::new(opened);
    labels.learn(&event(0, "x", EventBody::IncidentOpened { incident, finding: finding.clone() }));
    assert_eq!(labels.get(id).as_deref(), Some("INC-0042 medium"));
    labels.learn(&event(1, "x", EventBody::IncidentEscalated { finding, health }));
    assert_eq!(labels.get(id).as_deref(), Some("INC-0042 critical"));
}

#[test]
fn durations_read_like_people_say_them() {
    for (ms, text) in [
        (0, "0 ms"),
        (18, "18 ms"),
        (999, "999 ms"),
        (1_352, "1.35 s"),
        (59_999, "59.99 s"),
        (129_000, "2m09s"),
    ] {
        assert_eq!(duration(ms), text);
    }
}

#[test]
fn clean_text_has_nothing_invisible_and_keeps_the_rest() {
    assert_eq!(clean("näh → 5 MB"), "näh → 5 MB");
    assert_eq!(
        clean("a\tb\u{1b}[0m\r\u{9b}\u{202e}\u{feff}"),
        "a b\\x1b[0m\\x0d\\x9b\\u{202e}\\u{feff}"
    );
}
