//! What a step asks the outside world to do, as data, and what comes back as the next input.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::alert::Alert;
use super::change::Change;
use super::consult::{Record, StandingNow};
use super::diagnosis::Diagnosis;
use super::execution::{Output, PhaseLine, Seen, Verification};
use super::finding::FindingKind;
use super::health::Health;
use super::ids::{
    ActionId, CauseId, ExecutionId, FaultId, Fingerprint, IncidentId, InjectionId, TargetId,
};
use super::incident::{Incident, Request};
use super::injection::{Injection, InjectionState};
use super::job::Entry;
use super::notice::Notice;
use super::proposal::{Args, Draft, Preview, ProposedStep};
use super::sample::{Origin, RuntimeEvent, Sample};

/// Something a person (or a program in their name) wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Command {
    Inject {
        fault: FaultId,
        target: Option<TargetId>,
        #[serde(default)]
        params: BTreeMap<String, Value>,
        ttl_s: Option<u64>,
        /// Also where the target is broken already.
        #[serde(default)]
        beside: bool,
    },
    /// Opens an incident that somebody outside noticed, or adds to the one that is open for its target.
    Notice {
        notice: Notice,
    },
    /// What a monitoring system says about one of its alerts.
    Alert {
        alert: Alert,
    },
    /// Changes what people may change about an incident.
    Change {
        incident: u64,
        change: Change,
    },
    /// Asks for an action on a target, whether something is wrong with it or not. It is previewed on the live
    /// server first; what fits opens an incident of its own and waits for a decision.
    Propose {
        target: TargetId,
        action: ActionId,
        #[serde(default)]
        #[schema(value_type = BTreeMap<String, Value>)]
        args: Args,
        #[serde(default)]
        reason: String,
    },
    /// One injection, one target's, or all of them.
    Clear {
        injection: Option<u64>,
        target: Option<TargetId>,
    },
    /// `typed`: the target's name, where the ruling wants it. `seen`: how the person read it, from a console.
    Approve {
        incident: u64,
        fingerprint: String,
        typed: Option<String>,
        #[serde(default)]
        seen: Option<Seen>,
    },
    Reject {
        incident: u64,
        fingerprint: Option<String>,
        reason: String,
    },
    /// Starts over on a failed incident.
    Retry {
        incident: u64,
    },
    Note {
        incident: u64,
        text: String,
    },
    /// A person declares it over.
    Resolve {
        incident: u64,
        reason: String,
    },
    /// Measures again whether what the last execution did worked.
    Reverify {
        incident: u64,
    },
    /// Computes the preview of what waits again and compares; changes nothing on the target.
    DryRun {
        incident: u64,
        fingerprint: String,
    },
    /// Asks one target, or all, over every connection now. Records nothing.
    Probe {
        target: Option<TargetId>,
    },
    /// Lets the running action end and begins nothing after it.
    Stop {
        incident: u64,
    },
    /// Drops the running action too.
    Kill {
        incident: u64,
    },
    /// Writes into the records what a job of the workbench is about to do, or did.
    Record {
        target: TargetId,
        entry: Entry,
    },
    /// Takes back what the last execution did. `typed`: the target's name, always wanted.
    Undo {
        incident: u64,
        typed: Option<String>,
    },
    /// Puts on record that a model was asked in the operator's name, beside any investigation, and what came of it.
    Consulted {
        incident: Option<IncidentId>,
        target: Option<TargetId>,
        record: Record,
    },
}

/// A command, and who gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "actor": "ops1", "command": { "do": "note", "incident": 42, "text": "the batch job was the writer" },
}))]
pub struct Ordered {
    pub actor: String,
    pub command: Command,
}

/// The answer to an accepted command: one sentence, and what it made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    pub message: String,
    pub incident: Option<u64>,
    pub injection: Option<u64>,
}

/// Why a command was not accepted, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    pub reason: String,
}

impl Refused {
    /// A refusal with its sentence.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Everything that can reach the decision, in one order.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The engine took the lease and loaded the ledger.
    Started {
        version: String,
        holder: String,
    },
    Stopping {
        reason: String,
    },
    Sampled {
        target: TargetId,
        sample: Sample,
    },
    /// An injection somebody ordered, completed and checked against the catalogue.
    Inject {
        actor: String,
        fault: FaultId,
        target: TargetId,
        params: BTreeMap<String, Value>,
        ttl: TimeDelta,
        undo: Vec<String>,
        beside: bool,
    },
    /// An action somebody asked for, that fits its target and was previewed there.
    Requested {
        actor: String,
        target: TargetId,
        request: Request,
        draft: Draft,
    },
    /// The target's settings, read over the held connection while it answers.
    SettingsRead {
        target: TargetId,
        settings: BTreeMap<String, String>,
    },
    Runtime {
        target: TargetId,
        event: RuntimeEvent,
    },
    Command(Ordered),
    /// Time passed; nothing else did.
    Tick,
    StoreLost {
        reason: String,
    },
    StoreReturned {
        merged: u64,
    },
    /// A line of the agent's log, as it happens.
    Phase {
        incident: IncidentId,
        execution: ExecutionId,
        line: PhaseLine,
    },
    /// A model was asked, or what it answered was judged.
    Consulted {
        incident: IncidentId,
        execution: ExecutionId,
        record: Record,
    },
    Diagnosed {
        incident: IncidentId,
        execution: ExecutionId,
        revision: u32,
        result: Investigation,
    },
    /// The preview was computed again right before acting, with what undo needs saved.
    Rechecked {
        incident: IncidentId,
        execution: ExecutionId,
        step: usize,
        result: Result<Prepared, String>,
    },
    /// What waits for a decision was previewed again, as it would be right before acting.
    DryRan {
        incident: IncidentId,
        execution: ExecutionId,
        fingerprint: Fingerprint,
        result: Result<Vec<Preview>, String>,
    },
    StepFinished {
        incident: IncidentId,
        execution: ExecutionId,
        step: usize,
        ok: bool,
        output: Output,
        health: Health,
    },
    Verified {
        incident: IncidentId,
        execution: ExecutionId,
        verification: Verification,
    },
    Undone {
        incident: IncidentId,
        execution: ExecutionId,
        ok: bool,
        detail: String,
    },
    InjectionMoved {
        injection: InjectionId,
        state: InjectionState,
    },
    /// The post-mortem of an ended incident.
    Reported {
        incident: IncidentId,
        markdown: String,
    },
}

