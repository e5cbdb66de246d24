//! Reads of a Redis miss far more often than they used to, while it evicts keys.
//!
//! A cache that is full evicts all day and is well: what counts is that clients feel it. And a client that asks for
//! what never was there misses too: without evictions it is its own affair.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::Engine;
use crate::domain::window::Window;
use crate::domain::words::counted;

/// Reads of so long are judged together …
const SPAN: TimeDelta = TimeDelta::seconds(5);
/// … when the samples reach back at least so far …
const LEAST: TimeDelta = TimeDelta::seconds(3);
/// … and so many keys were asked for.
const READS: f64 = 200.0;
/// Keys must have been evicted within so long: with room again nothing is, though clients still miss for a while.
const LATELY: TimeDelta = TimeDelta::milliseconds(1_500);
/// So much less often found than usual is a trouble, and so much less is none.
const DROP: f64 = 0.2;
const NEAR: f64 = 0.1;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Redis {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let Some(reads) = Reads::of(window, now) else {
        return Verdict::Inconclusive("reads were not counted for long enough");
    };
    if reads.all() < READS {
        // Nobody reads, so nobody misses.
        return Verdict::Absent;
    }
    let Some(usual) = window.usual_hits().share() else {
        return Verdict::Inconclusive("how often reads usually find their key is not known yet");
    };
    if reads.share() > usual - NEAR {
        return Verdict::Absent;
    }
    if reads.share() > usual - DROP {
        return Verdict::Inconclusive("reads miss a little more often than usual");
    }
    if reads.evicted_lately <= 0.0 {
        return Verdict::Inconclusive("reads miss, and nothing is evicted (any more)");
    }
    Verdict::Present(reads.finding(usual))
}

/// What was read and evicted over a span.
struct Reads {
    since: DateTime<Utc>,
    seconds: f64,
    hits: f64,
    misses: f64,
    evicted: f64,
    evicted_lately: f64,
}

impl Reads {
    /// `None` where it was not counted, or not over one life of the server.
    fn of(window: &Window, now: DateTime<Utc>) -> Option<Self> {
        let counted = |sample: &&Sample| sample.reading(reading::HITS_TOTAL).is_some();
        let mut recent = window.newest(Origin::Held).filter(counted);
        let newest = recent.next().filter(|sample| streak::is_recent(sample, now))?;
        let oldest = recent.take_while(|sample| newest.at - sample.at <= SPAN).last()?;
        let length = newest.at - oldest.at;
        let lately = window
            .newest(Origin::Held)
            .filter(counted)
            .find(|sample| newest.at - sample.at >= LATELY)?;
        let grown = |name| Some(newest.reading(name)? - oldest.reading(name)?);
        let reads = Self {
            since: oldest.at,
            seconds: length.as_seconds_f64(),
            hits: grown(reading::HITS_TOTAL)?,
            misses: grown(reading::MISSES_TOTAL)?,
            evicted: grown(reading::EVICTED_KEYS_TOTAL)?,
            evicted_lately: newest.reading(reading::EVICTED_KEYS_TOTAL)?
                - lately.reading(reading::EVICTED_KEYS_TOTAL)?,
        };
        let is_one_life = [reads.hits, reads.misses, reads.evicted].iter().all(|by| *by >= 0.0);
        (length >= LEAST && is_one_life).then_some(reads)
    }

    fn all(&self) -> f64 {
        self.hits + self.misses
    }

    fn share(&self) -> f64 {
        self.hits / self.all()
    }

