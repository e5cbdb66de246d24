//! `redis latency`: how long an answer takes from here, and what the server's own monitor has seen.

use std::time::Duration;

use serde::Serialize;

use super::redis::RedisDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_latency",
    verb: "latency",
    title: "Latency",
    about: "The time of a PING from here, network included, the server's latency monitor (off unless \
            latency-monitor-threshold is set), and how long its last fork stood still.",
    args: &[Arg {
        name: "pings",
        about: "ask so many times",
        kind: ArgKind::Whole { default: 100, least: 10, most: 10_000 },
    }],
    needs: &[Need::Redis(&["ping", "info", "config|get", "latency|latest"])],
    offers: &[],
    budget: Duration::from_secs(20),
    example: "simctl redis latency --pings 1000",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

#[derive(Clone, Debug, Default, Serialize)]
struct Pings {
    pings: usize,
    median_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
    last_fork_ms: Option<f64>,
    monitor_threshold_ms: Option<u64>,
}

/// One kind of event of the server's monitor.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Spike {
    event: String,
    latest_ms: u64,
    longest_ms: u64,
}

const PINGS: &[Column] = &[
    ("pings", Unit::Count),
    ("median_ms", Unit::Millis),
    ("p99_ms", Unit::Millis),
    ("longest_ms", Unit::Millis),
    ("last_fork_ms", Unit::Millis),
    ("monitor_threshold_ms", Unit::None),
];
const SPIKES: &[Column] =
    &[("event", Unit::None), ("latest_ms", Unit::Millis), ("longest_ms", Unit::Millis)];

async fn look(desk: &mut RedisDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let pings = measure(desk, given.whole("pings")).await;
    if let Ok(pings) = &pings {
        draft.judge(judge(pings));
    }
    draft.figures("pings", "From here", &pings, PINGS);
    let latest: Result<Vec<(String, i64, u64, u64)>, Unknown> =
        desk.ask(redis::cmd("LATENCY").arg("LATEST")).await;
    let spikes = latest.map(|all| {
        let spike = |(event, _, latest_ms, longest_ms)| Spike { event, latest_ms, longest_ms };
        all.into_iter().map(spike).collect::<Vec<_>>()
    });
    draft.table("spikes", "Seen by the server's monitor", &spikes, SPIKES);
    draft
}

async fn measure(desk: &mut RedisDesk, times: u64) -> Result<Pings, Unknown> {
    let mut took = Vec::new();
    for _ in 0..times {
        took.push(desk.ping().await?);
    }
    let fork = desk.info().await?.whole("latest_fork_usec");
    let threshold = desk.setting("latency-monitor-threshold").await.ok().flatten();
    Ok(Pings {
        last_fork_ms: fork.map(|us| us as f64 / 1_000.0),
        monitor_threshold_ms: threshold.and_then(|text| text.parse().ok()),
        ..percentiles(took)
    })
}

fn percentiles(mut took: Vec<f64>) -> Pings {
    took.sort_by(f64::total_cmp);
    let at = |share: usize| {
        took.get((took.len() * share).div_ceil(100).max(1) - 1).copied().unwrap_or_default()
    };
    Pings {
        pings: took.len(),
        median_ms: at(50),
        p99_ms: at(99),
        longest_ms: at(100),
        ..Pings::default()
    }
}

fn judge(p: &Pings) -> Vec<Check> {
    let fork = p.last_fork_ms.unwrap_or_default();
    let off = p.monitor_threshold_ms == Some(0);
    let monitor = Check::graded("latency_monitor", Grade::Ok).because(if off {
        "off: CONFIG SET latency-monitor-threshold 100 lets the server note what took longer"
    } else {
        "on, or not to be seen by this login"
    });
    vec![
        Check::over("ping_p99", p.p99_ms, Unit::Millis, (Some(10.0), Some(100.0)))
            .because(format!(
                "99 of 100 answers came sooner; the median was {}",
                value(p.median_ms, Unit::Millis)
            ))
            .advise("`simctl redis slowlog` tells what everybody waited for"),
        Check::over("last_fork", fork, Unit::Millis, (Some(500.0), None))
            .because("everybody waited while it forked to save")
            .advise("save less often, or on a replica; huge pages make it worse"),
        monitor,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let told = percentiles((1..=100).rev().map(f64::from).collect());
        assert_eq!((told.median_ms, told.p99_ms, told.longest_ms), (50.0, 99.0, 100.0));
        assert_eq!(percentiles(Vec::new()).pings, 0);
    }

    #[test]
    fn slow_answers_and_slow_forks_are_told() {
        let grades = |p99_ms, fork| {
            let pings = Pings { p99_ms, last_fork_ms: Some(fork), ..Pings::default() };
            judge(&pings).iter().map(|check| check.grade).collect::<Vec<_>>()
        };
        assert_eq!(grades(1.0, 5.0), [Grade::Ok; 3]);
        assert_eq!(grades(11.0, 600.0), [Grade::Warn, Grade::Warn, Grade::Ok]);
        assert_eq!(grades(101.0, 5.0)[0], Grade::Crit);
    }
}
