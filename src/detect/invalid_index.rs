//! An index that is there, costs every write, and serves no query: what a failed CREATE INDEX CONCURRENTLY leaves.

use chrono::{DateTime, Utc};

use super::lasting;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Sample, reading};
use crate::domain::window::Window;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let is_bad = |sample: &Sample| Some(sample.reading(reading::INVALID_INDEXES)? > 0.0);
    lasting::verdict(window, now, &is_bad, |newest, since| {
        let invalid = newest.reading(reading::INVALID_INDEXES).unwrap_or(1.0);
        let seconds = (newest.at - since).num_seconds();
        let what =
            if invalid > 1.0 { format!("{invalid} indexes are") } else { "an index is".into() };
        Finding {
            kind: FindingKind::InvalidIndex,
            severity: Severity::Low,
            sentence: format!(
                "{what} invalid for {seconds} s, and nobody is building: every write pays, no query gains"
            ),
            error_lines: Vec::new(),
            since,
        }
    })
}
