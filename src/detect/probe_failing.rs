//! A client gets another error, or new connections fail while the one that was there before still works.

use chrono::{DateTime, Utc};

use super::server_down::is_answered_since;
use super::streak::{self, Question, Run, Streak};
use super::symptom::Symptom;
use super::words;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::Origin;
use crate::domain::window::Window;

const QUESTION: Question = Question {
    asks: |_, symptom| symptom.is_answer() && symptom != Symptom::Refused,
    shows: |_, symptom| symptom == Symptom::Failing,
    belongs: |_, symptom| symptom == Symptom::Failing,
    runtime_counts: false,
};

const CUT_OFF: Question = Question {
    asks: |_, symptom| symptom != Symptom::Silent,
    shows: |_, symptom| symptom.is_absence(),
    belongs: |_, symptom| symptom.is_absence(),
    runtime_counts: false,
};

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    if let Some(run) = locked_out(window, now) {
        let complaint = words::complaint(run.newest);
        return Verdict::Present(Finding {
            kind: FindingKind::ProbeFailing,
            severity: Severity::High,
            sentence: format!("new connections fail while an old one still works: {complaint}"),
            error_lines: vec![complaint],
            since: run.since,
        });
    }
    if streak::is_away(window, now) {
        return Verdict::Inconclusive("the server does not answer");
    }
    match streak::judge(&QUESTION, window, now) {
        Streak::Good => Verdict::Absent,
        Streak::Unclear(why) => Verdict::Inconclusive(why),
        Streak::Bad(trouble) => Verdict::Present(Finding {
            kind: FindingKind::ProbeFailing,
            severity: Severity::High,
            sentence: format!("a client gets an error: {}", words::complaint(trouble.newest())),
            error_lines: words::error_lines(&trouble),
            since: trouble.since(),
        }),
    }
}

/// New connections that found nobody, twice in a row, while the kept one was answered.
fn locked_out(window: &Window, now: DateTime<Utc>) -> Option<Run<'_>> {
    let run = streak::run(&CUT_OFF, window, Origin::Fresh, now).filter(|run| run.length >= 2)?;
    is_answered_since(window, run.newest.at).then_some(run)
}
