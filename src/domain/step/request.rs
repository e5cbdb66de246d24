//! A person asks for an action. It was previewed on the live server before it comes here; from here on it waits, runs,
//! is proven and can be taken back like everything else.
//!
//! Nothing needs to be wrong with the target, so what never ran leaves nothing to do: its incident ends. What ran and
//! is not proven needs a person, like any other.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Refused};
use crate::domain::event::EventBody;
use crate::domain::execution::ExecutionState;
use crate::domain::finding::{Finding, FindingKind, Severity};
use crate::domain::ids::{ExecutionId, IncidentId, TargetId};
use crate::domain::incident::{Incident, RemediationMode, Request, Status};
use crate::domain::policy::Demand;
use crate::domain::proposal::Draft;

impl Turn<'_> {
    pub(super) fn requested(
        &mut self,
        by: &str,
        target: &TargetId,
        request: Request,
        draft: Draft,
    ) -> Result<Accepted, Refused> {
        self.may_request(target, &draft).map_err(Refused::because)?;
        let id = self.open_request(by, target, request).ok_or_else(|| unwatched(target))?;
        let execution = ExecutionId(self.ids.next(self.now));
        let (agent, revision) = (Request::AGENT.to_owned(), 1);
        self.move_to(id, by, Status::Investigating, "it was looked at what it would do");
        let started = EventBody::InvestigationStarted { execution, agent, revision };
        self.emit_on(id, actor::AGENT, started);
        self.propose(id, execution, revision, draft);
        Ok(self.accepted(id))
    }

    /// Why it may not even wait for a decision, if so.
    fn may_request(&self, target: &TargetId, draft: &Draft) -> Result<(), String> {
        let mode = self.world.remediation;
        if matches!(mode, RemediationMode::Advisory | RemediationMode::Manual) {
            let mode = mode.as_str();
            return Err(format!("remediation mode {mode}: nothing can be approved, so ask nobody"));
        }
        let ledger = &self.world.ledger;
        if let Some(open) = ledger.open_in_family(target, FindingKind::Requested) {
            return Err(in_the_way(open));
        }
        let barred = |action| ledger.barred(target, action, &self.world.limits, self.now);
        if let Some(reason) = draft.steps.iter().find_map(|step| barred(&step.action)) {
            return Err(reason);
        }
        let ruling = self.ruling_on(target, mode, draft).ok_or(unwatched(target).reason)?;
        match ruling.demand {
            Demand::Forbidden => Err(format!("the policy forbids it ({})", ruling.rule)),
            Demand::Automatic | Demand::Approval | Demand::Typed => Ok(()),
        }
    }

    fn open_request(
        &mut self,
        by: &str,
        target: &TargetId,
        request: Request,
    ) -> Option<IncidentId> {
        if !self.world.watches.contains_key(target) {
            return None;
        }
        let why = match request.reason.trim() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let finding = Finding {
            kind: FindingKind::Requested,
            severity: Severity::Low,
            sentence: format!("{by} asks for {}{why}", request.action),
            error_lines: Vec::new(),
            since: self.now,
        };
        let level = self.world.health(target).score();
        let incident = Incident {
            source: by.to_owned(),
            // It must not leave the target worse than it was; there may be no calm level to come back to.
            health_before: level,
            request: Some(request),
            ..self.new_incident(target, &finding)
        };
        let id = incident.id;
        let body = EventBody::IncidentOpened { incident: Box::new(incident), finding };
        self.emit(Some(id), Some(target.clone()), by, body);
        Some(id)
    }

    fn accepted(&self, id: IncidentId) -> Accepted {
        let Some(incident) = self.incident(id) else { return Accepted::default() };
        let (name, target) = (incident.name(), &incident.target);
        let active = incident.active_execution();
        let message =
            match active.and_then(|active| Some((active.state, active.proposal.as_ref()?))) {
                Some((ExecutionState::AwaitingApproval, proposal)) => format!(
                    "{name} waits for approval: {} on {target}, {} risk, proposal {}",
                    proposal.draft.actions(),
                    proposal.risk,
                    proposal.fingerprint
                ),
                Some((_, proposal)) => format!(
                    "{name}: {} on {target} runs by policy ({})",
                    proposal.draft.actions(),
                    proposal.ruling.rule
                ),
                None => format!("{name} is {}", incident.status.as_str()),
            };
        Accepted { message, incident: Some(incident.number), injection: None }
    }

    /// The end of a request of which nothing ran.
    pub(super) fn withdraw(&mut self, id: IncidentId, reason: &str) {
        let Some(incident) = self.incident(id).filter(|incident| incident.is_open()) else {
            return;
        };
        let health = self.world.health(&incident.target);
        let reason = format!("nothing ran: {reason}");
        self.emit_on(id, actor::AGENT, EventBody::IncidentResolved { health, reason });
        self.report(id);
    }
}

fn unwatched(target: &TargetId) -> Refused {
    Refused::because(format!("{target} is not watched here"))
}

fn in_the_way(open: &Incident) -> String {
    let (name, target, by) = (open.name(), &open.target, &open.source);
    let what = open.subject().unwrap_or("an action");
    let (state, next) = match open.active_execution().map(|active| active.state) {
        Some(ExecutionState::AwaitingApproval) => ("waits for a decision", "approve or reject it"),
        Some(_) => ("is under way", "wait for its end"),
        None => ("needs a person", "retry or resolve it"),
    };
    format!("{name} ({what}, asked for by {by}) {state} on {target}; {next} first")
}
