//! Figures of our own calls: how many, how they ended, and which statements were slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::statement::{Statement, redacted};
use super::transaction::TransactionResponse;

/// Statements told apart; the one with the least time makes room.
const STATEMENTS: usize = 500;
/// Upper bounds of the classes of duration, in milliseconds; the last class is open.
pub const CLASSES_MS: [u64; 8] = [1, 5, 20, 100, 500, 1_000, 5_000, 30_000];

/// What was counted since the workbench is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Statistics {
    pub queries_executed: u64,
    pub transactions_executed: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub slow_queries: u64,
    pub errors: u64,
    /// Attempts that were begun again.
    pub retries: u64,
    /// COMMITs that got no answer.
    pub unknown_commits: u64,
}

/// A statement of ours, without its values, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub struct SlowStatement {
    pub statement: String,
    pub calls: u64,
    pub errors: u64,
    pub total_ms: f64,
    pub max_ms: f64,
    /// Calls in each class of duration: up to 1, 5, 20, 100, 500, 1,000, 5,000, 30,000 ms, and longer.
    pub histogram: [u64; CLASSES_MS.len() + 1],
    pub is_slow: bool,
}

impl Statistics {
    pub(super) fn add(&mut self, more: &Self) {
        self.queries_executed += more.queries_executed;
        self.transactions_executed += more.transactions_executed;
        self.cache_hits += more.cache_hits;
        self.cache_misses += more.cache_misses;
        self.slow_queries += more.slow_queries;
        self.errors += more.errors;
        self.retries += more.retries;
        self.unknown_commits += more.unknown_commits;
    }
}

impl SlowStatement {
    pub(super) fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.total_ms += more.total_ms;
        self.max_ms = self.max_ms.max(more.max_ms);
        self.is_slow |= more.is_slow;
        for (class, calls) in self.histogram.iter_mut().zip(more.histogram) {
            *class += calls;
        }
    }
}

/// Counts and remembers.
pub(super) struct Stats {
    slow: Duration,
    queries: AtomicU64,
    transactions: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    slow_queries: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    commits_lost: AtomicU64,
    statements: Mutex<HashMap<String, SlowStatement>>,
    dice: Mutex<StdRng>,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Stats {
    /// `seed`: for the pauses between attempts, so that two that met do not meet again.
    pub(super) fn new(slow: Duration, seed: u64) -> Self {
        Self {
            slow,
            queries: AtomicU64::default(),
            transactions: AtomicU64::default(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            slow_queries: AtomicU64::default(),
            errors: AtomicU64::default(),
            retries: AtomicU64::default(),
            commits_lost: AtomicU64::default(),
            statements: Mutex::default(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// Somewhere between nothing and `most`.
    pub(super) fn jitter(&self, most: Duration) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        most.mul_f64(dice.random_range(0.0..1.0))
    }

    pub(super) fn retried(&self) {
        add(&self.retries);
    }

    pub(super) fn commit_lost(&self) {
        add(&self.commits_lost);
    }

    pub(super) fn hit(&self, hit: bool) {
        add(if hit { &self.hits } else { &self.misses });
    }

    /// A statement ended.
    pub(super) fn ran(&self, statement: &Statement, took: Duration, ended: Result<(), &Failure>) {
        add(&self.queries);
        if ended.is_err() {
            add(&self.errors);
        }
        let (is_slow, text) = (took >= self.slow, redacted(&statement.text));
        if is_slow {
            add(&self.slow_queries);
            tracing::info!(
                took_ms = took.as_secs_f64() * 1e3,
                statement = text,
                "a slow statement"
            );
        }
        let mut all = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut all, text, took, ended.is_err(), is_slow);
    }

    /// A transaction ended.
    pub(super) fn ran_transaction(&self, took: Duration, ended: &Outcome<TransactionResponse>) {
        add(&self.transactions);
        if ended.is_err() {
            add(&self.errors);
        }
        if took >= self.slow {
            add(&self.slow_queries);
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            queries_executed: count(&self.queries),
            transactions_executed: count(&self.transactions),
            cache_hits: count(&self.hits),
            cache_misses: count(&self.misses),
            slow_queries: count(&self.slow_queries),
            errors: count(&self.errors),
            retries: count(&self.retries),
            unknown_commits: count(&self.commits_lost),
        }
    }

    /// The statements that took the most time, first.
    pub(super) fn slowest(&self, most: usize) -> Vec<SlowStatement> {
        let all = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<SlowStatement> = all.values().cloned().collect();
        list.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
        list.truncate(most);
        list
    }
}

fn remember(
    all: &mut HashMap<String, SlowStatement>,
    text: String,
    took: Duration,
    failed: bool,
    is_slow: bool,
) {
    if all.len() >= STATEMENTS && !all.contains_key(&text) {
        let least = all.iter().min_by(|a, b| a.1.total_ms.total_cmp(&b.1.total_ms));
        if let Some(least) = least.map(|(text, _)| text.clone()) {
            all.remove(&least);
        }
    }
    let ms = took.as_secs_f64() * 1e3;
    let one = all
        .entry(text)
        .or_insert_with_key(|text| SlowStatement { statement: text.clone(), ..Default::default() });
    one.calls += 1;
    one.errors += u64::from(failed);
    one.total_ms += ms;
    one.max_ms = one.max_ms.max(ms);
    one.is_slow |= is_slow;
    let class = CLASSES_MS.iter().position(|bound| ms <= *bound as f64);
    one.histogram[class.unwrap_or(CLASSES_MS.len())] += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(stats: &Stats, sql: &str, ms: u64) {
        stats.ran(&Statement::one(sql).unwrap(), Duration::from_millis(ms), Ok(()));
    }

    #[test]
    fn statements_that_differ_in_values_are_one() {
        let stats = Stats::new(Duration::from_millis(1_000), 1);
        for n in 0..5 {
            ran(&stats, &format!("select * from t where id = {n} and a = 'secret{n}'"), 3);
        }
        ran(&stats, "select pg_sleep(2)", 2_000);
        let slowest = stats.slowest(10);
        assert_eq!(slowest.len(), 2);
        assert!(slowest[0].is_slow && slowest[0].statement.contains("pg_sleep(?)"));
        assert_eq!((slowest[1].calls, slowest[1].histogram[1]), (5, 5));
        assert!(!slowest[1].statement.contains("secret"));
        assert_eq!(stats.statistics().slow_queries, 1);
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_statements() {
        let stats = Stats::new(Duration::from_secs(1), 1);
        ran(&stats, "select the_slow_one", 900);
        for n in 0..STATEMENTS * 2 {
            let mut all = stats.statements.lock().unwrap();
            remember(&mut all, format!("select c{n}"), Duration::from_millis(1), false, false);
        }
        let all = stats.slowest(usize::MAX);
        assert!(all.len() == STATEMENTS && all[0].statement.contains("the_slow_one"));
    }
}
