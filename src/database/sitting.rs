//! One connection at work under a deadline: the server's own time limit first, ours a second later, and whatever
//! still runs when nobody waits any more is cancelled.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::Error;
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Outcome};
use super::pool::Leased;
use crate::targets::postgres::{CancelGuard, PostgresLink};

/// The server says by itself that time is up; this is for one that says nothing.
const GRACE: Duration = Duration::from_secs(1);
/// A cancelled statement ends within this, or the session is given up.
const CANCELLED: Duration = Duration::from_secs(1);

/// A connection, how long it may take in all, and how to call it off.
pub(super) struct Sitting {
    pub(super) connection: Leased,
    link: PostgresLink,
    guard: CancelGuard,
    stop: CancellationToken,
    until: Instant,
    limit: Duration,
}

impl Sitting {
    pub(super) fn new(
        link: &PostgresLink,
        connection: Leased,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Self {
        let guard = connection.guard(link);
        connection.take_notices();
        let (link, stop, until) = (link.clone(), stop.clone(), Instant::now() + limit);
        Self { connection, link, guard, stop, until, limit }
    }

    /// Waits for an answer. After the deadline, or when all is to stop, the statement is cancelled; the server then
    /// has a moment to say so itself.
    pub(super) async fn ask<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Outcome<T> {
        let mut step = Box::pin(step);
        let answered = tokio::select! {
            biased;
            answered = &mut step => Some(answered),
            () = self.stop.cancelled() => None,
            () = sleep_until(self.until + GRACE) => None,
        };
        let answered = match answered {
            Some(answered) => Ok(answered),
            None => {
                let _ = self.link.cancel(&self.connection).await;
                timeout(CANCELLED, step).await
            }
        };
        match answered {
            Ok(answered) => answered.map_err(|error| Failure::of_postgres(&error)),
            Err(_) => Err(Failure::timed_out(self.limit_ms())),
        }
    }

    /// The time that somebody else took does not count.
    pub(super) fn pause(&mut self, paused: Duration) {
        self.until += paused;
    }

    /// In whole milliseconds, at least one: zero means none at all to the server.
    pub(super) fn limit_ms(&self) -> u64 {
        u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX).clamp(1, i32::MAX as u64)
    }

    /// Everything went well and nothing of it stays: the connection may be used again.
    pub(super) async fn ended(self) {
        self.guard.done();
        self.connection.give_back().await;
    }

    /// Nothing runs, and nobody else gets this session.
    pub(super) async fn closed(self) {
        self.guard.done();
        self.connection.close().await;
    }

    /// The server answered with an error and goes on: the session is whole. Else it is cut off, with what it runs.
    pub(super) async fn failed(self, failure: &Failure) {
        let answered = failure.sqlstate.as_deref().is_some_and(|state| !is_over(state));
        if answered { self.ended().await } else { drop(self) }
    }
}

/// Whether the session ended with that error.
pub(super) fn is_over(sqlstate: &str) -> bool {
    sqlstate.starts_with("08") || sqlstate.starts_with("57P") || sqlstate.starts_with("XX")
}
