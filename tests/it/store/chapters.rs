//! The chapters of the story, each on a new store of either kind.

mod audit;
mod journal;
mod listing;
mod past;

use std::time::Duration;

use chrono::TimeDelta;
use simctl::domain::event::{EventBody, Head, RawEvent, Sealed};
use simctl::domain::finding::FindingKind;
use simctl::domain::injection::InjectionState;
use simctl::domain::ledger::Ledger;
use simctl::ports::store::StoreError;

use super::script::{Script, start};
use super::{Chapter, Place};

pub(super) const ALL: &[Chapter] = &[
    ("events read back as they were sealed", |p| Box::pin(events_read_back(p))),
    ("pages of events go back in time", |p| Box::pin(pages_go_back_in_time(p))),
    ("a restarted engine loads what it had", |p| Box::pin(load_equals_the_fold(p))),
    ("rows tell the story", |p| Box::pin(rows_tell_the_story(p))),
    ("the lease changes hands with a higher token", |p| Box::pin(lease_changes_hands(p))),
    ("an older holder cannot write", |p| Box::pin(older_holder_is_fenced(p))),
    ("a fork is refused", |p| Box::pin(fork_is_refused(p))),
    ("an append done twice is done once", |p| Box::pin(append_is_idempotent(p))),
    ("a failed append leaves nothing", |p| Box::pin(failed_append_leaves_nothing(p))),
    ("one open incident per symptom", |p| Box::pin(one_open_incident(p))),
    ("history is kept for a while", |p| Box::pin(history_is_kept(p))),
    ("the last minutes read back", |p| Box::pin(past::points_read_back(p))),
    ("what helped before is found", |p| Box::pin(past::what_helped_before(p))),
    ("a chain without a remembered end goes on", |p| Box::pin(lost_memory_is_restored(p))),
    ("filters narrow", |p| Box::pin(listing::filters_narrow(p))),
    ("pages follow each other", |p| Box::pin(listing::pages_follow_each_other(p))),
    ("an untouched log passes", |p| Box::pin(audit::untouched_log_passes(p))),
    ("every edit is found", |p| Box::pin(audit::every_edit_is_found(p))),
    ("every deletion is found", |p| Box::pin(audit::every_deletion_is_found(p))),
    ("an audit holds while events come in", |p| Box::pin(audit::holds_while_events_come_in(p))),
    ("the export has every record", |p| Box::pin(audit::export_has_every_record(p))),
    ("the journal is merged once", |p| Box::pin(journal::merged_once(p))),
    ("the journal continues foreign events", |p| Box::pin(journal::continues_foreign_events(p))),
    ("a merge that was cut off goes on", |p| Box::pin(journal::cut_off_merge_goes_on(p))),
];

/// A ledger as a store gives it back: breakers in the order of their keys, and no NUL.
fn as_stored(mut ledger: Ledger) -> Ledger {
    ledger.breakers.sort_by(|a, b| (&a.target, &a.action).cmp(&(&b.target, &b.action)));
    ledger.incidents.values_mut().for_each(without_nul);
    ledger
}

async fn events_read_back(place: &Place) {
    let lease = place.lease().await;
    assert_eq!(place.store.head().await.expect("read").seq, 0);
    assert_eq!(place.store.remembered_head().await.expect("read"), None);
    let mut script = Script::new(7);
    let incident = script.whole_incident("redis-test");
    script.note("odd text: \0 \u{1f980} ' \" \\ %s $1 \u{7f}");
    let batch = script.batch();
    let head = place.store.append(&batch, &lease).await.expect("append");
    assert_eq!(head, script.head);
    assert_eq!(place.store.head().await.expect("read"), head);
    assert_eq!(place.store.remembered_head().await.expect("read"), Some(head));

    let stored = place.store.events(0, 1_000).await.expect("read");
    let sealed: Vec<_> = batch.events.iter().map(Sealed::raw).collect();
    for (stored, sealed) in stored.iter().zip(&sealed) {
        assert_eq!(stored.expected_hash(), sealed.hash, "event {}", sealed.seq);
        assert_eq!(stored.hash, sealed.hash);
        assert_eq!((stored.at, &stored.actor), (sealed.at, &sealed.actor));
        let event = stored.event().expect("an event");
        assert_eq!(event.seal(&prev(stored)).hash, sealed.hash, "sealed again");
    }
    assert_eq!(stored.len(), sealed.len());
    assert_eq!(place.store.events(3, 2).await.expect("read")[..], stored[3..5]);
    let own = place.store.incident_events(incident).await.expect("read");
    assert_eq!(own.len(), batch.events.iter().filter(|e| e.event.incident.is_some()).count());
}

