//! An incident and its executions as the service tells of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::alert::Heard;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::execution::{Execution, ExecutionState};
use crate::domain::finding::Severity;
use crate::domain::health::Health;
use crate::domain::ids::{CauseId, incident_name};
use crate::domain::incident::{Incident, IncidentType, Note, RemediationMode, Request, Status};
use crate::domain::proposal::Proposal;
use crate::ports::store::IncidentLine;

/// A problem with a target, from its first finding to its end.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IncidentView {
    id: Uuid,
    #[schema(example = 42)]
    number: u64,
    /// What people call it.
    #[schema(example = "INC-0042")]
    name: String,
    status: Status,
    severity: Severity,
    message: String,
    /// Who noticed: `detector`, a person, an alert source.
    source: String,
    team: Option<String>,
    /// The target.
    affected_system: String,
    finding_kind: String,
    /// The cause acted on, once one is known.
    cause: Option<String>,
    notes: Vec<Note>,
    /// What monitoring systems say about it.
    alerts: Vec<Heard>,
    error_logs: Vec<String>,
    /// What a person asked for, where nothing is wrong.
    request: Option<Request>,
    /// The readings when it opened.
    metrics_snapshot: BTreeMap<String, f64>,
    incident_type: IncidentType,
    remediation_mode: RemediationMode,
    /// Grows with everything that makes an earlier proposal moot.
    revision: u32,
    occurrences: u32,
    health_at_open: Option<u8>,
    health_at_end: Option<u8>,
    first_bad_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    acknowledged_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    /// Why it needs a person, when it does.
    failure_reason: Option<String>,
    diagnosis: Option<Diagnosis>,
    /// What waits for a decision.
    proposal: Option<Proposal>,
    executions: Vec<ExecutionView>,
}

impl IncidentView {
    pub(in crate::api) fn of(incident: &Incident) -> Self {
        Self {
            id: incident.id.0,
            number: incident.number,
            name: incident.name(),
            status: incident.status,
            severity: incident.severity,
            message: incident.message.clone(),
            source: incident.source.clone(),
            team: incident.team.clone(),
            affected_system: incident.target.to_string(),
            finding_kind: incident.finding.as_str().to_owned(),
            cause: incident.cause().map(CauseId::to_string),
            notes: incident.notes.clone(),
            alerts: incident.alerts.clone(),
            error_logs: incident.error_logs.clone(),
            request: incident.request.clone(),
            metrics_snapshot: incident.metrics.clone(),
            incident_type: incident.incident_type,
            remediation_mode: incident.remediation,
            revision: incident.revision,
            occurrences: incident.occurrences,
            health_at_open: incident.health_at_open.score(),
            health_at_end: incident.health_at_end.and_then(Health::score),
            first_bad_at: incident.first_bad_at,
            created_at: incident.opened_at,
            last_seen: incident.last_seen,
            updated_at: incident.updated_at,
            acknowledged_at: incident.acknowledged_at,
            resolved_at: incident.resolved_at,
            failure_reason: incident.failure_reason.clone(),
            diagnosis: incident.diagnosis.clone(),
            proposal: waiting(incident).cloned(),
            executions: executions(incident),
        }
    }
}

/// What waits for a decision about an incident.
pub(in crate::api) fn waiting(incident: &Incident) -> Option<&Proposal> {
    let active = incident.active_execution();
    let awaits = active.filter(|active| active.state == ExecutionState::AwaitingApproval);
    awaits.and_then(|active| active.proposal.as_ref())
}

/// One attempt at an incident, from thinking to its end.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ExecutionView {
    incident_id: Uuid,
    #[schema(example = "INC-0042")]
    incident: String,
    #[serde(flatten)]
    execution: Execution,
}

impl ExecutionView {
    /// Without what was saved for an undo: that is the server's own data.
    pub(in crate::api) fn of(incident: &Incident, execution: &Execution) -> Self {
        let mut execution = execution.clone();
        execution.forget_undo_data();
        Self { incident_id: incident.id.0, incident: incident.name(), execution }
    }
}

/// The attempts at an incident, in order.
pub(in crate::api) fn executions(incident: &Incident) -> Vec<ExecutionView> {
    incident.executions.iter().map(|one| ExecutionView::of(incident, one)).collect()
}

/// One line of a list of incidents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IncidentSummary {
    id: Uuid,
    number: u64,
    #[schema(example = "INC-0042")]
    name: String,
    affected_system: String,
    finding_kind: String,
    cause: Option<String>,
    status: String,
    severity: String,
    message: String,
    created_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    occurrences: u32,
}

impl From<IncidentLine> for IncidentSummary {
    fn from(line: IncidentLine) -> Self {
        Self {
            id: line.id.0,
            number: line.number,
            name: incident_name(line.number),
            affected_system: line.target,
            finding_kind: line.finding,
            cause: line.cause,
            status: line.status,
            severity: line.severity,
            message: line.message,
            created_at: line.created_at,
            resolved_at: line.resolved_at,
            occurrences: line.occurrences,
        }
    }
}
