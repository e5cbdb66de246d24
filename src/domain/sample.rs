//! One observation of a target: what a client felt, and the server's own readings with their units in the name.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::readings::Readings;

/// Names of readings. Each carries its unit; a reading that could not be taken is absent, never zero.
pub mod reading {
    pub const USED_MEMORY_BYTES: &str = "used_memory_bytes";
    pub const MAXMEMORY_BYTES: &str = "maxmemory_bytes";
    pub const DATASET_BYTES: &str = "dataset_bytes";
    pub const OVERHEAD_BYTES: &str = "overhead_bytes";
    pub const CLIENT_MEMORY_BYTES: &str = "client_memory_bytes";
    /// 1 when the eviction policy is `noeviction`, so that a full server refuses writes; else 0.
    pub const REFUSES_WHEN_FULL: &str = "refuses_when_full";
    pub const KEYS: &str = "keys";
    pub const CLIENTS: &str = "clients";
    pub const MAXCLIENTS: &str = "maxclients";
    pub const OOM_ERRORS_TOTAL: &str = "oom_errors_total";
    pub const REJECTED_CONNECTIONS_TOTAL: &str = "rejected_connections_total";
    pub const EVICTED_KEYS_TOTAL: &str = "evicted_keys_total";
    /// Reads that found their key, and that did not.
    pub const HITS_TOTAL: &str = "hits_total";
    pub const MISSES_TOTAL: &str = "misses_total";
    /// Keys that FLUSHALL or FLUSHDB took and that did not come back; else 0.
    pub const KEYS_LOST_TO_FLUSH: &str = "keys_lost_to_flush";
    /// How long ago, where keys are lost.
    pub const FLUSH_AGE_SECONDS: &str = "flush_age_seconds";
    pub const COMMANDS_PER_SECOND: &str = "commands_per_second";
    /// PostgreSQL: client backends other than our own.
    pub const SESSIONS: &str = "sessions";
    pub const IDLE_SESSIONS: &str = "idle_sessions";
    pub const IDLE_IN_TRANSACTION: &str = "idle_in_transaction";
    pub const ACTIVE_SESSIONS: &str = "active_sessions";
    /// Our own sessions, so that used slots can be counted honestly.
    pub const OWN_SESSIONS: &str = "own_sessions";
    pub const MAX_CONNECTIONS: &str = "max_connections";
    pub const RESERVED_CONNECTIONS: &str = "reserved_connections";
    pub const OLDEST_IDLE_SECONDS: &str = "oldest_idle_seconds";
    /// Idle sessions of one application older than the leak age, the largest such group.
    pub const LEAKED_IDLE_SESSIONS: &str = "leaked_idle_sessions";
    pub const LOCK_WAITS: &str = "lock_waits";
    /// How long the session that waits longest for a lock has waited; 0 when none waits.
    pub const LONGEST_LOCK_WAIT_SECONDS: &str = "longest_lock_wait_seconds";
    /// Of the table with the most dead rows in the application's database, read every few seconds.
    pub const DEAD_ROWS: &str = "dead_rows";
    pub const LIVE_ROWS: &str = "live_rows";
    /// Vacuums at work at that moment, of any table.
    pub const VACUUMS: &str = "vacuums";
    /// What the replication slot that nobody reads and that lies furthest back keeps; 0 when there is none.
    pub const SLOT_RETAINED_BYTES: &str = "slot_retained_bytes";
    /// 1 when the archive's last attempt failed, else 0.
    pub const ARCHIVE_IS_FAILING: &str = "archive_is_failing";
    /// Indexes that serve no query and that nobody is building or dropping.
    pub const INVALID_INDEXES: &str = "invalid_indexes";
    /// Deadlocks that the server broke, of all databases.
    pub const DEADLOCKS_TOTAL: &str = "deadlocks_total";
    /// Transactions of all databases that were committed, and that were rolled back.
    pub const COMMITS_TOTAL: &str = "commits_total";
    pub const ROLLBACKS_TOTAL: &str = "rollbacks_total";
    /// Scans of large tables in the application's database, by an index and from end to end, read every few seconds.
    pub const INDEX_SCANS_TOTAL: &str = "index_scans_total";
    pub const FULL_SCANS_TOTAL: &str = "full_scans_total";
    /// With the directory behind it: how full the volume there is.
    pub const VOLUME_USED_PERCENT: &str = "volume_used_percent:";
    /// How often the volumes were looked at; samples in between share a look.
    pub const VOLUME_LOOKS: &str = "volume_looks";
    /// Seconds since the server process started.
    pub const UPTIME_SECONDS: &str = "uptime_seconds";
}

