//! Where events and the rows derived from them are kept, for good.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::event::{Head, RawEvent, Sealed};
use crate::domain::finding::Severity;
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::Injection;
use crate::domain::ledger::Ledger;
use crate::domain::readings::Readings;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody there, or it went away: events go to the journal until it is back.
    #[error("reach the store at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: anyhow::Error,
    },
    #[error("{verb} in the store")]
    Failed {
        verb: &'static str,
        #[source]
        source: anyhow::Error,
    },
    /// Another engine holds the lease, or took it from us.
    #[error("the lease is held by {holder} until {until}")]
    LeaseHeld { holder: String, until: DateTime<Utc> },
    /// The chain in the store does not end where this append continues.
    #[error("continue the log at {expected}: the store ends at {found}")]
    Forked { expected: u64, found: u64 },
    /// A record cannot be read back; names it.
    #[error("read {what}: {reason}")]
    Corrupt { what: String, reason: String },
}

impl StoreError {
    /// Whether waiting and trying again can help.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// The right to write: who, and the fencing number that an older holder cannot match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    pub token: i64,
    pub until: DateTime<Utc>,
}

/// Events to append in one transaction with the rows that follow from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub events: Vec<Sealed>,
    pub rows: Vec<Row>,
}

/// A change to a derived table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "table")]
pub enum Row {
    /// `incidents`, inserted or replaced, with the whole incident as its `body`.
    Incident { incident: Box<Incident> },
    /// `incident_status_history`.
    StatusHistory {
        incident: IncidentId,
        at: DateTime<Utc>,
        from: Option<Status>,
        to: Status,
        actor: String,
        reason: String,
    },
    /// `incident_analysis`.
    Analysis {
        incident: IncidentId,
        at: DateTime<Utc>,
        provider: String,
        severity: Severity,
        diagnosis: Box<crate::domain::diagnosis::Diagnosis>,
        solution: Option<String>,
    },
    /// `agent_executions`, inserted or replaced.
    Execution { incident: IncidentId, execution: Box<crate::domain::execution::Execution> },
    /// `agent_actions`, inserted when it starts, replaced when it ends.
    Action {
        incident: IncidentId,
        execution: crate::domain::ids::ExecutionId,
        run: Box<crate::domain::execution::StepRun>,
    },
    /// `approvals`.
    Approval {
        incident: IncidentId,
        execution: crate::domain::ids::ExecutionId,
        approval: Box<crate::domain::execution::Approval>,
    },
    /// `fault_events`: what was observed or received.
    Fault {
        id: uuid::Uuid,
        at: DateTime<Utc>,
        target: String,
        fault_type: String,
        severity: Severity,
        resource: String,
        context: serde_json::Value,
    },
    /// `injections`, inserted or replaced.
    Injection { injection: Box<Injection> },
    /// `engine_state`: what a restarted engine needs besides incidents (baselines, breakers), by key.
    State { key: String, value: serde_json::Value },
    /// `triage_reports`.
    Report {
        incident: IncidentId,
        execution: Option<crate::domain::ids::ExecutionId>,
        at: DateTime<Utc>,
        markdown: String,
    },
}

/// Which incidents to list; every field narrows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentFilter {
    pub status: Vec<Status>,
    pub target: Option<String>,
    /// A finding kind or a cause.
    pub fault_type: Option<String>,
    pub severity: Vec<Severity>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// Words in the message, the cause or the notes.
    pub text: Option<String>,
    /// Only incidents with a smaller number: the cursor of the page before.
    pub before_number: Option<u64>,
    pub limit: u32,
}

/// One line of a listing, read from columns without the body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentLine {
    pub id: IncidentId,
    pub number: u64,
    pub target: String,
    pub finding: String,
    pub cause: Option<String>,
    pub status: String,
    pub severity: String,
    pub message: String,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub occurrences: u32,
}

/// One executed action, for `history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionLine {
    pub id: uuid::Uuid,
    pub incident: u64,
    pub target: String,
    pub action: String,
    pub command: String,
    pub executed_at: DateTime<Utc>,
    /// `running`, `success` or `failed`.
    pub result: String,
    pub exit_code: Option<i64>,
    pub stdout: String,
    pub stderr: String,
    pub duration_ms: Option<u64>,
    pub health_before: Option<u8>,
    pub health_after: Option<u8>,
}

