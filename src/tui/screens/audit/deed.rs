//! What a record is to a person: who did what, about which incident, with what result; or chatter between deeds.

use chrono::{DateTime, Utc};

use crate::domain::event::{Event, EventBody, RawEvent};
use crate::domain::execution::{Approval, Decision, StepEnd, Verification};
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::job::JobEnd;
use crate::domain::proposal::Proposal;
use crate::narrate::{self, duration};
use crate::tui::theme::Role;

/// One record, as a row shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deed {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub actor: String,
    /// What was done, as people filter it: `approve`.
    pub action: String,
    /// The kind of the record, as the store has it.
    pub kind: String,
    pub incident: Option<IncidentId>,
    pub target: Option<String>,
    pub execution: Option<ExecutionId>,
    /// The proposal's digits, or the injection's name.
    pub about: Option<String>,
    pub result: String,
    pub role: Role,
    /// Chatter is folded away.
    pub is_deed: bool,
}

/// The words for a record.
struct Told {
    action: &'static str,
    result: String,
    role: Role,
    is_deed: bool,
}

fn deed(action: &'static str, result: impl Into<String>) -> Told {
    Told { action, result: result.into(), role: Role::Text, is_deed: true }
}

fn chatter(action: &'static str, result: impl Into<String>) -> Told {
    Told { is_deed: false, role: Role::Muted, ..deed(action, result) }
}

