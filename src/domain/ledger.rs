//! Everything durable, as the fold of the event log: replaying the events gives the same ledger.
//!
//! Ended incidents and injections are kept only as long as somebody may still look at them on a screen; the
//! store has them all, so memory does not grow with history.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alert::{Alert, Heard};
use super::consult::Standing;
use super::event::{Event, EventBody};
use super::execution::{Decision, Execution, ExecutionState, Order, StopOrder};
use super::finding::FindingKind;
use super::ids::{ActionId, ExecutionId, IncidentId, InjectionId, TargetId};
use super::incident::{Incident, Note, Status};
use super::injection::Injection;

/// How many ended incidents and injections stay in memory.
pub const KEPT_ENDED: usize = 100;

/// Under which the store keeps [`Ledger::model`].
pub const MODEL_KEY: &str = "model";

/// A (target, action) pair's recent past: cool-down and breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    pub target: TargetId,
    pub action: ActionId,
    /// Failures in a row.
    pub failures: u32,
    pub last_used: DateTime<Utc>,
}

/// The durable state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub injections: BTreeMap<InjectionId, Injection>,
    pub baselines: BTreeMap<TargetId, BTreeMap<String, String>>,
    pub breakers: Vec<Breaker>,
    /// What asking models costs, and how it goes.
    #[serde(default)]
    pub model: Standing,
    pub last_incident: u64,
    pub last_injection: u64,
    /// The sequence number of the newest event in here.
    pub seq: u64,
}

impl Ledger {
    /// Puts a ledger together from what a store keeps.
    pub fn restore(
        incidents: Vec<Incident>,
        injections: Vec<Injection>,
        state: &BTreeMap<String, Value>,
        (last_incident, last_injection): (u64, u64),
        seq: u64,
    ) -> Result<Self, serde_json::Error> {
        let mut ledger = Self { last_incident, last_injection, seq, ..Self::default() };
        for (key, value) in state {
            if let Some(target) = key.strip_prefix("baseline:") {
                let settings = serde_json::from_value(value.clone())?;
                ledger.baselines.insert(TargetId::from(target), settings);
            } else if key.starts_with("breaker:") {
                ledger.breakers.push(serde_json::from_value(value.clone())?);
            } else if key == MODEL_KEY {
                ledger.model = serde_json::from_value(value.clone())?;
            }
        }
        ledger.incidents = incidents.into_iter().map(|incident| (incident.id, incident)).collect();
        ledger.injections =
            injections.into_iter().map(|injection| (injection.id, injection)).collect();
        Ok(ledger)
    }

