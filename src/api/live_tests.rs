//! Deltas lead from any snapshot to any later one, and lines are as many as a reader takes.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt;
use futures::stream::BoxStream;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::Instant;

use super::live::{Delta, Line, lines};
use crate::domain::health::Health;
use crate::domain::ids::{IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::domain::injection::InjectionState;
use crate::domain::target::{Engine, Profile, Target, Thresholds};
use crate::engine::handle::{Snapshot, StoreView, TargetView};
use crate::report::example;

pub(super) fn empty() -> Snapshot {
    Snapshot {
        at: example::at(0),
        seq: 7,
        targets: Vec::new(),
        incidents: Vec::new(),
        injections: Vec::new(),
        store: StoreView::default(),
    }
}

pub(super) fn view(name: &str, state: &str, score: u8) -> Arc<TargetView> {
    Arc::new(TargetView {
        cannot: Arc::default(),
        target: Target {
            id: TargetId::from(name),
            engine: Engine::Redis,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        },
        health: Health::Score(score),
        state: state.into(),
        held: None,
        fresh: None,
    })
}

fn numbered(number: u64, occurrences: u32) -> Arc<Incident> {
    let id = IncidentId(uuid::Uuid::from_u128(number.into()));
    Arc::new(Incident { id, number, occurrences, ..example::incident() })
}

/// One thing that happens to a snapshot.
#[derive(Clone, Debug)]
enum Change {
    Target(u8, u8),
    TargetLeaves(u8),
    Incident(u64, u32),
    IncidentLeaves(u64),
    Injection(u8),
    Store(u64),
    Event,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..6u8, any::<u8>()).prop_map(|(n, score)| Change::Target(n, score)),
        (0..6u8).prop_map(Change::TargetLeaves),
        (1..6u64, any::<u32>()).prop_map(|(n, seen)| Change::Incident(n, seen)),
        (1..6u64).prop_map(Change::IncidentLeaves),
        (0..3u8).prop_map(Change::Injection),
        (0..3u64).prop_map(Change::Store),
        Just(Change::Event),
    ]
}

/// As the engine does it: what did not change stays the very same.
fn after(before: &Snapshot, change: &Change) -> Snapshot {
    let mut next = before.clone();
    next.at += TimeDelta::milliseconds(50);
    match change {
        Change::Target(n, score) => {
            let fresh = view(&format!("t{n}"), "ok", *score);
            next.targets.retain(|old| old.target.id != fresh.target.id);
            next.targets.push(fresh);
            next.targets.sort_by(|a, b| a.target.id.cmp(&b.target.id));
        }
        Change::TargetLeaves(n) => {
            next.targets.retain(|old| old.target.id.as_str() != format!("t{n}"));
        }
        Change::Incident(n, seen) => {
            next.incidents.retain(|old| old.number != *n);
            next.incidents.push(numbered(*n, *seen));
            next.incidents.sort_by_key(|incident| incident.number);
        }
        Change::IncidentLeaves(n) => next.incidents.retain(|old| old.number != *n),
        Change::Injection(many) => {
            let one = example::injection(InjectionState::Reverting);
            next.injections = vec![one; usize::from(*many)];
        }
        Change::Store(journaled) => next.store.journaled = *journaled,
        Change::Event => next.seq += 1,
    }
    next
}

fn json(snapshot: &Snapshot) -> serde_json::Value {
    serde_json::to_value(snapshot).unwrap()
}

