//! A PostgreSQL table whose dead rows outnumber the live ones and do not become fewer, while no vacuum is at work.
//!
//! Every busy table has dead rows between two vacuums; it takes a while of no progress to be a finding.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::{Engine, Profile};
use crate::domain::window::Window;
use crate::domain::words::count;

/// So long without progress on the lab, and on a server where autovacuum may have other tables to do first.
const LAB: TimeDelta = TimeDelta::seconds(8);
const PRODUCTION: TimeDelta = TimeDelta::seconds(55);
/// Less than this share of them gone is no progress.
const PROGRESS: f64 = 0.1;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Postgres {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let mut levels = window.newest(Origin::Held).filter_map(Level::of);
    let (Some(newest), Some(before)) = (levels.next(), levels.next()) else {
        return Verdict::Inconclusive("dead rows were not counted twice");
    };
    if !streak::is_recent(newest.sample, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    let floor = window.target.thresholds.dead_rows as f64;
    match (newest.is_bad(floor), before.is_bad(floor)) {
        (false, false) => return Verdict::Absent,
        (false, true) => return Verdict::Inconclusive("one good sample so far"),
        (true, _) => {}
    }
    let bad = |level: &Level<'_>| {
        level.is_bad(floor) && level.vacuums == 0.0 && newest.dead >= level.dead * (1.0 - PROGRESS)
    };
    let oldest = std::iter::once(before).chain(levels).take_while(bad).last();
    let span = match window.target.profile {
        Profile::Lab => LAB,
        Profile::Production => PRODUCTION,
    };
    match oldest {
        _ if newest.vacuums > 0.0 => Verdict::Inconclusive("a vacuum is at work"),
        Some(oldest) if newest.sample.at - oldest.sample.at >= span => {
            Verdict::Present(finding(&newest, oldest.sample.at))
        }
        _ => Verdict::Inconclusive("dead rows were not watched for long enough"),
    }
}

/// What one sample says of the table with the most dead rows.
struct Level<'a> {
    sample: &'a Sample,
    dead: f64,
    live: f64,
    vacuums: f64,
}

impl<'a> Level<'a> {
    fn of(sample: &'a Sample) -> Option<Self> {
        Some(Self {
            sample,
            dead: sample.reading(reading::DEAD_ROWS)?,
            live: sample.reading(reading::LIVE_ROWS)?,
            vacuums: sample.reading(reading::VACUUMS).unwrap_or(0.0),
        })
    }

    fn is_bad(&self, floor: f64) -> bool {
        self.dead >= floor && self.dead >= self.live
    }
}

fn finding(newest: &Level<'_>, since: DateTime<Utc>) -> Finding {
    let seconds = (newest.sample.at - since).num_seconds();
    let severity =
        if newest.dead >= newest.live * 10.0 { Severity::High } else { Severity::Medium };
    Finding {
        kind: FindingKind::DeadRows,
        severity,
        sentence: format!(
            "a table has {} dead rows beside {} live ones, and for {seconds} s they have not become fewer",
            count(newest.dead as u64),
            count(newest.live as u64)
        ),
        error_lines: Vec::new(),
        since,
    }
}