    /// Adds one event. An event about something unknown (pruned, or from another engine's tail) changes nothing.
    pub fn apply(&mut self, event: &Event) {
        self.seq = event.seq;
        match &event.body {
            EventBody::EngineStarted { .. }
            | EventBody::EngineStopped { .. }
            | EventBody::JobStarted { .. }
            | EventBody::JobEnded { .. }
            | EventBody::StoreLost { .. }
            | EventBody::StoreReturned { .. }
            | EventBody::RuntimeObserved { .. }
            | EventBody::DecisionRefused { .. }
            | EventBody::ReportWritten { .. }
            | EventBody::Phase { .. } => {}
            EventBody::BaselineRecorded { settings } => {
                if let Some(target) = &event.target {
                    self.baselines.insert(target.clone(), settings.clone());
                }
            }
            EventBody::IncidentOpened { incident, .. } => {
                self.last_incident = self.last_incident.max(incident.number);
                self.incidents.insert(incident.id, (**incident).clone());
            }
            EventBody::InjectionStarted { injection } => {
                self.last_injection = self.last_injection.max(injection.number);
                self.injections.insert(injection.id, injection.clone());
            }
            EventBody::InjectionMoved { injection, state } => {
                if let Some(known) = self.injections.get_mut(injection) {
                    known.state = state.clone();
                }
            }
            EventBody::ModelAsked { exchange, .. } => {
                self.model.pay(event.at, exchange.spend);
                if let Some(incident) = event.incident.and_then(|id| self.incidents.get_mut(&id)) {
                    incident.model_spend += exchange.spend;
                }
            }
            EventBody::ModelJudged { verdict, .. } => self.model.judge(event.at, verdict.accepted),
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
                if let Some(incident) = event.incident.and_then(|id| self.incidents.get_mut(&id)) {
                    incident.updated_at = event.at;
                    apply_to(incident, event, body);
                }
                self.apply_to_breakers(event);
            }
        }
        self.prune();
    }

    fn apply_to_breakers(&mut self, event: &Event) {
        let Some(execution) = event.body.moves_breakers_of() else { return };
        let Some(incident) = event.incident.and_then(|id| self.incidents.get(&id)) else { return };
        let Some(ended) = incident.executions.iter().find(|e| e.id == execution) else { return };
        let (target, at) = (incident.target.clone(), event.at);
        let used: Vec<ActionId> = ended.steps.iter().map(|run| run.action.clone()).collect();
        for action in used {
            let known = self.breakers.iter().position(|b| b.target == target && b.action == action);
            let before = known.map_or(0, |at| self.breakers[at].failures);
            let failures = failures_after(&event.body, before);
            let breaker = Breaker { target: target.clone(), action, failures, last_used: at };
            match known {
                Some(at) => self.breakers[at] = breaker,
                None => self.breakers.push(breaker),
            }
        }
    }

    fn prune(&mut self) {
        while self.incidents.values().filter(|incident| !incident.is_open()).count() > KEPT_ENDED {
            let oldest = self
                .incidents
                .values()
                .filter(|i| !i.is_open())
                .min_by_key(|i| (i.resolved_at, i.number));
            let Some(id) = oldest.map(|incident| incident.id) else { break };
            self.incidents.remove(&id);
        }
        while self.injections.values().filter(|injection| !injection.state.is_live()).count()
            > KEPT_ENDED
        {
            let oldest =
                self.injections.values().filter(|i| !i.state.is_live()).min_by_key(|i| i.number);
            let Some(id) = oldest.map(|injection| injection.id) else { break };
            self.injections.remove(&id);
        }
    }

    /// The open incident of a target with this finding or an earlier or later stage of it.
    pub fn open_in_family(&self, target: &TargetId, kind: FindingKind) -> Option<&Incident> {
        self.open_on(target).into_iter().find(|incident| incident.finding.family() == kind.family())
    }

    /// The open incident that nothing but an alert for this symptom, or another stage of it, speaks of.
    pub fn open_by_alert(&self, target: &TargetId, kind: FindingKind) -> Option<&Incident> {
        let is_of = |alert: &Heard| alert.finding.is_some_and(|of| of.family() == kind.family());
        self.open_on(target).into_iter().find(|incident| {
            incident.finding == FindingKind::Noticed && incident.alerts.iter().any(is_of)
        })
    }

    /// The open incidents of a target.
    pub fn open_on<'a>(&'a self, target: &TargetId) -> Vec<&'a Incident> {
        self.incidents
            .values()
            .filter(|incident| incident.is_open() && incident.target == *target)
            .collect()
    }

    /// An incident that is still in memory, by its number.
    pub fn by_number(&self, number: u64) -> Option<&Incident> {
        self.incidents.values().find(|incident| incident.number == number)
    }

    /// The live injections on a target.
    pub fn live_injections<'a>(&'a self, target: &TargetId) -> Vec<&'a Injection> {
        self.injections.values().filter(|i| i.state.is_live() && i.target == *target).collect()
    }

    /// The execution that is changing a target right now: at most one.
    pub fn acting_on(&self, target: &TargetId) -> Option<(&Incident, &Execution)> {
        self.undoing_on(target).or_else(|| self.carrying_out_on(target))
    }

    /// What is being taken back on a target; the incident may be resolved long since.
    fn undoing_on(&self, target: &TargetId) -> Option<(&Incident, &Execution)> {
        let on_it = self.incidents.values().filter(|incident| incident.target == *target);
        on_it.into_iter().find_map(|incident| Some((incident, incident.being_undone()?)))
    }

    fn carrying_out_on(&self, target: &TargetId) -> Option<(&Incident, &Execution)> {
        self.open_on(target).into_iter().find_map(|incident| {
            let execution = incident.active_execution()?;
            let acting = match execution.state {
                ExecutionState::Previewing
                | ExecutionState::Executing
                | ExecutionState::Verifying => true,
                ExecutionState::Thinking
                | ExecutionState::AwaitingApproval
                | ExecutionState::Completed
                | ExecutionState::Failed
                | ExecutionState::Cancelled => false,
            };
            acting.then_some((incident, execution))
        })
    }

    /// Why an action may not be used on a target now, by anybody: it keeps failing.
    pub fn barred(
        &self,
        target: &TargetId,
        action: &ActionId,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let breaker = self.breaker(target, action)?;
        let rests = limits.breaker_rest - (now - breaker.last_used);
        let is_open = breaker.failures >= limits.breaker_failures && rests > TimeDelta::zero();
        is_open.then(|| {
            let (failures, minutes) = (breaker.failures, rests.num_minutes() + 1);
            format!("{action} failed {failures} times in a row on {target}; barred for {minutes} more min")
        })
    }

    /// Why an action may not run again by itself yet, if so: what comes back this soon wants a person.
    pub fn cooling(
        &self,
        target: &TargetId,
        action: &ActionId,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let since = now - self.breaker(target, action)?.last_used;
        (since < limits.cool_down).then(|| {
            let (ago, rest) = (since.num_seconds(), limits.cool_down.num_seconds());
            format!("{action} ran on {target} {ago} s ago and cools down for {rest} s")
        })
    }

    fn breaker(&self, target: &TargetId, action: &ActionId) -> Option<&Breaker> {
        self.breakers.iter().find(|b| b.target == *target && b.action == *action)
    }
}

