//! What the newest snapshot says, as gauges.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Series, labels, readings};
use crate::api::incidents::view::waiting;
use crate::domain::ids::CauseId;
use crate::domain::sample::Sample;
use crate::engine::handle::{Snapshot, TargetView};

type Number = Gauge<f64, AtomicU64>;
type Gauges = Series<Number>;

/// Adds everything that the snapshot says.
pub(super) fn register(registry: &mut Registry, snapshot: &Snapshot) {
    build(registry);
    targets(registry, snapshot);
    incidents(registry, snapshot);
    injections(registry, snapshot);
    records(registry, snapshot);
    let left_out = readings::register(registry, &snapshot.targets);
    let help = "Targets without readings here, because there would be too many series";
    single(registry, "simctl_targets_without_readings", help, None, left_out as f64);
}

fn build(registry: &mut Registry) {
    let info: Gauges = Series::default();
    info.get_or_create(&labels([("version", env!("CARGO_PKG_VERSION"))])).set(1.0);
    registry.register("simctl_build_info", "Which simctl this is", info);
}

fn targets(registry: &mut Registry, snapshot: &Snapshot) {
    let [health, up, state, took, asked]: [Gauges; 5] = Default::default();
    for view in snapshot.targets.iter().map(AsRef::as_ref) {
        let (target, engine) = (view.target.id.as_str(), view.target.engine.as_str());
        let of = || labels([("target", target), ("engine", engine)]);
        if let Some(score) = view.health.score() {
            health.get_or_create(&of()).set(score.into());
        }
        if let Some(content) = client_is_content(view) {
            up.get_or_create(&of()).set(f64::from(u8::from(content)));
        }
        state.get_or_create(&labels([("target", target), ("state", &view.state)])).set(1.0);
        for (connection, sample) in [("held", &view.held), ("fresh", &view.fresh)] {
            let Some(sample) = sample else { continue };
            let of = labels([("target", target), ("connection", connection)]);
            took.get_or_create(&of).set(sample.took_ms / 1_000.0);
            asked.get_or_create(&of).set(stamp(sample.at));
        }
    }
    let help = "Health from 0 to 100; there is none while it cannot be told";
    registry.register("simctl_target_health_score", help, health);
    let help =
        "1 when the newest probes of every connection were answered, as a client would feel it";
    registry.register("simctl_target_up", help, up);
    let help = "1 for the word that stands for the target's state";
    registry.register("simctl_target_state", help, state);
    let help = "How long the newest probe took, over the held and over a fresh connection";
    registry.register_with_unit("simctl_probe_duration", help, Unit::Seconds, took);
    let help = "When the answer to the newest probe was in, or its deadline over";
    registry.register_with_unit("simctl_probe_timestamp", help, Unit::Seconds, asked);
}

fn client_is_content(view: &TargetView) -> Option<bool> {
    let samples: Vec<&Sample> = view.held.iter().chain(&view.fresh).collect();
    (!samples.is_empty()).then(|| samples.iter().all(|sample| sample.is_clean()))
}

fn incidents(registry: &mut Registry, snapshot: &Snapshot) {
    let open: Gauges = Series::default();
    let mut proposals = 0u32;
    for incident in snapshot.incidents.iter().filter(|incident| incident.is_open()) {
        let cause = incident.cause().map_or("unknown", CauseId::as_str);
        let (status, severity) = (incident.status.as_str(), incident.severity.as_str());
        let of = labels([("status", status), ("severity", severity), ("cause", cause)]);
        open.get_or_create(&of).inc();
        proposals += u32::from(waiting(incident).is_some());
    }
    registry.register("simctl_incidents", "Open incidents; failed ones wait for a person", open);
    let help = "Proposals that wait for a decision";
    single(registry, "simctl_proposals_waiting", help, None, proposals.into());
}

fn injections(registry: &mut Registry, snapshot: &Snapshot) {
    let live: Gauges = Series::default();
    let mut by_fault: BTreeMap<&str, u32> = BTreeMap::new();
    for injection in snapshot.injections.iter().filter(|one| one.state.is_live()) {
        *by_fault.entry(injection.fault.as_str()).or_default() += 1;
    }
    for (fault, count) in by_fault {
        live.get_or_create(&labels([("fault", fault)])).set(count.into());
    }
    registry.register(
        "simctl_injections",
        "Faults that simctl has caused and not taken back",
        live,
    );
}

fn records(registry: &mut Registry, snapshot: &Snapshot) {
    let reachable = f64::from(u8::from(snapshot.store.reachable));
    single(registry, "simctl_store_up", "1 when events reach the store", None, reachable);
    let help = "Events that wait in the local journal for the store";
    single(registry, "simctl_journal_events", help, None, snapshot.store.journaled as f64);
    let help = "When the newest snapshot was made";
    let at = stamp(snapshot.at);
    single(registry, "simctl_snapshot_timestamp", help, Some(Unit::Seconds), at);
    let events: Counter = Counter::default();
    events.inc_by(snapshot.seq);
    registry.register("simctl_events", "Events in the log since its beginning", events);
}

/// A figure of which there is one.
fn single(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>, value: f64) {
    let gauge = Number::default();
    gauge.set(value);
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, gauge),
        None => registry.register(name, help, gauge),
    }
}

fn stamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