    fn finding(&self, usual: f64) -> Finding {
        let share = self.share();
        Finding {
            kind: FindingKind::CacheMisses,
            severity: if share < usual / 2.0 { Severity::High } else { Severity::Medium },
            sentence: format!(
                "{:.0} % of the reads find their key, usually {:.0} %; {} evicted within {:.0} s",
                share * 100.0,
                usual * 100.0,
                counted(self.evicted as u64, "key"),
                self.seconds
            ),
            error_lines: Vec::new(),
            since: self.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, letter, present, redis, sample, with};
    use super::*;
    use crate::domain::sample::Answer;

    /// Each second so many (hits, misses, evictions), from 0 on.
    fn story(seconds: &[(f64, f64, f64)]) -> Vec<Sample> {
        let (mut hits, mut misses, mut evicted) = (70_000.0, 10_000.0, 0.0);
        let mut all = Vec::new();
        for (n, (found, missed, gone)) in (0i64..).zip(seconds) {
            (hits, misses, evicted) = (hits + found, misses + missed, evicted + gone);
            let ok = sample(Origin::Held, n * 1_000, Answer::Ok, Answer::Ok, Answer::Ok);
            let counters = [
                (reading::HITS_TOTAL, hits),
                (reading::MISSES_TOTAL, misses),
                (reading::EVICTED_KEYS_TOTAL, evicted),
            ];
            all.push(with(ok, &counters));
        }
        all
    }

    fn verdict(before: (f64, f64, f64), after: (f64, f64, f64)) -> Verdict {
        let seconds = [vec![before; 10], vec![after; 10]].concat();
        judge(&redis(story(&seconds)), at(19_000))
    }

    #[test]
    fn more_misses_while_keys_are_evicted_are_a_trouble() {
        let found = present(verdict((990.0, 10.0, 0.0), (300.0, 700.0, 650.0)));
        assert_eq!(
            found.sentence,
            "30 % of the reads find their key, usually 99 %; 3,250 keys evicted within 5 s"
        );
        assert_eq!((found.severity, found.since), (Severity::High, at(14_000)));
    }

    #[test]
    fn what_is_no_trouble_is_called_none() {
        let well = (990.0, 10.0, 0.0);
        let cases = [
            ("a full cache as it always is", (600.0, 400.0, 300.0), (600.0, 400.0, 300.0), 'A'),
            ("it evicts, and clients do not feel it", well, (970.0, 30.0, 900.0), 'A'),
            ("a little", well, (850.0, 150.0, 90.0), 'I'),
            ("keys nobody ever had", well, (300.0, 700.0, 0.0), 'I'),
            ("nobody reads any more", well, (3.0, 7.0, 900.0), 'A'),
            ("nobody ever read", (5.0, 0.0, 0.0), (5.0, 0.0, 900.0), 'A'),
            ("better than usual", (600.0, 400.0, 10.0), (990.0, 10.0, 0.0), 'A'),
        ];
        for (story, before, after, expected) in cases {
            assert_eq!(letter(&verdict(before, after)), expected, "{story}");
        }
    }

    #[test]
    fn it_takes_seconds_and_is_over_when_keys_are_found_again() {
        let (well, ill) = ((990.0, 10.0, 0.0), (300.0, 700.0, 650.0));
        let told = |seconds: &[(f64, f64, f64)]| {
            let last = i64::try_from(seconds.len()).unwrap() - 1;
            letter(&judge(&redis(story(seconds)), at(last * 1_000)))
        };
        assert_eq!(told(&[vec![well; 10], vec![ill; 1]].concat()), 'I');
        assert_eq!(told(&[vec![well; 10], vec![ill; 4]].concat()), 'P');
        assert_eq!(told(&[vec![well; 10], vec![ill; 40], vec![well; 6]].concat()), 'A');
        let warming = (500.0, 500.0, 0.0);
        assert_eq!(
            told(&[vec![well; 10], vec![ill; 9], vec![warming; 2]].concat()),
            'I',
            "room again, and not yet filled in"
        );
        let mut restarted = story(&[vec![well; 10], vec![ill; 2]].concat());
        let later = story(&[(5.0, 300.0, 200.0); 1]);
        restarted.extend(later.into_iter().map(|mut sample| {
            sample.at = at(12_000);
            sample
        }));
        assert_eq!(letter(&judge(&redis(restarted), at(12_000))), 'I', "counted anew");
    }
}
