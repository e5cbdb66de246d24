//! The limit came down on data that fitted before.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, count, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Keys, Limit, Memory};

pub(crate) const MAXMEMORY_LOWERED: Judge = Judge {
    cause: "maxmemory-lowered",
    title: "memory limit lowered",
    about: "maxmemory is below what it was when the server was healthy, and the data would fit under the \
            old limit.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let sources = [source::REDIS_CONFIG, source::BASELINE, source::REDIS_INFO, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, MAXMEMORY_LOWERED.cause, &sources);
    let (used, now) = (memory.redis.used_memory, memory.redis.maxmemory);
    match memory.limit() {
        Limit::NotLowered => None,
        Limit::Unknown => Some(without_baseline(&memory, &verdict)),
        Limit::LoweredFrom(was) => {
            let lowered =
                format!("the limit (maxmemory) is {}, it was {}", bytes(now), limit_words(was));
            if was > 0 && used >= was {
                return Some(verdict.likely(
                    format!("{lowered}; but the {} used would not fit there either", bytes(used)),
                    "what fills the memory besides",
                ));
            }
            let because = format!("{lowered}, where the {} used would fit", bytes(used));
            Some(fits_before(&memory, &verdict, &because))
        }
    }
}

fn without_baseline(memory: &Memory<'_>, verdict: &Verdict<'_>) -> JudgedCause {
    let now = bytes(memory.redis.maxmemory);
    let because = format!("the limit (maxmemory) is {now}, and what it was before is not known");
    let missing = "maxmemory when the server was healthy";
    if memory.is_beyond_limit() {
        let data = bytes(memory.redis.dataset_bytes);
        return verdict.likely(format!("{because}; the data alone is {data}"), missing);
    }
    verdict.inconclusive(because, missing)
}

fn fits_before(memory: &Memory<'_>, verdict: &Verdict<'_>, because: &str) -> JudgedCause {
    match memory.keys() {
        Keys::Growing { by, seconds: s } => verdict.confirmed(format!(
            "{because}; besides, {} keys were added in {} under the lower limit",
            count(by),
            seconds(s)
        )),
        Keys::Stable { .. } | Keys::Unknown if memory.is_beyond_limit() => {
            verdict.confirmed(format!(
                "{because}; the data alone ({}) is above the limit, where writes cannot carry it",
                bytes(memory.redis.dataset_bytes)
            ))
        }
        Keys::Stable { seconds: s } => verdict.confirmed(format!(
            "{because}; the number of keys ({}) has been stable for {} under it",
            count(memory.redis.keys),
            seconds(s)
        )),
        Keys::Unknown => {
            verdict.likely(because, "the number of keys (DBSIZE) again, to see whether it rises")
        }
    }
}

fn limit_words(limit: u64) -> String {
    if limit == 0 { "unlimited".into() } else { bytes(limit) }
}
