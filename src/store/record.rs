//! How each kind of row lies in its table: columns and cells, for both databases.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::sql::{Cell, Sql};
use super::words;
use crate::domain::execution::{Approval, Execution, StepRun};
use crate::domain::health::Health;
use crate::domain::ids::{CauseId, ExecutionId, IncidentId};
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::{Injection, InjectionState};
use crate::ports::store::Row;

/// A row as it lies in its table; the first column is the key.
pub(super) struct Record {
    pub(super) table: &'static str,
    cells: Vec<(&'static str, Cell)>,
}

impl Record {
    /// The statement that inserts or replaces it, and what to bind.
    pub(super) fn upsert(self) -> (Sql, Vec<Cell>) {
        let key = self.cells.first().map_or("", |(name, _)| *name);
        let names: Vec<_> = self.cells.iter().map(|(name, _)| *name).collect();
        let values: Vec<_> = (1..=names.len()).map(|n| format!("${n}")).collect();
        let updates: Vec<_> =
            names.iter().skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "insert into {} ({}) values ({}) on conflict ({key}) do update set {}",
            self.table,
            names.join(", "),
            values.join(", "),
            updates.join(", ")
        );
        (sql.into(), self.cells.into_iter().map(|(_, cell)| cell).collect())
    }
}

/// A time-ordered id that is the same for the same row, so that writing it twice leaves one.
pub(super) fn derived_id(at: DateTime<Utc>, parts: &[&str]) -> Uuid {
    let hash = Sha256::digest(json!([at.timestamp_micros(), parts]).to_string());
    let mut random = [0u8; 10];
    random.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The rows worth writing: of rows in a row about the same thing, only the last shows afterwards.
pub(super) fn last_of_each(rows: &[Row]) -> Vec<&Row> {
    let mut kept: Vec<&Row> = Vec::with_capacity(rows.len());
    let mut next_incident = None;
    let mut later_executions = BTreeSet::new();
    for row in rows.iter().rev() {
        match row {
            // Only direct successors replace each other: the order of different incidents matters to the
            // rule of one open incident per symptom.
            Row::Incident { incident } if next_incident == Some(incident.id) => continue,
            Row::Incident { incident } => next_incident = Some(incident.id),
            Row::Execution { execution, .. } if !later_executions.insert(execution.id) => continue,
            _ => {}
        }
        kept.push(row);
    }
    kept.reverse();
    kept
}

/// The row as a record.
pub(super) fn of(row: &Row) -> Record {
    match row {
        Row::Incident { incident } => incident_record(incident),
        Row::StatusHistory { incident, at, from, to, actor, reason } => Record {
            table: "incident_status_history",
            cells: vec![
                ("id", Cell::id(derived_id(*at, &[&incident.to_string(), "status", to.as_str()]))),
                ("incident_id", Cell::id(incident.0)),
                ("at", Cell::time(*at)),
                ("from_status", Cell::opt_text(from.map(Status::as_str))),
                ("to_status", Cell::text(to.as_str())),
                ("actor", Cell::text(actor)),
                ("reason", Cell::text(reason)),
            ],
        },
        Row::Analysis { incident, at, provider, severity, diagnosis, solution } => Record {
            table: "incident_analysis",
            cells: vec![
                ("id", Cell::id(derived_id(*at, &[&incident.to_string(), "analysis"]))),
                ("incident_id", Cell::id(incident.0)),
                ("at", Cell::time(*at)),
                ("provider", Cell::text(provider)),
                ("severity", Cell::text(severity.as_str())),
                ("diagnosis", Cell::text(&diagnosis.summary)),
                ("solution", Cell::opt_text(solution.as_ref())),
                (
                    "confidence",
                    Cell::text(
                        diagnosis.causes.first().map_or("inconclusive", |c| c.grade.as_str()),
                    ),
                ),
                ("evidence", Cell::json(diagnosis)),
            ],
        },
        Row::Execution { incident, execution } => execution_record(*incident, execution),
        Row::Action { incident, execution, run } => action_record(*incident, *execution, run),
        Row::Approval { incident, execution, approval } => {
            approval_record(*incident, *execution, approval)
        }
        Row::Fault { id, at, target, fault_type, severity, resource, context } => Record {
            table: "fault_events",
            cells: vec![
                ("fault_id", Cell::id(*id)),
                ("target", Cell::text(target)),
                ("resource", Cell::text(resource)),
                ("fault_type", Cell::text(fault_type)),
                ("severity", Cell::text(severity.as_str())),
                ("context", Cell::json(context)),
                ("received_at", Cell::time(*at)),
            ],
        },
        Row::Injection { injection } => injection_record(injection),
        Row::State { key, value } => Record {
            table: "engine_state",
            cells: vec![("key", Cell::text(key)), ("value", Cell::json(value))],
        },
        Row::Report { incident, execution, at, markdown } => Record {
            table: "triage_reports",
            cells: vec![
                ("id", Cell::id(derived_id(*at, &[&incident.to_string(), "report"]))),
                ("incident_id", Cell::id(incident.0)),
                ("execution_id", Cell::Id(execution.map(|id| id.0))),
                ("generated_at", Cell::time(*at)),
                ("markdown", Cell::text(markdown)),
            ],
        },
    }
}

fn incident_record(incident: &Incident) -> Record {
    Record {
        table: "incidents",
        cells: vec![
            ("id", Cell::id(incident.id.0)),
            ("number", Cell::count(incident.number)),
            ("revision", Cell::count(incident.revision)),
            ("fault_id", Cell::id(incident.id.0)),
            ("message", Cell::text(&incident.message)),
            ("source", Cell::text(&incident.source)),
            ("status", Cell::text(incident.status.as_str())),
            ("severity", Cell::text(incident.severity.as_str())),
            ("team", Cell::opt_text(incident.team.as_ref())),
            ("notes", Cell::json(&incident.notes)),
            ("affected_system", Cell::text(incident.target.as_str())),
            ("error_logs", Cell::json(&incident.error_logs)),
            ("metrics_snapshot", Cell::json(&incident.metrics)),
            ("incident_type", Cell::text(incident.incident_type.as_str())),
            ("remediation_mode", Cell::text(incident.remediation.as_str())),
            ("finding_kind", Cell::text(incident.finding.as_str())),
            ("cause", Cell::opt_text(incident.cause().map(CauseId::as_str))),
            ("health_at_open", score(incident.health_at_open)),
            ("occurrences", Cell::count(incident.occurrences)),
            ("first_bad_at", Cell::time(incident.first_bad_at)),
            ("last_seen", Cell::time(incident.last_seen)),
            ("created_at", Cell::time(incident.opened_at)),
            ("updated_at", Cell::time(incident.updated_at)),
            ("acknowledged_at", Cell::Time(incident.acknowledged_at)),
            ("resolved_at", Cell::Time(incident.resolved_at)),
            ("failure_reason", Cell::opt_text(incident.failure_reason.as_ref())),
            ("words", Cell::json(&words::of_incident(incident))),
            ("body", Cell::json(incident)),
        ],
    }
}

fn execution_record(incident: IncidentId, execution: &Execution) -> Record {
    let proposal = execution.proposal.as_ref();
    let checks = execution.verification.as_ref();
    Record {
        table: "agent_executions",
        cells: vec![
            ("id", Cell::id(execution.id.0)),
            ("incident_id", Cell::id(incident.0)),
            ("state", Cell::text(execution.state.as_str())),
            ("agent", Cell::text(&execution.agent)),
            ("proposal", Cell::opt_json(proposal)),
            ("fingerprint", Cell::opt_text(proposal.map(|p| p.fingerprint.0.as_str()))),
            ("approval", Cell::opt_json(execution.approval.as_ref())),
            ("started_at", Cell::time(execution.started_at)),
            ("completed_at", Cell::Time(execution.completed_at)),
            ("error", Cell::opt_text(execution.error.as_ref())),
            ("verification_checks", Cell::opt_json(checks)),
            ("rollback_performed", Cell::Flag(execution.rolled_back)),
        ],
    }
}

fn action_record(incident: IncidentId, execution: ExecutionId, run: &StepRun) -> Record {
    let end = run.end.as_ref();
    let output = end.map(|end| &end.output);
    let result = end.map_or("running", |end| if end.ok { "success" } else { "failed" });
    Record {
        table: "agent_actions",
        cells: vec![
            ("id", Cell::id(run.id)),
            ("incident_id", Cell::id(incident.0)),
            ("execution_id", Cell::id(execution.0)),
            ("action", Cell::text(run.action.as_str())),
            ("command", Cell::text(&run.command)),
            ("executed_at", Cell::time(run.started_at)),
            ("result", Cell::text(result)),
            ("exit_code", Cell::Int(output.and_then(|output| output.exit_code))),
            ("stdout", Cell::text(output.map_or("", |output| &output.stdout))),
            ("stderr", Cell::text(output.map_or("", |output| &output.stderr))),
            (
                "duration_ms",
                output.map_or(Cell::Int(None), |output| Cell::count(output.duration_ms)),
            ),
            ("health_before", score(run.health_before)),
            ("health_after", end.map_or(Cell::Int(None), |end| score(end.health_after))),
        ],
    }
}

fn approval_record(incident: IncidentId, execution: ExecutionId, approval: &Approval) -> Record {
    Record {
        table: "approvals",
        cells: vec![
            ("id", Cell::id(approval.id.0)),
            ("incident_id", Cell::id(incident.0)),
            ("execution_id", Cell::id(execution.0)),
            ("fingerprint", Cell::text(&approval.fingerprint.0)),
            ("decision", Cell::text(approval.decision.as_str())),
            ("detail", Cell::json(&approval.decision)),
            ("actor", Cell::text(&approval.actor)),
            ("at", Cell::time(approval.at)),
        ],
    }
}

fn injection_record(injection: &Injection) -> Record {
    let reverted = match &injection.state {
        InjectionState::Reverted { at, .. } => Some(*at),
        _ => None,
    };
    Record {
        table: "injections",
        cells: vec![
            ("id", Cell::id(injection.id.0)),
            ("number", Cell::count(injection.number)),
            ("fault", Cell::text(injection.fault.as_str())),
            ("target", Cell::text(injection.target.as_str())),
            ("params", Cell::json(&injection.params)),
            ("actor", Cell::text(&injection.actor)),
            ("undo", Cell::json(&injection.undo)),
            ("started_at", Cell::time(injection.started_at)),
            ("deadline", Cell::time(injection.deadline)),
            ("state", Cell::text(injection.state.as_str())),
            ("reverted_at", Cell::Time(reverted)),
            ("body", Cell::json(injection)),
        ],
    }
}

fn score(health: Health) -> Cell {
    Cell::Int(health.score().map(i64::from))
}
