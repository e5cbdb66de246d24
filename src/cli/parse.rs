//! What people type, read: numbers of incidents, durations, times, words out of a list.

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::config::Span;
use crate::config::nearest::nearest;
use crate::config::secret::Secret;
use crate::domain::finding::Severity;
use crate::domain::ids::parse_incident_name;
use crate::domain::incident::Status;

pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// `INC-0042`, `inc-42` or `42`.
pub(super) fn incident(text: &str) -> Result<u64, String> {
    parse_incident_name(text).ok_or_else(|| "write an incident like `INC-0042` or `42`".to_owned())
}

/// A name that needs no quoting anywhere.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("use 1 to 64 letters, digits, `.`, `_`, `-` and `@`".to_owned())
}

/// Seconds, or a duration with a unit.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => text.parse::<Span>()?.0,
    };
    let sane = Duration::from_secs(1)..=Duration::from_secs(3600);
    if sane.contains(&duration) { Ok(duration) } else { Err("write 1s to 1h".to_owned()) }
}

/// A duration with a unit, longer than nothing.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<Span>()?.0;
    if duration.is_zero() { Err("write more than 0s".to_owned()) } else { Ok(duration) }
}

/// `name=value` with a whole number.
pub(super) fn setting(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("write it like `keys=1000`")?;
    let value = value.parse().map_err(|_| format!("`{value}` is no whole number"))?;
    Ok((name.trim().to_owned(), value))
}

/// `name=value` with any value.
pub(super) fn named(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like `table=orders`")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// A point in time: how long ago, a time of today (UTC), or a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Ago(Duration),
    Today(NaiveTime),
    At(DateTime<Utc>),
}

impl When {
    pub(super) fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Today(time) => now.date_naive().and_time(time).and_utc(),
            Self::Ago(ago) => now - TimeDelta::from_std(ago).unwrap_or(TimeDelta::zero()),
        }
    }
}

pub(super) fn when(text: &str) -> Result<When, String> {
    if let Ok(Span(ago)) = text.parse() {
        return Ok(When::Ago(ago));
    }
    if let Ok(time) = NaiveTime::parse_from_str(text, "%H:%M") {
        return Ok(When::Today(time));
    }
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let time = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    let exact = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    exact
        .or_else(|| time().map(|time| time.and_utc()))
        .or_else(|| date().map(|date| date.and_time(NaiveTime::MIN).and_utc()))
        .map(When::At)
        .ok_or_else(|| {
            "write how long ago (`2h`), a time of today (`14:00`) or a UTC time (`2026-01-31 14:00:00`)"
                .to_owned()
        })
}

pub(super) fn status(text: &str) -> Result<Status, String> {
    one_of(text, &Status::ALL, Status::as_str)
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    one_of(text, &Severity::ALL, Severity::as_str)
}

fn one_of<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let lower = text.to_lowercase();
    all.iter().copied().find(|word| name(*word) == lower).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|word| name(*word)).collect();
        format!("write one of {}", names.join(", "))
    })
}

/// "there is no fault `leek`; did you mean leak-oom?"
pub(super) fn unknown<'a>(
    what: &str,
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
    list: &str,
) -> anyhow::Error {
    let near = nearest(given, known);
    let remedy = match near.as_slice() {
        [] => format!("`{list}` lists them"),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    super::bad_input(format!("there is no {what} `{given}`; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_seconds_or_a_duration_within_bounds() {
        assert_eq!(ttl("60"), Ok(Duration::from_secs(60)));
        assert_eq!(ttl("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0", "2h", "-1", "soon", ""] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_told_in_every_usual_form() {
        let at = DateTime::from_timestamp(1_769_868_000, 0).unwrap();
        for text in ["2026-01-31T14:00:00Z", "2026-01-31T15:00:00+01:00", "2026-01-31 14:00:00"] {
            assert_eq!(when(text), Ok(When::At(at)), "{text}");
        }
        assert_eq!(when("2h"), Ok(When::Ago(Duration::from_secs(7200))));
        assert_eq!(when("2h").unwrap().at(at), at - TimeDelta::hours(2));
        let midnight = DateTime::from_timestamp(1_769_817_600, 0).unwrap();
        assert_eq!(when("2026-01-31"), Ok(When::At(midnight)));
        assert_eq!(when("09:30").unwrap().at(at), at - TimeDelta::minutes(270));
        for bad in ["yesterday", "25:00", "9", ""] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_setting_is_a_name_and_a_whole_number() {
        assert_eq!(setting("keys=10"), Ok(("keys".into(), 10)));
        for bad in ["keys", "keys=", "keys=-1", "keys=ten"] {
            assert!(setting(bad).is_err(), "{bad}");
        }
    }
}
