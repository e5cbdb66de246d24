//! Redis is full, or will be soon, under a policy that then refuses writes. Evicting or unbounded is no trouble.

use chrono::{DateTime, TimeDelta, Utc};

use super::{streak, words};
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::{Engine, Thresholds};
use crate::domain::window::Window;

/// The slope is taken over at most this …
const SLOPE_SPAN: TimeDelta = TimeDelta::seconds(5);
/// … and at least this, and only above this share, so that a burst from empty does not count.
const SLOPE_LEAST: TimeDelta = TimeDelta::seconds(2);
const SLOPE_ABOVE_PERCENT: f64 = 50.0;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if window.target.engine != Engine::Redis {
        return Verdict::Absent;
    }
    if streak::is_starting(window, now) || streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let levels = || window.newest(Origin::Held).filter_map(Level::of);
    // What the two newest say; only a trouble needs the whole window, to tell since when.
    let Some(before) = levels().nth(1) else {
        return Verdict::Inconclusive("memory was not measured twice");
    };
    let is_needed = |level: &Level<'_>| before.sample.at - level.sample.at <= SLOPE_SPAN;
    let recent: Vec<Level> = levels().take_while(is_needed).collect();
    let [newest, ..] = recent.as_slice() else {
        return Verdict::Inconclusive("memory was not measured twice");
    };
    if !streak::is_recent(newest.sample, now) {
        return Verdict::Inconclusive("the newest sample is too old");
    }
    let thresholds = &window.target.thresholds;
    let bad = |from: usize| recent.get(from..).is_some_and(|past| is_bad(past, thresholds));
    match (bad(0), bad(1)) {
        (true, true) => {
            let levels: Vec<Level> = levels().collect();
            let bad = |from: &usize| levels.get(*from..).is_some_and(|p| is_bad(p, thresholds));
            let length = (0..levels.len()).take_while(bad).count();
            let since = levels.get(length - 1).map_or(before.sample.at, |level| level.sample.at);
            Verdict::Present(finding(&levels, thresholds, since))
        }
        (false, false) => Verdict::Absent,
        (true, false) => Verdict::Inconclusive("one bad sample so far"),
        (false, true) => Verdict::Inconclusive("one good sample so far"),
    }
}

/// How full one sample found the server.
struct Level<'a> {
    sample: &'a Sample,
    used: f64,
    /// `None`: cannot become full.
    max: Option<f64>,
}

impl<'a> Level<'a> {
    fn of(sample: &'a Sample) -> Option<Self> {
        let max = sample.reading(reading::MAXMEMORY_BYTES)?;
        let refuses = sample.reading(reading::REFUSES_WHEN_FULL)? > 0.0;
        let used = sample.reading(reading::USED_MEMORY_BYTES)?;
        Some(Self { sample, used, max: (refuses && max > 0.0).then_some(max) })
    }

    fn percent(&self) -> Option<f64> {
        self.max.map(|max| 100.0 * self.used / max)
    }
}

/// Whether the first of `past` (newest first) is too full, or fills too fast.
fn is_bad(past: &[Level<'_>], thresholds: &Thresholds) -> bool {
    let Some(percent) = past.first().and_then(Level::percent) else { return false };
    percent >= thresholds.memory_percent
        || full_within(past).is_some_and(|seconds| seconds <= thresholds.memory_full_within_s)
}

/// Seconds until the server is full at the present slope. The slope must hold over the whole span and over its
/// newer half: growth that has stopped does not count.
fn full_within(past: &[Level<'_>]) -> Option<f64> {
    let newest = past.first()?;
    let max = newest.max?;
    newest.percent().filter(|percent| *percent > SLOPE_ABOVE_PERCENT)?;
    let within = |limit: TimeDelta| {
        let count = past.iter().take_while(|level| newest.sample.at - level.sample.at <= limit);
        past.get(..count.count()).unwrap_or_default()
    };
    let span = within(SLOPE_SPAN);
    let length = newest.sample.at - span.last()?.sample.at;
    if length < SLOPE_LEAST {
        return None;
    }
    let slope = slope(span)?.min(slope(within(length / 2))?);
    (slope > 0.0).then(|| (max - newest.used).max(0.0) / slope)
}

/// Bytes per second, by least squares, so that a saw-tooth has none.
fn slope(span: &[Level<'_>]) -> Option<f64> {
    let start = span.last()?.sample.at;
    let points = || span.iter().map(|l| ((l.sample.at - start).as_seconds_f64(), l.used));
    let count = span.len() as f64;
    let (mean_t, mean_used) =
        points().fold((0.0, 0.0), |(t, used), point| (t + point.0 / count, used + point.1 / count));
    let spread: f64 = points().map(|(t, _)| (t - mean_t).powi(2)).sum();
    let common: f64 = points().map(|(t, used)| (t - mean_t) * (used - mean_used)).sum();
    (spread > 0.0).then(|| common / spread)
}

fn finding(past: &[Level<'_>], thresholds: &Thresholds, since: DateTime<Utc>) -> Finding {
    let newest = past.first();
    let percent = newest.and_then(Level::percent).unwrap_or_default();
    let used = newest.and_then(|level| words::memory_use(level.sample)).unwrap_or_default();
    // Rounded down: what is not full must not read as full.
    let whole = percent.floor();
    let soon = full_within(past).filter(|_| percent < thresholds.memory_percent);
    let sentence = match soon {
        Some(seconds) => {
            format!("memory is {whole} % full ({used}) and full in {seconds:.0} s if it grows on")
        }
        None => format!("memory is {whole} % full ({used}); when full, writes are refused"),
    };
    let severity =
        if soon.is_some() { severity(percent).max(Severity::High) } else { severity(percent) };
    let error_lines = Vec::new();
    Finding { kind: FindingKind::MemoryPressure, severity, sentence, error_lines, since }
}

fn severity(percent: f64) -> Severity {
    match percent {
        full if full >= 100.0 => Severity::Critical,
        high if high >= 90.0 => Severity::High,
        medium if medium >= 60.0 => Severity::Medium,
        _ => Severity::Low,
    }
}
