//! A sample while it is being taken.

use tokio::time::Instant;

use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample};
use crate::engine::clock;

/// The answers so far. What was never reached stays "not asked".
pub(super) struct Draft {
    origin: Origin,
    began: Instant,
    pub(super) connect: Answer,
    pub(super) read: Answer,
    pub(super) write: Answer,
    pub(super) readings: Readings,
}

impl Draft {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            began: Instant::now(),
            connect: Answer::NotAsked,
            read: Answer::NotAsked,
            write: Answer::NotAsked,
            readings: Readings::default(),
        }
    }

    /// Stamps it with the time at which the last answer was in.
    pub(super) fn finish(self) -> Sample {
        Sample {
            at: clock::now(),
            origin: self.origin,
            took_ms: self.began.elapsed().as_secs_f64() * 1_000.0,
            connect: self.connect,
            read: self.read,
            write: self.write,
            readings: self.readings,
        }
    }
}

/// An outcome as an answer.
pub(super) fn answer<T>(outcome: Result<T, Answer>) -> Answer {
    match outcome {
        Ok(_) => Answer::Ok,
        Err(answer) => answer,
    }
}
