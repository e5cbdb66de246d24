//! `redis evictions`: what is thrown out or expires, and whether that hurts, between two looks.

use std::time::Duration;

use serde::Serialize;

use super::redis::RedisDesk;
use super::redis_memory::{Memory, one_look_only};
use super::report::{Check, Column, Draft, Grade, Unit};
use super::unknown::Unknown;
use super::{Ask, Given, Inspection};
use crate::actions::Need;
use crate::targets::redis::Info;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_evictions",
    verb: "evictions",
    title: "Evictions",
    about: "Keys evicted and expired, refused writes and the hit ratio between two looks (--watch), with the policy and \
            the share of keys that expire. A cache that evicts is not sick.",
    args: &[],
    needs: &[Need::Redis(&["info"])],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl redis evictions --watch 5",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

/// Fewer lookups tell nothing of the ratio.
const LOOKUPS: u64 = 1_000;

#[derive(Clone, Debug, Default, Serialize)]
struct Counters {
    policy: String,
    keys: u64,
    expiring_pct: f64,
    evicted: u64,
    expired: u64,
    hits: u64,
    misses: u64,
    refused: u64,
    #[serde(skip)]
    refuses_when_full: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Between {
    seconds: f64,
    evicted: u64,
    expired: u64,
    refused: u64,
    /// `None`: too few lookups to tell.
    hit_pct: Option<f64>,
}

const COUNTERS: &[Column] = &[
    ("policy", Unit::None),
    ("keys", Unit::Count),
    ("expiring_pct", Unit::Percent),
    ("evicted", Unit::Count),
    ("expired", Unit::Count),
    ("refused", Unit::Count),
];
const BETWEEN: &[Column] = &[
    ("seconds", Unit::Seconds),
    ("evicted", Unit::Count),
    ("expired", Unit::Count),
    ("refused", Unit::Count),
    ("hit_pct", Unit::Percent),
];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let counters = desk.info().await.map(|info| read(&info));
    draft.figures("counters", "Since the start", &counters, COUNTERS);
    if let Ok(counters) = &counters {
        let before = desk.earlier.since("evictions", counters);
        let between: Result<Between, Unknown> =
            before.map(|(s, before)| between(&before, counters, s)).ok_or_else(one_look_only);
        if let Ok(between) = &between {
            draft.judge(judge(counters, between));
        }
        draft.figures("between", "Since the look before", &between, BETWEEN);
    }
    draft
}

fn read(info: &Info) -> Counters {
    let memory = Memory::of(info);
    let whole = |field: &str| info.whole(field).unwrap_or_default();
    Counters {
        expiring_pct: 100.0 * memory.expiring as f64 / memory.keys.max(1) as f64,
        evicted: whole("evicted_keys"),
        expired: whole("expired_keys"),
        hits: whole("keyspace_hits"),
        misses: whole("keyspace_misses"),
        refused: memory.oom_errors.unwrap_or_default(),
        refuses_when_full: memory.refuses_when_full(),
        keys: memory.keys,
        policy: memory.policy,
    }
}

fn between(before: &Counters, now: &Counters, seconds: f64) -> Between {
    let hits = now.hits.saturating_sub(before.hits);
    let all = hits + now.misses.saturating_sub(before.misses);
    Between {
        seconds,
        evicted: now.evicted.saturating_sub(before.evicted),
        expired: now.expired.saturating_sub(before.expired),
        refused: now.refused.saturating_sub(before.refused),
        hit_pct: (all >= LOOKUPS).then(|| 100.0 * hits as f64 / all as f64),
    }
}

fn judge(now: &Counters, b: &Between) -> Vec<Check> {
    let volatile = now.policy.starts_with("volatile-") && b.evicted > 0;
    vec![
        Check::graded("evicted", if volatile { Grade::Warn } else { Grade::Ok })
            .because(format!("{} keys evicted under {}", b.evicted, now.policy))
            .advise("keys that were to live until a time went before it: give it more room"),
        Check::graded("refused", if b.refused > 0 { Grade::Crit } else { Grade::Ok })
            .because(format!("{} writes refused for lack of memory", b.refused))
            .advise(if now.refuses_when_full {
                "nothing may be evicted: make room, or raise maxmemory"
            } else {
                "one write was larger than what could be evicted for it"
            }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(policy: &str, b: &Between) -> Vec<Grade> {
        let now = Counters { policy: policy.into(), ..Counters::default() };
        judge(&now, b).iter().map(|check| check.grade).collect()
    }

    #[test]
    fn a_cache_that_evicts_is_not_sick() {
        let evicted = Between { evicted: 500, ..Between::default() };
        assert_eq!(grades("allkeys-lru", &evicted), [Grade::Ok; 2]);
        assert_eq!(grades("volatile-ttl", &evicted)[0], Grade::Warn);
        let refused = Between { refused: 1, ..Between::default() };
        assert_eq!(grades("noeviction", &refused)[1], Grade::Crit);
    }

    #[test]
    fn the_hit_ratio_is_of_the_interval_and_of_enough_lookups() {
        let at = |hits, misses| Counters { hits, misses, ..Counters::default() };
        assert_eq!(between(&at(9_000, 0), &at(9_000, 999), 1.0).hit_pct, None);
        assert_eq!(between(&at(9_000, 0), &at(9_500, 500), 1.0).hit_pct, Some(50.0));
    }
}
