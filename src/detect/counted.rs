//! What a PostgreSQL counted over the last seconds, of two kinds: what goes well and what does not.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::sample::{Origin, Sample};
use crate::domain::target::{Engine, Profile};
use crate::domain::window::Window;

/// So long on the lab, and on a server whose programs have their busy moments.
const LAB: TimeDelta = TimeDelta::seconds(6);
const PRODUCTION: TimeDelta = TimeDelta::seconds(30);
/// The samples must reach back over most of it.
const MOST: i32 = 4;
/// The last so many seconds tell whether it is over.
const CALM: TimeDelta = TimeDelta::seconds(3);

/// How much of each there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) since: DateTime<Utc>,
    pub(super) seconds: f64,
    pub(super) well: f64,
    pub(super) badly: f64,
}

/// The names of two counters.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    pub(super) well: &'static str,
    pub(super) badly: &'static str,
}

/// What the counters say.
pub(super) enum Seen {
    /// Another kind of server, or one that does not count.
    Nothing,
    /// Why it cannot be told.
    Unclear(&'static str),
    /// Over the whole span, and over its end.
    Counted { long: Counted, end: Counted },
}

impl Counters {
    pub(super) fn over(self, window: &Window, now: DateTime<Utc>) -> Seen {
        if window.target.engine != Engine::Postgres {
            return Seen::Nothing;
        }
        if streak::is_starting(window, now) || streak::is_away(window, now) {
            return Seen::Unclear("the server does not answer");
        }
        let mut told = window.newest(Origin::Held).filter(|sample| self.of(sample).is_some());
        let Some(newest) = told.next() else { return Seen::Nothing };
        if !streak::is_recent(newest, now) {
            return Seen::Unclear("the newest sample is too old");
        }
        let span = match window.target.profile {
            Profile::Lab => LAB,
            Profile::Production => PRODUCTION,
        };
        let earlier: Vec<&Sample> =
            told.take_while(|sample| newest.at - sample.at <= span).collect();
        let within = |sample: &&&Sample| newest.at - sample.at <= CALM;
        let (Some(oldest), Some(lately)) =
            (earlier.last(), earlier.iter().take_while(within).last())
        else {
            return Seen::Unclear("it was not counted twice");
        };
        if newest.at - oldest.at < span * (MOST - 1) / MOST {
            return Seen::Unclear("it was not counted for long enough");
        }
        match (self.between(oldest, newest), self.between(lately, newest)) {
            (Some(long), Some(end)) => Seen::Counted { long, end },
            (None, _) | (_, None) => Seen::Unclear("it was counted anew meanwhile"),
        }
    }

    fn of(self, sample: &Sample) -> Option<(f64, f64)> {
        Some((sample.reading(self.well)?, sample.reading(self.badly)?))
    }

    fn between(self, oldest: &Sample, newest: &Sample) -> Option<Counted> {
        let ((well_before, badly_before), (well, badly)) = (self.of(oldest)?, self.of(newest)?);
        let badly = badly - badly_before;
        // What was counted for something that is gone (an index, a table) is counted no more.
        let well = (well - well_before).max(0.0);
        let seconds = (newest.at - oldest.at).as_seconds_f64();
        (badly >= 0.0).then_some(Counted { since: oldest.at, seconds, well, badly })
    }
}

impl Counted {
    /// Which share went well.
    pub(super) fn share(self) -> f64 {
        self.well / (self.well + self.badly).max(1.0)
    }
}
