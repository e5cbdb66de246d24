//! How to reach a watched server: its addresses and logins, what it runs in, and what to ask it.
//! One folder per kind of server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::sample::Answer;
use crate::domain::target::{Periods, Target};
use crate::domain::unit::setting;
use crate::ports::probe::{Probe, ProbeError};
use crate::ports::runtime::{Runtime, Unit};

mod dial;
pub mod disk;
mod draft;
mod facts;
mod kept;
mod notebook;
pub mod own;
pub mod postgres;
pub mod processes;
pub mod redis;
mod rights;
mod session;

pub use rights::Compared;

/// A watched server with every way to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub target: Target,
    pub periods: Periods,
    pub link: Link,
    pub place: Option<Place>,
}

/// The kinds of connection.
#[derive(Clone)]
pub enum Link {
    Redis(redis::RedisLink),
    Postgres(postgres::PostgresLink),
}

/// What a server runs in.
#[derive(Clone)]
pub struct Place {
    pub runtime: Arc<dyn Runtime>,
    pub unit: Unit,
}

impl Server {
    /// The probes of this server. They keep a connection, so one set per server is enough.
    pub fn probe(&self) -> Arc<dyn Probe> {
        match &self.link {
            Link::Redis(link) => Arc::new(redis::RedisProbe::new(link.clone())),
            Link::Postgres(link) => {
                let age = Duration::try_from_secs_f64(self.target.thresholds.idle_leak_age_s);
                let probe = postgres::PostgresProbe::new(link.clone()).inside(self.place.clone());
                Arc::new(match age {
                    Ok(age) => probe.with_leak_age(age),
                    Err(_) => probe,
                })
            }
        }
    }
}

/// The answer a client got instead of what it asked for, as the source of a [`ProbeError`].
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.describe())]
pub struct Unanswered(pub Answer);

/// What a client felt when a question failed: the same words a sample would carry.
pub fn felt(error: &ProbeError) -> Answer {
    match error {
        ProbeError::Connect { source, .. } | ProbeError::Ask { source, .. } => {
            match source.downcast_ref::<Unanswered>() {
                Some(Unanswered(answer)) => answer.clone(),
                None => dial::failed("CLIENT", format!("{source:#}")),
            }
        }
        ProbeError::Deadline { after_ms, .. } => Answer::Hung { after_ms: *after_ms },
    }
}

fn connect_error(target: &str, answer: Answer) -> ProbeError {
    match answer {
        Answer::Hung { after_ms } => ProbeError::Deadline { target: target.into(), after_ms },
        other => ProbeError::Connect { target: target.into(), source: Unanswered(other).into() },
    }
}

fn ask_error(target: &str, question: &str, answer: Answer) -> ProbeError {
    match answer {
        Answer::Hung { after_ms } => ProbeError::Deadline { target: target.into(), after_ms },
        other => ProbeError::Ask {
            target: target.into(),
            question: question.into(),
            source: Unanswered(other).into(),
        },
    }
}

/// One deadline for all steps of a question, so that slow steps cannot add up.
#[derive(Clone, Copy, Debug)]
struct Limit {
    at: Instant,
    whole: Duration,
}

impl Limit {
    /// From now on.
    fn of(whole: Duration) -> Self {
        Self { at: Instant::now() + whole, whole }
    }

    /// Runs a step; silence until the deadline becomes an answer.
    async fn run<T>(self, step: impl Future<Output = Result<T, Answer>>) -> Result<T, Answer> {
        tokio::time::timeout_at(self.at, step).await.unwrap_or_else(|_| Err(self.hung()))
    }

    /// The sooner of this and `whole` from now.
    fn at_most(self, whole: Duration) -> Self {
        let other = Self::of(whole);
        if other.at < self.at { other } else { self }
    }

    fn is_half_over(self) -> bool {
        self.at.saturating_duration_since(Instant::now()) * 2 < self.whole
    }

    /// Less than a fifth of the time is left.
    fn is_nearly_over(self) -> bool {
        self.at.saturating_duration_since(Instant::now()) * 5 < self.whole
    }

    fn hung(self) -> Answer {
        Answer::Hung { after_ms: u64::try_from(self.whole.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// What of `now` is not as it was when the target was healthy.
fn changes(baseline: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    if baseline.is_empty() {
        return format!("{} settings read; there is no baseline to compare with", now.len());
    }
    let was = |name: &str| baseline.get(name).map_or("not set", String::as_str);
    let changed = now
        .iter()
        .filter(|(name, value)| baseline.get(*name) != Some(value))
        .map(|(name, value)| format!("{name} is `{value}`, was `{}`", was(name)));
    let gone = baseline
        .iter()
        // Limits of what the server runs in are no settings of the server.
        .filter(|(name, _)| !name.starts_with(setting::PREFIX))
        .filter(|(name, _)| !now.contains_key(*name))
        .map(|(name, value)| format!("{name} is not set, was `{value}`"));
    let all: Vec<_> = changed.chain(gone).collect();
    match all.as_slice() {
        [] => "every setting is as in the baseline".to_owned(),
        _ => all.join("; "),
    }
}
