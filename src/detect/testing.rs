//! Windows for the tests of detectors, written as short tables.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::finding::{Finding, Verdict};
use crate::domain::ids::TargetId;
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, RuntimeEvent, RuntimeEventKind, Sample};
use crate::domain::target::{Engine, Profile, Target, Thresholds};
use crate::domain::window::Window;

pub(super) fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap() + TimeDelta::milliseconds(ms)
}

pub(super) fn gone() -> Answer {
    Answer::Gone { text: "connection refused".into() }
}

pub(super) fn hung() -> Answer {
    Answer::Hung { after_ms: 1_000 }
}

pub(super) fn error(code: &str, text: &str) -> Answer {
    Answer::Error { code: code.into(), text: text.into() }
}

pub(super) fn starting() -> Answer {
    Answer::Starting { text: "LOADING Redis is loading the dataset in memory".into() }
}

pub(super) fn sample(
    origin: Origin,
    ms: i64,
    connect: Answer,
    read: Answer,
    write: Answer,
) -> Sample {
    let readings = Readings::default();
    Sample { at: at(ms), origin, took_ms: 0.3, connect, read, write, readings }
}

/// Samples written as `h250G`: held, at 250 ms, gone. The last letter is one of `.` clean, `r` clean without
/// a write, `G` gone, `H` hung, `S` starting, `F` full, `W` write refused, `w` write hung, `E` another error.
pub(super) fn samples(story: &str) -> Vec<Sample> {
    story.split_whitespace().map(one).collect()
}

fn one(word: &str) -> Sample {
    use Answer::{NotAsked, Ok};
    let origin = if word.starts_with('h') { Origin::Held } else { Origin::Fresh };
    let ms = word[1..word.len() - 1].parse().unwrap();
    let first = |answer| (answer, NotAsked, NotAsked);
    let (connect, read, write) = match word.chars().last().unwrap() {
        '.' => (Ok, Ok, Ok),
        'r' => (Ok, Ok, NotAsked),
        'G' => first(gone()),
        'H' => first(hung()),
        'S' => first(starting()),
        'F' => first(error("53300", "FATAL: too many clients")),
        'W' => (Ok, Ok, error("OOM", "OOM command not allowed when used memory > 'maxmemory'.")),
        'w' => (Ok, Ok, hung()),
        'E' => first(error("NOAUTH", "NOAUTH Authentication required.")),
        other => panic!("no such sample: {other}"),
    };
    sample(origin, ms, connect, read, write)
}

pub(super) fn with(mut sample: Sample, readings: &[(&'static str, f64)]) -> Sample {
    sample.readings = readings.iter().copied().collect();
    sample
}

pub(super) fn target(engine: Engine, profile: Profile) -> Target {
    Target {
        id: TargetId::of("t"),
        engine,
        profile,
        lab: None,
        has_runtime: false,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    }
}

pub(super) fn window(target: Target, samples: impl IntoIterator<Item = Sample>) -> Window {
    let mut window = Window::new(target);
    for sample in samples {
        window.push(sample);
    }
    window
}

pub(super) fn redis(samples: impl IntoIterator<Item = Sample>) -> Window {
    window(target(Engine::Redis, Profile::Lab), samples)
}

pub(super) fn event(ms: i64, kind: RuntimeEventKind) -> RuntimeEvent {
    RuntimeEvent { at: at(ms), kind, detail: "the runtime said so".into() }
}

/// A verdict in one letter: `P`resent, `A`bsent, `I`nconclusive.
pub(super) fn letter(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Present(_) => 'P',
        Verdict::Absent => 'A',
        Verdict::Inconclusive(_) => 'I',
    }
}

pub(super) fn present(verdict: Verdict) -> Finding {
    let Verdict::Present(finding) = verdict else { panic!("no finding: {verdict:?}") };
    finding
}