/// As it arrives on the other side.
fn over_the_wire(delta: &Delta) -> Delta {
    serde_json::from_str(&serde_json::to_string(delta).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn deltas_rebuild_the_snapshot_and_share_what_did_not_change(
        schedule in prop::collection::vec(prop::collection::vec(change(), 0..6), 1..12),
    ) {
        let (mut here, mut there) = (empty(), empty());
        for changes in &schedule {
            let next = changes.iter().fold(here.clone(), |snapshot, change| after(&snapshot, change));
            let delta = Delta::between(&here, &next);
            prop_assert!(delta.targets.len() + delta.incidents.len() <= changes.len());
            let rebuilt = over_the_wire(&delta).apply(&there);
            prop_assert_eq!(json(&rebuilt), json(&next));
            for old in &there.targets {
                let is_told = delta.targets.iter().any(|new| new.target.id == old.target.id)
                    || delta.targets_left.contains(&old.target.id);
                let is_shared = rebuilt.targets.iter().any(|new| Arc::ptr_eq(old, new));
                prop_assert_eq!(is_shared, !is_told);
            }
            (here, there) = (next, rebuilt);
        }
    }
}

#[test]
fn a_line_names_only_what_changed() {
    let mut before = empty();
    before.targets = vec![view("a", "ok", 90), view("b", "ok", 80)];
    before.incidents = vec![numbered(1, 1), numbered(2, 1)];
    let mut now = before.clone();
    now.seq = 8;
    now.targets[1] = view("b", "DOWN", 0);
    now.incidents.remove(0);
    let delta = serde_json::to_value(Delta::between(&before, &now)).unwrap();
    let keys: Vec<_> = delta.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["at", "incidents_left", "seq", "targets"]);
    assert_eq!(delta["targets"].as_array().unwrap().len(), 1);
    assert_eq!(delta["targets"][0]["state"], "DOWN");
    assert_eq!(delta["incidents_left"][0], before.incidents[0].id.to_string());
    let still = serde_json::to_value(Delta::between(&now, &now)).unwrap();
    assert_eq!(still.as_object().unwrap().len(), 2, "{still}");
}

/// The stream of an engine whose snapshots the test makes.
fn bench() -> (watch::Sender<Arc<Snapshot>>, BoxStream<'static, Line>) {
    let (snapshots, reader) = watch::channel(Arc::new(empty()));
    (snapshots, lines(reader).boxed())
}

fn touched(snapshots: &watch::Sender<Arc<Snapshot>>, score: u8, seq: u64) {
    let mut next = Snapshot::clone(&snapshots.borrow());
    next.targets = vec![view("a", "ok", score)];
    next.seq = seq;
    snapshots.send_replace(Arc::new(next));
}

async fn delta(lines: &mut BoxStream<'static, Line>) -> Delta {
    match lines.next().await {
        Some(Line::Delta(delta)) => *delta,
        other => panic!("no delta: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn samples_are_sent_four_times_a_second_and_events_at_once() {
    let (snapshots, mut lines) = bench();
    let Some(Line::Whole(first)) = lines.next().await else { panic!("the whole first") };
    assert_eq!(first.seq, 7);
    let start = Instant::now();
    touched(&snapshots, 90, 7);
    assert_eq!(delta(&mut lines).await.targets.len(), 1);
    assert_eq!(start.elapsed(), Duration::from_millis(250), "only samples moved");
    touched(&snapshots, 80, 8);
    assert_eq!(delta(&mut lines).await.seq, 8);
    assert_eq!(start.elapsed(), Duration::from_millis(250), "an event does not wait");
    let nothing = tokio::time::timeout(Duration::from_mins(1), lines.next());
    assert!(nothing.await.is_err(), "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_sees_the_newest_in_one_line() {
    let (snapshots, mut lines) = bench();
    lines.next().await.unwrap();
    for seq in 8..1_000 {
        touched(&snapshots, 50, seq);
    }
    touched(&snapshots, 42, 1_000);
    let caught_up = delta(&mut lines).await;
    assert_eq!((caught_up.seq, caught_up.targets[0].health), (1_000, Health::Score(42)));
    let more = tokio::time::timeout(Duration::from_mins(1), lines.next());
    assert!(more.await.is_err(), "one line was enough");
}

#[tokio::test(start_paused = true)]
async fn the_last_change_is_sent_before_the_end() {
    let (snapshots, mut lines) = bench();
    lines.next().await.unwrap();
    touched(&snapshots, 1, 7);
    drop(snapshots);
    assert_eq!(delta(&mut lines).await.targets.len(), 1);
    assert!(lines.next().await.is_none());
}
