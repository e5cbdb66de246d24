//! The server is there and turns new clients away because it has no room. Only a new client can tell.

use chrono::{DateTime, Utc};

use super::streak::{self, Question, Streak};
use super::symptom::{self, Symptom};
use super::words;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Origin, Sample, reading};
use crate::domain::target::Engine;
use crate::domain::window::Window;

/// A kept connection that was refused had to be made anew; one that is merely still there says nothing.
const QUESTION: Question = Question {
    asks: |sample, symptom| {
        symptom.is_answer() && (sample.origin == Origin::Fresh || symptom == Symptom::Refused)
    },
    shows: |_, symptom| symptom == Symptom::Refused,
    belongs: |_, symptom| symptom == Symptom::Refused,
    runtime_counts: false,
};

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    let trouble = match streak::judge(&QUESTION, window, now) {
        Streak::Bad(trouble) => trouble,
        Streak::Good => return Verdict::Absent,
        Streak::Unclear(why) => return Verdict::Inconclusive(why),
    };
    if got_in(window, trouble.newest().at) {
        return Verdict::Inconclusive("one login is let in and another is not");
    }
    let room = room(window).map(|room| format!(" ({room})")).unwrap_or_default();
    Verdict::Present(Finding {
        kind: FindingKind::ClientsRefused,
        severity: Severity::Critical,
        sentence: format!("new clients are refused: {}{room}", words::complaint(trouble.newest())),
        error_lines: words::error_lines(&trouble),
        since: trouble.since(),
    })
}

/// Whether the application's own new client got in at or after `since`.
fn got_in(window: &Window, since: DateTime<Utc>) -> bool {
    window.last(Origin::Fresh).is_some_and(|fresh| {
        let symptom = symptom::of(fresh);
        fresh.at >= since && symptom.is_answer() && symptom != Symptom::Refused
    })
}

fn room(window: &Window) -> Option<String> {
    let read = window.last_readings()?;
    match window.target.engine {
        Engine::Postgres => words::slot_use(read),
        Engine::Redis => clients(read),
    }
}

fn clients(sample: &Sample) -> Option<String> {
    let clients = sample.reading(reading::CLIENTS)?;
    Some(format!("{clients:.0} of {:.0} clients", sample.reading(reading::MAXCLIENTS)?))
}
