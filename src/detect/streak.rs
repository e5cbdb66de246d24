//! How samples become a verdict: two bad ones in a row, two good ones in a row, or nothing yet.
//!
//! "In a row" is over one connection (the newest two it took), or one of each taken within a second. A `die`
//! or `pause` of the runtime stands for the second one where the server itself is in question.

use chrono::{DateTime, TimeDelta, Utc};

use super::symptom::{self, Symptom};
use crate::domain::sample::{Origin, RuntimeEvent, RuntimeEventKind, Sample};
use crate::domain::window::Window;

/// Samples older than this say nothing about now.
const FRESHNESS: TimeDelta = TimeDelta::seconds(5);
/// One bad sample of each connection counts as two in a row within this.
const TOGETHER: TimeDelta = TimeDelta::seconds(1);

/// What is asked of the samples.
pub(super) struct Question {
    /// Whether a sample has anything to say on the matter.
    pub(super) asks: fn(&Sample, Symptom) -> bool,
    /// Whether it shows the trouble.
    pub(super) shows: fn(&Sample, Symptom) -> bool,
    /// Whether an older sample belongs to the same trouble.
    pub(super) belongs: fn(&Sample, Symptom) -> bool,
    /// Whether the runtime's word stands for a sample.
    pub(super) runtime_counts: bool,
}

/// Consecutive bad samples of one connection, up to now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) newest: &'a Sample,
    pub(super) since: DateTime<Utc>,
    pub(super) length: usize,
}

/// What the samples say.
#[derive(Debug)]
pub(super) enum Streak<'a> {
    Bad(Trouble<'a>),
    Good,
    Unclear(&'static str),
}

/// A trouble that is certain.
#[derive(Debug)]
pub(super) struct Trouble<'a> {
    pub(super) runs: Vec<Run<'a>>,
    pub(super) event: Option<&'a RuntimeEvent>,
}

impl<'a> Trouble<'a> {
    /// When the first of the bad samples was taken.
    pub(super) fn since(&self) -> DateTime<Utc> {
        self.runs.iter().map(|run| run.since).min().unwrap_or_default()
    }

    /// The newest bad sample.
    pub(super) fn newest(&self) -> &'a Sample {
        self.runs
            .iter()
            .map(|run| run.newest)
            .max_by_key(|sample| sample.at)
            .expect("a trouble is made of at least one run")
    }
}

/// Puts the question to a window.
pub(super) fn judge<'a>(question: &Question, window: &'a Window, now: DateTime<Utc>) -> Streak<'a> {
    if is_starting(window, now) {
        return Streak::Unclear("the server is starting");
    }
    let runs: Vec<Run<'a>> = [Origin::Held, Origin::Fresh]
        .into_iter()
        .filter_map(|origin| run(question, window, origin, now))
        .collect();
    let event = if question.runtime_counts { stopped(window, now) } else { None };
    if is_certain(&runs, event.is_some()) {
        return Streak::Bad(Trouble { runs, event });
    }
    if !runs.is_empty() {
        return Streak::Unclear("one bad sample so far");
    }
    good(question, window, now)
}

/// The bad samples at the newest end of one connection.
pub(super) fn run<'a>(
    question: &Question,
    window: &'a Window,
    origin: Origin,
    now: DateTime<Utc>,
) -> Option<Run<'a>> {
    let mut asked = asked(question, window, origin);
    let newest = asked.next().filter(|sample| is_recent(sample, now))?;
    if !(question.shows)(newest, symptom::of(newest)) {
        return None;
    }
    let mut run = Run { newest, since: newest.at, length: 1 };
    for older in asked {
        let follows = run.since - older.at <= FRESHNESS;
        if !follows || !(question.belongs)(older, symptom::of(older)) {
            break;
        }
        run.since = older.at;
        run.length += 1;
    }
    Some(run)
}

fn asked<'a>(
    question: &Question,
    window: &'a Window,
    origin: Origin,
) -> impl Iterator<Item = &'a Sample> {
    let asks = question.asks;
    window.newest(origin).filter(move |sample| asks(sample, symptom::of(sample)))
}

fn is_certain(runs: &[Run<'_>], stopped: bool) -> bool {
    let together = match runs {
        [one, other] => (one.newest.at - other.newest.at).abs() <= TOGETHER,
        _ => false,
    };
    runs.iter().any(|run| run.length >= 2) || together || (stopped && !runs.is_empty())
}

fn good<'a>(question: &Question, window: &'a Window, now: DateTime<Utc>) -> Streak<'a> {
    if is_away(window, now) {
        return Streak::Unclear("the server does not answer");
    }
    let mut newest: Vec<&Sample> = [Origin::Held, Origin::Fresh]
        .into_iter()
        .flat_map(|origin| asked(question, window, origin).take(2))
        .collect();
    newest.sort_by_key(|sample| std::cmp::Reverse(sample.at));
    let is_good = |sample: &Sample| {
        let symptom = symptom::of(sample);
        symptom.is_answer() && !(question.shows)(sample, symptom)
    };
    match newest.as_slice() {
        [] => Streak::Unclear("nothing was measured"),
        [first, ..] if !is_recent(first, now) => Streak::Unclear("the newest sample is too old"),
        [_] => Streak::Unclear("one sample so far"),
        [first, second, ..] if is_good(first) && is_good(second) => Streak::Good,
        _ => Streak::Unclear("one good sample so far"),
    }
}

/// Whether the server says that it is on its way, over either connection.
pub(super) fn is_starting(window: &Window, now: DateTime<Utc>) -> bool {
    newest_symptoms(window, now).any(|symptom| symptom == Symptom::Starting)
}

/// Whether the newest sample of either connection found no server to talk to.
pub(super) fn is_away(window: &Window, now: DateTime<Utc>) -> bool {
    newest_symptoms(window, now).any(Symptom::is_absence)
}

fn newest_symptoms(window: &Window, now: DateTime<Utc>) -> impl Iterator<Item = Symptom> {
    [Origin::Held, Origin::Fresh]
        .into_iter()
        .filter_map(|origin| window.last(origin))
        .filter(move |sample| is_recent(sample, now))
        .map(symptom::of)
}

pub(super) fn is_recent(sample: &Sample, now: DateTime<Utc>) -> bool {
    now - sample.at <= FRESHNESS
}

/// The runtime's newest word, when it is that the server was stopped or frozen just now.
fn stopped(window: &Window, now: DateTime<Utc>) -> Option<&RuntimeEvent> {
    let is_stop = |event: &RuntimeEvent| match event.kind {
        RuntimeEventKind::Died | RuntimeEventKind::Paused => Some(true),
        RuntimeEventKind::Unpaused | RuntimeEventKind::Started => Some(false),
        RuntimeEventKind::OutOfMemory | RuntimeEventKind::HealthChanged => None,
    };
    let events = window.runtime_since(now - FRESHNESS);
    let last = events.filter_map(|event| Some((event, is_stop(event)?))).last();
    last.filter(|(_, stop)| *stop).map(|(event, _)| event)
}