fn prev(record: &RawEvent) -> Head {
    Head { seq: record.seq - 1, hash: record.prev_hash.clone() }
}

async fn load_equals_the_fold(place: &Place) {
    let lease = place.lease().await;
    assert_eq!(place.store.load().await.expect("load"), Ledger::default());
    let mut script = Script::new(3);
    script.whole_incident("redis-test");
    script.open("postgres-test", FindingKind::ClientsRefused, "postgres-test refuses clients");
    script.ask("postgres-test");
    let live = script.inject();
    let over = script.inject();
    let took_at = script.now;
    script.move_injection(
        live,
        InjectionState::Active { took_at, symptom: "writes are refused".into() },
    );
    script.move_injection(over, InjectionState::DidNotTake { reason: "no symptom".into() });
    let settings = [("maxmemory".to_owned(), "52428800".to_owned())].into();
    let body = EventBody::BaselineRecorded { settings };
    script.tell_on(None, Some("redis-test".into()), "engine", body);
    let batch = script.batch();
    place.store.append(&batch, &lease).await.expect("append");
    assert_eq!(place.store.load().await.expect("load"), as_stored(script.ledger.clone()));

    // More ended incidents than a screen shows: memory and the store forget the same ones.
    for n in 0..130 {
        let id = script.open("redis-test", FindingKind::MemoryPressure, &format!("round {n}"));
        script.resolve(id);
    }
    place.store.append(&script.batch(), &lease).await.expect("append");
    let loaded = place.store.load().await.expect("load");
    assert!(loaded == as_stored(script.ledger.clone()), "another hundred were kept");
    assert_eq!(loaded.incidents.len(), 102);

    // Nothing in the store shows: a second engine on the same store continues the same chain.
    let again = super::open(&place.url, place.dir.path()).await.expect("open again");
    assert_eq!(again.load().await.expect("load"), loaded);
}

