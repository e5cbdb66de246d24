//! Starting an investigation, and what its result leads to: a proposal, or a hand-over to a person.

use std::collections::BTreeMap;

use super::{Turn, actor};
use crate::domain::effect::{Effect, Investigation, Known};
use crate::domain::event::EventBody;
use crate::domain::execution::{Approval, Decision, Execution, ExecutionState, Phase, PhaseLine};
use crate::domain::ids::{ActionId, ApprovalId, ExecutionId, IncidentId, ProposalId, TargetId};
use crate::domain::incident::{Incident, RemediationMode, Request, Status, Tried};
use crate::domain::policy::{Demand, Ruling};
use crate::domain::proposal::{Draft, Proposal, fingerprint};
use crate::domain::sample::Origin;

/// An investigation may start over this often (escalations, changed previews) before a person is asked.
const MOST_RESTARTS: u32 = 5;

impl Turn<'_> {
    /// Starts an investigation: a new execution, or `again` from the start of a running one.
    pub(super) fn investigate(&mut self, id: IncidentId, again: Option<ExecutionId>) {
        let Some(incident) = self.incident(id) else { return };
        let (revision, target) = (incident.revision, incident.target.clone());
        let is_asked_for = incident.request.is_some();
        let restarts = incident.active_execution().map_or(0, |execution| execution.restarts);
        let execution = again.unwrap_or_else(|| ExecutionId(self.ids.next(self.now)));
        if again.is_some() && restarts >= MOST_RESTARTS {
            let reason = format!("the situation changed {restarts} times while it was looked into");
            self.end_execution(id, execution, ExecutionState::Failed, Some(reason), None);
            self.hand_over(id);
            return;
        }
        let (agent, looking) = if is_asked_for {
            (Request::AGENT, "looking what it would do")
        } else {
            ("playbook", "looking for the cause")
        };
        self.move_to(id, actor::AGENT, Status::Investigating, looking);
        let agent = agent.to_owned();
        let started = EventBody::InvestigationStarted { execution, agent, revision };
        self.emit_on(id, actor::AGENT, started);
        self.work_began(execution);
        let mut known = self.known(&target);
        let Some(incident) = self.incident(id) else { return };
        known.refusals = refusals(incident);
        let incident = Box::new(incident.clone());
        self.outcome.effects.push(Effect::Investigate { incident, execution, known });
    }

    /// What went before no longer counts: drop running work and waiting proposals, look again.
    pub(super) fn start_over(&mut self, id: IncidentId, reason: &str) {
        let Some(incident) = self.incident(id) else { return };
        let Some(active) = incident.active_execution() else {
            // A failed incident stays with its person; the later stage is in the log.
            if incident.status != Status::Failed {
                self.investigate(id, None);
            }
            return;
        };
        let execution = active.id;
        self.supersede(id, reason);
        self.outcome.effects.push(Effect::Cancel { execution });
        self.investigate(id, Some(execution));
    }

    /// Voids a proposal that waits.
    pub(super) fn supersede(&mut self, id: IncidentId, reason: &str) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let waiting =
            matches!(active.state, ExecutionState::AwaitingApproval | ExecutionState::Previewing);
        if let (true, Some(proposal)) = (waiting, &active.proposal) {
            let (execution, fingerprint) = (active.id, proposal.fingerprint.clone());
            let decision = Decision::Superseded { reason: reason.to_owned() };
            let approval = self.approval(fingerprint, decision, actor::ENGINE);
            self.emit_on(id, actor::ENGINE, EventBody::Decided { execution, approval });
        }
    }

    pub(super) fn approval(
        &mut self,
        fingerprint: crate::domain::ids::Fingerprint,
        decision: Decision,
        by: &str,
    ) -> Approval {
        let id = ApprovalId(self.ids.next(self.now));
        Approval { id, fingerprint, decision, actor: by.to_owned(), at: self.now }
    }

    fn known(&self, target: &TargetId) -> Known {
        let ledger = &self.world.ledger;
        let barred = ledger.breakers.iter().filter(|b| b.target == *target).filter_map(|breaker| {
            let reason = ledger.barred(target, &breaker.action, &self.world.limits, self.now)?;
            Some((breaker.action.clone(), reason))
        });
        let mut known = Known {
            baseline: healthy_settings(ledger.baselines.get(target)),
            barred: barred.collect(),
            model: ledger.model.at(self.now),
            ..Known::default()
        };
        if let Some(watch) = self.world.watches.get(target) {
            let of = |origin| watch.window.newest(origin).take(120).cloned();
            known.samples = of(Origin::Held).chain(of(Origin::Fresh)).collect();
            known.samples.sort_by_key(|sample| sample.at);
            let since = self.now - chrono::TimeDelta::seconds(120);
            known.runtime_events = watch.window.runtime_since(since).cloned().collect();
        }
        known
    }

    pub(super) fn diagnosed(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        revision: u32,
        result: Investigation,
    ) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let is_current = active.id == execution
            && active.state == ExecutionState::Thinking
            && active.revision == revision;
        if !is_current {
            return;
        }
        self.world.agenda.remove(&execution);
        let Investigation { agent, diagnosis, plan } = result;
        if self.incident(id).is_some_and(|incident| incident.request.is_none()) {
            self.emit_on(id, actor::AGENT, EventBody::Diagnosed { execution, agent, diagnosis });
        }
        match plan {
            Ok(draft) => self.propose(id, execution, revision, draft),
            Err(reason) => {
                self.end_execution(id, execution, ExecutionState::Failed, Some(reason), None);
                self.hand_over(id);
            }
        }
    }

    pub(super) fn propose(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        revision: u32,
        draft: Draft,
    ) {
        if let Some(reason) = self.why_not(id, &draft) {
            self.end_execution(id, execution, ExecutionState::Failed, Some(reason), None);
            self.hand_over(id);
            return;
        }
        let Some(incident) = self.incident(id) else { return };
        let (target, mode) = (incident.target.clone(), incident.remediation);
        let Some(ruling) = self.ruling_on(&target, mode, &draft) else { return };
        let print = fingerprint(id, revision, &target, &draft, &self.world.policy.version);
        let proposal = Proposal {
            id: ProposalId(self.ids.next(self.now)),
            incident: id,
            revision,
            target,
            risk: draft.risk(),
            ruling: ruling.clone(),
            fingerprint: print.clone(),
            created_at: self.now,
            expires_at: self.now + self.world.limits.approval_ttl,
            draft,
        };
        let line = proposal_line(&proposal);
        self.emit_on(
            id,
            actor::AGENT,
            EventBody::Proposed { execution, proposal: Box::new(proposal) },
        );
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        match ruling.demand {
            Demand::Automatic => {
                let decision = Decision::Automatic { rule: ruling.rule };
                let approval = self.approval(print, decision, actor::POLICY);
                self.emit_on(id, actor::POLICY, EventBody::Decided { execution, approval });
                self.begin(id, execution);
            }
            Demand::Approval | Demand::Typed => {}
            Demand::Forbidden => {
                let reason = format!("the policy forbids it ({})", ruling.rule);
                let decision = Decision::Denied { reason: reason.clone() };
                let approval = self.approval(print, decision, actor::POLICY);
                self.emit_on(id, actor::POLICY, EventBody::Decided { execution, approval });
                self.end_execution(id, execution, ExecutionState::Cancelled, Some(reason), None);
                self.hand_over(id);
            }
        }
    }

    /// What the policy demands here and now.
    pub(super) fn ruling_on(
        &self,
        target: &TargetId,
        mode: RemediationMode,
        draft: &Draft,
    ) -> Option<Ruling> {
        let known = self.world.target(target)?;
        let ruling = for_mode(self.world.policy.rule_on(known, &draft.steps), mode);
        Some(self.unless_held_back(ruling, target, draft))
    }

    /// What the policy calls automatic waits for a person all the same where a loop or a clash threatens.
    fn unless_held_back(&self, ruling: Ruling, target: &TargetId, draft: &Draft) -> Ruling {
        if ruling.demand != Demand::Automatic {
            return ruling;
        }
        match self.why_held_back(target, draft) {
            Some(reason) => {
                Ruling { demand: Demand::Approval, rule: format!("{}, but {reason}", ruling.rule) }
            }
            None => ruling,
        }
    }

    fn why_held_back(&self, target: &TargetId, draft: &Draft) -> Option<String> {
        let (ledger, limits) = (&self.world.ledger, &self.world.limits);
        if let Some((busy, _)) = ledger.acting_on(target) {
            return Some(format!("an action for {} still runs on {target}", busy.name()));
        }
        if let Some(reason) = self.waits_for_store(draft.risk()) {
            return Some(reason);
        }
        draft.steps.iter().find_map(|step| ledger.cooling(target, &step.action, limits, self.now))
    }

    /// The futility guard: what was used up, by incident and by target.
    fn why_not(&self, id: IncidentId, draft: &Draft) -> Option<String> {
        let incident = self.incident(id)?;
        if draft.steps.is_empty() {
            return Some("the plan has no actions".into());
        }
        if incident.attempts() >= self.world.limits.attempts_per_incident {
            return Some(format!("{} attempts were made", incident.attempts()));
        }
        let actions: Vec<ActionId> = draft.steps.iter().map(|step| step.action.clone()).collect();
        if incident.tried.iter().any(|tried| tried.cause == draft.cause && tried.actions == actions)
        {
            return Some(format!("{} was already tried for {}", draft.actions(), draft.cause));
        }
        let ledger = &self.world.ledger;
        let limits = &self.world.limits;
        actions.iter().find_map(|action| ledger.barred(&incident.target, action, limits, self.now))
    }

    pub(super) fn end_execution(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        state: ExecutionState,
        error: Option<String>,
        tried: Option<Tried>,
    ) {
        self.world.agenda.remove(&execution);
        if let Some(error) = &error {
            let line = PhaseLine::say(Phase::Error, error.clone());
            self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        }
        self.emit_on(
            id,
            actor::AGENT,
            EventBody::ExecutionEnded { execution, state, error, tried },
        );
    }

    /// Cancels whatever is going on for an incident that is over.
    pub(super) fn cancel_active(&mut self, id: IncidentId, reason: &str) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let execution = active.id;
        self.supersede(id, reason);
        self.outcome.effects.push(Effect::Cancel { execution });
        self.world.agenda.remove(&execution);
        let error = Some(reason.to_owned());
        let state = ExecutionState::Cancelled;
        self.emit_on(
            id,
            actor::AGENT,
            EventBody::ExecutionEnded { execution, state, error, tried: None },
        );
    }

    /// The agent is done without success: says why and what was tried, and asks for a person.
    pub(super) fn hand_over(&mut self, id: IncidentId) {
        let Some(incident) = self.incident(id) else { return };
        let error = incident.executions.last().and_then(|e| e.error.clone());
        let mut reason = error.unwrap_or_else(|| "no remedy is left".into());
        // An investigation that found no remedy has named what was tried in its own words.
        let agent_said = incident.executions.last().is_some_and(|e| e.proposal.is_none());
        if !incident.tried.is_empty() && !agent_said {
            let tried: Vec<String> = incident.tried.iter().map(describe_tried).collect();
            reason = format!("{reason}; tried: {}", tried.join("; "));
        }
        if incident.request.is_some() && incident.last_that_acted().is_none() {
            return self.withdraw(id, &reason);
        }
        self.fail(id, actor::AGENT, &reason);
    }

    pub(super) fn fail(&mut self, id: IncidentId, by: &str, reason: &str) {
        if self.incident(id).is_some_and(|i| i.status.may_become(Status::Failed)) {
            let reason = format!("needs a person: {reason}");
            self.emit_on(id, by, EventBody::IncidentFailed { reason });
            self.report(id);
        }
    }
}

