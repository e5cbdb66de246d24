//! Keys are gone, all at once and by order. Only a flush counts: what expires, is evicted or is deleted one by one is
//! ordinary life.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::Engine;
use crate::domain::window::Window;
use crate::domain::words::{count, counted};

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Redis {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let mut told = window.newest(Origin::Held).filter_map(|sample| Some((sample, lost(sample)?)));
    let (Some((newest, keys)), Some((_, before))) = (told.next(), told.next()) else {
        return Verdict::Inconclusive("what was flushed was not measured twice");
    };
    if !streak::is_recent(newest, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    match (keys > 0.0, before > 0.0) {
        (true, true) => Verdict::Present(finding(newest, keys)),
        (false, false) => Verdict::Absent,
        (true, false) => Verdict::Inconclusive("one bad sample so far"),
        (false, true) => Verdict::Inconclusive("one good sample so far"),
    }
}

fn lost(sample: &Sample) -> Option<f64> {
    sample.reading(reading::KEYS_LOST_TO_FLUSH)
}

fn finding(newest: &Sample, keys: f64) -> Finding {
    let age = newest.reading(reading::FLUSH_AGE_SECONDS).unwrap_or_default();
    let since = newest.at - TimeDelta::milliseconds((age * 1_000.0) as i64);
    let left = newest.reading(reading::KEYS).unwrap_or_default();
    let sentence = format!(
        "the data is gone: {} were removed at once (FLUSHALL or FLUSHDB), there are {} now",
        counted(keys as u64, "key"),
        count(left as u64)
    );
    Finding {
        kind: FindingKind::DataVanished,
        severity: Severity::Critical,
        sentence,
        error_lines: Vec::new(),
        since,
    }
}
