//! What an investigation has observed, typed; the only thing a judgement may rest on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::diagnosis::Evidence;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{RuntimeEvent, Sample};
use crate::domain::unit::UnitState;

/// Everything observed for one incident. A part that could not be observed is `None`, and says why in the
/// evidence; it is never an empty list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub finding: FindingKind,
    /// The newest samples, oldest first.
    pub samples: Vec<Sample>,
    pub runtime_events: Vec<RuntimeEvent>,
    /// The target's settings when it was healthy.
    pub baseline: BTreeMap<String, String>,
    pub unit: Option<UnitState>,
    /// The newest lines of the server's own log, oldest first.
    #[serde(default)]
    pub log: Option<Vec<String>>,
    pub redis: Option<RedisFacts>,
    pub postgres: Option<PostgresFacts>,
    pub evidence: Vec<Evidence>,
}

/// A Redis server from inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedisFacts {
    pub run_id: String,
    pub maxmemory: u64,
    pub policy: String,
    pub used_memory: u64,
    pub dataset_bytes: u64,
    pub overhead_bytes: u64,
    /// Buffers of ordinary clients.
    pub client_bytes: u64,
    pub keys: u64,
    pub maxclients: u64,
    /// Connections in all, ours too.
    #[serde(default)]
    pub connected: u64,
    pub clients: Vec<RedisClient>,
    pub prefixes: Vec<PrefixShare>,
    /// How many keys the prefixes were counted over; fewer than `keys` means a sample.
    pub keys_seen: u64,
    /// Whether anything was ever saved to disk, and changes since.
    pub persists: bool,
    pub changes_since_save: u64,
    /// The settings as they are now, by the names of the baseline; empty when they could not be read.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The largest keys found, the largest first.
    #[serde(default)]
    pub biggest: Vec<BigKey>,
    /// What may be on its way, a moment after the first look; `None` when that gave no reason for another.
    #[serde(default)]
    pub again: Option<SecondLook>,
}

/// One key that takes much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BigKey {
    pub name: String,
    /// As TYPE says it: `string`, `list`, `stream` …
    pub kind: String,
    pub bytes: u64,
    /// Bytes of a string, items of anything else.
    pub length: u64,
}

/// The same things a moment later: what stays, what grows, what was only passing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondLook {
    pub after_ms: u64,
    pub clients: Vec<RedisClient>,
    pub biggest: Vec<BigKey>,
}

/// One client of a Redis server, other than our own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedisClient {
    pub id: u64,
    pub addr: String,
    pub name: String,
    pub user: String,
    pub age_s: u64,
    pub idle_s: u64,
    /// The last command, in lower case, as CLIENT LIST says it.
    pub cmd: String,
    pub flags: String,
    /// Output and query buffers.
    pub omem: u64,
    pub qbuf: u64,
    pub total_mem: u64,
}

/// A family of keys: everything before the first separator of the name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrefixShare {
    /// With its separator: `leak:`.
    pub prefix: String,
    pub keys: u64,
    /// Estimated from a sample of MEMORY USAGE.
    pub bytes: u64,
    /// Of the sampled keys, in percent.
    pub without_ttl_percent: u8,
}

/// A PostgreSQL server from inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PostgresFacts {
    pub started_at: Option<DateTime<Utc>>,
    pub max_connections: u32,
    /// Slots only superusers may take.
    pub reserved: u32,
    pub own_sessions: u32,
    /// Client backends other than our own.
    pub sessions: Vec<PgSession>,
    /// (role, limit) where there is one.
    pub role_limits: Vec<(String, i32)>,
    /// (database, limit) where there is one.
    pub database_limits: Vec<(String, i32)>,
    /// The settings as the application has them now, by the names of the baseline; `None` when it was not let in.
    #[serde(default)]
    pub settings: Option<BTreeMap<String, String>>,
}

/// One session of a PostgreSQL server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgSession {
    pub pid: i32,
    pub backend_start: Option<DateTime<Utc>>,
    pub user: String,
    pub database: String,
    pub application: String,
    pub client: String,
    /// As pg_stat_activity says it: `idle`, `active`, `idle in transaction` …
    pub state: String,
    pub state_age_s: f64,
    pub xact_age_s: Option<f64>,
    pub query_age_s: Option<f64>,
    pub wait_type: Option<String>,
    /// Has written: ending it rolls work back.
    pub has_written: bool,
    pub blocked_by: Vec<i32>,
    /// Advisory locks held: somebody counts on this session.
    pub holds_advisory_lock: bool,
    pub is_superuser: bool,
}

impl Facts {
    /// The id of the evidence whose source starts with `source`.
    pub fn cite(&self, source: &str) -> Option<String> {
        self.evidence.iter().find(|e| e.source.starts_with(source)).map(|e| e.id.clone())
    }

    /// The newest value of a reading.
    pub fn newest(&self, reading: &str) -> Option<f64> {
        self.samples.iter().rev().find_map(|sample| sample.reading(reading))
    }

    /// How much a reading grew over the samples at hand, and over how many seconds.
    pub fn growth(&self, reading: &str) -> Option<(f64, f64)> {
        let given = || self.samples.iter().filter_map(|s| s.reading(reading).map(|v| (s.at, v)));
        let (first_at, first) = given().next()?;
        let (last_at, last) = given().next_back()?;
        let seconds = (last_at - first_at).num_milliseconds() as f64 / 1_000.0;
        (seconds > 0.0).then_some((last - first, seconds))
    }
}