/// The times of one ended incident, for `metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentTimes {
    pub id: IncidentId,
    pub number: u64,
    pub target: String,
    pub finding: String,
    pub cause: Option<String>,
    pub status: String,
    pub incident_type: String,
    pub first_bad_at: DateTime<Utc>,
    pub opened_at: DateTime<Utc>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// (action, result) in order.
    pub actions: Vec<(String, String)>,
    /// Who approved last, when somebody did.
    pub actor: Option<String>,
    /// What was tried, in order.
    pub attempts: Vec<AttemptTimes>,
    /// Who ended it.
    pub ended_by: Option<String>,
}

/// The times of one execution of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptTimes {
    pub started_at: DateTime<Utc>,
    pub proposed_at: Option<DateTime<Utc>>,
    pub decided_at: Option<DateTime<Utc>>,
    /// `approved`, `automatic`, `denied`, `expired` or `superseded`.
    pub decision: Option<String>,
    /// When its first action began, and when its last one ended.
    pub acted_at: Option<DateTime<Utc>>,
    pub acted_until: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The execution's state.
    pub state: String,
    /// Whether what it did was taken back.
    pub undone: bool,
}

/// A point of a target's downsampled history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    pub at: DateTime<Utc>,
    pub target: String,
    pub health: Option<u8>,
    pub readings: Readings,
}

/// An earlier incident like another, and what was done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimilarIncident {
    pub number: u64,
    pub target: String,
    pub cause: Option<String>,
    /// (action, result) in order.
    pub actions: Vec<(String, String)>,
    pub resolved: bool,
    /// From its opening to its end.
    pub took_s: Option<f64>,
    pub opened_at: DateTime<Utc>,
}

/// The store. PostgreSQL and SQLite keep the same story.
#[async_trait]
pub trait Store: Send + Sync {
    /// Where it is, without a password.
    fn url(&self) -> &str;

    /// Takes the lease when it is free, ours or over; the token grows with every change of holder.
    async fn take_lease(
        &self,
        holder: &str,
        now: DateTime<Utc>,
        ttl: std::time::Duration,
    ) -> Result<Lease, StoreError>;

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: DateTime<Utc>,
        ttl: std::time::Duration,
    ) -> Result<Lease, StoreError>;

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Who holds the lease now, if anybody.
    async fn lease(&self, now: DateTime<Utc>) -> Result<Option<Lease>, StoreError>;

    /// One transaction: checks the lease's token and the chain's end, then writes. An unknown COMMIT is looked
    /// up, never repeated blindly; only serialisation failures, deadlocks and lost connections are retried.
    async fn append(&self, batch: &Batch, lease: &Lease) -> Result<Head, StoreError>;

    /// The end of the chain.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Open incidents, live injections, baselines and counters: everything a restarted engine continues with,
    /// at a cost that does not grow with history.
    async fn load(&self) -> Result<Ledger, StoreError>;

    /// Records after `after`, in order, at most `limit`.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<RawEvent>, StoreError>;

    /// The records of one incident, in order.
    async fn incident_events(&self, incident: IncidentId) -> Result<Vec<RawEvent>, StoreError>;

    /// The end of the chain as remembered apart from the events, so that a cut tail shows.
    async fn remembered_head(&self) -> Result<Option<Head>, StoreError>;

    async fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<IncidentLine>, StoreError>;

    async fn incident(&self, number: u64) -> Result<Option<Incident>, StoreError>;

    /// The number of the incident that an execution belongs to.
    async fn incident_of(&self, execution: ExecutionId) -> Result<Option<u64>, StoreError>;

    async fn injections(&self, limit: u32) -> Result<Vec<Injection>, StoreError>;

    /// Executed actions, newest first.
    async fn history(
        &self,
        incident: Option<u64>,
        limit: u32,
    ) -> Result<Vec<ActionLine>, StoreError>;

    /// Ended and open incidents opened since `since`.
    async fn times(&self, since: Option<DateTime<Utc>>) -> Result<Vec<IncidentTimes>, StoreError>;

    /// The newest points since `since`, of one target or of all, oldest first.
    async fn past(
        &self,
        target: Option<&str>,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<HistoryPoint>, StoreError>;

    /// Earlier incidents like this one, newest first, at a cost that does not grow with history.
    async fn similar(
        &self,
        incident: &Incident,
        limit: u32,
    ) -> Result<Vec<SimilarIncident>, StoreError>;

    /// Adds points and removes those before `keep_after`.
    async fn record_history(
        &self,
        points: &[HistoryPoint],
        keep_after: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// Records before `before`, or the end of the log, newest first, at most `limit`.
    async fn events_before(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<RawEvent>, StoreError>;
}