async fn rows_tell_the_story(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(3);
    let id = script.whole_incident("redis-test");
    place.store.append(&script.batch(), &lease).await.expect("append");
    let count = async |condition: &str| place.behind_its_back(condition).await;
    // `update … set` of nothing counts the rows that are as the story says.
    for (table, condition, expected) in [
        ("incidents", "status = 'resolved' and cause = 'leak-oom' and health_at_open = 3", 1),
        ("incident_status_history", "from_status is null and to_status = 'triage'", 1),
        ("incident_status_history", "from_status = 'triage' and to_status = 'investigating'", 1),
        ("incident_status_history", "from_status = 'investigating' and to_status = 'fixing'", 1),
        ("incident_status_history", "from_status = 'fixing' and to_status = 'resolved'", 1),
        ("incident_status_history", "1 = 1", 4),
        ("incident_analysis", "confidence = 'confirmed' and solution is null", 1),
        ("incident_analysis", "solution = 'unlink_keys: only the leaking prefix goes'", 1),
        ("agent_executions", "state = 'completed' and fingerprint = '7f3a9c00aa'", 1),
        ("agent_actions", "result = 'success' and exit_code = 0 and duration_ms = 19", 1),
        ("approvals", "decision = 'approved' and actor = 'ann'", 1),
        ("triage_reports", "markdown like '# INC%'", 1),
        ("fault_events", "fault_type = 'writes-refused' and severity = 'high'", 1),
        ("engine_state", "key = 'breaker:redis-test:unlink_keys'", 1),
    ] {
        let key = match table {
            "fault_events" => "fault_id",
            "engine_state" => "key",
            _ => "id",
        };
        let found = count(&format!("update {table} set {key} = {key} where {condition}")).await;
        assert_eq!(found, expected, "{table} where {condition}");
    }
    let number = script.ledger.incidents[&id].number;
    let incident = place.store.incident(number).await.expect("read").expect("there");
    let mut told = script.ledger.incidents[&id].clone();
    without_nul(&mut told);
    assert_eq!(incident, told);
    assert_eq!(place.store.incident(99).await.expect("read"), None);

    for which in [None, Some(number)] {
        let actions = place.store.history(which, 10).await.expect("read");
        assert_eq!(actions.len(), 1);
        let action = &actions[0];
        assert_eq!((action.incident, action.result.as_str()), (number, "success"));
        assert_eq!((action.stdout.as_str(), action.stderr.as_str()), ("46201\n", "a warning"));
        assert_eq!((action.health_before, action.health_after), (Some(0), Some(98)));
    }
    assert!(place.store.history(Some(99), 10).await.expect("read").is_empty());
    let times = place.store.times(None).await.expect("read");
    assert_eq!(times.len(), 1);
    assert_eq!(times[0].actions, [("unlink_keys".to_owned(), "success".to_owned())]);
    assert_eq!(times[0].actor.as_deref(), Some("ann"));
    assert!(times[0].acknowledged_at.is_some() && times[0].resolved_at.is_some());
    assert_eq!((times[0].id, times[0].number), (id, number));
    assert_eq!(times[0].ended_by.as_deref(), Some("engine"));
    attempt_is_timed(&times[0].attempts, &script.ledger.incidents[&id]);
    let later = place.store.times(Some(script.now)).await.expect("read");
    assert!(later.is_empty());
}

fn attempt_is_timed(
    attempts: &[simctl::ports::store::AttemptTimes],
    incident: &simctl::domain::incident::Incident,
) {
    let [attempt] = attempts else { panic!("one attempt: {attempts:?}") };
    let execution = &incident.executions[0];
    let step = &execution.steps[0];
    assert_eq!(attempt.started_at, execution.started_at);
    assert_eq!(attempt.proposed_at, execution.proposal.as_ref().map(|p| p.created_at));
    assert_eq!(attempt.decided_at, execution.approval.as_ref().map(|a| a.at));
    assert_eq!(attempt.decision.as_deref(), Some("approved"));
    assert_eq!(attempt.acted_at, Some(step.started_at));
    assert_eq!(attempt.acted_until, Some(step.started_at + TimeDelta::milliseconds(19)));
    assert_eq!(attempt.ended_at, execution.completed_at);
    assert_eq!((attempt.state.as_str(), attempt.undone), ("completed", false));
}

async fn pages_go_back_in_time(place: &Place) {
    assert!(place.store.events_before(None, 10).await.expect("read").is_empty());
    let lease = place.lease().await;
    let mut script = Script::new(5);
    for n in 1..=7 {
        script.note(&format!("note {n}"));
    }
    place.store.append(&script.batch(), &lease).await.expect("append");
    let seqs = async |before, limit| -> Vec<u64> {
        let page = place.store.events_before(before, limit).await.expect("read");
        page.iter().map(|record| record.seq).collect()
    };
    assert_eq!(seqs(None, 3).await, [7, 6, 5]);
    assert_eq!(seqs(Some(5), 3).await, [4, 3, 2]);
    assert_eq!(seqs(Some(2), 3).await, [1]);
    assert!(seqs(Some(1), 3).await.is_empty());
    assert!(seqs(None, 0).await.is_empty());
    assert_eq!(seqs(Some(u64::MAX), 100).await, [7, 6, 5, 4, 3, 2, 1]);
    let newest = place.store.events_before(None, 1).await.expect("read").remove(0);
    assert_eq!(newest, place.store.events(6, 1).await.expect("read").remove(0));
}