/// The settings themselves, without what says how they were recorded.
fn healthy_settings(baseline: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut settings = baseline.cloned().unwrap_or_default();
    settings.remove(super::watch::BASELINE_FORMAT);
    settings
}

fn describe_tried(tried: &Tried) -> String {
    let actions: Vec<&str> = tried.actions.iter().map(ActionId::as_str).collect();
    format!("{} for {} ({})", actions.join(" + "), tried.cause, tried.outcome)
}

/// Only where the mode allows it does the policy's "automatic" mean what it says.
fn for_mode(ruling: Ruling, mode: RemediationMode) -> Ruling {
    match mode {
        RemediationMode::Automatic => ruling,
        RemediationMode::Approval | RemediationMode::Advisory | RemediationMode::Manual => {
            if ruling.demand == Demand::Automatic {
                let rule = format!(
                    "{}; remediation mode {} asks all the same",
                    ruling.rule,
                    mode.as_str()
                );
                return Ruling { demand: Demand::Approval, rule };
            }
            ruling
        }
    }
}

fn proposal_line(proposal: &Proposal) -> PhaseLine {
    let steps = proposal.draft.steps.len();
    let actions = proposal.draft.actions();
    let who = match proposal.ruling.demand {
        Demand::Automatic => format!("runs by policy ({})", proposal.ruling.rule),
        Demand::Approval | Demand::Typed => {
            format!("waits for the operator until {}", proposal.expires_at.format("%H:%M:%S"))
        }
        Demand::Forbidden => format!("forbidden by policy ({})", proposal.ruling.rule),
    };
    let plural = if steps == 1 { "" } else { "s" };
    let text = format!(
        "PROPOSAL {}  {steps} action{plural} ({actions}), risk {}, {who}",
        proposal.fingerprint, proposal.risk
    );
    PhaseLine::say(Phase::Command, text)
}

/// What the failed actions of an incident were told, and what was measured of those that ran and did not help, in order.
fn refusals(incident: &Incident) -> Vec<(ActionId, String)> {
    incident.executions.iter().flat_map(|one| told(one).chain(not_proven(one))).collect()
}

fn told(execution: &Execution) -> impl Iterator<Item = (ActionId, String)> {
    execution.steps.iter().filter_map(|run| {
        let output = &run.end.as_ref().filter(|end| !end.ok)?.output;
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        let line = said.lines().find(|line| !line.trim().is_empty())?;
        Some((run.action.clone(), line.trim().to_owned()))
    })
}

/// The checks that failed, under the last action: what came before it is not what was to help.
fn not_proven(execution: &Execution) -> impl Iterator<Item = (ActionId, String)> {
    let last = execution.steps.last().map(|run| run.action.clone());
    let checks = execution.verification.iter().flat_map(|verification| &verification.checks);
    let failed = checks.filter(|check| check.passed == Some(false));
    failed
        .filter_map(move |check| Some((last.clone()?, format!("{}: {}", check.name, check.detail))))
}
