//! When a backup is due: a five-field cron line in a time zone, and what of the past is caught up.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// When a job runs.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Five fields and the name of a time zone.
    pub fn parse(line: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let cron = parser.build().parse(line).map_err(|error| {
            format!("`{line}` is no schedule: {error}; write five fields, like `0 2 * * *`")
        })?;
        let zone = Tz::from_str(zone)
            .map_err(|_| format!("`{zone}` is no time zone; write one like `Europe/Berlin`"))?;
        Ok(Self { cron, zone })
    }

    /// The first time after `now`; none where the line never comes true, like 30 February.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&now.with_timezone(&self.zone), false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// The last time up to `now`.
    pub fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let last = self.cron.find_previous_occurrence(&now.with_timezone(&self.zone), true).ok()?;
        Some(last.with_timezone(&Utc))
    }

    /// The time that a job has to run for now. `done` is the one it last ran for, or when it was first known. However
    /// many were missed, only the last one is caught up.
    pub fn due(&self, done: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.last(now).filter(|last| *last > done)
    }

    /// How far its times are apart around `now`; the longest of the last few, as a line may leave out week-ends.
    pub fn period(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let mut at = self.last(now)?;
        let mut longest = self.next(now)? - at;
        for _ in 0..7 {
            let Some(before) = self.last(at - TimeDelta::seconds(1)) else { break };
            longest = longest.max(at - before);
            at = before;
        }
        Some(longest)
    }
}

/// "no verified backup for 1.5 periods": since when there is none, when that is too long.
pub fn overdue(
    timetable: &Timetable,
    newest_verified: Option<DateTime<Utc>>,
    known_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let since = newest_verified.unwrap_or(known_since);
    let period = timetable.period(now)?;
    (now - since > period + period / 2).then_some(since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daily() -> Timetable {
        Timetable::parse("0 2 * * *", "UTC").unwrap()
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_an_example() {
        for bad in ["", "0 2 * *", "0 0 2 * * *", "61 2 * * *", "0 2 * * * 2026", "@hourlyish"] {
            assert!(Timetable::parse(bad, "UTC").unwrap_err().contains("`0 2 * * *`"), "{bad}");
        }
        let zone = Timetable::parse("0 2 * * *", "Mars/Olympus").unwrap_err();
        assert!(zone.contains("Mars/Olympus") && zone.contains("Europe/Berlin"), "{zone}");
    }

    #[test]
    fn it_is_due_once_and_missed_times_are_caught_up_as_one() {
        let table = daily();
        let done = at("2026-11-28T02:00:00Z");
        assert_eq!(table.due(done, at("2026-11-29T01:59:59Z")), None);
        assert_eq!(table.due(done, at("2026-11-29T02:00:00Z")), Some(at("2026-11-29T02:00:00Z")));
        let caught_up = table.due(done, at("2026-12-09T12:00:00Z")).unwrap();
        assert_eq!(caught_up, at("2026-12-09T02:00:00Z"));
        assert_eq!(table.due(caught_up, at("2026-12-09T12:00:00Z")), None);
    }

    #[test]
    fn it_follows_the_clocks_of_its_time_zone() {
        let berlin = Timetable::parse("0 2 * * *", "Europe/Berlin").unwrap();
        assert_eq!(berlin.next(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T01:00:00Z")));
        assert_eq!(berlin.next(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T00:00:00Z")));
        // 02:30 does not exist on 29 March 2026 and comes twice on 25 October: it runs once on each day.
        let half = Timetable::parse("30 2 * * *", "Europe/Berlin").unwrap();
        for (from, until) in [
            ("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ] {
            let first = half.next(at(from)).unwrap();
            assert!(first < at(until), "{first}");
            assert!(half.next(first).unwrap() > at(until), "{first}");
        }
    }

    #[test]
    fn the_alarm_waits_one_and_a_half_periods_also_for_the_first_backup() {
        let (table, known) = (daily(), at("2026-11-01T00:00:00Z"));
        let verified = at("2026-11-28T02:10:00Z");
        let says = |newest, now| overdue(&table, newest, known, at(now));
        assert_eq!(says(Some(verified), "2026-11-29T14:00:00Z"), None);
        assert_eq!(says(Some(verified), "2026-11-29T14:11:00Z"), Some(verified));
        assert_eq!(says(None, "2026-11-02T11:59:00Z"), None);
        assert_eq!(says(None, "2026-11-02T12:01:00Z"), Some(known));
        // Working days only: a week-end is no alarm.
        let weekly = Timetable::parse("0 2 * * 1-5", "UTC").unwrap();
        let friday = at("2026-11-27T02:10:00Z");
        assert_eq!(overdue(&weekly, Some(friday), known, at("2026-11-30T01:00:00Z")), None);
    }

    #[test]
    fn a_line_that_never_comes_true_is_never_due() {
        let never = Timetable::parse("0 2 30 2 *", "UTC").unwrap();
        let now = at("2026-11-29T14:00:00Z");
        assert_eq!((never.next(now), never.due(now, now), never.period(now)), (None, None, None));
    }

    proptest! {
        #[test]
        fn after_it_ran_it_is_not_due_again_before_the_next_time(
            done in 1_700_000_000i64..1_800_000_000, later in 0i64..10_000_000,
        ) {
            let table = Timetable::parse("*/20 */3 * * *", "America/New_York").unwrap();
            let done = DateTime::from_timestamp(done, 0).unwrap();
            let now = done + TimeDelta::seconds(later);
            if let Some(due) = table.due(done, now) {
                prop_assert!(due > done && due <= now);
                prop_assert_eq!(table.due(due, now), None);
            }
        }
    }
}
