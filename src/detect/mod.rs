//! Symptoms: one pure function per finding kind, window in, verdict out. [`ALL`] is the list.
#![warn(clippy::wildcard_enum_match_arm)]

use chrono::{DateTime, Utc};

use crate::domain::finding::{FindingKind, Verdict};
use crate::domain::window::Window;

/// A detector.
#[derive(Debug)]
pub struct Detector {
    pub kind: FindingKind,
    pub judge: fn(&Window, DateTime<Utc>) -> Verdict,
}

/// Every detector there is.
pub const ALL: &[Detector] = &[];
