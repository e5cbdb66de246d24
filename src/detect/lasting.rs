//! A state of a PostgreSQL that is trouble only when it lasts: bad without a break for long enough, or good twice.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, Verdict};
use crate::domain::sample::{Origin, Sample};
use crate::domain::target::{Engine, Profile};
use crate::domain::window::Window;

/// So long on the lab, and on a server where somebody may be at work on it.
const LAB: TimeDelta = TimeDelta::seconds(4);
const PRODUCTION: TimeDelta = TimeDelta::seconds(55);

/// What a sample says; `None`: it does not tell.
pub(super) type IsBad<'a> = &'a dyn Fn(&Sample) -> Option<bool>;

/// The verdict on a state; `finding` makes one of the newest sample and the moment since when it has been bad.
pub(super) fn verdict(
    window: &Window,
    now: DateTime<Utc>,
    is_bad: IsBad<'_>,
    finding: impl FnOnce(&Sample, DateTime<Utc>) -> Finding,
) -> Verdict {
    if window.target.engine != Engine::Postgres {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let read = window.newest(Origin::Held).filter(|sample| !sample.readings.is_empty());
    let mut told = read.map(|sample| (sample, is_bad(sample)));
    let Some((newest, bad)) = told.next() else {
        return Verdict::Inconclusive("nothing was measured yet");
    };
    if !streak::is_recent(newest, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    // Where a login may not see it, nothing else shall have to wait for this.
    let Some(bad) = bad else { return Verdict::Absent };
    if !bad {
        return match told.next() {
            Some((_, Some(true))) => Verdict::Inconclusive("one good sample so far"),
            _ => Verdict::Absent,
        };
    }
    let oldest = told.take_while(|(_, bad)| *bad == Some(true)).last();
    let span = match window.target.profile {
        Profile::Lab => LAB,
        Profile::Production => PRODUCTION,
    };
    match oldest {
        Some((oldest, _)) if newest.at - oldest.at >= span => {
            Verdict::Present(finding(newest, oldest.at))
        }
        _ => Verdict::Inconclusive("it was not watched for long enough"),
    }
}
