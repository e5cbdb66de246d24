//! A volume that the server keeps data on is full, or as good as full.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::window::Window;

const FULL_PERCENT: f64 = 97.0;
/// Volumes are looked at seldom; an older look says nothing about now.
const FRESHNESS: TimeDelta = TimeDelta::seconds(25);

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let mut looks = looks(window);
    let Some(newest) = looks.next() else { return Verdict::Absent };
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let Some(before) = looks.next() else { return Verdict::Inconclusive("one look so far") };
    if now - newest.sample.at > FRESHNESS {
        return Verdict::Inconclusive("the newest look at the volumes is too old");
    }
    match (newest.fullest(), before.fullest()) {
        (Some((dir, percent)), Some(_)) => Verdict::Present(Finding {
            kind: FindingKind::VolumeFull,
            severity: Severity::High,
            sentence: format!("the volume at {dir} is full: {percent:.0} % used"),
            error_lines: Vec::new(),
            since: before.sample.at,
        }),
        (None, None) => Verdict::Absent,
        (Some(_), None) => Verdict::Inconclusive("one bad look so far"),
        (None, Some(_)) => Verdict::Inconclusive("one good look so far"),
    }
}

/// One look at the volumes: the newest of the samples that share it.
struct Look<'a> {
    sample: &'a Sample,
}

impl<'a> Look<'a> {
    /// The fullest of the full ones.
    fn fullest(&self) -> Option<(&'a str, f64)> {
        let used = self.sample.readings.iter().filter_map(|(name, percent)| {
            Some((name.strip_prefix(reading::VOLUME_USED_PERCENT)?, percent))
        });
        used.filter(|(_, percent)| *percent >= FULL_PERCENT)
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

/// Newest first, each once.
fn looks(window: &Window) -> impl Iterator<Item = Look<'_>> {
    let mut last = None;
    window.newest(Origin::Held).filter_map(move |sample| {
        let number = sample.reading(reading::VOLUME_LOOKS)?;
        let is_new = last != Some(number);
        last = Some(number);
        is_new.then_some(Look { sample })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, redis, sample};
    use super::*;
    use crate::domain::sample::Answer;

    fn verdict(looks: &[(i64, f64, f64)]) -> Verdict {
        let mut window = redis([]);
        for (ms, number, percent) in looks {
            window.push(Sample {
                readings: [
                    (reading::VOLUME_LOOKS.to_owned(), *number),
                    (format!("{}/t", reading::VOLUME_USED_PERCENT), *percent),
                ]
                .into(),
                ..sample(Origin::Held, *ms, Answer::Ok, Answer::Ok, Answer::NotAsked)
            });
        }
        judge(&window, at(20_000))
    }

    #[test]
    fn two_looks_make_it_certain_and_samples_of_one_look_do_not() {
        let Verdict::Present(found) =
            verdict(&[(9_000, 1.0, 40.0), (19_000, 2.0, 100.0), (20_000, 3.0, 99.9)])
        else {
            panic!("two full looks in a row")
        };
        assert!(found.sentence.contains("/t") && found.since == at(19_000), "{found:?}");
        for unclear in [
            &[(19_000, 2.0, 100.0), (19_250, 2.0, 100.0)][..],
            &[(9_000, 1.0, 40.0), (19_000, 2.0, 100.0), (19_250, 2.0, 100.0)],
            &[(9_000, 1.0, 100.0), (19_000, 2.0, 40.0)],
        ] {
            assert!(matches!(verdict(unclear), Verdict::Inconclusive(_)), "{unclear:?}");
        }
        assert_eq!(verdict(&[(9_000, 1.0, 96.0), (19_000, 2.0, 96.9)]), Verdict::Absent);
        assert_eq!(verdict(&[]), Verdict::Absent);
    }
}