/// What an investigation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Investigation {
    pub agent: String,
    pub diagnosis: Diagnosis,
    /// What to do about it, or why nothing is proposed.
    pub plan: Result<Draft, String>,
}

/// A step that may run now: what its undo needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    pub undo_data: BTreeMap<String, Value>,
    /// What undo would run.
    pub undo_commands: Vec<String>,
}

/// What the engine does after the events are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the target again soon, over the connection that gave a bad answer.
    Confirm {
        target: TargetId,
        origin: Origin,
    },
    /// Ask the target over every connection now.
    Probe {
        target: TargetId,
    },
    /// Find the cause and choose a remedy. Carries the incident as it stands.
    Investigate {
        incident: Box<Incident>,
        execution: ExecutionId,
        known: Known,
    },
    /// Recompute the preview of a step, compare, and save what undo needs.
    Recheck {
        incident: IncidentId,
        execution: ExecutionId,
        target: TargetId,
        step: usize,
        plan: Box<ProposedStep>,
        identity: String,
    },
    /// Recompute the previews of all steps and compare, saving nothing.
    DryRun {
        incident: IncidentId,
        execution: ExecutionId,
        target: TargetId,
        fingerprint: Fingerprint,
        steps: Vec<ProposedStep>,
        identity: String,
    },
    Run {
        incident: IncidentId,
        execution: ExecutionId,
        target: TargetId,
        step: usize,
        plan: Box<ProposedStep>,
    },
    /// Prove the fix by measurement: hold, all steps, the client's view.
    Verify {
        incident: IncidentId,
        execution: ExecutionId,
        target: TargetId,
        steps: Vec<RanStep>,
        goal: Goal,
    },
    /// Take back, newest first.
    Undo {
        incident: IncidentId,
        execution: ExecutionId,
        target: TargetId,
        steps: Vec<RanStep>,
    },
    /// Drop whatever runs for this execution.
    Cancel {
        execution: ExecutionId,
    },
    Inject {
        injection: Box<Injection>,
    },
    /// Keep an eye on an injection that an earlier engine started.
    Adopt {
        injection: Box<Injection>,
    },
    /// Write the post-mortem from the records.
    Report {
        incident: IncidentId,
        number: u64,
    },
    /// Take an injection back, once those that came after it on its target are.
    Revert {
        injection: Box<Injection>,
        after: Vec<InjectionId>,
    },
    /// Remove what the watchdog wrote about an injection: its end is on record.
    Forget {
        injection: InjectionId,
    },
}

/// A step that ran, with what it saved: enough to verify it or take it back.
#[derive(Clone, Debug, PartialEq)]
pub struct RanStep {
    pub plan: ProposedStep,
    pub undo_data: BTreeMap<String, Value>,
    pub started_at: DateTime<Utc>,
}

/// When a fix counts as proven.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    pub hold: std::time::Duration,
    /// The score to be above …
    pub above_score: f64,
    /// … or at least back at the level before.
    pub or_level: Option<u8>,
    /// What else is wrong with the target and is not this fix's to mend.
    pub besides: Besides,
}

/// Trouble beside the one that a fix is for: its symptoms say nothing about the fix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Besides {
    /// The symptoms of the target's other open incidents.
    pub findings: Vec<FindingKind>,
    /// Causes of the same incident that were confirmed too and are not dealt with yet.
    pub causes: Vec<CauseId>,
}

impl Besides {
    /// Whether there is no other trouble.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.causes.is_empty()
    }

    /// In words, for records.
    pub fn describe(&self) -> String {
        let findings = self.findings.iter().map(|finding| finding.as_str());
        let all: Vec<&str> = findings.chain(self.causes.iter().map(CauseId::as_str)).collect();
        all.join(", ")
    }
}

/// What the ledger knows that an investigation may use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The target's settings when it was healthy.
    pub baseline: BTreeMap<String, String>,
    /// The newest samples, oldest first.
    pub samples: Vec<Sample>,
    pub runtime_events: Vec<RuntimeEvent>,
    /// (cause, action) pairs that are used up, with the reason.
    pub barred: Vec<(super::ids::ActionId, String)>,
    /// Actions of this incident that failed, and what they were told.
    pub refusals: Vec<(super::ids::ActionId, String)>,
    /// What asking models has cost, and how it went.
    pub model: StandingNow,
}
