//! Which derived rows follow from an event. Pure, so that a replay of the log writes the same tables.

use serde_json::json;

use super::record::derived_id;
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::Execution;
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::ExecutionId;
use crate::domain::incident::{Incident, Status};
use crate::domain::ledger::{Ledger, MODEL_KEY};
use crate::domain::sample::{RuntimeEvent, RuntimeEventKind};
use crate::ports::store::Row;

/// The rows of `event`, given the incident's status `before` it and the ledger `after` it.
pub fn rows_of(event: &Event, before: Option<Status>, after: &Ledger) -> Vec<Row> {
    let incident = event.incident.and_then(|id| after.incidents.get(&id));
    match &event.body {
        EventBody::EngineStarted { .. }
        | EventBody::EngineStopped { .. }
        | EventBody::JobStarted { .. }
        | EventBody::JobEnded { .. }
        | EventBody::StoreLost { .. }
        | EventBody::StoreReturned { .. }
        | EventBody::DecisionRefused { .. }
        | EventBody::Phase { .. } => Vec::new(),
        EventBody::ModelAsked { .. } | EventBody::ModelJudged { .. } => {
            let row = incident.map(|one| Row::Incident { incident: Box::new(one.clone()) });
            let standing = Row::State { key: MODEL_KEY.into(), value: json!(after.model) };
            row.into_iter().chain([standing]).collect()
        }
        EventBody::BaselineRecorded { settings } => baseline(event, &json!(settings)),
        EventBody::RuntimeObserved { event: observed } => vec![runtime_fault(event, observed)],
        EventBody::InjectionStarted { injection } => injection_row(after, injection.id),
        EventBody::InjectionMoved { injection, .. } => injection_row(after, *injection),
        EventBody::ReportWritten { execution, markdown } => report(event, *execution, markdown),
        EventBody::IncidentOpened { incident, finding } => opened(event, incident, finding),
        body @ (EventBody::IncidentEscalated { .. }
        | EventBody::IncidentRecurred { .. }
        | EventBody::StatusChanged { .. }
        | EventBody::IncidentNoted { .. }
        | EventBody::IncidentAmended { .. }
        | EventBody::AlertReceived { .. }
        | EventBody::IncidentResolved { .. }
        | EventBody::IncidentFailed { .. }
        | EventBody::InvestigationStarted { .. }
        | EventBody::Diagnosed { .. }
        | EventBody::Proposed { .. }
        | EventBody::Decided { .. }
        | EventBody::ExecutionMoved { .. }
        | EventBody::ActionStarted { .. }
        | EventBody::ActionFinished { .. }
        | EventBody::Verified { .. }
        | EventBody::StopOrdered { .. }
        | EventBody::UndoStarted { .. }
        | EventBody::RolledBack { .. }
        | EventBody::ExecutionEnded { .. }) => {
            let Some(incident) = incident else { return Vec::new() };
            let mut rows = vec![Row::Incident { incident: Box::new(incident.clone()) }];
            rows.extend(alerted(event, body, incident));
            rows.extend(moved(event, body, before, incident));
            rows.extend(worked(event, body, incident));
            rows.extend(breakers(body, incident, after));
            rows
        }
    }
}

fn opened(event: &Event, incident: &Incident, finding: &Finding) -> Vec<Row> {
    vec![
        Row::Fault {
            id: incident.id.0,
            at: event.at,
            target: incident.target.as_str().to_owned(),
            fault_type: finding.kind.as_str().to_owned(),
            severity: finding.severity,
            resource: incident.target.as_str().to_owned(),
            context: json!({ "incident": incident.number, "finding": finding, "metrics": incident.metrics }),
        },
        Row::Incident { incident: Box::new(incident.clone()) },
        Row::StatusHistory {
            incident: incident.id,
            at: event.at,
            from: None,
            to: incident.status,
            actor: event.actor.clone(),
            reason: finding.sentence.clone(),
        },
    ]
}

/// The fault event of an alert, as it was received.
fn alerted(event: &Event, body: &EventBody, incident: &Incident) -> Option<Row> {
    let EventBody::AlertReceived { alert } = body else { return None };
    Some(Row::Fault {
        id: derived_id(event.at, &[&incident.id.to_string(), "alert", &alert.fingerprint]),
        at: event.at,
        target: alert.target.as_str().to_owned(),
        fault_type: alert.name.clone(),
        severity: alert.severity,
        resource: alert.fingerprint.clone(),
        context: json!({ "incident": incident.number, "alert": alert }),
    })
}

/// The status history of an event that moves the incident.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the caller lists every kind; these three move an incident"
)]
fn moved(
    event: &Event,
    body: &EventBody,
    before: Option<Status>,
    incident: &Incident,
) -> Option<Row> {
    let (from, reason) = match body {
        EventBody::StatusChanged { from, reason, .. } => (Some(*from), reason),
        EventBody::IncidentResolved { reason, .. } | EventBody::IncidentFailed { reason } => {
            (before, reason)
        }
        _ => return None,
    };
    Some(Row::StatusHistory {
        incident: incident.id,
        at: event.at,
        from,
        to: incident.status,
        actor: event.actor.clone(),
        reason: reason.clone(),
    })
}

