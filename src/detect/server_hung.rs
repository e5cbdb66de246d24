//! Connects, then silence. A whole deadline of silence over *both* connections is two bad samples in one.

use chrono::{DateTime, TimeDelta, Utc};

use super::server_down::is_answered_since;
use super::streak::{self, Question, Run, Streak, Trouble};
use super::symptom::{self, Symptom};
use super::words;
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::{Answer, Origin, Sample};
use crate::domain::window::Window;

const QUESTION: Question = Question {
    asks: |_, symptom| symptom != Symptom::Silent,
    shows: |_, symptom| symptom == Symptom::Hung,
    belongs: |_, symptom| symptom.is_absence(),
    runtime_counts: true,
};

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let trouble = match streak::judge(&QUESTION, window, now) {
        Streak::Bad(trouble) => trouble,
        Streak::Good => return Verdict::Absent,
        Streak::Unclear(why) => match all_silent(window, now) {
            Some(trouble) => trouble,
            None => return Verdict::Inconclusive(why),
        },
    };
    if is_answered_since(window, trouble.since()) {
        return Verdict::Inconclusive("one connection is answered and the other is not");
    }
    let said = trouble.event.map(|event| event.detail.as_str()).filter(|detail| !detail.is_empty());
    let event = said.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let complaint = words::complaint(trouble.newest());
    Verdict::Present(Finding {
        kind: FindingKind::ServerHung,
        severity: Severity::Critical,
        sentence: format!("the server is there and does not answer: {complaint}{event}"),
        error_lines: words::error_lines(&trouble),
        since: trouble.since(),
    })
}

/// One question that waited out its deadline, while the other connection, which is asked at least as often,
/// brought nothing either since that question was put.
fn all_silent(window: &Window, now: DateTime<Utc>) -> Option<Trouble<'_>> {
    if streak::is_starting(window, now) {
        return None;
    }
    let of = |origin| streak::run(&QUESTION, window, origin, now);
    let (run, other) = match (of(Origin::Held), of(Origin::Fresh)) {
        (Some(run), None) => (run, Origin::Fresh),
        (None, Some(run)) => (run, Origin::Held),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let put_at = run.newest.at - waited(&run)?;
    // A connection that was never there cannot bear witness.
    let witness = window.newest(other).find(|sample| symptom::of(sample) != Symptom::Silent)?;
    (witness.at < put_at).then(|| Trouble { runs: vec![run], event: None })
}

fn waited(run: &Run<'_>) -> Option<TimeDelta> {
    let Sample { connect, read, write, .. } = run.newest;
    [connect, read, write].into_iter().find_map(|answer| match answer {
        Answer::Hung { after_ms } => Some(TimeDelta::milliseconds(i64::try_from(*after_ms).ok()?)),
        Answer::Ok
        | Answer::Gone { .. }
        | Answer::Error { .. }
        | Answer::Starting { .. }
        | Answer::NotAsked => None,
    })
}
