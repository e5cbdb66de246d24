//! Incidents that others notice, and what people change about them by hand.

use chrono::TimeDelta;

use super::story::{REDIS, Story};
use crate::domain::change::Change;
use crate::domain::effect::{Command, Effect, Input};
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::ids::TargetId;
use crate::domain::incident::{RemediationMode, Status};
use crate::domain::notice::Notice;
use crate::domain::proposal::Risk;

fn notice(target: TargetId, message: &str) -> Command {
    let notice = Notice {
        target,
        severity: Severity::High,
        message: message.into(),
        source: Some("support".into()),
        team: Some("payments".into()),
        error_lines: vec!["HTTP 500".into()],
    };
    Command::Notice { notice }
}

fn change(story: &mut Story, change: Change) -> Result<(), String> {
    story.order(Command::Change { incident: 1, change }).map(drop)
}

#[test]
fn what_others_notice_on_a_watched_target_is_looked_into_and_never_acted_on_by_itself() {
    let mut story = Story::new();
    story.world.remediation = RemediationMode::Automatic;
    let accepted = story.order(notice(REDIS, "checkout fails")).unwrap();
    assert_eq!(accepted.incident, Some(1));
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    let incident = story.incident();
    assert_eq!((incident.finding, incident.status), (FindingKind::Noticed, Status::Investigating));
    assert_eq!((incident.source.as_str(), incident.team.as_deref()), ("support", Some("payments")));
    assert_eq!(incident.remediation, RemediationMode::Approval, "whatever the policy says");
    assert_eq!(story.log[0].actor, "ops1", "who said so is on record");
}

#[test]
fn what_is_said_again_adds_to_what_is_open_and_a_symptom_of_ours_is_its_own() {
    let mut story = Story::opened();
    assert_eq!(story.order(notice(REDIS, "slow")).unwrap().incident, Some(2));
    assert_eq!(story.order(notice(REDIS, "still slow")).unwrap().incident, Some(2));
    let second = story.world.ledger.by_number(2).unwrap();
    assert_eq!((second.occurrences, second.message.as_str()), (2, "slow"));
    assert_eq!(story.incident().occurrences, 1);
}

#[test]
fn what_was_not_measured_does_not_end_because_nothing_is_measured() {
    let mut story = Story::new();
    story.order(notice(REDIS, "checkout fails")).unwrap();
    super::make_healthy(&mut story);
    for _ in 0..40 {
        story.later(1).say(Input::Tick);
        super::make_healthy(&mut story);
    }
    assert!(story.incident().is_open(), "{:?}", story.statuses());
}

#[test]
fn what_is_not_watched_needs_a_person_at_once_and_after_a_restart_still() {
    let mut story = Story::new();
    story.order(notice(TargetId::of("mail"), "mail bounces")).unwrap();
    let incident = story.incident();
    assert_eq!(incident.status, Status::Failed);
    assert!(incident.failure_reason.as_ref().unwrap().contains("mail is not watched here"));
    story.say(Input::Started { version: "t".into(), holder: "t".into() });
    assert!(!story.effects.iter().any(|effect| matches!(effect, Effect::Investigate { .. })));
    let refused = story.order(Command::Retry { incident: 1 }).unwrap_err();
    assert!(refused.contains("mail is not watched here"), "{refused}");
    story.order(Command::Resolve { incident: 1, reason: "it flows".into() }).unwrap();
    assert_eq!(story.statuses().last(), Some(&"resolved"));
}

#[test]
fn a_change_is_made_whole_or_not_at_all() {
    let mut story = Story::proposed(Risk::Low);
    let bad =
        Change { severity: Some(Severity::Low), status: Some(Status::Fixing), ..Change::default() };
    assert!(change(&mut story, bad).unwrap_err().contains("cannot be made fixing by hand"));
    assert_eq!(story.incident().severity, Severity::High, "nothing of it was done");

    let good = Change {
        severity: Some(Severity::Critical),
        team: Some("payments".into()),
        note: Some("seen".into()),
        ..Change::default()
    };
    change(&mut story, good).unwrap();
    let incident = story.incident();
    assert_eq!(
        (incident.severity, incident.team.as_deref()),
        (Severity::Critical, Some("payments"))
    );
    assert_eq!(incident.notes[0].text, "seen");
    change(&mut story, Change { team: Some(String::new()), ..Change::default() }).unwrap();
    assert_eq!(story.incident().team, None);
    assert!(change(&mut story, Change::default()).unwrap_err().contains("name what is to change"));
}

#[test]
fn a_change_of_another_state_than_the_one_that_was_read_is_refused() {
    let mut story = Story::proposed(Risk::Low);
    let read = story.incident().updated_at;
    let as_of = |at| Change { severity: Some(Severity::Low), as_of: Some(at), ..Change::default() };
    let stale = change(&mut story, as_of(read - TimeDelta::milliseconds(1)));
    assert!(stale.unwrap_err().contains("changed meanwhile"));
    change(&mut story, as_of(read)).unwrap();
    assert!(change(&mut story, as_of(read)).is_err(), "it was changed just now");
}

#[test]
fn a_status_moves_by_hand_as_commands_move_it() {
    let to =
        |status| Change { status: Some(status), reason: "by hand".into(), ..Change::default() };
    let mut story = Story::proposed(Risk::Low);
    change(&mut story, to(Status::Failed)).unwrap();
    assert_eq!(story.incident().status, Status::Failed);
    assert!(story.incident().active_execution().is_none(), "what waited does not wait any more");
    change(&mut story, to(Status::Investigating)).unwrap();
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    change(&mut story, to(Status::Resolved)).unwrap();
    assert_eq!(story.incident().status, Status::Resolved);
    assert!(change(&mut story, to(Status::Investigating)).is_err(), "nothing leaves resolved");

    let mut story = Story::begun(Risk::Low);
    let refused = change(&mut story, to(Status::Resolved)).unwrap_err();
    assert!(refused.contains("an action still runs"), "{refused}");
}
