//! One incident as a row, wherever it came from.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::execution::{Decision, ExecutionState, Phase};
use crate::domain::finding::FindingKind;
use crate::domain::ids::{IncidentId, incident_name};
use crate::domain::incident::{Incident, Status};
use crate::ports::store::IncidentLine;
use crate::tui::desk::proposal_of;
use crate::tui::text::age;
use crate::tui::theme::Role;

/// A row of the list.
#[derive(Clone, Debug)]
pub enum Row {
    Recent(Arc<Incident>),
    Stored(Arc<IncidentLine>),
}

/// How soon a person should look; lower is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Waits for a person.
    Waits,
    Open,
    Ended,
}

impl Row {
    pub fn id(&self) -> IncidentId {
        match self {
            Self::Recent(incident) => incident.id,
            Self::Stored(line) => line.id,
        }
    }

    pub fn number(&self) -> u64 {
        match self {
            Self::Recent(incident) => incident.number,
            Self::Stored(line) => line.number,
        }
    }

    /// `INC-0042`.
    pub fn name(&self) -> String {
        incident_name(self.number())
    }

    pub fn target(&self) -> &str {
        match self {
            Self::Recent(incident) => incident.target.as_str(),
            Self::Stored(line) => &line.target,
        }
    }

    pub fn message(&self) -> &str {
        match self {
            Self::Recent(incident) => &incident.message,
            Self::Stored(line) => &line.message,
        }
    }

    pub fn opened_at(&self) -> DateTime<Utc> {
        match self {
            Self::Recent(incident) => incident.opened_at,
            Self::Stored(line) => line.created_at,
        }
    }

    fn status(&self) -> &str {
        match self {
            Self::Recent(incident) => incident.status.as_str(),
            Self::Stored(line) => &line.status,
        }
    }

    pub fn is_open(&self) -> bool {
        self.status() != Status::Resolved.as_str()
    }

    /// `critical` as the screen has it: `crit`; with how it looks.
    pub fn severity(&self) -> (&'static str, Role) {
        let word = match self {
            Self::Recent(incident) => incident.severity.as_str(),
            Self::Stored(line) => line.severity.as_str(),
        };
        match word {
            "critical" => ("crit", Role::Bad),
            "high" => ("high", Role::Warn),
            "medium" => ("med", Role::Text),
            _ => ("low", Role::Text),
        }
    }

    /// From 0, the worst.
    pub fn severity_rank(&self) -> u8 {
        match self.severity().0 {
            "crit" => 0,
            "high" => 1,
            "med" => 2,
            _ => 3,
        }
    }

    /// The incident's state, or its execution's when that says more.
    pub fn state(&self) -> (&'static str, Role) {
        match self {
            Self::Recent(incident) => state(incident),
            Self::Stored(line) => match line.status.as_str() {
                "resolved" => ("resolved", Role::Ok),
                "failed" => ("FAILED", Role::Bad),
                "fixing" => ("fixing", Role::Warn),
                "investigating" => ("investig.", Role::Text),
                _ => ("triage", Role::Text),
            },
        }
    }

    pub fn urgency(&self) -> Urgency {
        match self.state().0 {
            "APPROVE?" | "FAILED" => Urgency::Waits,
            "resolved" => Urgency::Ended,
            _ => Urgency::Open,
        }
    }

    /// The cause; while it is only the symptom, with a question mark.
    pub fn cause(&self) -> Cow<'_, str> {
        let (cause, finding) = match self {
            Self::Recent(incident) => (incident.subject(), incident.finding.as_str()),
            Self::Stored(line) => (line.cause.as_deref(), line.finding.as_str()),
        };
        match cause {
            Some(cause) => Cow::Borrowed(cause),
            None if finding == FindingKind::Requested.as_str() => Cow::Borrowed(finding),
            None => Cow::Owned(format!("{finding}?")),
        }
    }

    /// The last phase of the agent.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Recent(incident) => phase(incident),
            Self::Stored(line) => match line.status.as_str() {
                "resolved" => Phase::Complete,
                "failed" => Phase::Error,
                "fixing" => Phase::Executing,
                _ => Phase::Thinking,
            },
        }
    }

    /// How old it is. To the second while it is open; the age of what ended does not change while one looks.
    pub fn age(&self, now: DateTime<Utc>) -> String {
        let span = now - self.opened_at();
        if self.is_open() || span >= TimeDelta::hours(1) {
            return age(span);
        }
        format!("{:>4}m", span.num_minutes().max(0))
    }
}

/// The state word of an incident.
pub fn state(incident: &Incident) -> (&'static str, Role) {
    if proposal_of(incident).is_some() {
        return ("APPROVE?", Role::Warn);
    }
    let verifies = incident.active_execution().map(|execution| execution.state);
    match incident.status {
        Status::Resolved => ("resolved", Role::Ok),
        Status::Failed => ("FAILED", Role::Bad),
        _ if verifies == Some(ExecutionState::Verifying) => ("verifying", Role::Verify),
        Status::Fixing => ("fixing", Role::Warn),
        Status::Investigating => ("investig.", Role::Text),
        Status::Triage => ("triage", Role::Text),
    }
}

fn phase(incident: &Incident) -> Phase {
    let Some(last) = incident.executions.last() else {
        return match incident.status {
            Status::Failed => Phase::Error,
            Status::Resolved => Phase::Complete,
            Status::Triage | Status::Investigating | Status::Fixing => Phase::Thinking,
        };
    };
    let denied = matches!(
        last.approval.as_ref().map(|approval| &approval.decision),
        Some(Decision::Denied { .. })
    );
    match last.state {
        _ if incident.status == Status::Resolved => Phase::Complete,
        ExecutionState::Thinking => Phase::Thinking,
        ExecutionState::AwaitingApproval => Phase::Command,
        ExecutionState::Previewing | ExecutionState::Executing => Phase::Executing,
        ExecutionState::Verifying => Phase::Verifying,
        ExecutionState::Completed => Phase::Complete,
        ExecutionState::Failed | ExecutionState::Cancelled if denied => Phase::Operator,
        ExecutionState::Failed | ExecutionState::Cancelled => Phase::Error,
    }
}
