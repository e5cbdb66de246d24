//! Memory in very few keys: one huge value, or a queue that nobody empties.

use crate::diagnose::Judge;
use crate::diagnose::facts::{BigKey, Facts, RedisClient};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, count, counted, name};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::sample::reading;

use super::{FINDINGS, FewKeys, Keys, Limit, Memory};

pub(crate) const BIG_KEY: Judge = Judge {
    cause: "big-key",
    title: "one huge key",
    about: "One key, or very few, hold most of the memory.",
    findings: FINDINGS,
    judge: judge_big_key,
};

pub(crate) const LIST_BACKLOG: Judge = Judge {
    cause: "list-backlog",
    title: "a queue nobody empties",
    about: "Producers go on adding to one list or stream while its consumers are gone or too slow.",
    findings: FINDINGS,
    judge: judge_backlog,
};

const SOURCES: &[&str] = &[
    source::REDIS_INFO,
    source::REDIS_KEYS,
    source::REDIS_CLIENTS,
    source::REDIS_AGAIN,
    source::BASELINE,
    source::CLIENT_VIEW,
];
const SETTLES: &str = "type and length of the biggest key, twice: a list that grows is a backlog";
/// Data that grew by less is no feeding.
const FED_BYTES: f64 = 65_536.0;
/// A command longer ago says nothing about what a client does now.
const RECENT_S: u64 = 10;

fn judge_big_key(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let held = held(&memory)?;
    let verdict = Verdict::on(facts, BIG_KEY.cause, SOURCES);
    let Some(key) = memory.giant() else {
        return Some(if is_fed(&memory) {
            verdict.inconclusive(held, SETTLES)
        } else {
            verdict.likely(held, SETTLES)
        });
    };
    if is_queue(key) {
        // Its items are work not yet done: never a key to be rid of.
        return None;
    }
    Some(verdict.confirmed_unless(told(&memory, key), missing(&memory, key)))
}

fn told(memory: &Memory<'_>, key: &BigKey) -> String {
    format!(
        "{} of the {} of data lie in one key, {} ({}); there are {} in all, and client buffers are {} % \
         of the {} used",
        bytes(key.bytes),
        bytes(memory.redis.dataset_bytes),
        name(&key.name),
        shape(key),
        counted(memory.redis.keys, "key"),
        memory.client_percent(),
        bytes(memory.redis.used_memory)
    )
}

fn shape(key: &BigKey) -> String {
    let unit = if key.kind == "string" { "byte" } else { "item" };
    format!("a {} of {}", name(&key.kind), counted(key.length, unit))
}

/// The first thing that keeps it from being confirmed.
fn missing(memory: &Memory<'_>, key: &BigKey) -> Option<String> {
    match memory.limit() {
        Limit::Unknown => {
            return Some(
                "maxmemory when the server was healthy, to rule out a lowered limit".into(),
            );
        }
        Limit::LoweredFrom(was) if was == 0 || memory.redis.used_memory < was => {
            return Some("the limit as it was: under it, this key would do no harm".into());
        }
        Limit::LoweredFrom(_) | Limit::NotLowered => {}
    }
    if memory.dataset_percent() < 50 {
        return Some("what else holds memory (MEMORY STATS), since the data is only part".into());
    }
    let again = memory.redis.again.as_ref().and_then(|again| find(&again.biggest, key));
    match again {
        None => Some("the key a second time: is it still as large?".into()),
        Some(later) if later.bytes < key.bytes / 2 => {
            Some("whether it goes on shrinking by itself".into())
        }
        Some(_) => None,
    }
}