impl Told {
    fn looks(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// The deed of an event.
pub(crate) fn of(event: &Event) -> Deed {
    let told = told(event);
    Deed {
        seq: event.seq,
        at: event.at,
        actor: event.actor.clone(),
        action: told.action.to_owned(),
        kind: event.body.kind().to_owned(),
        incident: event.incident,
        target: event.target.as_ref().map(|target| target.as_str().to_owned()),
        execution: execution(&event.body),
        about: about(&event.body),
        result: told.result,
        role: told.role,
        is_deed: told.is_deed,
    }
}

/// The deed of a record that cannot be read as an event: it stays in sight and says why.
pub(super) fn unreadable(record: &RawEvent, error: &serde_json::Error) -> Deed {
    Deed {
        seq: record.seq,
        at: record.at,
        actor: record.actor.clone(),
        action: "unread".into(),
        kind: record.kind.clone(),
        incident: record.incident.map(IncidentId),
        target: record.target.clone(),
        execution: None,
        about: None,
        result: format!("{} cannot be read: {error}", record.kind),
        role: Role::Bad,
        is_deed: true,
    }
}

fn told(event: &Event) -> Told {
    match &event.body {
        EventBody::EngineStarted { .. }
        | EventBody::EngineStopped { .. }
        | EventBody::StoreLost { .. }
        | EventBody::StoreReturned { .. }
        | EventBody::InjectionStarted { .. }
        | EventBody::InjectionMoved { .. } => surroundings(event),
        EventBody::JobStarted { job } => {
            deed("job", format!("{} on {}: {}", job.what, job.database, job.commands.join("; ")))
        }
        EventBody::JobEnded { end, .. } if end.ok => {
            deed("job", format!("done{}", rows(end))).looks(Role::Ok)
        }
        EventBody::JobEnded { end, .. } => {
            let why = end.error.as_deref().unwrap_or("failed");
            deed("job", format!("not done: {why}")).looks(Role::Bad)
        }
        EventBody::IncidentOpened { .. }
        | EventBody::IncidentEscalated { .. }
        | EventBody::IncidentNoted { .. }
        | EventBody::IncidentAmended { .. }
        | EventBody::AlertReceived { .. }
        | EventBody::IncidentResolved { .. }
        | EventBody::IncidentFailed { .. } => incident(event),
        EventBody::Proposed { proposal, .. } => proposed(proposal),
        EventBody::Decided { approval, .. } => decided(approval),
        EventBody::DecisionRefused { reason } => deed("refuse", reason).looks(Role::Warn),
        EventBody::ActionStarted { run, .. } => {
            deed("execute", format!("{}, health {}", run.action, run.health_before))
        }
        EventBody::ActionFinished { end, .. } => finished(end),
        EventBody::Verified { verification, .. } => verified(verification),
        EventBody::RolledBack { ok: true, detail, .. } => deed("undo", format!("done: {detail}")),
        EventBody::RolledBack { ok: false, detail, .. } => {
            deed("undo", format!("FAILED: {detail}")).looks(Role::Bad)
        }
        _ => other(event),
    }
}

/// How many rows a job changed, where it counts them.
fn rows(end: &JobEnd) -> String {
    end.rows.map_or(String::new(), |rows| format!(", {rows} rows"))
}

fn surroundings(event: &Event) -> Told {
    match &event.body {
        EventBody::EngineStarted { version, holder } => {
            deed("started", format!("simctl {version} as {holder}"))
        }
        EventBody::EngineStopped { reason } => deed("stopped", reason),
        EventBody::StoreLost { reason } => {
            deed("store", format!("lost: {reason}")).looks(Role::Bad)
        }
        EventBody::StoreReturned { merged } => {
            deed("store", format!("back, {merged} merged from the journal"))
        }
        EventBody::InjectionStarted { injection } => injected(injection),
        EventBody::InjectionMoved { state, .. } => moved(state),
        _ => other(event),
    }
}

fn injected(injection: &Injection) -> Told {
    let deadline = (injection.deadline - injection.started_at).num_seconds();
    deed("inject", format!("{} deadline={deadline}s", injection.fault))
}

fn moved(state: &InjectionState) -> Told {
    match state {
        InjectionState::Starting => chatter("inject", "starting"),
        InjectionState::Active { symptom, .. } => chatter("inject", format!("took: {symptom}")),
        InjectionState::DidNotTake { reason } => {
            deed("inject", format!("did not take: {reason}")).looks(Role::Warn)
        }
        InjectionState::Reverting => chatter("revert", "reverting"),
        InjectionState::Reverted { by, left_over, .. } if left_over.is_empty() => {
            deed("revert", format!("by {by}, nothing left over"))
        }
        InjectionState::Reverted { by, left_over, .. } => {
            deed("revert", format!("by {by}, left over: {}", left_over.join(", ")))
                .looks(Role::Warn)
        }
    }
}

fn incident(event: &Event) -> Told {
    match &event.body {
        EventBody::IncidentOpened { incident, .. } => {
            let health = incident.health_at_open;
            deed("open", format!("{}, health {health}", incident.finding.as_str()))
        }
        EventBody::IncidentEscalated { finding, health } => {
            deed("escalate", format!("{}, health {health}", finding.kind.as_str()))
                .looks(Role::Warn)
        }
        EventBody::IncidentNoted { text } => deed("note", text),
        EventBody::IncidentAmended { severity, team, .. } => {
            let team = team.as_deref().unwrap_or("none");
            deed("amend", format!("severity {}, team {team}", severity.as_str()))
        }
        EventBody::AlertReceived { alert } => {
            let stands = if alert.is_firing { "fires" } else { "is over" };
            deed("alert", format!("{} {stands}: {}", alert.name, alert.message))
        }
        EventBody::IncidentResolved { health, reason } => {
            deed("resolve", format!("health {health}: {reason}")).looks(Role::Ok)
        }
        EventBody::IncidentFailed { reason } => deed("fail", reason).looks(Role::Bad),
        _ => other(event),
    }
}

fn proposed(proposal: &Proposal) -> Told {
    let (actions, count) = (proposal.draft.actions(), proposal.draft.steps.len());
    let noun = if count == 1 { "action" } else { "actions" };
    deed("propose", format!("risk {}, {count} {noun}: {actions}", proposal.risk))
}

fn decided(approval: &Approval) -> Told {
    match &approval.decision {
        Decision::Approved { typed: Some(typed), .. } => deed("approve", format!("typed {typed}")),
        Decision::Approved { typed: None, .. } => deed("approve", "y"),
        Decision::Automatic { rule } => deed("approve", format!("automatic: {rule}")),
        Decision::Denied { reason } if reason.is_empty() => deed("reject", "denied"),
        Decision::Denied { reason } => deed("reject", format!("denied: '{reason}'")),
        Decision::Expired => deed("expire", "nobody decided in time").looks(Role::Warn),
        Decision::Superseded { reason } => deed("supersede", reason),
    }
}

fn finished(end: &StepEnd) -> Told {
    let exit = end.output.exit_code.map_or("no exit code".into(), |code| format!("exit {code}"));
    let took = duration(end.output.duration_ms);
    let told = deed("result", format!("{exit}, {took}, health {}", end.health_after));
    if end.ok { told } else { told.looks(Role::Bad) }
}

fn verified(verification: &Verification) -> Told {
    let passed = verification.checks.iter().filter(|check| check.passed == Some(true)).count();
    let count = verification.checks.len();
    match verification.failure() {
        None => {
            let held = duration(verification.held_ms);
            deed("verify", format!("pass {passed}/{count}, {held}")).looks(Role::Ok)
        }
        Some(failure) => deed("verify", format!("FAIL {failure}")).looks(Role::Bad),
    }
}

/// What is no deed, and kinds that came later, in the words every other reader gets.
fn other(event: &Event) -> Told {
    let said = narrate::words(event).map(|(_, text)| text).unwrap_or_default();
    match event.body.kind() {
        "baseline_recorded" => chatter("baseline", "the settings of a healthy target"),
        "runtime_observed" => chatter("runtime", said),
        "incident_recurred" => chatter("recur", said),
        "status_changed" => chatter("status", said),
        "investigation_started" => chatter("think", said),
        "phase" => chatter("phase", said),
        "model_asked" => chatter("model", said),
        "model_judged" => deed("model", said),
        "diagnosed" => chatter("diagnose", said),
        "execution_moved" => chatter("state", moved_to(&event.body)),
        "execution_ended" => chatter("end", said),
        "report_written" => chatter("report", said),
        "stop_ordered" => deed("stop", said),
        "undo_started" => deed("undo", said),
        _ => deed("other", said),
    }
}

fn moved_to(body: &EventBody) -> String {
    match body {
        EventBody::ExecutionMoved { to, .. } => to.as_str().to_owned(),
        _ => String::new(),
    }
}

/// The execution an event is about, whatever its kind.
fn execution(body: &EventBody) -> Option<ExecutionId> {
    match body {
        EventBody::InvestigationStarted { execution, .. }
        | EventBody::Phase { execution, .. }
        | EventBody::Diagnosed { execution, .. }
        | EventBody::Proposed { execution, .. }
        | EventBody::Decided { execution, .. }
        | EventBody::ExecutionMoved { execution, .. }
        | EventBody::ActionStarted { execution, .. }
        | EventBody::ActionFinished { execution, .. }
        | EventBody::StopOrdered { execution, .. }
        | EventBody::Verified { execution, .. }
        | EventBody::UndoStarted { execution, .. }
        | EventBody::RolledBack { execution, .. }
        | EventBody::ExecutionEnded { execution, .. } => Some(*execution),
        EventBody::ModelAsked { execution, .. }
        | EventBody::ModelJudged { execution, .. }
        | EventBody::ReportWritten { execution, .. } => *execution,
        _ => None,
    }
}

fn about(body: &EventBody) -> Option<String> {
    match body {
        EventBody::Proposed { proposal, .. } => Some(proposal.fingerprint.short().to_owned()),
        EventBody::Decided { approval, .. } => Some(approval.fingerprint.short().to_owned()),
        EventBody::InjectionStarted { injection } => Some(injection.name()),
        _ => None,
    }
}