/// No store keeps NUL; the script has one in its evidence.
fn without_nul(incident: &mut simctl::domain::incident::Incident) {
    for evidence in incident.diagnosis.iter_mut().flat_map(|d| &mut d.evidence) {
        evidence.text = evidence.text.replace('\0', "\u{fffd}");
    }
}

async fn lease_changes_hands(place: &Place) {
    let (store, now, ttl) = (&place.store, start(), Duration::from_secs(10));
    assert_eq!(store.lease(now).await.expect("read"), None);
    let a = store.take_lease("a", now, ttl).await.expect("it is free");
    assert_eq!(store.lease(now).await.expect("read"), Some(a.clone()));
    let error = store.take_lease("b", now, ttl).await.expect_err("a has it");
    assert!(
        matches!(&error, StoreError::LeaseHeld { holder, until } if holder == "a" && *until == a.until),
        "{error:?}"
    );
    let again = store.take_lease("a", now, ttl).await.expect("it is ours");
    assert_eq!(again.token, a.token);
    let later = now + TimeDelta::seconds(5);
    let renewed = store.renew_lease(&a, later, ttl).await.expect("it is ours");
    assert_eq!(renewed.until, later + ttl);
    let over = renewed.until;
    assert_eq!(store.lease(over).await.expect("read"), None);
    let b = store.take_lease("b", over, ttl).await.expect("it is over");
    assert!(b.token > a.token);
    let error = store.renew_lease(&renewed, over, ttl).await.expect_err("b has it");
    assert!(matches!(error, StoreError::LeaseHeld { .. }), "{error:?}");
    store.release_lease(&renewed).await.expect("nothing to release");
    assert_eq!(store.lease(over).await.expect("read"), Some(b.clone()));
    store.release_lease(&b).await.expect("release");
    assert_eq!(store.lease(over).await.expect("read"), None);
    let c = store.take_lease("c", over, ttl).await.expect("it is free");
    assert!(c.token > b.token);
}

async fn older_holder_is_fenced(place: &Place) {
    let ttl = Duration::from_secs(10);
    let old = place.store.take_lease("old", start(), ttl).await.expect("it is free");
    let mut script = Script::new(1);
    script.note("by the old one");
    place.store.append(&script.batch(), &old).await.expect("append");
    let later = start() + TimeDelta::seconds(11);
    let new = place.store.take_lease("new", later, ttl).await.expect("it is over");
    script.note("too late");
    let batch = script.batch();
    let error = place.store.append(&batch, &old).await.expect_err("fenced");
    assert!(matches!(&error, StoreError::LeaseHeld { holder, .. } if holder == "new"), "{error:?}");
    assert_eq!(place.store.head().await.expect("read").seq, 1);
    place.store.append(&batch, &new).await.expect("the new one may");
    place.store.release_lease(&new).await.expect("release");
    script.note("by nobody");
    let error = place.store.append(&script.batch(), &new).await.expect_err("released");
    assert!(matches!(error, StoreError::LeaseHeld { .. }), "{error:?}");
}

async fn fork_is_refused(place: &Place) {
    let lease = place.lease().await;
    let (mut one, mut other) = (Script::new(1), Script::new(2));
    one.note("one");
    other.note("other");
    place.store.append(&one.batch(), &lease).await.expect("append");
    let error = place.store.append(&other.batch(), &lease).await.expect_err("a fork");
    assert!(matches!(error, StoreError::Forked { expected: 0, found: 1 }), "{error:?}");
    other.note("its next");
    let error = place.store.append(&other.batch(), &lease).await.expect_err("still a fork");
    assert!(matches!(error, StoreError::Forked { expected: 1, found: 1 }), "{error:?}");
    one.note("left out");
    one.batch();
    one.note("after a gap");
    let error = place.store.append(&one.batch(), &lease).await.expect_err("a gap");
    assert!(matches!(error, StoreError::Forked { expected: 2, found: 1 }), "{error:?}");
    assert_eq!(place.store.events(0, 10).await.expect("read").len(), 1);
}