fn judge_backlog(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let held = held(&memory)?;
    let verdict = Verdict::on(facts, LIST_BACKLOG.cause, SOURCES);
    let Some(key) = memory.giant() else {
        return is_fed(&memory).then(|| {
            let because = format!(
                "{held}; the data grew while the number of keys did not, and clients are pushing"
            );
            verdict.likely(because, SETTLES)
        });
    };
    if !is_queue(key) {
        return None;
    }
    let length = shape(key);
    let what = format!(
        "{} of the {} of data lie in one key, {}, {length}",
        bytes(key.bytes),
        bytes(memory.redis.dataset_bytes),
        name(&key.name)
    );
    let takers = takers(&memory);
    if let Some(growth) = feeding(&memory, key) {
        return Some(verdict.confirmed(format!("{what}; {growth}; {takers}")));
    }
    let because = format!("{what}; it was not seen to grow; {takers}");
    Some(verdict.likely(because, "its length over a longer time, and who adds to it"))
}

/// What shows that somebody adds to the queue.
fn feeding(memory: &Memory<'_>, key: &BigKey) -> Option<String> {
    let later = memory.redis.again.as_ref().and_then(|again| find(&again.biggest, key));
    if let Some(more) =
        later.and_then(|later| later.length.checked_sub(key.length)).filter(|n| *n > 0)
    {
        return Some(format!("it grew by {} between two looks", counted(more, "item")));
    }
    // A full server refuses the next item, so that only the past and those who try tell.
    is_fed(memory).then(|| {
        let pushing = memory.redis.clients.iter().filter(|client| is_pushing(client)).count();
        format!(
            "the data grew while the number of keys did not, and {} on trying to add",
            match pushing {
                1 => "1 client goes".into(),
                many => format!("{} clients go", count(many as u64)),
            }
        )
    })
}

fn takers(memory: &Memory<'_>) -> String {
    match memory.redis.clients.iter().filter(|client| is_taking(client)).count() {
        0 => "nobody was seen taking from it".into(),
        1 => "1 client takes, too slowly".into(),
        many => format!("{} clients take, too slowly", count(many as u64)),
    }
}

fn find<'k>(keys: &'k [BigKey], like: &BigKey) -> Option<&'k BigKey> {
    keys.iter().find(|key| key.name == like.name && key.kind == like.kind)
}

fn is_queue(key: &BigKey) -> bool {
    matches!(key.kind.as_str(), "list" | "stream")
}

/// Where most of the data is, when that is few keys.
fn held(memory: &Memory<'_>) -> Option<String> {
    let data = memory.redis.dataset_bytes;
    let few = memory.few_keys().filter(|_| memory.dataset_percent() >= 50)?;
    Some(match few {
        FewKeys::Hold { bytes: held, keys } => {
            format!(
                "{} of the {} of data lie in {}",
                bytes(held),
                bytes(data),
                counted(keys, "key")
            )
        }
        FewKeys::Unseen { explained } => format!(
            "the keys that were counted explain only {explained} % of the {} of data, so a few big ones \
             hold the rest",
            bytes(data)
        ),
    })
}

/// The data grows, the keys do not, and somebody pushes.
fn is_fed(memory: &Memory<'_>) -> bool {
    let grown = memory.facts.growth(reading::DATASET_BYTES).is_some_and(|(by, _)| by > FED_BYTES);
    let keys_rise = matches!(memory.keys_ever(), Keys::Growing { .. });
    grown && !keys_rise && memory.redis.clients.iter().any(is_pushing)
}

fn is_pushing(client: &RedisClient) -> bool {
    does(client, &["lpush", "rpush", "lpushx", "rpushx", "linsert", "xadd"])
}

fn is_taking(client: &RedisClient) -> bool {
    const TAKING: &[&str] = &[
        "blmove",
        "blmpop",
        "blpop",
        "brpop",
        "brpoplpush",
        "lmove",
        "lmpop",
        "lpop",
        "rpop",
        "rpoplpush",
        "xack",
        "xdel",
        "xreadgroup",
        "xtrim",
    ];
    does(client, TAKING)
}

fn does(client: &RedisClient, commands: &[&str]) -> bool {
    client.idle_s <= RECENT_S && commands.contains(&client.cmd.as_str())
}

/// The key that fills the server, where it is one that may go.
pub(crate) fn giant_key(facts: &Facts) -> Option<&BigKey> {
    Memory::of(facts)?.giant().filter(|key| !is_queue(key))
}
