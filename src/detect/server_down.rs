//! Nobody answers: refused, reset, or cut, over every connection there is.

use chrono::{DateTime, TimeDelta, Utc};

use super::streak::{self, Question, Streak};
use super::symptom::{self, Symptom};
use super::words;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::Origin;
use crate::domain::window::Window;

/// The kept connection is asked more often than this.
const SOON: TimeDelta = TimeDelta::milliseconds(600);

pub(super) const QUESTION: Question = Question {
    asks: |_, symptom| symptom != Symptom::Silent,
    shows: |_, symptom| symptom == Symptom::Down,
    belongs: |_, symptom| symptom.is_absence(),
    runtime_counts: true,
};

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let trouble = match streak::judge(&QUESTION, window, now) {
        Streak::Bad(trouble) => trouble,
        Streak::Good => return Verdict::Absent,
        Streak::Unclear(why) => return Verdict::Inconclusive(why),
    };
    if is_answered_since(window, trouble.since()) {
        return Verdict::Inconclusive("one connection is answered and the other is not");
    }
    if trouble.event.is_none() && is_about_to_be_asked(window, trouble.since(), now) {
        return Verdict::Inconclusive("the kept connection was not asked since");
    }
    let event = trouble.event.map(|event| format!(" ({})", event.detail)).unwrap_or_default();
    Verdict::Present(Finding {
        kind: FindingKind::ServerDown,
        severity: Severity::Critical,
        sentence: format!("the server is down: {}{event}", words::complaint(trouble.newest())),
        error_lines: words::error_lines(&trouble),
        since: trouble.since(),
    })
}

/// Whether the kept connection was answered a moment before the trouble began, and is asked again any moment: new
/// clients that are cut off come back faster than it is asked, and it decides whether anybody is there.
fn is_about_to_be_asked(window: &Window, since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    window.last(Origin::Held).is_some_and(|held| {
        held.at < since && symptom::of(held).is_answer() && now - held.at <= SOON
    })
}

/// Whether either connection got an answer after the trouble began: then somebody is there.
pub(super) fn is_answered_since(window: &Window, since: DateTime<Utc>) -> bool {
    [Origin::Held, Origin::Fresh]
        .into_iter()
        .filter_map(|origin| window.last(origin))
        .any(|sample| sample.at >= since && symptom::of(sample).is_answer())
}