async fn append_is_idempotent(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(1);
    script.whole_incident("redis-test");
    let first = script.batch();
    script.note("later");
    let second = script.batch();
    place.store.append(&first, &lease).await.expect("append");
    let head = place.store.append(&first, &lease).await.expect("again");
    assert_eq!(Some(head), first.events.last().map(Sealed::head));
    place.store.append(&second, &lease).await.expect("append");
    place.store.append(&first, &lease).await.expect("once more, from the middle of the log");
    assert_eq!(place.store.head().await.expect("read"), script.head);
    let stored = place.store.events(0, 1_000).await.expect("read");
    assert_eq!(stored.len(), first.events.len() + 1);
    assert_eq!(place.store.load().await.expect("load").seq, script.ledger.seq);
}

async fn failed_append_leaves_nothing(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(1);
    script.note("before");
    place.store.append(&script.batch(), &lease).await.expect("append");
    script.note("fails");
    let mut batch = script.batch();
    // A report of an incident that is not there: the reference is checked at commit.
    batch.rows.push(simctl::ports::store::Row::Report {
        incident: simctl::domain::ids::IncidentId(script.ids.next(script.now)),
        execution: None,
        at: script.now,
        markdown: String::new(),
    });
    let error = place.store.append(&batch, &lease).await.expect_err("refers to nothing");
    assert!(!error.is_outage(), "{error:?}");
    assert_eq!(place.store.head().await.expect("read").seq, 1);
    assert_eq!(place.store.remembered_head().await.expect("read").map(|h| h.seq), Some(1));
    batch.rows.clear();
    place.store.append(&batch, &lease).await.expect("the writer works on");
}

async fn one_open_incident(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(1);
    let first = script.open("redis-test", FindingKind::ServerDown, "down");
    script.open("redis-test", FindingKind::WritesRefused, "another symptom");
    script.open("postgres-test", FindingKind::ServerDown, "another target");
    place.store.append(&script.batch(), &lease).await.expect("append");
    let mut other = Script::after(script.ledger.clone(), script.head.clone(), 2);
    other.open("redis-test", FindingKind::ServerDown, "down again");
    place.store.append(&other.batch(), &lease).await.expect_err("the first is still open");
    // In one batch the old one may end and a new one begin.
    script.resolve(first);
    script.open("redis-test", FindingKind::ServerDown, "down again");
    place.store.append(&script.batch(), &lease).await.expect("the first is over");
}

async fn history_is_kept(place: &Place) {
    let point = |minute: i64, health| simctl::ports::store::HistoryPoint {
        at: start() + TimeDelta::minutes(minute),
        target: "redis-test".into(),
        health,
        readings: [("keys".to_owned(), 0.25)].into(),
    };
    let points = [point(0, Some(100)), point(1, None), point(2, Some(3))];
    place.store.record_history(&points, start()).await.expect("record");
    place.store.record_history(&points[2..], start()).await.expect("record again");
    let all = "update samples set target = target";
    assert_eq!(place.behind_its_back(all).await, 3);
    let keep_after = start() + TimeDelta::minutes(1);
    place.store.record_history(&[point(3, Some(4))], keep_after).await.expect("record");
    assert_eq!(place.behind_its_back(all).await, 3);
    assert_eq!(place.behind_its_back("delete from samples where health is null").await, 1);
}

async fn lost_memory_is_restored(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(1);
    script.note("one");
    place.store.append(&script.batch(), &lease).await.expect("append");
    for tampering in ["delete from chain_head", "update chain_head set seq = 0, hash = ''"] {
        place.behind_its_back(tampering).await;
        script.note("more");
        place.store.append(&script.batch(), &lease).await.expect("append");
        let remembered = place.store.remembered_head().await.expect("read");
        assert_eq!(remembered.as_ref(), Some(&script.head));
    }
}
