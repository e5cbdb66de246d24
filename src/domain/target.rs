//! What is watched: a server, what kind it is, and the thresholds that apply to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::TargetId;

/// The kind of server behind a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Redis,
    Postgres,
}

impl Engine {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Which judgement of "healthy" applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Our own servers: idle sessions count against health by number.
    Lab,
    /// Anything real: a healthy pool holds idle sessions, so their age and growth count instead.
    #[default]
    Production,
}

/// When a reading becomes a finding; every number is configurable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Redis: used memory in percent of maxmemory, under a policy that refuses writes.
    pub memory_percent: f64,
    /// Redis: also when the present growth fills the rest within this many seconds.
    pub memory_full_within_s: f64,
    /// PostgreSQL, lab: a health score below this opens an incident.
    pub open_below_score: f64,
    /// A score above this lets an incident resolve.
    pub resolve_above_score: f64,
    /// PostgreSQL: used client slots in percent of those open to ordinary roles.
    pub connections_percent: f64,
    /// PostgreSQL, production: idle sessions older than this count as leaked …
    pub idle_leak_age_s: f64,
    /// … when there are at least this many of one application.
    pub idle_leak_count: u32,
    /// Dead tuples below this are no bloat, whatever the ratio.
    pub bloat_floor: u64,
    /// PostgreSQL: a wait for a lock longer than this is a queue, not traffic.
    pub lock_wait_s: f64,
    /// PostgreSQL: a table with fewer dead rows than this is in order, whatever the ratio.
    pub dead_rows: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            memory_percent: 90.0,
            memory_full_within_s: 60.0,
            open_below_score: 70.0,
            resolve_above_score: 80.0,
            connections_percent: 90.0,
            idle_leak_age_s: 600.0,
            idle_leak_count: 10,
            bloat_floor: 1_000,
            lock_wait_s: 5.0,
            dead_rows: 10_000,
        }
    }
}

/// How often a target is asked and how long an answer may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Periods {
    #[serde(with = "humantime_text")]
    pub held: Duration,
    #[serde(with = "humantime_text")]
    pub fresh: Duration,
    /// A bad sample is asked again after this; two bad ones in a row are a finding.
    #[serde(with = "humantime_text")]
    pub confirm: Duration,
    /// The client's own deadline for every probe.
    #[serde(with = "humantime_text")]
    pub deadline: Duration,
}

impl Periods {
    /// The defaults of product.md: 250 ms held, 1 s fresh, 1 s or 2 s to answer.
    pub fn of(engine: Engine) -> Self {
        let deadline = match engine {
            Engine::Redis => Duration::from_secs(1),
            Engine::Postgres => Duration::from_secs(2),
        };
        Self {
            held: Duration::from_millis(250),
            fresh: Duration::from_secs(1),
            confirm: Duration::from_millis(100),
            deadline,
        }
    }
}

impl Default for Periods {
    fn default() -> Self {
        Self::of(Engine::Redis)
    }
}

/// Durations as people write them (`250ms`, `1s`).
pub mod humantime_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|e| {
            D::Error::custom(format!(
                "`{text}` is no duration ({e}); write it like `250ms` or `5s`"
            ))
        })
    }
}

/// What decisions need to know about a target; how to reach it is the business of `targets/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub id: TargetId,
    pub engine: Engine,
    pub profile: Profile,
    /// The lab's id when simctl created this server; only such a target may be broken.
    pub lab: Option<String>,
    /// Whether simctl can start, stop and look into what the server runs in.
    pub has_runtime: bool,
    pub thresholds: Thresholds,
    /// How long a fix must hold before it counts as proven.
    #[serde(with = "humantime_text")]
    pub verify_hold: Duration,
}

impl Target {
    /// Whether faults may be injected here at all.
    pub fn is_lab(&self) -> bool {
        self.lab.is_some()
    }
}
