//! Symptoms: one pure function per finding kind, window in, verdict out. [`ALL`] is the list.
//!
//! A finding needs two bad samples in a row and its absence two good ones; a single sample, an old one, or a
//! server on its way up says nothing.
#![warn(clippy::wildcard_enum_match_arm)]

use chrono::{DateTime, Utc};

use crate::domain::finding::{FindingKind, Verdict};
use crate::domain::window::Window;

mod cache_misses;
mod clients_refused;
mod connection_pressure;
mod counted;
mod data_vanished;
mod dead_rows;
mod deadlocks;
mod full_scans;
mod invalid_index;
mod lasting;
mod lock_queue;
mod memory_pressure;
mod probe_failing;
mod server_down;
mod server_hung;
mod slow;
mod streak;
mod symptom;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transactions_fail;
mod volume_full;
mod wal_retained;
mod words;
mod writes_refused;

/// One kind of finding, and how to tell it.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    pub kind: FindingKind,
    pub judge: fn(&Window, DateTime<Utc>) -> Verdict,
}

/// Every detector there is.
pub const ALL: &[Detector] = &[
    Detector { kind: FindingKind::ServerDown, judge: server_down::judge },
    Detector { kind: FindingKind::ServerHung, judge: server_hung::judge },
    Detector { kind: FindingKind::ClientsRefused, judge: clients_refused::judge },
    Detector { kind: FindingKind::WritesRefused, judge: writes_refused::judge },
    Detector { kind: FindingKind::ProbeFailing, judge: probe_failing::judge },
    Detector { kind: FindingKind::Slow, judge: slow::judge },
    Detector { kind: FindingKind::VolumeFull, judge: volume_full::judge },
    Detector { kind: FindingKind::MemoryPressure, judge: memory_pressure::judge },
    Detector { kind: FindingKind::ConnectionPressure, judge: connection_pressure::judge },
    Detector { kind: FindingKind::DataVanished, judge: data_vanished::judge },
    Detector { kind: FindingKind::CacheMisses, judge: cache_misses::judge },
    Detector { kind: FindingKind::LockQueue, judge: lock_queue::judge },
    Detector { kind: FindingKind::DeadRows, judge: dead_rows::judge },
    Detector { kind: FindingKind::WalRetained, judge: wal_retained::judge },
    Detector { kind: FindingKind::InvalidIndex, judge: invalid_index::judge },
    Detector { kind: FindingKind::Deadlocks, judge: deadlocks::judge },
    Detector { kind: FindingKind::TransactionsFail, judge: transactions_fail::judge },
    Detector { kind: FindingKind::FullScans, judge: full_scans::judge },
];
