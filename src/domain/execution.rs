//! One attempt of the agent at an incident: its states, its phases as they are streamed, its steps and proof.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::health::Health;
use super::ids::{ActionId, ApprovalId, ExecutionId, Fingerprint};
use super::proposal::Proposal;

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionState {
    Thinking,
    /// Recomputing the preview right before acting.
    Previewing,
    AwaitingApproval,
    Executing,
    Verifying,
    Completed,
    Failed,
    Cancelled,
}

impl ExecutionState {
    /// The word people read and the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::Previewing => "previewing",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Executing => "executing",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Thinking
            | Self::Previewing
            | Self::AwaitingApproval
            | Self::Executing
            | Self::Verifying => false,
        }
    }
}

/// One line type of the agent's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Thinking,
    Command,
    Executing,
    Result,
    Verifying,
    Verification,
    Complete,
    Error,
    /// A person did something.
    Operator,
}

impl Phase {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::Command => "command",
            Self::Executing => "executing",
            Self::Result => "result",
            Self::Verifying => "verifying",
            Self::Verification => "verification",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Operator => "operator",
        }
    }
}

/// One line of the agent's log; only what applies is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseLine {
    pub phase: Phase,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl PhaseLine {
    /// A line of words only.
    pub fn say(phase: Phase, text: impl Into<String>) -> Self {
        Self { phase, text: text.into(), command: None, output: None, health: None }
    }
}

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// `None` when no process ran, or its end is not known.
    pub exit_code: Option<i64>,
    pub stdout: String,
    pub stderr: String,
    pub duration_ms: u64,
}

/// Who decided what about which fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    pub id: ApprovalId,
    pub fingerprint: Fingerprint,
    pub decision: Decision,
    pub actor: String,
    pub at: DateTime<Utc>,
}

/// The ways a proposal is decided. Time-out is not the same as a person's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Decision {
    Approved {
        typed: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Seen>,
    },
    Automatic {
        rule: String,
    },
    Denied {
        reason: String,
    },
    Expired,
    /// The incident or the preview moved on before anybody decided.
    Superseded {
        reason: String,
    },
}

impl Decision {
    /// Whether it lets the proposal run.
    pub fn permits(&self) -> bool {
        matches!(self, Self::Approved { .. } | Self::Automatic { .. })
    }

    /// The word people read and the store keeps.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved { .. } => "approved",
            Self::Automatic { .. } => "automatic",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// How the person who approved had the proposal before their eyes; told by the console, believed as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How long it was open.
    pub open_ms: u64,
    /// The terminal's size.
    pub columns: u16,
    pub rows: u16,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, tenths) = (self.open_ms / 1_000, self.open_ms % 1_000 / 100);
        write!(f, "open for {seconds}.{tenths} s at {}x{}", self.columns, self.rows)
    }
}

/// How one step of an execution went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepRun {
    /// The row in `agent_actions`.
    pub id: uuid::Uuid,
    pub action: ActionId,
    pub command: String,
    pub started_at: DateTime<Utc>,
    pub health_before: Health,
    /// Saved before acting; what `undo` needs.
    pub undo_data: BTreeMap<String, Value>,
    /// What `undo` would run, as it was known before acting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo_commands: Vec<String>,
    /// `None` while it runs, or when a crash hid its end.
    pub end: Option<StepEnd>,
}

/// The end of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepEnd {
    pub at: DateTime<Utc>,
    pub ok: bool,
    pub output: Output,
    pub health_after: Health,
}

/// One thing that was measured to prove a fix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    pub name: String,
    /// `None`: could not be measured, which proves nothing.
    pub passed: Option<bool>,
    pub detail: String,
}

/// The proof, or its failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    pub checks: Vec<Check>,
    /// How many rounds of all checks were taken.
    pub rounds: u32,
    pub held_ms: u64,
    /// What was seen and not judged, because other trouble of the target explains it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Whether everything the actions themselves measure was good in the last round, whatever clients felt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cause_gone: bool,
    pub health_after: Health,
    /// When the symptom was first seen gone, before the hold.
    pub symptom_free_after_ms: Option<u64>,
}

impl Verification {
    /// Every check was measured and passed, and there was at least one.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty()
            && self.rounds > 0
            && self.checks.iter().all(|check| check.passed == Some(true))
    }

    /// The first check that did not pass, or why nothing counts.
    pub fn failure(&self) -> Option<String> {
        if self.checks.is_empty() || self.rounds == 0 {
            return Some("nothing was measured".into());
        }
        self.checks
            .iter()
            .find(|check| check.passed != Some(true))
            .map(|check| format!("{}: {}", check.name, check.detail))
    }
}

/// A person's order about an execution that is carried out right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    pub by: String,
    pub at: DateTime<Utc>,
}

/// A person's order to go no further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StopOrder {
    pub by: String,
    /// What ran was dropped too, so nobody knows what it did.
    pub kill: bool,
}

/// One attempt, from thinking to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    pub id: ExecutionId,
    pub state: ExecutionState,
    /// `playbook`, or the model that decided.
    pub agent: String,
    /// The incident's revision it works on.
    pub revision: u32,
    pub proposal: Option<Proposal>,
    pub approval: Option<Approval>,
    pub steps: Vec<StepRun>,
    pub verification: Option<Verification>,
    pub rolled_back: bool,
    /// Who ordered that what it did is taken back, and when, while that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Order>,
    /// Who ordered that nothing follows what runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopOrder>,
    /// How often its investigation started over.
    #[serde(default)]
    pub restarts: u32,
    pub error: Option<String>,
    pub started_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

impl Execution {
    /// Without what was saved for an undo, which is the server's own data: for readers who need not have it.
    pub fn forget_undo_data(&mut self) {
        for step in &mut self.steps {
            step.undo_data.clear();
        }
    }

    /// Whether any step of it has begun, so that the world may have changed.
    pub fn has_acted(&self) -> bool {
        !self.steps.is_empty()
    }
}
