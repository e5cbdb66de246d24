//! What people say about proposals and incidents: approve, deny, retry, note, resolve; and time running out.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Refused};
use crate::domain::event::EventBody;
use crate::domain::execution::{Decision, Execution, ExecutionState, Phase, PhaseLine, Seen};
use crate::domain::ids::{ExecutionId, IncidentId, incident_name};
use crate::domain::incident::{Incident, RemediationMode, Status};
use crate::domain::policy::typed_name_is_missing;
use crate::domain::proposal::{Proposal, Risk};

/// What an approval says besides what it approves.
pub(super) struct Read {
    pub(super) typed: Option<String>,
    pub(super) seen: Option<Seen>,
}

impl Turn<'_> {
    pub(super) fn approve(
        &mut self,
        by: &str,
        number: u64,
        fingerprint: &str,
        Read { typed, seen }: Read,
    ) -> Result<Accepted, Refused> {
        let id = self.open_incident(number)?.id;
        let checked = self.may_approve(by, id, fingerprint, typed.as_deref());
        let (execution, proposal) = match checked {
            Ok(found) => found,
            Err(refused) => return Err(self.refuse(id, by, refused)),
        };
        let waited = (self.now - proposal.created_at).num_seconds();
        let approval =
            self.approval(proposal.fingerprint.clone(), Decision::Approved { typed, seen }, by);
        self.emit_on(id, by, EventBody::Decided { execution, approval });
        let read = seen.map_or_else(String::new, |seen| format!(" ({seen})"));
        let text = format!("{by} approved {} after {waited} s{read}", proposal.fingerprint);
        self.operator_line(id, by, execution, text);
        self.begin(id, execution);
        let message =
            format!("{} approved; running {}", proposal.fingerprint, proposal.draft.actions());
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    fn may_approve(
        &self,
        by: &str,
        id: IncidentId,
        fingerprint: &str,
        typed: Option<&str>,
    ) -> Result<(ExecutionId, Proposal), Refused> {
        let incident = self.incident(id).ok_or_else(|| Refused::because("the incident is gone"))?;
        let (execution, proposal) = self.named(incident, fingerprint)?;
        if matches!(incident.remediation, RemediationMode::Advisory | RemediationMode::Manual) {
            let mode = incident.remediation.as_str();
            return Err(Refused::because(format!(
                "remediation mode {mode}: nothing can be approved"
            )));
        }
        let asked = incident.request.is_some()
            && actor::answerable(&incident.source) == actor::answerable(by);
        if asked && self.world.limits.two_people {
            let reason =
                format!("{by} asked for it, so somebody else approves it (policy.two_people)");
            return Err(Refused::because(reason));
        }
        if typed_name_is_missing(proposal, typed) {
            let target = &proposal.target;
            let got = typed
                .map_or("nothing was typed".to_owned(), |typed| format!("`{typed}` was typed"));
            return Err(Refused::because(format!(
                "{} risk wants the target's name typed: {target} ({got})",
                proposal.risk
            )));
        }
        if let Some(reason) = self.waits_for_store(proposal.risk) {
            return Err(Refused::because(format!("{reason}; `simctl doctor` says why")));
        }
        if let Some((busy, _)) = self.world.ledger.acting_on(&incident.target) {
            return Err(Refused::because(format!(
                "an action for {} still runs on {}",
                busy.name(),
                busy.target
            )));
        }
        Ok((execution.id, proposal.clone()))
    }

    /// The proposal that waits, if it is the one that is named and still fits.
    pub(super) fn named<'a>(
        &self,
        incident: &'a Incident,
        fingerprint: &str,
    ) -> Result<(&'a Execution, &'a Proposal), Refused> {
        let (execution, proposal) = waiting(incident)?;
        if !proposal.fingerprint.is_named_by(fingerprint) {
            let other = incident.executions.iter().any(|e| was_about(e, fingerprint));
            let kind = if other { "an older proposal" } else { "no proposal" };
            return Err(Refused::because(format!(
                "{fingerprint} names {kind} of {}; the one that waits is {}",
                incident.name(),
                proposal.fingerprint
            )));
        }
        if self.now >= proposal.expires_at {
            let at = proposal.expires_at.format("%H:%M:%S");
            return Err(Refused::because(format!("{fingerprint} expired at {at}; nothing ran")));
        }
        if proposal.revision != incident.revision {
            return Err(Refused::because(format!(
                "{} changed since {fingerprint} was made",
                incident.name()
            )));
        }
        Ok((execution, proposal))
    }

    /// What is hard to take back does not run while its record is on this machine only.
    pub(super) fn waits_for_store(&self, risk: Risk) -> Option<String> {
        (self.world.store_is_away && risk >= Risk::High)
            .then(|| format!("the store is away and {risk} risk waits until it is back"))
    }

    pub(super) fn reject(
        &mut self,
        by: &str,
        number: u64,
        fingerprint: Option<&str>,
        reason: &str,
    ) -> Result<Accepted, Refused> {
        let incident = self.open_incident(number)?;
        let id = incident.id;
        let found = waiting(incident).map(|(e, p)| (e.id, p.fingerprint.clone()));
        let (execution, print) = match found {
            Ok((_, print)) if fingerprint.is_some_and(|given| !print.is_named_by(given)) => {
                let given = fingerprint.unwrap_or_default();
                let refused = Refused::because(format!(
                    "{given} does not wait; the one that does is {print}"
                ));
                return Err(self.refuse(id, by, refused));
            }
            Ok(found) => found,
            Err(refused) => return Err(self.refuse(id, by, refused)),
        };
        let approval =
            self.approval(print.clone(), Decision::Denied { reason: reason.to_owned() }, by);
        self.emit_on(id, by, EventBody::Decided { execution, approval });
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        self.operator_line(id, by, execution, format!("{by} denied {print}{why}"));
        let error = Some(format!("denied by {by}{why}"));
        self.end_execution(id, execution, ExecutionState::Cancelled, error, None);
        self.hand_over(id);
        Ok(Accepted {
            message: format!("{print} denied; nothing ran"),
            incident: Some(number),
            injection: None,
        })
    }

    pub(super) fn retry(&mut self, by: &str, number: u64) -> Result<Accepted, Refused> {
        let incident = self.open_incident(number)?;
        let (id, status) = (incident.id, incident.status);
        if self.world.target(&incident.target).is_none() {
            let (name, target) = (incident.name(), &incident.target);
            return Err(Refused::because(format!(
                "{target} is not watched here, so there is nobody to ask about {name}"
            )));
        }
        if status != Status::Failed && incident.active_execution().is_some() {
            let state = status.as_str();
            return Err(Refused::because(format!(
                "{} is {state}; only a failed incident starts over",
                incident.name()
            )));
        }
        if incident.being_undone().is_some() {
            let name = incident.name();
            return Err(Refused::because(format!("what was done for {name} is being taken back")));
        }
        self.move_to(id, by, Status::Investigating, "asked to start over");
        self.investigate(id, None);
        let message = format!("{} starts over", incident_name(number));
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    pub(super) fn note(
        &mut self,
        by: &str,
        number: u64,
        text: String,
    ) -> Result<Accepted, Refused> {
        let (id, _) = self.recent_incident(number)?;
        if text.trim().is_empty() {
            return Err(Refused::because("a note needs words"));
        }
        self.emit_on(id, by, EventBody::IncidentNoted { text });
        Ok(Accepted {
            message: format!("noted on {}", incident_name(number)),
            incident: Some(number),
            injection: None,
        })
    }

    pub(super) fn resolve(
        &mut self,
        by: &str,
        number: u64,
        reason: &str,
    ) -> Result<Accepted, Refused> {
        let incident = self.open_incident(number)?;
        let (id, target) = (incident.id, incident.target.clone());
        let acting = self.world.ledger.acting_on(&target).is_some_and(|(busy, _)| busy.id == id);
        if acting {
            let refused = Refused::because(format!(
                "an action still runs for {}; wait for its end",
                incident_name(number)
            ));
            return Err(self.refuse(id, by, refused));
        }
        self.cancel_active(id, "declared over by a person");
        let health = self.world.health(&target);
        let reason = format!("declared over by {by}: {reason}");
        self.emit_on(id, by, EventBody::IncidentResolved { health, reason });
        self.report(id);
        let message = format!("{} resolved at health {health}", incident_name(number));
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    /// A proposal that nobody decided in time. Not the same as a no, with the same effect: nothing runs.
    pub(super) fn expire_proposals(&mut self) {
        let over: Vec<(IncidentId, ExecutionId, Proposal)> = self
            .world
            .ledger
            .incidents
            .values()
            .filter_map(|incident| {
                let (execution, proposal) = waiting(incident).ok()?;
                (self.now >= proposal.expires_at)
                    .then(|| (incident.id, execution.id, proposal.clone()))
            })
            .collect();
        for (id, execution, proposal) in over {
            let approval =
                self.approval(proposal.fingerprint.clone(), Decision::Expired, actor::ENGINE);
            self.emit_on(id, actor::ENGINE, EventBody::Decided { execution, approval });
            let seconds = (proposal.expires_at - proposal.created_at).num_seconds();
            let error =
                Some(format!("nobody decided about {} within {seconds} s", proposal.fingerprint));
            self.end_execution(id, execution, ExecutionState::Cancelled, error, None);
            self.hand_over(id);
        }
    }

    pub(super) fn refuse(&mut self, id: IncidentId, by: &str, refused: Refused) -> Refused {
        self.emit_on(id, by, EventBody::DecisionRefused { reason: refused.reason.clone() });
        refused
    }

    pub(super) fn operator_line(
        &mut self,
        id: IncidentId,
        by: &str,
        execution: ExecutionId,
        text: String,
    ) {
        let line = PhaseLine::say(Phase::Operator, text);
        self.emit_on(id, by, EventBody::Phase { execution, line });
    }
}

fn waiting(incident: &Incident) -> Result<(&Execution, &Proposal), Refused> {
    let name = incident.name();
    let nothing = || {
        Refused::because(format!(
            "nothing of {name} waits for a decision; it is {}",
            incident.status.as_str()
        ))
    };
    let execution = incident.active_execution().ok_or_else(nothing)?;
    let state = execution.state;
    match (&execution.proposal, state) {
        (Some(proposal), ExecutionState::AwaitingApproval) => Ok((execution, proposal)),
        (Some(proposal), _) => Err(Refused::because(format!(
            "{} of {name} is decided already; it is {}",
            proposal.fingerprint,
            state.as_str()
        ))),
        (None, _) => Err(nothing()),
    }
}

fn was_about(execution: &Execution, fingerprint: &str) -> bool {
    execution
        .approval
        .as_ref()
        .is_some_and(|approval| approval.fingerprint.is_named_by(fingerprint))
}
