//! Which reading of a target has which name: the common exporters' where theirs means the same, else one of ours.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Labels, Series, labels};
use crate::domain::readings::Readings;
use crate::domain::sample::reading as r;
use crate::engine::handle::TargetView;

/// A dashboard of more than this is none; targets that come later by name are left out, and that is counted.
const MOST_SERIES: usize = 2_000;

/// The units that readings have.
#[derive(Clone, Copy)]
enum Base {
    Bytes,
    Seconds,
}

impl From<Base> for Unit {
    fn from(base: Base) -> Self {
        match base {
            Base::Bytes => Self::Bytes,
            Base::Seconds => Self::Seconds,
        }
    }
}

/// A reading as Prometheus knows it.
#[derive(Clone, Copy)]
struct Known {
    reading: &'static str,
    /// Without unit and `_total`.
    name: &'static str,
    unit: Option<Base>,
    counts: bool,
    /// What tells it from others of the same name.
    label: Option<(&'static str, &'static str)>,
    help: &'static str,
}

const fn gauge(reading: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { reading, name, unit: None, counts: false, label: None, help }
}

const fn bytes(reading: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { unit: Some(Base::Bytes), ..gauge(reading, name, help) }
}

const fn seconds(reading: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { unit: Some(Base::Seconds), ..gauge(reading, name, help) }
}

const fn count(reading: &'static str, name: &'static str, help: &'static str) -> Known {
    Known { counts: true, ..gauge(reading, name, help) }
}

const fn state(reading: &'static str, state: &'static str) -> Known {
    let help = "Client sessions by what they do, other than simctl's own";
    Known { label: Some(("state", state)), ..gauge(reading, "pg_stat_activity_sessions", help) }
}

const KNOWN: &[Known] = &[
    bytes(r::USED_MEMORY_BYTES, "redis_memory_used", "Memory that Redis has allocated"),
    bytes(r::MAXMEMORY_BYTES, "redis_memory_max", "The limit of Redis' memory; 0 for none"),
    bytes(r::DATASET_BYTES, "redis_memory_used_dataset", "Memory that the data takes"),
    bytes(r::OVERHEAD_BYTES, "redis_memory_used_overhead", "Memory that is not data"),
    bytes(r::CLIENT_MEMORY_BYTES, "simctl_redis_client_memory", "Memory of clients' buffers"),
    gauge(
        r::REFUSES_WHEN_FULL,
        "simctl_redis_refuses_when_full",
        "1 where nothing is evicted, so that a full server refuses writes",
    ),
    gauge(r::KEYS, "simctl_redis_keys", "Keys of all databases"),
    gauge(r::CLIENTS, "redis_connected_clients", "Clients that are connected"),
    gauge(r::MAXCLIENTS, "redis_config_maxclients", "Clients that may be connected"),
    count(r::OOM_ERRORS_TOTAL, "simctl_redis_oom_errors", "Commands refused for lack of memory"),
    count(
        r::REJECTED_CONNECTIONS_TOTAL,
        "redis_rejected_connections",
        "Connections refused because there were too many",
    ),
    count(r::EVICTED_KEYS_TOTAL, "redis_evicted_keys", "Keys evicted for lack of memory"),
    count(r::HITS_TOTAL, "redis_keyspace_hits", "Reads that found their key"),
    count(r::MISSES_TOTAL, "redis_keyspace_misses", "Reads that did not find their key"),
    gauge(
        r::KEYS_LOST_TO_FLUSH,
        "simctl_redis_keys_lost_to_flush",
        "Keys that a flush took and that did not come back",
    ),
    seconds(r::FLUSH_AGE_SECONDS, "simctl_redis_flush_age", "How long ago keys were flushed"),
    gauge(
        r::COMMANDS_PER_SECOND,
        "simctl_redis_commands_per_second",
        "Commands per second as the server counts them",
    ),
    gauge(r::SESSIONS, "simctl_pg_sessions", "Client sessions other than simctl's own"),
    state(r::IDLE_SESSIONS, "idle"),
    state(r::IDLE_IN_TRANSACTION, "idle in transaction"),
    state(r::ACTIVE_SESSIONS, "active"),
    gauge(r::OWN_SESSIONS, "simctl_pg_own_sessions", "Sessions of simctl itself"),
    gauge(r::MAX_CONNECTIONS, "pg_settings_max_connections", "Sessions that may be open"),
    gauge(
        r::RESERVED_CONNECTIONS,
        "simctl_pg_reserved_connections",
        "Of these, those kept for administrators",
    ),
    seconds(
        r::OLDEST_IDLE_SECONDS,
        "simctl_pg_oldest_idle",
        "How long the session that is idle for longest has been",
    ),
    gauge(
        r::LEAKED_IDLE_SESSIONS,
        "simctl_pg_leaked_idle_sessions",
        "Sessions of one application that look forgotten, the largest such group",
    ),
    gauge(r::LOCK_WAITS, "simctl_pg_lock_waits", "Sessions that wait for a lock"),
    seconds(
        r::LONGEST_LOCK_WAIT_SECONDS,
        "simctl_pg_longest_lock_wait",
        "How long the session that waits longest for a lock has",
    ),
    gauge(r::DEAD_ROWS, "simctl_pg_dead_rows", "Dead rows of the table with the most of them"),
    gauge(r::LIVE_ROWS, "simctl_pg_live_rows", "Live rows of that table"),
    gauge(r::VACUUMS, "simctl_pg_vacuums", "Vacuums at work"),
    bytes(
        r::SLOT_RETAINED_BYTES,
        "simctl_pg_slot_retained",
        "WAL that is kept for the slot that lies furthest back and that nobody reads",
    ),
    gauge(r::ARCHIVE_IS_FAILING, "simctl_pg_archive_failing", "1 when WAL was not archived last"),
    gauge(r::INVALID_INDEXES, "simctl_pg_invalid_indexes", "Indexes that serve no query"),
    count(r::DEADLOCKS_TOTAL, "simctl_pg_deadlocks", "Deadlocks that the server broke"),
    count(r::COMMITS_TOTAL, "simctl_pg_commits", "Transactions committed"),
    seconds(r::UPTIME_SECONDS, "simctl_target_uptime", "How long the server has been running"),
];

