//! Keys that were evicted before their time: less room than there was, or a policy that there was not.

use super::Judge;
use super::facts::Facts;
use super::redis_refusals::healthy_setting;
use super::verdict::{Verdict, source};
use super::words::{bytes, counted, line, seconds};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::reading;

pub(super) const EVICTION: Judge = Judge {
    cause: "eviction",
    title: "keys are evicted before their time",
    about: "The server has less room than when it was healthy, or a policy that lets it evict: keys go that clients \
            still ask for.",
    findings: &[FindingKind::CacheMisses],
    judge: evicts,
};

const LIMIT: &str = "maxmemory";
const POLICY: &str = "maxmemory-policy";

fn evicts(facts: &Facts) -> Option<JudgedCause> {
    let sources = [source::CLIENT_VIEW, source::REDIS_INFO, source::REDIS_CONFIG, source::BASELINE];
    let verdict = Verdict::on(facts, EVICTION.cause, &sources);
    let (evicted, s) = facts.growth(reading::EVICTED_KEYS_TOTAL)?;
    if evicted < 1.0 {
        return None;
    }
    let because = format!("{} evicted within {}", counted(evicted as u64, "key"), seconds(s));
    let Some(redis) = &facts.redis else {
        return Some(verdict.likely(because, "limit and policy now (CONFIG GET)"));
    };
    if redis.role == "slave" {
        return Some(verdict.inconclusive(because, "what its master does"));
    }
    let limit = lowered_from(facts).map(|was| {
        let was = if was == 0 { "none".into() } else { bytes(was) };
        format!("the limit (maxmemory) is {}, it was {was}", bytes(redis.maxmemory))
    });
    let policy = healthy_setting(facts, POLICY)
        .map(|was| format!("the policy is {}, it was {}", line(&redis.policy), line(was)));
    let changed: Vec<String> = limit.into_iter().chain(policy).collect();
    Some(match (changed.is_empty(), facts.baseline.contains_key(LIMIT)) {
        (false, _) => verdict.confirmed(format!("{because}; {}", changed.join("; "))),
        (true, true) => verdict.likely(
            format!("{because}, under the limit and the policy of always"),
            "what takes the room, or is read otherwise than before",
        ),
        (true, false) => verdict.likely(because, "limit and policy while it was healthy"),
    })
}

/// The memory limit of the healthy server, when there is less now.
fn lowered_from(facts: &Facts) -> Option<u64> {
    let now = facts.redis.as_ref()?.maxmemory;
    let was: u64 = healthy_setting(facts, LIMIT)?.parse().ok()?;
    (now > 0 && (was == 0 || now < was)).then_some(was)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MB, graded, leak};
    use super::*;

    /// 9,000 keys evicted in 40 s, under this limit and policy; healthy are 50 MB and noeviction.
    fn evicting(limit: u64, policy: &str) -> Facts {
        let mut facts = leak();
        facts.finding = FindingKind::CacheMisses;
        for (sample, evicted) in facts.samples.iter_mut().zip([0.0, 4_000.0, 9_000.0]) {
            sample.readings = sample.readings.with(reading::EVICTED_KEYS_TOTAL, evicted);
        }
        let redis = facts.redis.as_mut().unwrap();
        (redis.maxmemory, redis.policy) = (limit, policy.into());
        redis.settings = [(LIMIT.into(), limit.to_string()), (POLICY.into(), policy.into())].into();
        facts.baseline.insert(POLICY.into(), "noeviction".into());
        facts
    }

    #[test]
    fn less_room_or_another_policy_is_the_cause_and_a_full_cache_is_nobodys_fault() {
        let always = |mut facts: Facts| {
            facts.baseline.insert(LIMIT.into(), (8 * MB).to_string());
            facts.baseline.insert(POLICY.into(), "allkeys-lru".into());
            facts
        };
        let unknown = |mut facts: Facts| {
            facts.baseline.clear();
            facts
        };
        let with = |change: fn(&mut Facts)| {
            let mut facts = evicting(8 * MB, "allkeys-lru");
            change(&mut facts);
            facts
        };
        let cases: [(&str, Facts, &[&str]); 8] = [
            ("both", evicting(8 * MB, "allkeys-lru"), &["eviction: confirmed"]),
            ("a policy", evicting(50 * MB, "volatile-ttl"), &["eviction: confirmed"]),
            ("as always", always(evicting(8 * MB, "allkeys-lru")), &["eviction: likely"]),
            ("no baseline", unknown(evicting(8 * MB, "allkeys-lru")), &["eviction: likely"]),
            ("not seen inside", with(|f| f.redis = None), &["eviction: likely"]),
            (
                "a replica",
                with(|f| f.redis.as_mut().unwrap().role = "slave".into()),
                &["eviction: inconclusive"],
            ),
            ("nothing evicted", with(|f| f.samples.truncate(1)), &[]),
            ("another symptom", with(|f| f.finding = FindingKind::Slow), &[]),
        ];
        for (story, facts, expected) in cases {
            assert_eq!(graded(&facts), expected, "{story}");
        }
    }
}
