//! PostgreSQL's client slots taken by sessions that do nothing, or nearly all taken.
//!
//! On the lab the health score decides. On a real server a pool holds idle sessions by design, so there idle
//! sessions count only when many of one application are old *and* sessions still become more: a pool would
//! have used the old ones instead.

use chrono::{DateTime, TimeDelta, Utc};

use super::{streak, words};
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::health::{self, Health};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::{Engine, Profile, Target};
use crate::domain::window::Window;

/// Sessions must have been watched for this long before they can be said to grow.
const GROWTH_LEAST: TimeDelta = TimeDelta::seconds(20);

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Postgres {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let read: Vec<&Sample> = window
        .newest(Origin::Held)
        .filter(|sample| health::used_slot_percent(sample).is_some())
        .collect();
    let [newest, before, ..] = read.as_slice() else {
        return Verdict::Inconclusive("sessions were not counted twice");
    };
    if !streak::is_recent(newest, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    let levels = (level(&window.target, &read, 0), level(&window.target, &read, 1));
    match levels {
        (Level::Bad(why), Level::Bad(_)) => {
            let is_bad =
                |from: &usize| matches!(level(&window.target, &read, *from), Level::Bad(_));
            let length = (0..read.len()).take_while(is_bad).count();
            let since = read.get(length - 1).map_or(before.at, |sample| sample.at);
            Verdict::Present(finding(newest, why, since))
        }
        (Level::Good, Level::Good) => Verdict::Absent,
        (Level::Bad(_), Level::Good | Level::Unclear(_)) => {
            Verdict::Inconclusive("one bad sample so far")
        }
        (Level::Unclear(why), _) | (_, Level::Unclear(why)) => Verdict::Inconclusive(why),
        (Level::Good, Level::Bad(_)) => Verdict::Inconclusive("one good sample so far"),
    }
}

enum Level {
    /// And in which words.
    Bad(String),
    Good,
    Unclear(&'static str),
}

/// What the sample at `from` (newest first) says, with those before it.
fn level(target: &Target, read: &[&Sample], from: usize) -> Level {
    let Some(past @ [sample, ..]) = read.get(from..) else { return Level::Unclear("not counted") };
    let Some(used) = health::used_slot_percent(sample) else {
        return Level::Unclear("not counted");
    };
    if used >= target.thresholds.connections_percent {
        return Level::Bad(format!("{used:.0} % of the connection slots are used"));
    }
    match target.profile {
        Profile::Lab => lab(target, sample),
        Profile::Production => production(target, sample, past),
    }
}

fn lab(target: &Target, sample: &Sample) -> Level {
    match health::judge(target, Some(sample), None) {
        Health::Score(score) if f64::from(score) < target.thresholds.open_below_score => {
            let idle = sample.reading(reading::IDLE_SESSIONS).unwrap_or_default();
            Level::Bad(format!("{idle:.0} idle sessions hold connection slots, health {score}"))
        }
        Health::Score(_) => Level::Good,
        Health::Starting | Health::Inconclusive => Level::Unclear("the health is not known"),
    }
}

fn production(target: &Target, sample: &Sample, past: &[&Sample]) -> Level {
    let thresholds = &target.thresholds;
    let Some(leaked) = sample.reading(reading::LEAKED_IDLE_SESSIONS) else {
        return Level::Unclear("this login may not see other roles' sessions");
    };
    if leaked < f64::from(thresholds.idle_leak_count) {
        return Level::Good;
    }
    match grows(past) {
        Some(true) => Level::Bad(format!(
            "{leaked:.0} sessions of one application have been idle for more than {:.0} s and \
             sessions still become more",
            thresholds.idle_leak_age_s
        )),
        Some(false) => Level::Unclear("many old idle sessions, but no more than before"),
        None => Level::Unclear("sessions were not watched for long enough"),
    }
}

/// Whether all of the newest third held more idle sessions than all of the oldest: a slope, not a flicker.
fn grows(past: &[&Sample]) -> Option<bool> {
    let (newest, oldest) = (past.first()?, past.last()?);
    let length = newest.at - oldest.at;
    if length < GROWTH_LEAST {
        return None;
    }
    let third = length / 3;
    let idle = |sample: &&&Sample| sample.reading(reading::IDLE_SESSIONS);
    let late = past.iter().filter(|sample| newest.at - sample.at < third);
    let early = past.iter().filter(|sample| sample.at - oldest.at < third);
    let least = late.filter_map(|sample| idle(&sample)).reduce(f64::min)?;
    let most = early.filter_map(|sample| idle(&sample)).reduce(f64::max)?;
    Some(least > most)
}

fn finding(newest: &Sample, why: String, since: DateTime<Utc>) -> Finding {
    let used = health::used_slot_percent(newest).unwrap_or_default();
    let severity = match used {
        high if high >= 90.0 => Severity::Critical,
        medium if medium >= 75.0 => Severity::High,
        _ => Severity::Medium,
    };
    let sentence = match words::slot_use(newest) {
        Some(slots) => format!("{why} ({slots})"),
        None => why,
    };
    let error_lines = Vec::new();
    Finding { kind: FindingKind::ConnectionPressure, severity, sentence, error_lines, since }
}
