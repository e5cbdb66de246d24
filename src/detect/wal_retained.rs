//! WAL that PostgreSQL must keep because somebody who should take it does not: a slot nobody reads, or an archive
//! that takes nothing.

use chrono::{DateTime, Utc};

use super::lasting;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Sample, reading};
use crate::domain::target::Profile;
use crate::domain::window::Window;
use crate::domain::words::bytes;

/// A consumer that is away for a moment falls behind by less: a segment on the lab, where the volume is small.
const LAB_BYTES: f64 = 16.0 * 1_048_576.0;
const PRODUCTION_BYTES: f64 = 1_073_741_824.0;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let limit = match window.target.profile {
        Profile::Lab => LAB_BYTES,
        Profile::Production => PRODUCTION_BYTES,
    };
    let by_slot = |sample: &Sample| Some(sample.reading(reading::SLOT_RETAINED_BYTES)? >= limit);
    let by_archive = |sample: &Sample| Some(sample.reading(reading::ARCHIVE_IS_FAILING)? > 0.0);
    let is_bad = |sample: &Sample| match (by_slot(sample), by_archive(sample)) {
        (None, None) => None,
        (slot, archive) => Some(slot == Some(true) || archive == Some(true)),
    };
    lasting::verdict(window, now, &is_bad, |newest, since| {
        let seconds = (newest.at - since).num_seconds();
        let mut reasons = Vec::new();
        if by_slot(newest) == Some(true) {
            let retained = newest.reading(reading::SLOT_RETAINED_BYTES).unwrap_or_default();
            reasons.push(format!(
                "a replication slot that nobody reads keeps {}",
                bytes(retained as u64)
            ));
        }
        if by_archive(newest) == Some(true) {
            reasons.push("the archive takes none of it".into());
        }
        Finding {
            kind: FindingKind::WalRetained,
            severity: Severity::Medium,
            sentence: format!("WAL cannot be removed, for {seconds} s: {}", reasons.join(", and ")),
            error_lines: Vec::new(),
            since,
        }
    })
}
