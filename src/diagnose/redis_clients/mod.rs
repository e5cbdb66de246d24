//! A Redis that turns new clients away: a limit that came down, or clients that only stay.

use std::collections::BTreeMap;

use super::Judge;
use super::facts::{Facts, RedisClient, RedisFacts};
use super::verdict::{Verdict, source};
use super::words::{count, counted, name, percent, seconds};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

#[cfg(test)]
mod tests;

pub(super) const LIMIT_LOWERED: Judge = Judge {
    cause: "maxclients",
    title: "client limit lowered",
    about: "maxclients is below what it was when the server was healthy, and the clients would fit under the \
            old limit.",
    findings: FINDINGS,
    judge: judge_limit,
};

pub(super) const IDLE_CLIENTS: Judge = Judge {
    cause: "idle-clients",
    title: "clients that only stay",
    about: "One client keeps connections open that do nothing, until every slot is taken.",
    findings: FINDINGS,
    judge: judge_idle,
};

const FINDINGS: &[FindingKind] = &[FindingKind::ClientsRefused];
/// A shorter silence is a pause between two commands.
pub(crate) const IDLE_S: u64 = 5;
/// From this share of the limit on, a server has no room: our own look takes slots too.
const FULL_PERCENT: u64 = 80;
/// So many slots are to be free afterwards.
const FREE_PERCENT: u64 = 20;
const MOST_CUT: usize = 500;
const SOURCES: &[&str] = &[
    source::REDIS_INFO,
    source::REDIS_CONFIG,
    source::REDIS_CLIENTS,
    source::REDIS_AGAIN,
    source::BASELINE,
    source::CLIENT_VIEW,
];

/// The limit of the healthy server.
fn limit_before(facts: &Facts) -> Option<u64> {
    facts.baseline.get("maxclients")?.trim().parse().ok()
}

fn full(facts: &Facts) -> Option<&RedisFacts> {
    let redis = facts.redis.as_ref()?;
    (redis.maxclients > 0 && percent(redis.connected, redis.maxclients) >= FULL_PERCENT)
        .then_some(redis)
}

fn judge_limit(facts: &Facts) -> Option<JudgedCause> {
    let redis = full(facts)?;
    let verdict = Verdict::on(facts, LIMIT_LOWERED.cause, SOURCES);
    let now = format!("{} of {}", redis.connected, counted(redis.maxclients, "client"));
    let Some(was) = limit_before(facts) else {
        return Some(verdict.inconclusive(
            format!("{now} are connected; what the limit (maxclients) was before is not known"),
            "maxclients when the server was healthy",
        ));
    };
    if was <= redis.maxclients {
        return None;
    }
    let because = format!(
        "the limit (maxclients) is {}, it was {}; {} are connected",
        count(redis.maxclients),
        count(was),
        count(redis.connected)
    );
    if percent(redis.connected, was) >= FULL_PERCENT {
        return Some(verdict.likely(
            format!("{because}, who would hardly fit under the old limit either"),
            "what the clients do that are connected",
        ));
    }
    Some(verdict.confirmed(format!("{because}, who would all fit under the old limit")))
}

fn judge_idle(facts: &Facts) -> Option<JudgedCause> {
    let redis = full(facts)?;
    let was = limit_before(facts);
    // Under a limit that came down, idle clients are no more than a usual pool.
    if was.is_some_and(|was| was > redis.maxclients && percent(redis.connected, was) < FULL_PERCENT)
    {
        return None;
    }
    let group = largest_idle(redis)?;
    if percent(group.len() as u64, redis.clients.len() as u64) < 50 {
        return None;
    }
    let verdict = Verdict::on(facts, IDLE_CLIENTS.cause, SOURCES);
    let oldest = group.iter().map(|client| client.idle_s).max().unwrap_or_default();
    let who = group.first().map_or("", |client| host(client));
    let because = format!(
        "{} of {} are connected; {} from {} have done nothing for {IDLE_S} s or more, one for {}",
        redis.connected,
        counted(redis.maxclients, "client"),
        counted(group.len() as u64, "connection"),
        name(who),
        seconds(oldest as f64)
    );
    let Some(again) = &redis.again else {
        return Some(
            verdict.likely(because, "the same clients a second time: are they still idle?"),
        );
    };
    let still = group
        .iter()
        .filter(|idle| again.clients.iter().any(|c| c.id == idle.id && c.idle_s >= idle.idle_s));
    let still = still.count();
    if still < group.len() {
        let awake = count((group.len() - still) as u64);
        return Some(verdict.likely(
            format!("{because}; {awake} of them did something a moment later"),
            "which of them are never used (CLIENT LIST over a longer time)",
        ));
    }
    Some(verdict.confirmed_unless(
        format!("{because}; a moment later they all still are"),
        was.is_none().then(|| {
            "maxclients when the server was healthy, to rule out a lowered limit".to_owned()
        }),
    ))
}

fn host(client: &RedisClient) -> &str {
    client.addr.rsplit_once(':').map_or(client.addr.as_str(), |(host, _port)| host)
}

/// The idle connections of the one client (host, name and user) that has most of them.
fn largest_idle(redis: &RedisFacts) -> Option<Vec<&RedisClient>> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&RedisClient>> = BTreeMap::new();
    for client in redis.clients.iter().filter(|client| is_idle(client)) {
        let who = (host(client), client.name.as_str(), client.user.as_str());
        groups.entry(who).or_default().push(client);
    }
    groups.into_values().max_by_key(Vec::len)
}

fn is_idle(client: &RedisClient) -> bool {
    // Replicas, monitors, subscribers and those who wait for a list are not idle, whatever they say.
    client.idle_s >= IDLE_S && !client.flags.contains(['S', 'M', 'O', 'P', 'b', 'x'])
}

/// What ends it: the longest idle first, no more than makes a fifth of the slots free.
pub(crate) fn idle_to_end(facts: &Facts) -> Vec<&RedisClient> {
    let Some(redis) = full(facts) else { return Vec::new() };
    let mut idle = largest_idle(redis).unwrap_or_default();
    idle.sort_by_key(|client| (std::cmp::Reverse(client.idle_s), client.id));
    let keep = redis.maxclients - (redis.maxclients * FREE_PERCENT).div_ceil(100);
    let needed = usize::try_from(redis.connected.saturating_sub(keep)).unwrap_or(MOST_CUT);
    idle.truncate(needed.min(MOST_CUT));
    idle
}

/// The limit of the healthy server, when the present one is below it.
pub(crate) fn limit_to_restore(facts: &Facts) -> Option<u64> {
    let now = facts.redis.as_ref()?.maxclients;
    limit_before(facts).filter(|was| *was > now)
}
