//! Reads work and writes do not.

use chrono::{DateTime, Utc};

use super::streak::{self, Question, Streak};
use super::symptom::Symptom;
use super::words;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Answer, Sample};
use crate::domain::window::Window;

const QUESTION: Question = Question {
    asks: |sample, symptom| symptom.is_answer() && sample.write != Answer::NotAsked,
    shows: |_, symptom| symptom == Symptom::WritesFail,
    belongs: |_, symptom| symptom == Symptom::WritesFail,
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
    Verdict::Present(Finding {
        kind: FindingKind::WritesRefused,
        severity: Severity::Critical,
        sentence: sentence(trouble.newest(), window),
        error_lines: words::error_lines(&trouble),
        since: trouble.since(),
    })
}

fn sentence(newest: &Sample, window: &Window) -> String {
    let complaint = newest.write.describe();
    if matches!(newest.write, Answer::Hung { .. }) {
        return format!("writes hang while reads work: {complaint}");
    }
    let memory = window.last_readings().and_then(words::memory_use);
    match memory.filter(|_| newest.write.code() == Some("OOM")) {
        Some(memory) => format!("writes are refused: {complaint} (used {memory})"),
        None => format!("writes are refused: {complaint}"),
    }
}
