//! Redis data that is gone although the server is well.

use super::Judge;
use super::facts::{Facts, RedisClient};
use super::verdict::{Verdict, source};
use super::words::{counted, name};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::reading;

pub(super) const FLUSHED: Judge = Judge {
    cause: "flushall",
    title: "everything was removed",
    about: "Somebody ran FLUSHALL or FLUSHDB: the keys went all at once, and no limit and no time to live took them.",
    findings: &[FindingKind::DataVanished],
    judge: judge_flush,
};

fn judge_flush(facts: &Facts) -> Option<JudgedCause> {
    let lost = facts.newest(reading::KEYS_LOST_TO_FLUSH).filter(|lost| *lost > 0.0)? as u64;
    let sources = [source::CLIENT_VIEW, source::REDIS_INFO, source::REDIS_CLIENTS];
    let verdict = Verdict::on(facts, FLUSHED.cause, &sources);
    let what =
        format!("{} were removed by FLUSHALL or FLUSHDB between two looks", counted(lost, "key"));
    let Some(redis) = &facts.redis else {
        return Some(verdict.likely(what, "how many keys there are now"));
    };
    let evicted = facts.growth(reading::EVICTED_KEYS_TOTAL).map_or(0, |(by, _)| by as u64);
    let left = format!(
        "{} now; {} evicted meanwhile",
        counted(redis.keys, "key"),
        counted(evicted, "key")
    );
    let who: Vec<String> =
        redis.clients.iter().filter(|client| flushes(client)).map(told).collect();
    let by = match who.as_slice() {
        [] => "who did it is not connected any more".to_owned(),
        all => format!("the last command of {} was one", all.join(", ")),
    };
    let because = format!("{what}; {left}; {by}");
    if evicted >= lost / 2 {
        return Some(verdict.likely(because, "how many of them the limit would have taken anyway"));
    }
    Some(verdict.confirmed(because))
}

fn flushes(client: &RedisClient) -> bool {
    matches!(client.cmd.as_str(), "flushall" | "flushdb")
}

fn told(client: &RedisClient) -> String {
    format!("client {} ({}, {})", client.id, name(&client.addr), name(&client.name))
}

#[cfg(test)]
mod tests {
    use super::super::diagnose;
    use super::super::testing::*;
    use super::*;

    fn flushed(lost: f64, evicted: f64) -> Facts {
        let mut facts = leak();
        facts.finding = FindingKind::DataVanished;
        for (sample, (lost, evicted)) in
            facts.samples.iter_mut().zip([(0.0, 0.0), (0.0, 0.0), (lost, evicted)])
        {
            let readings = sample.readings.with(reading::KEYS_LOST_TO_FLUSH, lost);
            sample.readings = readings.with(reading::EVICTED_KEYS_TOTAL, evicted);
        }
        facts.redis.as_mut().unwrap().keys = 3;
        facts
    }

    #[test]
    fn a_flush_is_told_from_eviction() {
        let unseen = Facts { redis: None, ..flushed(1_500.0, 0.0) };
        let cases = [
            ("a flush", flushed(1_500.0, 0.0), vec!["flushall: confirmed"]),
            ("with a little eviction", flushed(1_500.0, 20.0), vec!["flushall: confirmed"]),
            ("evicted as well", flushed(1_500.0, 9_000.0), vec!["flushall: likely"]),
            ("evicted only", flushed(0.0, 9_000.0), vec![]),
            ("not looked at from inside", unseen, vec!["flushall: likely"]),
        ];
        for (story, facts, expected) in cases {
            assert_eq!(graded(&facts), expected, "{story}");
        }
    }

    #[test]
    fn who_did_it_is_told_while_it_is_connected() {
        let because = |facts: &Facts| diagnose(facts).causes[0].because.clone();
        let mut facts = flushed(1_500.0, 0.0);
        assert!(because(&facts).ends_with("who did it is not connected any more"));
        facts.redis.as_mut().unwrap().clients.push(client(9, "10.0.0.7:5", "flushall", 0));
        assert!(because(&facts).contains("client 9 (10.0.0.7:5"), "{}", because(&facts));
    }
}