/// The bounds of what the agent may do by repetition, and of what a person may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A proposal nobody decided expires after this.
    pub approval_ttl: TimeDelta,
    /// Executions that acted, per incident, before a person is asked.
    pub attempts_per_incident: usize,
    /// The same (target, action) pair runs only by a person's decision for this long after use.
    pub cool_down: TimeDelta,
    pub breaker_failures: u32,
    pub breaker_rest: TimeDelta,
    /// An investigation or an action without an end after this is over, failed.
    pub investigation: TimeDelta,
    pub step: TimeDelta,
    pub verification: TimeDelta,
    /// Whoever asked for an action cannot approve it.
    pub two_people: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            approval_ttl: TimeDelta::seconds(300),
            attempts_per_incident: 2,
            cool_down: TimeDelta::seconds(60),
            breaker_failures: 3,
            breaker_rest: TimeDelta::minutes(10),
            investigation: TimeDelta::seconds(60),
            step: TimeDelta::seconds(90),
            verification: TimeDelta::seconds(120),
            two_people: false,
        }
    }
}

/// An alert is kept once, as it stood last.
fn heard(incident: &mut Incident, alert: &Alert) {
    match incident.alerts.iter_mut().find(|one| one.is_of(alert)) {
        Some(known) => *known = Heard::from(alert),
        None => incident.alerts.push(Heard::from(alert)),
    }
    incident.last_seen = if alert.is_firing { incident.updated_at } else { incident.last_seen };
    incident.severity = incident.severity.max(alert.severity);
}

