//! A person wants to know: targets are asked, fixes measured, previews computed once more. None of it changes a
//! target, so none of it outlives a crash: whoever wants to know asks again.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Effect, Refused};
use crate::domain::event::EventBody;
use crate::domain::execution::{ExecutionState, Phase, PhaseLine, Verification};
use crate::domain::ids::{ExecutionId, Fingerprint, IncidentId, TargetId, incident_name};
use crate::domain::incident::Incident;
use crate::domain::proposal::{Preview, Proposal};

impl Turn<'_> {
    pub(super) fn probe(&mut self, target: Option<TargetId>) -> Result<Accepted, Refused> {
        let watched = self.world.watches.keys();
        let asked: Vec<TargetId> = match target {
            None => watched.cloned().collect(),
            Some(target) if self.world.target(&target).is_some() => vec![target],
            Some(target) => {
                let names: Vec<&str> = watched.map(TargetId::as_str).collect();
                let names = names.join(", ");
                let text = format!("{target} is not watched here; watched are: {names}");
                return Err(Refused::because(text));
            }
        };
        let names: Vec<&str> = asked.iter().map(TargetId::as_str).collect();
        let message = format!("asking {}", names.join(", "));
        let asks = asked.into_iter().map(|target| Effect::Probe { target });
        self.outcome.effects.extend(asks);
        Ok(Accepted { message, ..Accepted::default() })
    }

    pub(super) fn reverify(&mut self, by: &str, number: u64) -> Result<Accepted, Refused> {
        let id = self.open_incident(number)?.id;
        let execution = match self.may_reverify(id) {
            Ok(execution) => execution,
            Err(reason) => return Err(self.refuse(id, by, Refused::because(reason))),
        };
        self.operator_line(id, by, execution, format!("{by} has it verified again"));
        self.world.verified_again.insert(execution, by.to_owned());
        self.measure(id, execution);
        let message = format!("verifying {} again", incident_name(number));
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    fn may_reverify(&self, id: IncidentId) -> Result<ExecutionId, String> {
        let incident = self.incident(id).ok_or("the incident is gone")?;
        let (name, target) = (incident.name(), &incident.target);
        let Some(last) = incident.last_that_acted() else {
            return Err(format!("nothing was executed for {name} yet"));
        };
        let again = self.world.verified_again.contains_key(&last.id);
        if again || last.state == ExecutionState::Verifying {
            return Err(format!("{name} is being verified already"));
        }
        if self.world.target(target).is_none() {
            return Err(format!("{target} is not watched here"));
        }
        match self.world.ledger.acting_on(target) {
            Some((busy, _)) => Err(format!("an action for {} still runs on {target}", busy.name())),
            None => Ok(last.id),
        }
    }

    /// A proof that holds ends the incident, whatever the agent thought; one that does not changes nothing.
    pub(super) fn reverified(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        by: &str,
        verification: Verification,
    ) {
        let health = verification.health_after;
        let failure = self.record_proof(id, execution, verification);
        let Some(incident) = self.incident(id).filter(|incident| incident.is_open()) else {
            return;
        };
        if failure.is_some() {
            return;
        }
        if let Some((busy, _)) = self.world.ledger.acting_on(&incident.target) {
            let text =
                format!("an action for {} began meanwhile; its own proof counts", busy.name());
            let line = PhaseLine::say(Phase::Result, text);
            return self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        }
        self.cancel_active(id, "the fix is proven after all");
        self.say_resolved(id, execution, health);
        let reason = format!("the fix is proven, verified again by {by}");
        self.emit_on(id, by, EventBody::IncidentResolved { health, reason });
        self.report(id);
    }

    pub(super) fn give_up_on_late_proofs(&mut self) {
        let asked: Vec<ExecutionId> = self.world.verified_again.keys().copied().collect();
        for execution in asked {
            let since = self.world.agenda.get(&execution);
            if since.is_none_or(|since| self.now - *since <= self.world.limits.verification) {
                continue;
            }
            self.world.agenda.remove(&execution);
            self.world.verified_again.remove(&execution);
            self.outcome.effects.push(Effect::Cancel { execution });
            let incidents = self.world.ledger.incidents.values();
            let mut known = incidents.filter(|i| i.executions.iter().any(|e| e.id == execution));
            if let Some(id) = known.next().map(|incident| incident.id) {
                let line = PhaseLine::say(Phase::Error, "no end of the verification in time");
                self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
            }
        }
    }

    pub(super) fn dry_run(
        &mut self,
        by: &str,
        number: u64,
        fingerprint: &str,
    ) -> Result<Accepted, Refused> {
        let incident = self.open_incident(number)?;
        let (id, target) = (incident.id, incident.target.clone());
        let named = self.named(incident, fingerprint).map(|(e, p)| (e.id, p.clone()));
        let (execution, proposal) = match named {
            Ok(found) => found,
            Err(refused) => return Err(self.refuse(id, by, refused)),
        };
        let fingerprint = proposal.fingerprint;
        let short = fingerprint.short().to_owned();
        self.operator_line(id, by, execution, format!("{by} asks for a dry run of {short}"));
        let (steps, identity) = (proposal.draft.steps, proposal.draft.target_identity);
        self.outcome.effects.push(Effect::DryRun {
            incident: id,
            execution,
            target,
            fingerprint,
            steps,
            identity,
        });
        let message = format!("dry run of {short}: its lines stand in the log");
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    /// Reports while the proposal still waits; decided or voided meanwhile, nobody needs it any more.
    pub(super) fn dry_ran(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        fingerprint: &Fingerprint,
        result: Result<Vec<Preview>, String>,
    ) {
        let active = self.incident(id).and_then(Incident::active_execution);
        let waits = active.filter(|active| {
            active.id == execution && active.state == ExecutionState::AwaitingApproval
        });
        let proposal = waits.and_then(|waits| waits.proposal.as_ref());
        let Some(proposal) = proposal.filter(|known| known.fingerprint == *fingerprint) else {
            return;
        };
        match result {
            Err(reason) => self.drifted(id, execution, "proposal", &reason),
            Ok(previews) => {
                for line in dry_lines(proposal, &previews) {
                    self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
                }
            }
        }
    }
}

fn dry_lines(proposal: &Proposal, previews: &[Preview]) -> Vec<PhaseLine> {
    let steps = &proposal.draft.steps;
    let mut lines = Vec::new();
    for (place, (step, preview)) in steps.iter().zip(previews).enumerate() {
        let costs: Vec<String> = preview.consequences.iter().map(ToString::to_string).collect();
        let costs =
            if costs.is_empty() { String::new() } else { format!(": {}", costs.join(", ")) };
        let (place, all) = (place + 1, steps.len());
        let text = format!("dry run {place}/{all}  {}{costs}", step.action);
        lines.push(PhaseLine::say(Phase::Executing, text));
        let commands = preview.commands.iter();
        lines.extend(commands.map(|command| PhaseLine::say(Phase::Command, command.clone())));
    }
    let text = "dry run: as it was shown; nothing ran";
    lines.push(PhaseLine::say(Phase::Result, text));
    lines
}
