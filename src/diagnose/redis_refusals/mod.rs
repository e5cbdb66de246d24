//! A Redis that answers with an error of its own: its prefix names the family, and what the server is like inside
//! decides between causes of the same prefix.

use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Origin, Sample};

use super::facts::{Facts, RedisFacts};

mod access;
mod pause;
mod replication;
mod saving;
mod script;

#[cfg(test)]
mod tests;

pub(super) use access::{ACL_NO_WRITE, BIND, REQUIREPASS, USER_OFF};
pub(super) use pause::CLIENT_PAUSE;
pub(super) use replication::{MIN_REPLICAS, REPLICAOF_DEAD};
pub(super) use saving::{AOF_ENOSPC, FORK_FAILS, RDB_ENOSPC};
pub(crate) use saving::{has_room, spare_file};
pub(super) use script::{BUSY_SCRIPT, BUSY_SCRIPT_WROTE};

/// Writes alone fail, or everything does.
const FINDINGS: &[FindingKind] = &[FindingKind::WritesRefused, FindingKind::ProbeFailing];

/// The newest answer with this prefix of either connection, while it is still the newest thing that it met.
fn said<'a>(facts: &'a Facts, prefix: &str) -> Option<&'a str> {
    let newest = [Origin::Held, Origin::Fresh].map(|origin| newest(facts, origin));
    newest.into_iter().flatten().find_map(|sample| match sample.first_bad()? {
        Answer::Error { code, text } if code == prefix => Some(text.as_str()),
        Answer::Error { .. }
        | Answer::Ok
        | Answer::Gone { .. }
        | Answer::Hung { .. }
        | Answer::Starting { .. }
        | Answer::NotAsked => None,
    })
}

fn newest(facts: &Facts, origin: Origin) -> Option<&Sample> {
    facts.samples.iter().rev().find(|sample| sample.origin == origin)
}

/// A setting now and while the server was healthy.
struct Setting<'a> {
    now: &'a str,
    was: Option<&'a str>,
}

impl<'a> Setting<'a> {
    fn of(facts: &'a Facts, redis: &'a RedisFacts, name: &str) -> Option<Self> {
        let was = facts.baseline.get(name).map(String::as_str);
        Some(Self { now: redis.settings.get(name)?, was })
    }

    fn changed(&self) -> bool {
        self.was.is_some_and(|was| was != self.now)
    }
}

/// The value of the healthy server, when the present one is another.
pub(crate) fn healthy_setting<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    let setting = Setting::of(facts, facts.redis.as_ref()?, name)?;
    setting.was.filter(|_| setting.changed())
}

/// The name and the healthy rule of the user we log in as, when the present rule is another.
pub(crate) fn healthy_rule(facts: &Facts) -> Option<(&str, &str)> {
    let login = facts.redis.as_ref()?.login.as_str();
    Some((login, healthy_setting(facts, &format!("acl user {login}"))?))
}

/// The master of a server that had none, while the link to it is down.
pub(crate) fn dead_master(facts: &Facts) -> Option<&str> {
    let redis = facts.redis.as_ref()?;
    let setting = Setting::of(facts, redis, "replicaof")?;
    let is_dead = redis.master_link.as_deref() == Some("down");
    (setting.changed() && is_dead && !setting.now.is_empty()).then_some(setting.now)
}
