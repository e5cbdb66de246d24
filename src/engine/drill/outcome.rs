//! What a drill measured, from the incident and the injection alone: for a table, and as JSON for machines.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::diagnosis::Grade;
use crate::domain::execution::{Execution, Verification};
use crate::domain::health::Health;
use crate::domain::ids::CauseId;
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::proposal::Consequence;
use crate::engine::handle::TargetView;
use crate::faults::Descriptor;

/// How a drill went.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub fault: String,
    pub target: String,
    pub incident: String,
    pub finding: String,
    pub severity: String,
    pub cause: Option<String>,
    pub grade: Option<String>,
    pub because: Option<String>,
    /// The actions of the last execution that acted.
    pub actions: Vec<String>,
    /// What they cost, as computed before.
    pub cost: Vec<Consequence>,
    pub times: Times,
    pub health: Levels,
    pub status: String,
    pub failure: Option<String>,
    /// What is still different from before, after the injection was undone.
    pub left_over: Vec<String>,
    /// What was expected, where it came differently.
    pub unexpected: Vec<String>,
    /// The cause was found, what can be recovered was proven to be, and nothing is left over.
    pub passed: bool,
}

/// What the drill itself saw around the incident.
pub(super) struct Seen<'a> {
    pub(super) before: &'a TargetView,
    pub(super) took_at: Option<DateTime<Utc>>,
    pub(super) after: Option<&'a TargetView>,
}

/// Times in milliseconds, from the events' own clock.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Times {
    /// From our first bad sample to the incident.
    pub detected: Option<i64>,
    /// From the injector's own sight of the symptom to the incident; below zero when we were first.
    pub detected_after_symptom: Option<i64>,
    /// From the start of the investigation to the proposal.
    pub proposed: Option<i64>,
    /// From the approval to the first action's start.
    pub approval_to_action: Option<i64>,
    /// The actions together.
    pub acted: Option<i64>,
    /// From the start of the proof to the first round without the symptom.
    pub symptom_free: Option<i64>,
    /// How long the proof held.
    pub held: Option<i64>,
    /// From our first bad sample to the end of the incident.
    pub recovered: Option<i64>,
}

/// Scores along the way; absent when nothing could be measured.
#[derive(Clone, Debug, Serialize)]
pub struct Levels {
    pub before: Option<u8>,
    pub at_open: Option<u8>,
    pub after: Option<u8>,
}

impl Outcome {
    pub(super) fn of(
        fault: &Descriptor,
        incident: &Incident,
        injection: &Injection,
        seen: &Seen<'_>,
    ) -> Self {
        let Seen { before, took_at, after } = seen;
        let ran = incident.executions.iter().rev().find(|execution| execution.has_acted());
        let proposal = ran.and_then(|execution| execution.proposal.as_ref());
        let judged = incident.diagnosis.as_ref().and_then(|diagnosis| diagnosis.causes.first());
        let left_over = left_over(injection);
        let unexpected = unexpected(fault, incident, ran);
        let after_health =
            after.map_or(incident.health_at_end.unwrap_or_default(), |view| view.health);
        Self {
            fault: injection.fault.to_string(),
            target: injection.target.to_string(),
            incident: incident.name(),
            finding: incident.finding.as_str().to_owned(),
            severity: incident.severity.as_str().to_owned(),
            cause: judged.map(|judged| judged.cause.to_string()),
            grade: judged.map(|judged| judged.grade.to_string()),
            because: judged.map(|judged| judged.because.clone()),
            actions: ran.map(actions).unwrap_or_default(),
            cost: proposal
                .map(|p| {
                    p.draft.steps.iter().flat_map(|s| s.preview.consequences.clone()).collect()
                })
                .unwrap_or_default(),
            times: times(incident, ran, *took_at),
            health: Levels {
                before: before.health.score(),
                at_open: incident.health_at_open.score(),
                after: Health::score(after_health),
            },
            status: incident.status.as_str().to_owned(),
            failure: incident.failure_reason.clone(),
            passed: unexpected.is_empty() && left_over.is_empty() && after.is_some(),
            unexpected,
            left_over,
        }
    }
}

/// Causes that cannot be told apart everywhere, and what is said then: a local process leaves no exit code behind.
const COARSER: [(&str, &str); 1] = [("container-killed", "container-exited")];

/// How it went otherwise than the catalogue says, in words.
fn unexpected(fault: &Descriptor, incident: &Incident, ran: Option<&Execution>) -> Vec<String> {
    let mut found = Vec::new();
    let judged = incident.diagnosis.iter().flat_map(|diagnosis| &diagnosis.causes);
    let is_meant = |cause: &CauseId| {
        let coarser = COARSER.iter().find(|(fine, _)| *fine == fault.cause);
        *cause == *fault.cause || coarser.is_some_and(|(_, coarse)| *cause == **coarse)
    };
    let named = judged.clone().any(|j| is_meant(&j.cause) && j.grade > Grade::Inconclusive);
    if !named {
        found.push(format!("{} is not among the causes found", fault.cause));
    }
    if fault.fixed_by.is_empty() {
        if ran.is_some() {
            found.push("an action ran where only a person can help".into());
        }
        return found;
    }
    let Some(ran) = ran else {
        found.push(format!("no action ran, {} was expected", fault.fixed_by.join(", ")));
        return found;
    };
    let others = ran.steps.iter().filter(|run| fault.fixed_by.iter().all(|id| run.action != **id));
    found.extend(others.map(|run| format!("{} ran instead", run.action)));
    let proven = ran.verification.as_ref().is_some_and(Verification::passed);
    if !proven || incident.status != Status::Resolved {
        found.push("the recovery is not proven".into());
    }
    found
}

fn actions(execution: &Execution) -> Vec<String> {
    execution.steps.iter().map(|run| run.action.to_string()).collect()
}

fn times(incident: &Incident, ran: Option<&Execution>, took_at: Option<DateTime<Utc>>) -> Times {
    let proof = ran.and_then(|execution| execution.verification.as_ref());
    let first = ran.and_then(|execution| execution.steps.first()).map(|run| run.started_at);
    let last = ran.and_then(|execution| execution.steps.last()?.end.as_ref()).map(|end| end.at);
    let proposal = ran.and_then(|execution| execution.proposal.as_ref());
    let approved =
        ran.and_then(|execution| execution.approval.as_ref()).map(|approval| approval.at);
    Times {
        detected: since(Some(incident.first_bad_at), Some(incident.opened_at)),
        detected_after_symptom: since(took_at, Some(incident.opened_at)),
        proposed: since(ran.map(|e| e.started_at), proposal.map(|p| p.created_at)),
        approval_to_action: since(approved, first),
        acted: since(first, last),
        symptom_free: proof.and_then(|proof| proof.symptom_free_after_ms).and_then(whole),
        held: proof.and_then(|proof| whole(proof.held_ms)),
        recovered: since(Some(incident.first_bad_at), incident.resolved_at),
    }
}

fn since(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<i64> {
    Some((to? - from?).num_milliseconds())
}

fn whole(ms: u64) -> Option<i64> {
    i64::try_from(ms).ok()
}

fn left_over(injection: &Injection) -> Vec<String> {
    match &injection.state {
        InjectionState::Reverted { left_over, .. } => left_over.clone(),
        InjectionState::Starting
        | InjectionState::Active { .. }
        | InjectionState::Reverting
        | InjectionState::DidNotTake { .. } => {
            vec![format!("{} is {}", injection.name(), injection.state.as_str())]
        }
    }
}
