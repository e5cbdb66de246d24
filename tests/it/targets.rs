//! The probes and the facts, against real servers: every answer is produced for real.

mod by_hand;
mod detection;
mod facts;
mod postgres;
mod redis;
mod refusals;
mod rights;
mod servers;

use std::time::{Duration, Instant};

use simctl::domain::sample::{Answer, Sample};
use simctl::ports::probe::Probe;

/// The code of an answer that is an error.
#[track_caller]
fn code(answer: &Answer) -> &str {
    answer.code().unwrap_or_else(|| panic!("no error: {answer:?}"))
}

#[track_caller]
fn assert_gone(answer: &Answer) {
    assert!(matches!(answer, Answer::Gone { .. }), "{answer:?}");
}

#[track_caller]
fn assert_all_ok(sample: &Sample) {
    assert!(sample.is_clean(), "{sample:?}");
    assert!(sample.connect.is_ok() && sample.read.is_ok(), "{sample:?}");
}

/// Runs `happen` while somebody waits for the kept connection to close; how long the word took.
async fn word_of_closing(probe: &dyn Probe, happen: impl FnOnce()) -> Duration {
    let closed = probe.closed();
    tokio::pin!(closed);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut closed).await;
    assert!(early.is_err(), "said to be closed before anything happened");
    happen();
    let began = Instant::now();
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the end was never noticed");
    began.elapsed()
}

/// Waits for a condition that has to be asked for, with a bound.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
