//! The agent's words: why it asks, what it concluded, what it chose and what it left.

use crate::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use crate::domain::ids::ActionId;
use crate::domain::incident::Incident;
use crate::domain::proposal::{Draft, ProposedStep, Undo};

use super::playbook::{Candidate, Remedies};
use crate::narrate::before;
use crate::ports::store::SimilarIncident;

/// Why the questions that follow are asked.
pub(super) fn opening(incident: &Incident) -> String {
    let why = incident.finding.about().asks;
    let again = match incident.tried.len() {
        0 => String::new(),
        _ => format!(" {}", tried(incident)),
    };
    format!("{}.{again} {why}.", incident.message.trim_end_matches('.'))
}

/// What was done about incidents like it before, and whether it worked.
pub(super) fn remembered(similar: &[SimilarIncident]) -> Vec<String> {
    similar.iter().map(|one| format!("Like it before: {}.", before(one))).collect()
}

pub(super) fn another_look() -> String {
    "Most sessions of one program have been idle for less than a second. A pool at work moves and a leak does \
     not, so: the same question again in a moment."
        .into()
}

/// One line per cause, best first; or that nothing fits.
pub(super) fn judgement(diagnosis: &Diagnosis) -> Vec<String> {
    if diagnosis.causes.is_empty() {
        return vec![format!("{}.", capital(&diagnosis.summary))];
    }
    diagnosis.causes.iter().map(judged_line).collect()
}

fn judged_line(judged: &JudgedCause) -> String {
    let sources = match judged.evidence.as_slice() {
        [] => String::new(),
        ids => format!(" ({})", ids.join(", ")),
    };
    let head = match judged.grade {
        Grade::Confirmed | Grade::Likely => format!("Cause {}, {}", judged.cause, judged.grade),
        Grade::Inconclusive => format!("Perhaps {}", judged.cause),
    };
    let settle = judged.missing.as_ref().map(|what| format!(" To settle it: {what}."));
    format!("{head}: {}{sources}.{}", judged.because, settle.unwrap_or_default())
}

/// The order of the candidates, and what is out of the question.
pub(super) fn choice(remedies: &Remedies) -> Vec<String> {
    let mut lines: Vec<String> = remedies
        .passed_over
        .iter()
        .map(|(actions, reason)| format!("Not {actions}: {reason}."))
        .collect();
    let order: Vec<String> = remedies.candidates.iter().map(Candidate::actions).collect();
    match order.as_slice() {
        [] => {}
        [only] => lines.push(format!("The remedy that fits: {only}.")),
        several => lines.push(format!("Least destructive first: {}.", several.join("; then "))),
    }
    lines
}

pub(super) fn skipped(candidate: &Candidate, reason: &str) -> String {
    format!("Not {}: {}.", candidate.actions(), reason.trim_end_matches('.'))
}

pub(super) fn proposed(draft: &Draft, incident: &Incident) -> String {
    format!(
        "Proposing {} on {} at {} risk: {}. {}. If nothing is done, {}.",
        draft.actions(),
        incident.target,
        draft.risk(),
        draft.effect,
        undo_words(&draft.steps),
        draft.if_not
    )
}

fn undo_words(steps: &[ProposedStep]) -> String {
    let each = |step: &ProposedStep| match &step.undo {
        Undo::Exact(_) | Undo::Compensating(_) => format!("undo: {}", step.undo.describe()),
        Undo::Impossible | Undo::NotNeeded => step.undo.describe(),
    };
    match steps {
        [only] => capital(&each(only)),
        _ => {
            let named = steps.iter().map(|step| format!("{}: {}", step.action, each(step)));
            named.collect::<Vec<_>>().join("; ")
        }
    }
}

pub(super) fn no_proposal(reason: &str) -> String {
    format!("Nothing is proposed. {reason}")
}

/// What it brings, with the consequences counted on the live server.
pub(super) fn effect(effect: &str, steps: &[ProposedStep]) -> String {
    let all = steps.iter().flat_map(|step| &step.preview.consequences);
    let counted: Vec<String> = all.map(ToString::to_string).collect();
    if counted.is_empty() {
        return effect.into();
    }
    format!("{effect} ({})", counted.join(", "))
}

/// Why nothing is proposed, and what a person should look at.
pub(super) fn hand_over(
    diagnosis: &Diagnosis,
    remedies: &Remedies,
    incident: &Incident,
    skipped: &[String],
) -> String {
    let mut text = format!("{}.", capital(&why_none(diagnosis, remedies)));
    if !incident.tried.is_empty() {
        text = format!("{text} {}", tried(incident));
    }
    let passed_over = remedies.passed_over.iter().map(|(what, why)| format!("{what}: {why}"));
    let not: Vec<String> = passed_over.chain(skipped.iter().cloned()).collect();
    if !not.is_empty() {
        text = format!("{text} Not possible now: {}.", not.join("; "));
    }
    if !remedies.advice.is_empty() {
        text = format!("{text} A person should look at {}.", remedies.advice.join("; and at "));
    }
    text
}

fn why_none(diagnosis: &Diagnosis, remedies: &Remedies) -> String {
    let Some(first) = diagnosis.causes.first().filter(|_| !remedies.advice.is_empty()) else {
        return diagnosis.summary.clone();
    };
    let has_remedy = !remedies.passed_over.is_empty() || !remedies.candidates.is_empty();
    if has_remedy {
        format!("no remedy is left for {} ({})", first.cause, first.grade)
    } else {
        format!("there is no action for {} ({})", first.cause, first.grade)
    }
}

fn tried(incident: &Incident) -> String {
    let told: Vec<String> = incident
        .tried
        .iter()
        .map(|tried| {
            let actions: Vec<&str> = tried.actions.iter().map(ActionId::as_str).collect();
            format!("{} for {} ({})", actions.join(" and "), tried.cause, tried.outcome)
        })
        .collect();
    format!("Tried so far: {}.", told.join("; "))
}

/// The first letter as a sentence begins.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
