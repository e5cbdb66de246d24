//! PostgreSQL sessions that have waited for a lock for long. On a busy server many wait, each for a moment.

use chrono::{DateTime, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::Engine;
use crate::domain::window::Window;
use crate::domain::words::counted;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Postgres {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let read: Vec<&Sample> =
        window.newest(Origin::Held).filter(|sample| !sample.readings.is_empty()).take(2).collect();
    let [newest, before] = read.as_slice() else {
        return Verdict::Inconclusive("waits were not measured twice");
    };
    if !streak::is_recent(newest, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    let wait = |sample: &Sample| sample.reading(reading::LONGEST_LOCK_WAIT_SECONDS);
    // Where a login does not see other roles' waits, nothing else shall have to wait for this.
    let (Some(newest_wait), Some(wait_before)) = (wait(newest), wait(before)) else {
        return Verdict::Absent;
    };
    let limit = window.target.thresholds.lock_wait_s;
    match (newest_wait >= limit, wait_before >= limit) {
        (true, true) => Verdict::Present(finding(window, newest, newest_wait)),
        (false, false) => Verdict::Absent,
        (true, false) => Verdict::Inconclusive("one bad sample so far"),
        (false, true) => Verdict::Inconclusive("one good sample so far"),
    }
}

fn finding(window: &Window, newest: &Sample, wait: f64) -> Finding {
    let waiting = newest.reading(reading::LOCK_WAITS).unwrap_or(1.0).max(1.0);
    let verb = if waiting > 1.0 { "wait" } else { "waits" };
    let sentence = format!(
        "{} {verb} for a lock, the longest for {wait:.0} s",
        counted(waiting as u64, "session")
    );
    let limit = window.target.thresholds.lock_wait_s;
    let long = |sample: &&Sample| {
        sample.reading(reading::LONGEST_LOCK_WAIT_SECONDS).is_none_or(|wait| wait >= limit)
    };
    let since = window.newest(Origin::Held).take_while(long).last().map_or(newest.at, |s| s.at);
    Finding {
        kind: FindingKind::LockQueue,
        severity: if waiting >= 5.0 { Severity::High } else { Severity::Medium },
        sentence,
        error_lines: Vec::new(),
        since,
    }
}