/// Which connection was asked: each alone misses faults the other sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The connection that was there before.
    Held,
    /// A connection made for this one question, as a new client would.
    Fresh,
}

/// What one question to the server came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub enum Answer {
    Ok,
    /// No server there: connection refused, reset, or closed under us.
    Gone {
        text: String,
    },
    /// Connected or sent, and nothing came back within the deadline.
    Hung {
        after_ms: u64,
    },
    /// The server answered with an error: its Redis prefix or SQLSTATE, and its words.
    Error {
        code: String,
        text: String,
    },
    /// Loading, in recovery, shutting down: on its way, not yet a fault.
    Starting {
        text: String,
    },
    /// Not asked this time (an earlier question already failed, or this origin does not ask it).
    NotAsked,
}

impl Answer {
    /// Whether a client would be content.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }

    /// Whether a client would be hurt.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Hung { .. } | Self::Error { .. })
    }

    /// The error's prefix or SQLSTATE.
    pub fn code(&self) -> Option<&str> {
        if let Self::Error { code, .. } = self { Some(code) } else { None }
    }

    /// One phrase for a person.
    pub fn describe(&self) -> String {
        match self {
            Self::Ok => "ok".into(),
            Self::Gone { text } => format!("no server: {text}"),
            Self::Hung { after_ms } => format!("no answer within {after_ms} ms"),
            Self::Error { code, text } if text.starts_with(code.as_str()) => text.clone(),
            Self::Error { code, text } => format!("{code}: {text}"),
            Self::Starting { text } => format!("starting: {text}"),
            Self::NotAsked => "not asked".into(),
        }
    }
}

/// One observation of one target over one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the answer was in.
    pub at: DateTime<Utc>,
    pub origin: Origin,
    pub took_ms: f64,
    /// Getting a session at all (on a held connection: still having it).
    pub connect: Answer,
    pub read: Answer,
    pub write: Answer,
    pub readings: Readings,
}

impl Sample {
    /// A reading by name, when it was taken.
    pub fn reading(&self, name: &str) -> Option<f64> {
        self.readings.get(name)
    }

    /// The first answer that was bad, in the order a client meets them.
    pub fn first_bad(&self) -> Option<&Answer> {
        [&self.connect, &self.read, &self.write].into_iter().find(|answer| answer.is_bad())
    }

    /// Whether the server said it is on its way.
    pub fn is_starting(&self) -> bool {
        [&self.connect, &self.read, &self.write]
            .into_iter()
            .any(|a| matches!(a, Answer::Starting { .. }))
    }

    /// Whether everything that was asked went well, and something was.
    pub fn is_clean(&self) -> bool {
        let answers = [&self.connect, &self.read, &self.write];
        answers.iter().any(|a| a.is_ok())
            && answers.iter().all(|a| a.is_ok() || **a == Answer::NotAsked)
    }
}

/// What the runtime said about a target, from the engine's event stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    pub at: DateTime<Utc>,
    pub kind: RuntimeEventKind,
    pub detail: String,
}

/// The runtime events that matter to detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeEventKind {
    Died,
    OutOfMemory,
    Paused,
    Unpaused,
    Started,
    HealthChanged,
}

impl RuntimeEventKind {
    /// The words people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::OutOfMemory => "out of memory",
            Self::Paused => "paused",
            Self::Unpaused => "unpaused",
            Self::Started => "started",
            Self::HealthChanged => "health changed",
        }
    }
}