fn apply_to(incident: &mut Incident, event: &Event, body: &EventBody) {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller lists every kind; these are an incident's own"
    )]
    match body {
        EventBody::IncidentEscalated { finding, .. } => {
            incident.finding = finding.kind;
            incident.severity = incident.severity.max(finding.severity);
            incident.message.clone_from(&finding.sentence);
            add_error_lines(incident, &finding.error_lines);
            incident.last_seen = event.at;
            incident.revision += 1;
        }
        EventBody::IncidentRecurred { finding } => {
            incident.occurrences += 1;
            incident.last_seen = event.at;
            incident.severity = incident.severity.max(finding.severity);
            add_error_lines(incident, &finding.error_lines);
        }
        EventBody::StatusChanged { from, to, .. } => {
            incident.status = *to;
            if *from == Status::Failed && *to == Status::Investigating {
                incident.failure_reason = None;
                incident.attempts_from = incident.executions.len();
                incident.tried.clear();
            }
        }
        EventBody::IncidentNoted { text } => {
            incident.notes.push(Note {
                at: event.at,
                actor: event.actor.clone(),
                text: text.clone(),
            });
        }
        EventBody::IncidentAmended { severity, team, .. } => {
            incident.severity = *severity;
            incident.team.clone_from(team);
        }
        EventBody::AlertReceived { alert } => heard(incident, alert),
        EventBody::IncidentResolved { health, .. } => {
            incident.status = Status::Resolved;
            incident.resolved_at = Some(event.at);
            incident.health_at_end = Some(*health);
        }
        EventBody::IncidentFailed { reason } => {
            incident.status = Status::Failed;
            incident.failure_reason = Some(reason.clone());
        }
        EventBody::InvestigationStarted { execution, agent, revision } => {
            start_or_restart(incident, *execution, agent, *revision, event.at);
        }
        EventBody::Diagnosed { agent, diagnosis, execution } => {
            incident.diagnosis = Some(diagnosis.clone());
            if let Some(execution) = find(incident, *execution) {
                execution.agent.clone_from(agent);
            }
        }
        EventBody::StopOrdered { execution, kill } => {
            if let Some(execution) = find(incident, *execution) {
                execution.stop = Some(StopOrder { by: event.actor.clone(), kill: *kill });
            }
        }
        EventBody::UndoStarted { execution } => {
            if let Some(execution) = find(incident, *execution) {
                execution.undo = Some(Order { by: event.actor.clone(), at: event.at });
            }
        }
        EventBody::RolledBack { execution, ok, .. } => {
            if let Some(execution) = find(incident, *execution) {
                execution.rolled_back = *ok;
                execution.undo = None;
            }
        }
        EventBody::Decided { execution, approval } => {
            if matches!(approval.decision, Decision::Approved { .. } | Decision::Denied { .. }) {
                incident.acknowledged_at = incident.acknowledged_at.or(Some(event.at));
            }
            if let Some(execution) = find(incident, *execution) {
                execution.approval = Some(approval.clone());
            }
        }
        EventBody::ExecutionEnded { execution, state, error, tried } => {
            incident.tried.extend(tried.clone());
            if let Some(execution) = find(incident, *execution) {
                execution.state = *state;
                execution.error.clone_from(error);
                execution.completed_at = Some(event.at);
            }
        }
        EventBody::Proposed { execution, proposal } => {
            if let Some(execution) = find(incident, *execution) {
                execution.proposal = Some((**proposal).clone());
                execution.approval = None;
                execution.state = ExecutionState::AwaitingApproval;
            }
        }
        EventBody::ExecutionMoved { execution, to } => {
            if let Some(execution) = find(incident, *execution) {
                execution.state = *to;
            }
        }
        EventBody::ActionStarted { execution, run } => {
            if let Some(execution) = find(incident, *execution) {
                execution.state = ExecutionState::Executing;
                execution.steps.push(run.clone());
            }
        }
        EventBody::ActionFinished { execution, run, end } => {
            let step =
                find(incident, *execution).and_then(|e| e.steps.iter_mut().find(|s| s.id == *run));
            if let Some(step) = step {
                step.end = Some(end.clone());
            }
        }
        EventBody::Verified { execution, verification } => {
            if let Some(execution) = find(incident, *execution) {
                execution.verification = Some(verification.clone());
            }
        }
        _ => {}
    }
}

/// Failures in a row after an event that moves breakers. A stop by a person and taking back say nothing about the
/// action; they only make it wait before it may run by itself again.
fn failures_after(body: &EventBody, before: u32) -> u32 {
    let EventBody::ExecutionEnded { state, .. } = body else { return before };
    match state {
        ExecutionState::Failed => before + 1,
        ExecutionState::Completed => 0,
        ExecutionState::Cancelled
        | ExecutionState::Thinking
        | ExecutionState::Previewing
        | ExecutionState::AwaitingApproval
        | ExecutionState::Executing
        | ExecutionState::Verifying => before,
    }
}

fn find(incident: &mut Incident, id: ExecutionId) -> Option<&mut Execution> {
    incident.executions.iter_mut().rev().find(|execution| execution.id == id)
}

/// An investigation that starts over (escalation, restart) stays the same execution.
fn start_or_restart(
    incident: &mut Incident,
    id: ExecutionId,
    agent: &str,
    revision: u32,
    at: DateTime<Utc>,
) {
    if let Some(known) = find(incident, id) {
        known.state = ExecutionState::Thinking;
        known.restarts += 1;
        known.revision = revision;
        known.proposal = None;
        known.approval = None;
        return;
    }
    incident.executions.push(Execution {
        id,
        state: ExecutionState::Thinking,
        agent: agent.to_owned(),
        revision,
        proposal: None,
        approval: None,
        steps: Vec::new(),
        verification: None,
        rolled_back: false,
        undo: None,
        stop: None,
        restarts: 0,
        error: None,
        started_at: at,
        completed_at: None,
    });
}

/// Keeps the first lines and the newest: the story's beginning matters as much as its present.
fn add_error_lines(incident: &mut Incident, lines: &[String]) {
    const KEPT: usize = 20;
    for line in lines {
        if !incident.error_logs.contains(line) && incident.error_logs.len() < KEPT {
            incident.error_logs.push(line.clone());
        }
    }
}
