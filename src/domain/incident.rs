//! A problem with a target from its first finding to its end.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alert::Heard;
use super::consult::Spend;
use super::diagnosis::Diagnosis;
use super::execution::Execution;
use super::finding::{FindingKind, Severity};
use super::health::Health;
use super::ids::{ActionId, CauseId, IncidentId, TargetId, incident_name};
use super::proposal::Args;

/// Where an incident stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Triage,
    Investigating,
    Fixing,
    Resolved,
    /// Needs a person; still open, so the same symptom opens no second incident.
    Failed,
}

impl Status {
    pub const ALL: [Self; 5] =
        [Self::Triage, Self::Investigating, Self::Fixing, Self::Resolved, Self::Failed];

    /// The word people read and the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triage => "triage",
            Self::Investigating => "investigating",
            Self::Fixing => "fixing",
            Self::Resolved => "resolved",
            Self::Failed => "failed",
        }
    }

    /// Whether the incident may move from here to `next`.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Resolved, _) => false,
            (Self::Triage | Self::Fixing, Self::Investigating | Self::Resolved | Self::Failed)
            | (Self::Investigating, Self::Fixing | Self::Resolved | Self::Failed)
            | (Self::Failed, Self::Investigating | Self::Resolved) => true,
            (
                Self::Triage | Self::Investigating | Self::Fixing | Self::Failed,
                Self::Triage | Self::Investigating | Self::Fixing | Self::Failed,
            ) => false,
        }
    }
}

/// Whether it is for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentType {
    Real,
    /// On the lab.
    Drill,
}

impl IncidentType {
    /// The word the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Drill => "drill",
        }
    }
}

/// How far simctl may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RemediationMode {
    /// What the policy calls automatic runs by itself.
    Automatic,
    /// Every change waits for a person.
    #[default]
    Approval,
    /// Diagnoses and proposes; nothing can be approved.
    Advisory,
    /// Only records.
    Manual,
}

impl RemediationMode {
    /// The word people read and the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Approval => "approval",
            Self::Advisory => "advisory",
            Self::Manual => "manual",
        }
    }
}

/// A remark by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    pub at: DateTime<Utc>,
    pub actor: String,
    pub text: String,
}

/// What was already tried, and how it went: the futility guard and the hand-over read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub cause: CauseId,
    pub actions: Vec<ActionId>,
    pub outcome: String,
}

/// What a person asked for; who it was is the incident's source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ActionRequest)]
pub struct Request {
    pub action: ActionId,
    #[schema(value_type = Object)]
    pub args: Args,
    /// In their words; may be empty.
    pub reason: String,
}

impl Request {
    /// The cause that proposals for it name: it has none but a person's wish.
    pub const CAUSE: CauseId = CauseId::of("requested");
    /// Under which executions for it are recorded.
    pub const AGENT: &str = "operator";
}

/// A problem with a target, or what a person asked for there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    pub number: u64,
    /// Grows with everything that makes an earlier proposal moot.
    pub revision: u32,
    pub target: TargetId,
    pub finding: FindingKind,
    pub status: Status,
    pub severity: Severity,
    /// The finding's sentence, newest stage.
    pub message: String,
    /// Who noticed: `detector`, an operator, an alert source.
    pub source: String,
    pub team: Option<String>,
    pub notes: Vec<Note>,
    pub error_logs: Vec<String>,
    /// The readings when it opened.
    pub metrics: BTreeMap<String, f64>,
    pub incident_type: IncidentType,
    pub remediation: RemediationMode,
    pub health_at_open: Health,
    /// The level before the trouble: good enough to resolve even below the usual mark.
    pub health_before: Option<u8>,
    pub occurrences: u32,
    /// When the first bad sample was taken; detection time counts from here.
    pub first_bad_at: DateTime<Utc>,
    pub opened_at: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub health_at_end: Option<Health>,
    pub failure_reason: Option<String>,
    pub diagnosis: Option<Diagnosis>,
    pub executions: Vec<Execution>,
    /// Since the last time a person asked to start over.
    pub tried: Vec<Tried>,
    /// Executions before this index do not count against the budget: a person asked to start over.
    #[serde(default)]
    pub attempts_from: usize,
    /// What asking models about it has cost.
    #[serde(default)]
    pub model_spend: Spend,
    /// Nothing is wrong: a person asked for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// What monitoring systems say about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Heard>,
}

impl Incident {
    /// `INC-0042`.
    pub fn name(&self) -> String {
        incident_name(self.number)
    }

    /// Whether it still counts as a problem; a failed one does.
    pub fn is_open(&self) -> bool {
        self.status != Status::Resolved
    }

    /// What it is about, in a word: the action a person asked for, or the cause, when one is known.
    pub fn subject(&self) -> Option<&str> {
        let asked_for = self.request.as_ref().map(|request| request.action.as_str());
        asked_for.or_else(|| self.cause().map(CauseId::as_str))
    }

    /// The cause acted on, when one is known.
    pub fn cause(&self) -> Option<&CauseId> {
        self.diagnosis.as_ref()?.leading().map(|judged| &judged.cause)
    }

    /// Executions that changed something since the last start-over.
    pub fn attempts(&self) -> usize {
        self.executions
            .iter()
            .skip(self.attempts_from)
            .filter(|execution| execution.has_acted())
            .count()
    }

    /// The newest execution that changed something, whether it is over or not.
    pub fn last_that_acted(&self) -> Option<&Execution> {
        self.executions.iter().rev().find(|execution| execution.has_acted())
    }

    /// The execution that is being taken back by a person's order.
    pub fn being_undone(&self) -> Option<&Execution> {
        self.executions.iter().rev().find(|execution| execution.undo.is_some())
    }

    /// The execution that is still going on.
    pub fn active_execution(&self) -> Option<&Execution> {
        self.executions.last().filter(|execution| !execution.state.is_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_resolved_and_everything_can_reach_an_end() {
        for status in Status::ALL {
            assert!(!Status::Resolved.may_become(status));
            assert!(!status.may_become(status), "{status:?} to itself is no change");
            if status != Status::Resolved {
                assert!(status.may_become(Status::Resolved), "{status:?}");
            }
        }
        assert!(Status::Failed.may_become(Status::Investigating));
        assert!(!Status::Triage.may_become(Status::Fixing));
    }
}