const VOLUME: &str = "simctl_target_volume_used";

type Gauges = Series<Gauge<f64, AtomicU64>>;
type Counters = Series<Counter<f64, AtomicU64>>;

/// What the readings become, by name.
#[derive(Default)]
struct Families {
    gauges: BTreeMap<&'static str, (&'static Known, Gauges)>,
    counters: BTreeMap<&'static str, (&'static Known, Counters)>,
    volumes: Gauges,
}

/// Adds the newest readings of every target. Returns how many targets had to be left out.
pub(super) fn register(registry: &mut Registry, targets: &[impl AsRef<TargetView>]) -> usize {
    let mut families = Families::default();
    let mut series = 0;
    let mut left_out = 0;
    for view in targets.iter().map(AsRef::as_ref) {
        let Some(readings) = newest(view) else { continue };
        series += readings.iter().count();
        if series > MOST_SERIES {
            left_out += 1;
            continue;
        }
        readings.iter().for_each(|(name, value)| families.add(view, name, value));
    }
    families.register(registry);
    left_out
}

fn newest(view: &TargetView) -> Option<&Readings> {
    let samples = view.held.iter().chain(&view.fresh);
    samples.map(|sample| &sample.readings).find(|readings| !readings.is_empty())
}

impl Families {
    fn add(&mut self, view: &TargetView, reading: &str, value: f64) {
        let target = view.target.id.as_str();
        if let Some(path) = reading.strip_prefix(r::VOLUME_USED_PERCENT) {
            let labels = labels([("target", target), ("path", path)]);
            self.volumes.get_or_create(&labels).set(value / 100.0);
            return;
        }
        let Some(known) = KNOWN.iter().find(|known| known.reading == reading) else { return };
        let mut labels: Labels = labels([("target", target)]);
        labels.extend(known.label.map(|(name, value)| (name, value.to_owned())));
        if known.counts {
            let (_, family) = self.counters.entry(known.name).or_insert((known, Series::default()));
            family.get_or_create(&labels).inc_by(value);
        } else {
            let (_, family) = self.gauges.entry(known.name).or_insert((known, Series::default()));
            family.get_or_create(&labels).set(value);
        }
    }

    fn register(self, registry: &mut Registry) {
        for (name, (known, family)) in self.gauges {
            match known.unit {
                Some(unit) => registry.register_with_unit(name, known.help, unit.into(), family),
                None => registry.register(name, known.help, family),
            }
        }
        for (name, (known, family)) in self.counters {
            registry.register(name, known.help, family);
        }
        let ratio = Unit::Other("ratio".into());
        registry.register_with_unit(VOLUME, "How full a volume is", ratio, self.volumes);
    }
}