/// The execution's rows of an event that is about one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the caller lists every kind; these are an execution's"
)]
fn worked(event: &Event, body: &EventBody, incident: &Incident) -> Vec<Row> {
    let id = match body {
        EventBody::InvestigationStarted { execution, .. }
        | EventBody::Diagnosed { execution, .. }
        | EventBody::Proposed { execution, .. }
        | EventBody::Decided { execution, .. }
        | EventBody::ExecutionMoved { execution, .. }
        | EventBody::ActionStarted { execution, .. }
        | EventBody::ActionFinished { execution, .. }
        | EventBody::Verified { execution, .. }
        | EventBody::StopOrdered { execution, .. }
        | EventBody::UndoStarted { execution }
        | EventBody::RolledBack { execution, .. }
        | EventBody::ExecutionEnded { execution, .. } => *execution,
        _ => return Vec::new(),
    };
    let Some(execution) = incident.executions.iter().find(|e| e.id == id) else {
        return Vec::new();
    };
    let mut rows =
        vec![Row::Execution { incident: incident.id, execution: Box::new(execution.clone()) }];
    rows.extend(match body {
        EventBody::Diagnosed { .. } => analysis(event, incident, execution, None),
        EventBody::Proposed { proposal, .. } => {
            let draft = &proposal.draft;
            let solution = format!("{}: {}", draft.actions(), draft.why);
            analysis(event, incident, execution, Some(solution))
        }
        EventBody::Decided { approval, .. } => Some(Row::Approval {
            incident: incident.id,
            execution: id,
            approval: Box::new(approval.clone()),
        }),
        EventBody::ActionStarted { run, .. } => action(incident, execution, run.id),
        EventBody::ActionFinished { run, .. } => action(incident, execution, *run),
        _ => None,
    });
    rows
}

fn analysis(
    event: &Event,
    incident: &Incident,
    execution: &Execution,
    solution: Option<String>,
) -> Option<Row> {
    Some(Row::Analysis {
        incident: incident.id,
        at: event.at,
        provider: execution.agent.clone(),
        severity: incident.severity,
        diagnosis: Box::new(incident.diagnosis.clone()?),
        solution,
    })
}

fn action(incident: &Incident, execution: &Execution, run: uuid::Uuid) -> Option<Row> {
    let run = execution.steps.iter().find(|step| step.id == run)?;
    Some(Row::Action { incident: incident.id, execution: execution.id, run: Box::new(run.clone()) })
}

/// The breakers that an execution's end moved: those of the actions it used.
fn breakers(body: &EventBody, incident: &Incident, after: &Ledger) -> Vec<Row> {
    let Some(execution) = body.moves_breakers_of() else { return Vec::new() };
    let Some(ended) = incident.executions.iter().find(|e| e.id == execution) else {
        return Vec::new();
    };
    after
        .breakers
        .iter()
        .filter(|b| {
            b.target == incident.target && ended.steps.iter().any(|step| step.action == b.action)
        })
        .map(|b| Row::State { key: format!("breaker:{}:{}", b.target, b.action), value: json!(b) })
        .collect()
}

fn baseline(event: &Event, settings: &serde_json::Value) -> Vec<Row> {
    let target = event.target.as_ref();
    target
        .map(|target| Row::State { key: format!("baseline:{target}"), value: settings.clone() })
        .into_iter()
        .collect()
}

fn injection_row(after: &Ledger, id: crate::domain::ids::InjectionId) -> Vec<Row> {
    let known = after.injections.get(&id);
    known.map(|i| Row::Injection { injection: Box::new(i.clone()) }).into_iter().collect()
}

fn report(event: &Event, execution: Option<ExecutionId>, markdown: &str) -> Vec<Row> {
    let incident = event.incident;
    incident
        .map(|incident| Row::Report {
            incident,
            execution,
            at: event.at,
            markdown: markdown.to_owned(),
        })
        .into_iter()
        .collect()
}

fn runtime_fault(event: &Event, observed: &RuntimeEvent) -> Row {
    let (fault_type, severity) = match observed.kind {
        RuntimeEventKind::Died => ("died", Severity::Critical),
        RuntimeEventKind::OutOfMemory => ("out_of_memory", Severity::Critical),
        RuntimeEventKind::Paused => ("paused", Severity::High),
        RuntimeEventKind::HealthChanged => ("health_changed", Severity::Medium),
        RuntimeEventKind::Unpaused => ("unpaused", Severity::Low),
        RuntimeEventKind::Started => ("started", Severity::Low),
    };
    let target = event.target.as_ref().map_or("", |target| target.as_str()).to_owned();
    Row::Fault {
        id: derived_id(event.at, &[&target, fault_type, &observed.detail]),
        at: observed.at,
        resource: target.clone(),
        target,
        fault_type: fault_type.to_owned(),
        severity,
        context: json!({ "detail": observed.detail, "incident": event.incident }),
    }
}
