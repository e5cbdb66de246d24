//! The journal: what it keeps over a crash, and how its events join the chain.

use simctl::domain::finding::FindingKind;
use simctl::domain::incident::Status;
use simctl::ports::store::{Batch, IncidentFilter};
use simctl::store::audit::verify;
use simctl::store::journal::{Journal, merge};

use crate::store::Place;
use crate::store::script::Script;

fn journal(place: &Place) -> Journal {
    Journal::open(&place.dir.path().join("journal")).expect("open the journal")
}

async fn passes_audit(place: &Place) {
    let report = verify(&*place.store, None).await.expect("an audit");
    assert!(report.is_ok(), "{report}");
}

pub(super) async fn merged_once(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(1);
    script.note("before the outage");
    place.store.append(&script.batch(), &lease).await.expect("append");
    let mut kept = journal(place);
    script.whole_incident("redis-test");
    let unanswered = script.batch();
    kept.append(&unanswered).expect("journal");
    script.open("redis-test", FindingKind::ServerHung, "hangs");
    kept.append(&script.batch()).expect("journal");
    // The append that seemed lost was not.
    place.store.append(&unanswered, &lease).await.expect("append");

    let mut reopened = journal(place);
    assert_eq!(reopened.pending(), script.head.seq - 1);
    assert_eq!(merge(&mut reopened, &*place.store, &lease).await.expect("merge"), 1);
    assert_eq!(reopened.pending(), 0);
    assert_eq!(merge(&mut reopened, &*place.store, &lease).await.expect("nothing to merge"), 0);
    assert_eq!(place.store.head().await.expect("read"), script.head);
    assert_eq!(place.store.load().await.expect("load").seq, script.ledger.seq);
    passes_audit(place).await;
}

/// Two engines go on from the same store: ours without it, the other one in it. Returns our batches.
async fn parted(place: &Place) -> (Vec<Batch>, Script) {
    let lease = place.lease().await;
    let mut ours = Script::new(1);
    ours.open("postgres-test", FindingKind::ConnectionPressure, "known to both");
    place.store.append(&ours.batch(), &lease).await.expect("append");
    let mut other = Script::after(ours.ledger.clone(), ours.head.clone(), 2);
    other.open("redis-test", FindingKind::ServerDown, "seen by the other");
    other.inject();
    place.store.append(&other.batch(), &lease).await.expect("append");

    let down = ours.open("redis-test", FindingKind::ServerDown, "seen by us too");
    let hung = ours.open("redis-test", FindingKind::ServerHung, "seen by us alone");
    let first = ours.batch();
    for id in [down, hung] {
        let (from, to) = (Status::Triage, Status::Investigating);
        let body =
            simctl::domain::event::EventBody::StatusChanged { from, to, reason: "look".into() };
        ours.tell(Some(id), "engine", body);
    }
    ours.inject();
    ours.note("our last");
    (vec![first, ours.batch()], ours)
}

async fn check_joined(place: &Place, told: u64) {
    passes_audit(place).await;
    let head = place.store.head().await.expect("read");
    // One event more than told: the double was closed.
    assert_eq!(head.seq, 3 + told + 1);
    let ledger = place.store.load().await.expect("load");
    assert_eq!((ledger.last_incident, ledger.last_injection), (4, 2));
    let open = IncidentFilter {
        status: vec![Status::Triage, Status::Investigating],
        limit: 10,
        ..IncidentFilter::default()
    };
    let lines = place.store.incidents(&open).await.expect("list");
    let seen: Vec<_> =
        lines.iter().map(|l| (l.number, l.message.as_str(), l.status.as_str())).collect();
    assert_eq!(
        seen,
        [
            (4, "seen by us alone", "investigating"),
            (2, "seen by the other", "triage"),
            (1, "known to both", "triage")
        ]
    );
    let double = place.store.incident(3).await.expect("read").expect("kept");
    assert_eq!((double.message.as_str(), double.status), ("seen by us too", Status::Resolved));
    let last = place.store.events(head.seq - 1, 1).await.expect("read").remove(0);
    assert_eq!(last.body["reason"], serde_json::json!("our last"));
}

pub(super) async fn continues_foreign_events(place: &Place) {
    let (batches, _) = parted(place).await;
    let lease = place.lease().await;
    let mut kept = journal(place);
    for batch in &batches {
        kept.append(batch).expect("journal");
    }
    let told = kept.pending();
    let merged = merge(&mut kept, &*place.store, &lease).await.expect("merge");
    assert_eq!(merged, told + 1);
    assert_eq!(kept.pending(), 0);
    check_joined(place, told).await;
}

pub(super) async fn cut_off_merge_goes_on(place: &Place) {
    let (batches, _) = parted(place).await;
    let lease = place.lease().await;
    let mut kept = journal(place);
    for batch in &batches {
        kept.append(batch).expect("journal");
    }
    let told = kept.pending();
    // The second batch cannot be written, as if the store went away in the middle.
    let guard = place.either(
        "alter table injections add constraint away check (actor <> 'ann') not valid",
        "create trigger away before insert on injections begin select raise(abort, 'away'); end",
    );
    place.behind_its_back(guard).await;
    merge(&mut kept, &*place.store, &lease).await.expect_err("cut off");
    assert!(kept.pending() > 0);
    let lift = place.either("alter table injections drop constraint away", "drop trigger away");
    place.behind_its_back(lift).await;
    let mut reopened = journal(place);
    merge(&mut reopened, &*place.store, &lease).await.expect("merge the rest");
    check_joined(place, told).await;
}
