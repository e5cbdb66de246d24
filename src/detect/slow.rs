//! Every answer is right and takes many times as long as this target's answers usually take.
//!
//! A machine that is busy for a moment slows a probe down here and there. So: a factor and a floor, over both
//! connections, for seconds on end.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample};
use crate::domain::window::Window;

/// So far back answers are looked at.
const SPAN: TimeDelta = TimeDelta::seconds(8);
/// Slow answers must reach back so far.
const LEAST: TimeDelta = TimeDelta::seconds(6);
/// Answers of the last so many seconds must be quick for the trouble to be over.
const CALM: TimeDelta = TimeDelta::seconds(3);
/// Fewer answers over the kept connection than these say nothing.
const ANSWERS: usize = 5;
/// Clients that wait so long are badly hurt.
const LONG_MS: f64 = 500.0;

/// The answers over one connection.
struct Pace<'a> {
    answers: Vec<&'a Sample>,
    slow: Vec<&'a Sample>,
    usual_ms: f64,
}

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let pace = |origin, span| Pace::of(window, origin, now - span);
    let (Some(held), Some(fresh)) = (pace(Origin::Held, SPAN), pace(Origin::Fresh, SPAN)) else {
        return Verdict::Inconclusive("how long answers usually take is not known yet");
    };
    if held.answers.len() < ANSWERS || fresh.answers.len() < 2 {
        return Verdict::Inconclusive("too few answers of late");
    }
    if held.is_mostly_slow() && fresh.is_mostly_slow() {
        let since = held.since().min(fresh.since());
        if now - since < LEAST {
            return Verdict::Inconclusive("answers have not been slow for long");
        }
        return Verdict::Present(finding(&held, &fresh, since));
    }
    let is_quick = |origin| pace(origin, CALM).is_some_and(|pace| pace.is_quick());
    if is_quick(Origin::Held) && is_quick(Origin::Fresh) {
        return Verdict::Absent;
    }
    Verdict::Inconclusive("some answers are slow and some are not")
}

impl<'a> Pace<'a> {
    /// The answers since `from`, newest first; `None` where the usual time is not known.
    fn of(window: &'a Window, origin: Origin, from: DateTime<Utc>) -> Option<Self> {
        let usual = window.usual(origin);
        let usual_ms = usual.ms()?;
        let recent = window.newest(origin).take_while(|sample| sample.at >= from);
        let answers: Vec<&Sample> = recent.filter(|sample| sample.is_clean()).collect();
        let slow = answers.iter().copied().filter(|s| usual.is_slow(s.took_ms)).collect();
        Some(Self { answers, slow, usual_ms })
    }

    fn is_mostly_slow(&self) -> bool {
        self.slow.len() * 2 >= self.answers.len()
    }

    fn is_quick(&self) -> bool {
        !self.answers.is_empty() && self.slow.len() * 4 < self.answers.len()
    }

    fn since(&self) -> DateTime<Utc> {
        self.slow.last().map_or_else(DateTime::default, |sample| sample.at)
    }

    /// In the middle of the slow ones.
    fn typical_ms(&self) -> f64 {
        let mut took: Vec<f64> = self.slow.iter().map(|sample| sample.took_ms).collect();
        took.sort_by(f64::total_cmp);
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

fn finding(held: &Pace<'_>, fresh: &Pace<'_>, since: DateTime<Utc>) -> Finding {
    let (old, new) = (held.typical_ms(), fresh.typical_ms());
    Finding {
        kind: FindingKind::Slow,
        severity: if old.max(new) >= LONG_MS { Severity::High } else { Severity::Medium },
        sentence: format!(
            "answers are right and slow: {} over the kept connection (usually {}), {} for a new client (usually {})",
            words(old),
            words(held.usual_ms),
            words(new),
            words(fresh.usual_ms)
        ),
        error_lines: Vec::new(),
        since,
    }
}

fn words(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, hung, letter, present, redis, sample, starting};
    use super::*;
    use crate::domain::sample::Answer;

    /// Probes from 0 to 20 s; from 10 s on each takes what the stories say, by its number.
    fn story(held: impl Fn(i64) -> f64, fresh: impl Fn(i64) -> f64) -> Vec<Sample> {
        let ok = |origin, ms: i64, took: f64| {
            let mut sample = sample(origin, ms, Answer::Ok, Answer::Ok, Answer::Ok);
            sample.took_ms = took;
            sample
        };
        let mut all: Vec<Sample> = (0..80)
            .map(|n| ok(Origin::Held, n * 250, if n < 40 { 1.0 } else { held(n - 40) }))
            .collect();
        all.extend(
            (0..20).map(|n| {
                ok(Origin::Fresh, n * 1_000 + 10, if n < 10 { 2.0 } else { fresh(n - 10) })
            }),
        );
        all.sort_by_key(|sample| sample.at);
        all
    }

    fn verdict(samples: Vec<Sample>, ms: i64) -> char {
        let until = samples.into_iter().filter(|sample| sample.at <= at(ms));
        letter(&judge(&redis(until), at(ms)))
    }

    #[test]
    fn slow_for_seconds_over_both_connections_is_slow() {
        let slow = || story(|_| 95.0, |_| 160.0);
        let finding = present(judge(&redis(slow()), at(20_000)));
        assert_eq!(finding.kind, FindingKind::Slow);
        assert_eq!(
            finding.sentence,
            "answers are right and slow: 95 ms over the kept connection (usually 1.0 ms), 160 ms for a new client \
             (usually 2.0 ms)"
        );
        assert_eq!(verdict(slow(), 9_900), 'A', "before");
        assert_eq!(verdict(slow(), 12_000), 'I', "not for long");
        assert_eq!(verdict(slow(), 16_000), 'P', "for long");
        assert_eq!(
            verdict(story(|n| if n % 2 == 0 { 3.0 } else { 120.0 }, |_| 160.0), 20_000),
            'P'
        );
    }

    #[test]
    fn busy_but_healthy_is_not_slow() {
        assert_eq!(verdict(story(|_| 20.0, |_| 28.0), 20_000), 'A', "slower, and quick enough");
        assert_eq!(verdict(story(|n| if n % 6 == 0 { 200.0 } else { 5.0 }, |_| 9.0), 20_000), 'A');
        assert_eq!(verdict(story(|_| 1.0, |_| 400.0), 20_000), 'I', "new clients only");
        assert_eq!(verdict(story(|_| 90.0, |_| 2.0), 20_000), 'I', "the kept connection only");
    }

    #[test]
    fn what_does_not_answer_is_not_called_slow() {
        let with = |answer: fn() -> Answer| {
            let mut samples = story(|_| 95.0, |_| 160.0);
            samples.push(sample(Origin::Held, 20_000, Answer::Ok, answer(), Answer::NotAsked));
            verdict(samples, 20_000)
        };
        assert_eq!((with(hung), with(starting)), ('I', 'I'));
        assert_eq!(verdict(Vec::new(), 0), 'I');
        assert_eq!(verdict(story(|_| 1.0, |_| 1.0), 500), 'I', "nothing to compare with yet");
    }

    #[test]
    fn it_is_over_when_answers_are_quick_again() {
        let mended = || {
            let quick = |from: i64| move |n: i64| if n < from { 120.0 } else { 1.0 };
            story(quick(20), quick(5))
        };
        assert_eq!(verdict(mended(), 16_000), 'P');
        assert_eq!(verdict(mended(), 20_000), 'A');
    }
}
