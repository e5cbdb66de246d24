//! Figures by what incidents have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Slow, Spread, slowest, spread, took};
use crate::domain::incident::Status;
use crate::ports::store::IncidentTimes;

/// The incidents that share a cause, a target or an actor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub incidents: u64,
    pub mttr: Spread,
    pub ok: u64,
    /// What has ended; what is still going on does not count.
    pub total: u64,
    /// The slowest of them, slowest first.
    pub slowest: Vec<Slow>,
}

/// How often something ended well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Success {
    pub name: String,
    pub ok: u64,
    /// What has ended; what is still going on does not count.
    pub total: u64,
}

impl Group {
    /// Whole percent, when anything has ended.
    pub fn percent(&self) -> Option<u64> {
        percent(self.ok, self.total)
    }
}

impl Success {
    /// Whole percent, when anything has ended.
    pub fn percent(&self) -> Option<u64> {
        percent(self.ok, self.total)
    }
}

fn percent(ok: u64, total: u64) -> Option<u64> {
    (total > 0).then(|| ok * 100 / total)
}

/// The largest group first; incidents without a name are in none.
pub(super) fn of(
    times: &[IncidentTimes],
    name: impl Fn(&IncidentTimes) -> Option<String>,
) -> Vec<Group> {
    let mut by_name: BTreeMap<String, Vec<&IncidentTimes>> = BTreeMap::new();
    for times in times {
        if let Some(name) = name(times) {
            by_name.entry(name).or_default().push(times);
        }
    }
    let mut groups: Vec<Group> =
        by_name.into_iter().map(|(name, times)| group(name, &times)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.incidents));
    groups
}

fn group(name: String, times: &[&IncidentTimes]) -> Group {
    let with = |status: Status| times.iter().filter(|t| t.status == status.as_str()).count() as u64;
    let (ok, failed) = (with(Status::Resolved), with(Status::Failed));
    Group {
        name,
        incidents: times.len() as u64,
        mttr: spread(times.iter().filter_map(|t| took(t)).collect()),
        ok,
        total: ok + failed,
        slowest: slowest(times.iter().copied()),
    }
}

/// How the executed actions went, by name.
pub(super) fn actions(times: &[IncidentTimes]) -> Vec<Success> {
    let mut groups: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let ended = times.iter().flat_map(|t| &t.actions).filter(|(_, result)| result != "running");
    for (action, result) in ended {
        let group = groups.entry(action).or_default();
        group.0 += u64::from(result == "success");
        group.1 += 1;
    }
    let success = |(name, (ok, total)): (&str, _)| Success { name: name.to_owned(), ok, total };
    groups.into_iter().map(success).collect()
}
