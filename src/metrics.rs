//! How fast and how well incidents end: MTTD, MTTA, MTTR, and success by cause, action and actor. Pure.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;

use crate::domain::incident::Status;
use crate::ports::store::IncidentTimes;

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    pub by_cause: Vec<Success>,
    pub by_action: Vec<Success>,
    /// By who approved.
    pub by_actor: Vec<Success>,
}

/// Mean, median and ninth decile of some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: u64,
    pub mean_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p90_s: Option<f64>,
}

/// How often something ended well.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Success {
    pub name: String,
    pub ok: u64,
    /// What has ended; what is still going on does not count.
    pub total: u64,
}

impl Success {
    /// Whole percent, when anything has ended.
    pub fn percent(&self) -> Option<u64> {
        (self.total > 0).then(|| self.ok * 100 / self.total)
    }
}

/// Computes the figures.
pub fn of(times: &[IncidentTimes]) -> Metrics {
    let count =
        |status: Status| times.iter().filter(|t| t.status == status.as_str()).count() as u64;
    let (incidents, resolved, failed) =
        (times.len() as u64, count(Status::Resolved), count(Status::Failed));
    let between = |pair: &dyn Fn(&IncidentTimes) -> Option<TimeDelta>| {
        spread(times.iter().filter_map(pair).collect())
    };
    Metrics {
        incidents,
        resolved,
        failed,
        open: incidents - resolved - failed,
        mttd: between(&|t| Some(t.opened_at - t.first_bad_at)),
        mtta: between(&|t| Some(t.acknowledged_at? - t.opened_at)),
        mttr: between(&|t| Some(t.resolved_at? - t.opened_at)),
        by_cause: incidents_by(times, |t| Some(t.cause.clone().unwrap_or("unknown".into()))),
        by_action: actions(times),
        by_actor: incidents_by(times, |t| t.actor.clone()),
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
    let sum: f64 = durations.iter().copied().map(seconds).sum();
    let mean = u32::try_from(count).ok().filter(|n| *n > 0).map(|n| sum / f64::from(n));
    Spread { count: count as u64, mean_s: mean, p50_s: rank(50), p90_s: rank(90) }
}

fn seconds(duration: TimeDelta) -> f64 {
    duration.to_std().map_or(0.0, |duration| duration.as_secs_f64())
}

fn incidents_by(
    times: &[IncidentTimes],
    name: impl Fn(&IncidentTimes) -> Option<String>,
) -> Vec<Success> {
    let ended = times.iter().filter_map(|t| {
        let ok = t.status == Status::Resolved.as_str();
        (ok || t.status == Status::Failed.as_str()).then(|| Some((name(t)?, ok)))?
    });
    grouped(ended)
}

fn actions(times: &[IncidentTimes]) -> Vec<Success> {
    let ended = times.iter().flat_map(|t| &t.actions).filter(|(_, result)| result != "running");
    grouped(ended.map(|(action, result)| (action.clone(), result == "success")))
}

fn grouped(ended: impl Iterator<Item = (String, bool)>) -> Vec<Success> {
    let mut groups: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (name, ok) in ended {
        let group = groups.entry(name).or_default();
        group.0 += u64::from(ok);
        group.1 += 1;
    }
    groups.into_iter().map(|(name, (ok, total))| Success { name, ok, total }).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn incident(status: &str, cause: Option<&str>, resolved: Option<i64>) -> IncidentTimes {
        IncidentTimes {
            target: "redis-test".into(),
            finding: "writes-refused".into(),
            cause: cause.map(str::to_owned),
            status: status.into(),
            incident_type: "drill".into(),
            first_bad_at: at(0),
            opened_at: at(1),
            acknowledged_at: resolved.map(|_| at(5)),
            resolved_at: resolved.map(at),
            actions: Vec::new(),
            actor: resolved.map(|_| "ops1".into()),
        }
    }

    #[test]
    fn nothing_measured_is_no_number() {
        let metrics = of(&[]);
        assert_eq!(metrics, Metrics::default());
        assert_eq!(metrics.mttr.mean_s, None);
        assert_eq!(Success::default().percent(), None);
    }

    #[test]
    fn means_and_ranks_are_of_what_was_measured() {
        let times: Vec<_> =
            (1..=10).map(|n| incident("resolved", Some("leak-oom"), Some(1 + n * 10))).collect();
        let metrics = of(&times);
        assert_eq!(metrics.mttd.p50_s, Some(1.0));
        assert_eq!(metrics.mtta.mean_s, Some(4.0));
        assert_eq!(metrics.mttr.count, 10);
        assert_eq!(metrics.mttr.mean_s, Some(55.0));
        assert_eq!(metrics.mttr.p50_s, Some(50.0));
        assert_eq!(metrics.mttr.p90_s, Some(90.0));
    }

    #[test]
    fn what_is_still_open_does_not_count_as_success_or_failure() {
        let mut acted = incident("resolved", Some("leak-oom"), Some(9));
        acted.actions = vec![
            ("unlink_keys".into(), "failed".into()),
            ("unlink_keys".into(), "success".into()),
            ("restart_redis".into(), "running".into()),
        ];
        let metrics = of(&[
            acted,
            incident("failed", Some("leak-oom"), None),
            incident("fixing", Some("leak-oom"), None),
            incident("failed", None, None),
        ]);
        assert_eq!((metrics.incidents, metrics.resolved), (4, 1));
        assert_eq!((metrics.failed, metrics.open), (2, 1));
        let success = |name: &str, ok, total| Success { name: name.into(), ok, total };
        assert_eq!(metrics.by_cause, [success("leak-oom", 1, 2), success("unknown", 0, 1)]);
        assert_eq!(metrics.by_action, [success("unlink_keys", 1, 2)]);
        assert_eq!(metrics.by_actor, [success("ops1", 1, 1)]);
        assert_eq!(metrics.by_cause[0].percent(), Some(50));
    }
}
