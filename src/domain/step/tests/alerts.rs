//! Alerts from outside: repeated, grouped, resolved, and what they have to do with symptoms of ours.

use std::collections::BTreeMap;

use super::story::{REDIS, Story};
use crate::domain::alert::Alert;
use crate::domain::effect::{Accepted, Command, Effect, Input};
use crate::domain::event::EventBody;
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::ids::TargetId;
use crate::domain::incident::Status;

fn alert(story: &Story, fingerprint: &str, finding: Option<FindingKind>) -> Alert {
    Alert {
        fingerprint: fingerprint.into(),
        name: "RedisDown".into(),
        target: REDIS,
        finding,
        severity: Severity::High,
        message: "redis-test is down".into(),
        source: "alertmanager".into(),
        team: None,
        is_firing: true,
        since: story.now,
        labels: BTreeMap::new(),
    }
}

fn over(alert: &Alert) -> Alert {
    Alert { is_firing: false, ..alert.clone() }
}

fn hear(story: &mut Story, alert: &Alert) -> Accepted {
    story.order(Command::Alert { alert: alert.clone() }).unwrap()
}

fn fill(story: &mut Story) {
    for _ in 0..3 {
        story.later(1);
        let sample = super::refused_write(story.now);
        story.say(Input::Sampled { target: REDIS, sample });
    }
}

fn calm(story: &mut Story, seconds: u32) {
    for _ in 0..seconds {
        super::make_healthy(story);
        story.later(1).say(Input::Tick);
    }
}

#[test]
fn what_is_said_again_changes_nothing_and_what_began_anew_is_new() {
    let mut story = Story::new();
    let first = alert(&story, "f1", None);
    assert_eq!(hear(&mut story, &first).incident, Some(1));
    let events = story.log.len();
    for _ in 0..3 {
        story.later(60);
        assert_eq!(hear(&mut story, &first).incident, Some(1));
    }
    assert_eq!(story.log.len(), events, "a repetition is no event");
    let second = alert(&story, "f2", None);
    assert_eq!(hear(&mut story, &second).incident, Some(1), "of one group");
    assert_eq!(story.incident().alerts.len(), 2);
    assert_eq!(story.world.ledger.incidents.len(), 1);
}

#[test]
fn an_incident_of_alerts_ends_when_all_are_over_and_the_server_is_well() {
    let mut story = Story::new();
    let (first, second) = (alert(&story, "f1", None), alert(&story, "f2", None));
    hear(&mut story, &first);
    hear(&mut story, &second);
    calm(&mut story, 20);
    assert!(story.incident().is_open(), "both are still firing");
    hear(&mut story, &over(&first));
    calm(&mut story, 20);
    assert!(story.incident().is_open(), "one is still firing");
    hear(&mut story, &over(&second));
    assert!(story.incident().is_open(), "nothing was measured since");
    calm(&mut story, 20);
    assert_eq!(story.incident().status, Status::Resolved);
    assert_eq!(hear(&mut story, &first).incident, Some(1), "a late repetition opens nothing");
    assert_eq!(story.world.ledger.incidents.len(), 1);
    let again = Alert { since: story.now, ..first };
    assert_eq!(hear(&mut story, &again).incident, Some(2), "a new trouble does");
}

#[test]
fn an_alert_for_a_symptom_that_is_known_opens_no_second_incident() {
    let mut story = Story::opened();
    let same = alert(&story, "f1", Some(FindingKind::MemoryPressure));
    let accepted = hear(&mut story, &same);
    assert_eq!((accepted.incident, story.world.ledger.incidents.len()), (Some(1), 1));
    assert!(story.incident().alerts[0].is_firing);
    calm(&mut story, 20);
    assert!(story.incident().is_open(), "somebody else still sees it");
    hear(&mut story, &over(&same));
    calm(&mut story, 20);
    assert_eq!(story.incident().status, Status::Resolved);
}

#[test]
fn a_symptom_that_is_found_after_its_alert_takes_the_incident_over() {
    let mut story = Story::new();
    let early = alert(&story, "f1", Some(FindingKind::WritesRefused));
    hear(&mut story, &early);
    fill(&mut story);
    assert_eq!(story.world.ledger.incidents.len(), 1, "{:?}", story.statuses());
    let incident = story.incident();
    assert_eq!(incident.finding.family(), FindingKind::WritesRefused.family());
    assert!(incident.is_open() && incident.alerts[0].is_firing);
    assert!(story.log.iter().any(|e| matches!(e.body, EventBody::IncidentEscalated { .. })));
}

#[test]
fn what_is_not_watched_ends_on_the_word_of_who_said_it() {
    let mut story = Story::new();
    let mail = Alert { target: TargetId::of("mail"), ..alert(&story, "f1", None) };
    hear(&mut story, &mail);
    assert_eq!(story.incident().status, Status::Failed, "nobody can look into it");
    hear(&mut story, &over(&mail));
    assert_eq!(story.incident().status, Status::Resolved);
}

#[test]
fn what_a_person_noticed_does_not_end_with_an_alert() {
    let mut story = Story::new();
    let first = alert(&story, "f1", None);
    let notice =
        crate::domain::notice::Notice { source: Some("support".into()), ..first.as_notice() };
    story.order(Command::Notice { notice }).unwrap();
    hear(&mut story, &first);
    hear(&mut story, &over(&first));
    calm(&mut story, 20);
    assert!(story.incident().is_open());
}

#[test]
fn an_end_without_a_beginning_is_nothing_and_nonsense_is_refused() {
    let mut story = Story::new();
    let unknown = over(&alert(&story, "f1", None));
    assert_eq!(hear(&mut story, &unknown).incident, None);
    assert!(
        story.log.is_empty()
            && !story.effects.iter().any(|e| matches!(e, Effect::Investigate { .. }))
    );
    let bad = Alert { fingerprint: "a b".into(), ..alert(&story, "", None) };
    assert!(story.order(Command::Alert { alert: bad }).unwrap_err().contains("fingerprint"));
    let long = "x".repeat(501);
    let bad = Alert { labels: [("a".into(), long)].into(), ..alert(&story, "f1", None) };
    assert!(story.order(Command::Alert { alert: bad }).unwrap_err().contains("labels"));
}

#[test]
fn one_incident_does_not_grow_without_end() {
    let mut story = Story::new();
    for n in 0..120 {
        let one = alert(&story, &format!("f{n}"), None);
        assert_eq!(hear(&mut story, &one).incident, Some(1));
    }
    assert_eq!(story.incident().alerts.len(), 100);
}
