//! Transactions that wait for each other in a circle, again and again; PostgreSQL breaks each circle by cancelling one.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::{Engine, Profile};
use crate::domain::window::Window;

/// Counted over so long.
const LAB: TimeDelta = TimeDelta::seconds(15);
const PRODUCTION: TimeDelta = TimeDelta::seconds(58);
/// One now and then happens in good programs, which repeat the transaction.
const MANY: f64 = 3.0;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Postgres {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let mut counted =
        window.newest(Origin::Held).filter_map(|sample| Some((sample, count(sample)?)));
    let Some((newest, total)) = counted.next() else { return Verdict::Absent };
    if !streak::is_recent(newest, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    let span = match window.target.profile {
        Profile::Lab => LAB,
        Profile::Production => PRODUCTION,
    };
    let earlier: Vec<(&Sample, f64)> =
        counted.take_while(|(sample, _)| newest.at - sample.at <= span).collect();
    let Some((oldest, before)) = earlier.last() else {
        return Verdict::Inconclusive("deadlocks were not counted twice");
    };
    // After a reset of the statistics the count starts anew.
    let new = total - before;
    if new >= MANY {
        let calm = earlier.iter().rev().take_while(|(_, count)| count == before).last();
        let since = calm.map_or(oldest.at, |(sample, _)| sample.at);
        return Verdict::Present(finding(new, (newest.at - oldest.at).num_seconds(), since));
    }
    if new > 0.0 { Verdict::Inconclusive("a deadlock now and then") } else { Verdict::Absent }
}

fn count(sample: &Sample) -> Option<f64> {
    sample.reading(reading::DEADLOCKS_TOTAL)
}

fn finding(new: f64, seconds: i64, since: DateTime<Utc>) -> Finding {
    Finding {
        kind: FindingKind::Deadlocks,
        severity: Severity::Medium,
        sentence: format!("{new} deadlocks within {seconds} s: each cost a client its transaction"),
        error_lines: Vec::new(),
        since,
    }
}
