//! How fast and how well incidents end: MTTD, MTTA, MTTR, where the time goes, and success by cause, target, action
//! and actor. Pure; what was not measured is no number.

mod buckets;
mod groups;
mod stages;

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use buckets::Buckets;
pub use groups::{Group, Success};
pub use stages::Stages;

use crate::domain::finding::FindingKind;
use crate::domain::ids::IncidentId;
use crate::domain::incident::Status;
use crate::domain::step::actor;
use crate::ports::store::IncidentTimes;

/// So many of the slowest incidents are named.
const SLOWEST: usize = 10;

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    pub incidents: u64,
    pub resolved: u64,
    pub failed: u64,
    pub open: u64,
    /// From the first bad sample to the incident.
    pub mttd: Spread,
    /// From the incident to the first decision of a person.
    pub mtta: Spread,
    /// From the incident to its end.
    pub mttr: Spread,
    pub counts: Counts,
    pub stages: Stages,
    pub by_cause: Vec<Group>,
    pub by_target: Vec<Group>,
    pub by_action: Vec<Success>,
    /// By who approved.
    pub by_actor: Vec<Group>,
    /// The slowest of all, slowest first.
    pub slowest: Vec<Slow>,
    /// MTTR over the time asked for, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_time: Option<Buckets>,
}

/// Mean and ranks of some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub mean_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p90_s: Option<f64>,
    pub p99_s: Option<f64>,
}

/// How often things went one way or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Incidents that ended because an execution was proved to have helped.
    pub by_agent: u64,
    /// Incidents that a person declared over.
    pub by_operator: u64,
    /// Incidents whose symptom went away by itself.
    pub by_itself: u64,
    /// Proposals that a person turned down.
    pub denied: u64,
    /// Proposals that nobody decided in time.
    pub expired: u64,
    /// Proposals that the policy let run.
    pub automatic: u64,
    /// Executions that were taken back.
    pub undone: u64,
}

/// One of the slowest incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    pub id: IncidentId,
    pub number: u64,
    pub target: String,
    /// The cause, or the finding where no cause is known.
    pub cause: String,
    pub took_s: f64,
    /// What took the time, where one thing stands out.
    pub why: Option<String>,
}

/// Computes the figures.
pub fn of(all: &[IncidentTimes]) -> Metrics {
    let times = &*trouble(all);
    let (resolved, failed) = (count(times, Status::Resolved), count(times, Status::Failed));
    let between = |pair: &dyn Fn(&IncidentTimes) -> Option<TimeDelta>| {
        spread(times.iter().filter_map(pair).collect())
    };
    Metrics {
        incidents: times.len() as u64,
        resolved,
        failed,
        open: times.len() as u64 - resolved - failed,
        mttd: between(&|t| Some(t.opened_at - t.first_bad_at)),
        mtta: between(&|t| Some(t.acknowledged_at? - t.opened_at)),
        mttr: between(&took),
        counts: counts(times),
        stages: stages::of(times),
        by_cause: groups::of(times, |t| Some(t.cause.clone().unwrap_or("unknown".into()))),
        by_target: groups::of(times, |t| Some(t.target.clone())),
        by_action: groups::actions(all),
        by_actor: groups::of(times, |t| t.actor.clone()),
        slowest: slowest(times.iter()),
        over_time: None,
    }
}

/// The figures with how MTTR went from `since`, or the first incident, until `now`.
pub fn over(times: &[IncidentTimes], since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Metrics {
    Metrics { over_time: buckets::of(&trouble(times), since, now), ..of(times) }
}

/// The incidents that something was wrong in. What a person asked for was neither detected nor recovered from: of it,
/// only how its actions went counts.
fn trouble(all: &[IncidentTimes]) -> Cow<'_, [IncidentTimes]> {
    let is_trouble = |times: &&IncidentTimes| times.finding != FindingKind::Requested.as_str();
    if all.iter().all(|times| is_trouble(&times)) {
        return Cow::Borrowed(all);
    }
    all.iter().filter(is_trouble).cloned().collect()
}

fn count(times: &[IncidentTimes], status: Status) -> u64 {
    times.iter().filter(|t| t.status == status.as_str()).count() as u64
}

/// From the incident to its end.
fn took(times: &IncidentTimes) -> Option<TimeDelta> {
    Some(times.resolved_at? - times.opened_at)
}

fn counts(times: &[IncidentTimes]) -> Counts {
    let mut counts = Counts::default();
    for times in times {
        if times.status == Status::Resolved.as_str() {
            match times.ended_by.as_deref() {
                Some(actor::AGENT) => counts.by_agent += 1,
                None | Some(actor::DETECTOR | actor::ENGINE | actor::WATCHDOG) => {
                    counts.by_itself += 1;
                }
                Some(_) => counts.by_operator += 1,
            }
        }
        for attempt in &times.attempts {
            counts.undone += u64::from(attempt.undone);
            match attempt.decision.as_deref() {
                Some("denied") => counts.denied += 1,
                Some("expired") => counts.expired += 1,
                Some("automatic") => counts.automatic += 1,
                _ => {}
            }
        }
    }
    counts
}

fn slowest<'a>(times: impl Iterator<Item = &'a IncidentTimes>) -> Vec<Slow> {
    let mut ended: Vec<_> = times.filter_map(|t| Some((took(t)?, t))).collect();
    ended.sort_by_key(|(took, t)| (std::cmp::Reverse(*took), t.number));
    ended.into_iter().take(SLOWEST).map(|(took, times)| slow(times, took)).collect()
}

fn slow(times: &IncidentTimes, took: TimeDelta) -> Slow {
    Slow {
        id: times.id,
        number: times.number,
        target: times.target.clone(),
        cause: times.cause.clone().unwrap_or_else(|| times.finding.clone()),
        took_s: seconds(took),
        why: stages::why(times),
    }
}

/// Nearest rank, so that every figure is one that was measured.
fn spread(mut durations: Vec<TimeDelta>) -> Spread {
    durations.sort_unstable();
    let count = durations.len();
    let rank = |percent: usize| {
        let index = (count * percent).div_ceil(100).max(1) - 1;
        durations.get(index).copied().map(seconds)
    };
    let mean_s = mean(durations.iter().copied().map(seconds));
    Spread { count: count as u64, mean_s, p50_s: rank(50), p90_s: rank(90), p99_s: rank(99) }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn seconds(duration: TimeDelta) -> f64 {
    duration.to_std().map_or(0.0, |duration| duration.as_secs_f64())
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
