//! Symptoms: what a detector concludes from samples, before anybody knows the cause.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod about;

pub use about::About;

/// How bad a symptom is for the people behind the server.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The kinds of symptom. At most one incident is open per target and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Nobody answers: refused, reset, or the process is gone.
    ServerDown,
    /// Connects, then silence.
    ServerHung,
    /// The server is there and turns new clients away because it has no room.
    ClientsRefused,
    /// Reads work and writes are refused.
    WritesRefused,
    /// A client gets another error than these.
    ProbeFailing,
    /// Every answer is right, and takes many times as long as it did.
    Slow,
    /// A volume that the server keeps data on has no room left.
    VolumeFull,
    /// Redis: full, or soon.
    MemoryPressure,
    /// PostgreSQL: slots taken by sessions that do nothing, or nearly all taken.
    ConnectionPressure,
    /// Redis: the keys were removed all at once.
    DataVanished,
    /// Redis: clients miss far more often than they used to, and keys are evicted.
    CacheMisses,
    /// PostgreSQL: sessions have waited for a lock for long.
    LockQueue,
    /// PostgreSQL: dead rows outnumber the live ones and do not become fewer.
    DeadRows,
    /// PostgreSQL: WAL is kept for somebody who does not take it.
    WalRetained,
    /// PostgreSQL: an index is kept up and serves no query.
    InvalidIndex,
    /// PostgreSQL: transactions are cancelled because they wait for each other.
    Deadlocks,
    /// PostgreSQL: far more transactions are rolled back than usual.
    TransactionsFail,
    /// PostgreSQL: large tables that were looked up by an index are read from end to end, again and again.
    FullScans,
    /// No symptom of ours: somebody outside noticed something.
    Noticed,
    /// No symptom: a person asks for a change.
    Requested,
}

/// Symptoms of one problem as it grows: a stronger one takes over the incident of a weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Room to write: memory, or a volume.
    Memory,
    Connections,
    Availability,
    Data,
    Speed,
    /// Whether clients find what they put there.
    Cache,
    /// Work that a server does for itself in the background.
    Upkeep,
    /// Whether clients' transactions go through.
    Transactions,
    /// How the server goes about finding rows.
    Plans,
    Other,
    /// What others say, which no symptom of ours takes over.
    Outside,
    /// What people ask for, which no symptom takes over.
    Request,
}

impl FindingKind {
    /// Every kind of symptom, in the order in which `detect` judges them.
    pub const ALL: &'static [Self] = &[
        Self::ServerDown,
        Self::ServerHung,
        Self::ClientsRefused,
        Self::WritesRefused,
        Self::ProbeFailing,
        Self::Slow,
        Self::VolumeFull,
        Self::MemoryPressure,
        Self::ConnectionPressure,
        Self::DataVanished,
        Self::CacheMisses,
        Self::LockQueue,
        Self::DeadRows,
        Self::WalRetained,
        Self::InvalidIndex,
        Self::Deadlocks,
        Self::TransactionsFail,
        Self::FullScans,
    ];

    /// Whether it is a symptom that is measured, and so is gone when it is measured no more.
    pub fn is_measured(self) -> bool {
        Self::ALL.contains(&self)
    }

    /// The kind of that name, what others notice and people ask for among them.
    pub fn named(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().chain([&Self::Noticed, &Self::Requested]);
        all.find(|kind| kind.as_str() == word).copied()
    }

    /// The word people read and the store keeps.
    pub fn as_str(self) -> &'static str {
        self.about().word
    }

    /// Which symptoms are stages of the same problem.
    pub fn family(self) -> Family {
        self.about().family
    }

    /// Within a family, the later stage of the problem.
    pub fn is_stronger_than(self, other: Self) -> bool {
        self.family() == other.family() && self.about().stage > other.about().stage
    }

    /// Whether a client feels it right now, as opposed to soon.
    pub fn hurts_clients(self) -> bool {
        self.about().hurts_clients
    }
}

/// A symptom, concluded from samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    /// The sentence for this instance, with its readings; printed unchanged everywhere.
    pub sentence: String,
    /// The error lines a client got, as they were.
    pub error_lines: Vec<String>,
    /// When the first of the samples it rests on was taken.
    pub since: DateTime<Utc>,
}

/// What one detector says about one window.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Present(Finding),
    Absent,
    /// Cannot tell; opens nothing and closes nothing.
    Inconclusive(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_ordered_within_a_family_only() {
        use FindingKind::{
            ClientsRefused, ConnectionPressure, LockQueue, MemoryPressure, ServerDown, ServerHung,
            WritesRefused,
        };
        assert!(ClientsRefused.is_stronger_than(LockQueue));
        assert!(LockQueue.is_stronger_than(ConnectionPressure));
        assert!(WritesRefused.is_stronger_than(MemoryPressure));
        assert!(ClientsRefused.is_stronger_than(ConnectionPressure));
        assert!(ServerDown.is_stronger_than(ServerHung));
        assert!(!WritesRefused.is_stronger_than(ConnectionPressure));
        for a in FindingKind::ALL {
            for b in FindingKind::ALL {
                assert!(!(a.is_stronger_than(*b) && b.is_stronger_than(*a)), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn every_kind_reads_as_it_is_stored() {
        for kind in FindingKind::ALL.iter().chain([&FindingKind::Noticed, &FindingKind::Requested])
        {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(FindingKind::named(kind.as_str()), Some(*kind));
        }
    }
}
