//! Keys without an end: one family of keys grows until the memory is full.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PrefixShare};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, count, name, percent, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Keys, Limit, MANY_KEYS, Memory, NO_TTL_PERCENT};

pub(crate) const LEAK: Judge = Judge {
    cause: "leak-oom",
    title: "leaking keys",
    about: "Keys under one prefix are written without a TTL and never removed, until the memory is full.",
    findings: FINDINGS,
    judge,
};

/// The dataset's share of used memory from which nothing else can be what fills it.
const MOSTLY_DATA: u64 = 80;

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    // Evicting any key makes room by itself; buffers or a few big keys are other causes.
    let other = memory.redis.policy.starts_with("allkeys")
        || memory.dataset_percent() < 50
        || memory.client_percent() >= 50
        || memory.few_keys().is_some();
    if other {
        return None;
    }
    let verdict = Verdict::on(
        facts,
        LEAK.cause,
        &[source::REDIS_INFO, source::REDIS_KEYS, source::BASELINE, source::CLIENT_VIEW],
    );
    match memory.limit() {
        Limit::LoweredFrom(was) => under_a_lower_limit(&memory, &verdict, was),
        Limit::NotLowered | Limit::Unknown => weigh(&memory, &verdict, memory.keys()),
    }
}

/// A lowered limit explains the symptom alone, unless keys go on coming or the data fills the old limit too.
fn under_a_lower_limit(
    memory: &Memory<'_>,
    verdict: &Verdict<'_>,
    was: u64,
) -> Option<JudgedCause> {
    let fills_old = was > 0 && percent(memory.redis.dataset_bytes, was) >= MOSTLY_DATA;
    match memory.keys() {
        Keys::Growing { .. } => weigh(memory, verdict, memory.keys()),
        Keys::Stable { .. } | Keys::Unknown if fills_old => {
            weigh(memory, verdict, memory.keys_ever())
        }
        Keys::Stable { .. } => None,
        Keys::Unknown if memory.is_beyond_limit() => None,
        Keys::Unknown => Some(verdict.inconclusive(
            "the limit was lowered, and whether keys go on coming besides is not known",
            "the number of keys (DBSIZE) again, to see whether it rises",
        )),
    }
}

fn weigh(memory: &Memory<'_>, verdict: &Verdict<'_>, keys: Keys) -> Option<JudgedCause> {
    let growth = growth(memory, keys);
    let Some(share) = memory.leading_prefix() else {
        return no_prefix(memory, verdict, keys, &growth);
    };
    if share.keys < MANY_KEYS || share.without_ttl_percent < 50 {
        return None;
    }
    let because = format!("{growth}; {}; {}", under_prefix(memory, share), data(memory));
    Some(verdict.confirmed_unless(because, missing(memory, share, keys)))
}

fn no_prefix(
    memory: &Memory<'_>,
    verdict: &Verdict<'_>,
    keys: Keys,
    growth: &str,
) -> Option<JudgedCause> {
    let data = data(memory);
    if memory.redis.prefixes.is_empty() {
        return Some(verdict.inconclusive(
            format!("{growth}; {data}; which keys those are could not be seen"),
            "which keys hold the bytes (SCAN with MEMORY USAGE)",
        ));
    }
    matches!(keys, Keys::Growing { .. }).then(|| {
        verdict.inconclusive(
            format!("{growth}; {data}; but no prefix holds most of them"),
            "which keys are the new ones",
        )
    })
}

/// The first thing that keeps it from being confirmed.
fn missing(memory: &Memory<'_>, share: &PrefixShare, keys: Keys) -> Option<String> {
    if memory.limit() == Limit::Unknown {
        return Some("maxmemory when the server was healthy, to rule out a lowered limit".into());
    }
    if !matches!(keys, Keys::Growing { .. }) {
        return Some("the number of keys from before the writes were refused: did it grow?".into());
    }
    if memory.dataset_percent() < MOSTLY_DATA || memory.client_percent() >= 20 {
        return Some("what else holds memory (MEMORY STATS), since the data is only part".into());
    }
    if share.bytes == 0 {
        return Some("the size of these keys (MEMORY USAGE)".into());
    }
    if percent(memory.in_all(share.bytes), memory.redis.dataset_bytes) < 50 {
        return Some("which keys hold the rest of the data, since these are less than half".into());
    }
    (share.without_ttl_percent < NO_TTL_PERCENT)
        .then(|| "whether the keys with a TTL make room when they expire".into())
}

fn growth(memory: &Memory<'_>, keys: Keys) -> String {
    let limit = match memory.limit() {
        Limit::NotLowered => {
            format!("maxmemory is {} as before", bytes(memory.redis.maxmemory))
        }
        Limit::LoweredFrom(_) | Limit::Unknown => {
            format!("maxmemory is {}", bytes(memory.redis.maxmemory))
        }
    };
    let now = count(memory.redis.keys);
    match keys {
        Keys::Growing { by, seconds: s } => {
            format!("keys rose by {} to {now} in {}; {limit}", count(by), seconds(s))
        }
        Keys::Stable { seconds: s } => {
            format!("{now} keys, no more than {} ago; {limit}", seconds(s))
        }
        Keys::Unknown => format!("{now} keys; {limit}"),
    }
}

fn under_prefix(memory: &Memory<'_>, share: &PrefixShare) -> String {
    let all: u64 = memory.redis.prefixes.iter().map(|other| other.bytes).sum();
    let held = if all > 0 {
        format!("{} % of the bytes counted", percent(share.bytes, all))
    } else {
        format!("{} % of the keys counted", percent(share.keys, memory.seen()))
    };
    let ttl = match share.without_ttl_percent {
        100 => "none of those looked at has a TTL".into(),
        without => format!("{without} % of those looked at have no TTL"),
    };
    let prefix = match share.prefix.as_str() {
        "" => "names without a prefix".into(),
        prefix => format!("{}*", name(prefix)),
    };
    format!("{held} lie under {prefix} and {ttl}")
}

fn data(memory: &Memory<'_>) -> String {
    format!(
        "data is {} % of the {} used, client buffers {} %",
        memory.dataset_percent(),
        bytes(memory.redis.used_memory),
        memory.client_percent()
    )
}
