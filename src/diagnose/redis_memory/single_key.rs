//! The data lies in very few keys: one that is too big, or a list that nobody empties.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, RedisClient};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, counted};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::sample::reading;

use super::{FINDINGS, FewKeys, Keys, Memory};

pub(crate) const BIG_KEY: Judge = Judge {
    cause: "big-key",
    title: "one huge key",
    about: "Very few keys hold most of the memory.",
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

const SOURCES: &[&str] =
    &[source::REDIS_INFO, source::REDIS_KEYS, source::REDIS_CLIENTS, source::CLIENT_VIEW];
const SETTLES: &str = "type and length of the biggest key, twice: a list that grows is a backlog";

fn judge_big_key(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let because = held(&memory)?;
    let verdict = Verdict::on(facts, BIG_KEY.cause, SOURCES);
    Some(if is_fed(&memory) {
        verdict.inconclusive(because, SETTLES)
    } else {
        verdict.likely(because, SETTLES)
    })
}

fn judge_backlog(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let held = held(&memory)?;
    is_fed(&memory).then(|| {
        let because = format!(
            "{held}; the data grew while the number of keys did not, and clients are pushing"
        );
        Verdict::on(facts, LIST_BACKLOG.cause, SOURCES).likely(because, SETTLES)
    })
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
    let grown = memory.facts.growth(reading::DATASET_BYTES).is_some_and(|(by, _)| by > 65_536.0);
    let keys_rise = matches!(memory.keys_ever(), Keys::Growing { .. });
    grown && !keys_rise && memory.redis.clients.iter().any(is_pushing)
}

fn is_pushing(client: &RedisClient) -> bool {
    ["lpush", "rpush", "lpushx", "rpushx", "linsert", "xadd"].contains(&client.cmd.as_str())
}
