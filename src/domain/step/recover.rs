//! What a new engine does with what it finds, and giving up on work that takes too long.
//!
//! Nothing is repeated blindly: an action that had begun is judged by measurement, never run again.

use super::{Turn, actor};
use crate::domain::effect::Effect;
use crate::domain::event::EventBody;
use crate::domain::execution::{Execution, ExecutionState, Output, Phase, PhaseLine, StepEnd};
use crate::domain::health::Health;
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::incident::{Incident, RemediationMode, Status};
use crate::domain::injection::{Injection, InjectionState};

const INTERRUPTED: &str = "simctl was interrupted while this ran; its end is not known";

impl Turn<'_> {
    pub(super) fn started(&mut self, version: String, holder: String) {
        self.engine_says(EventBody::EngineStarted { version, holder });
        let live: Vec<Injection> =
            self.world.ledger.injections.values().filter(|i| i.state.is_live()).cloned().collect();
        for injection in live {
            let overdue = self.now >= injection.deadline;
            if overdue || injection.state == InjectionState::Reverting {
                self.revert(actor::ENGINE, injection, Vec::new());
            } else {
                self.outcome.effects.push(Effect::Adopt { injection: Box::new(injection) });
            }
        }
        self.resume_undos();
        let open: Vec<IncidentId> =
            self.world.ledger.incidents.values().filter(|i| i.is_open()).map(|i| i.id).collect();
        for id in open {
            self.resume(id);
        }
    }

    fn resume(&mut self, id: IncidentId) {
        let Some(incident) = self.incident(id) else { return };
        if self.world.target(&incident.target).is_none() {
            let reason = format!("{} is no longer watched", incident.target);
            self.cancel_active(id, &reason);
            self.fail(id, actor::ENGINE, &reason);
            return;
        }
        if incident.being_undone().is_some() {
            return;
        }
        let Some(active) = incident.active_execution().cloned() else {
            let idle =
                matches!(incident.status, Status::Triage | Status::Investigating | Status::Fixing);
            if idle && incident.remediation != RemediationMode::Manual {
                self.investigate(id, None);
            }
            return;
        };
        self.resume_execution(id, &active);
    }

    fn resume_execution(&mut self, id: IncidentId, active: &Execution) {
        match active.state {
            ExecutionState::Thinking => self.investigate(id, Some(active.id)),
            // The proposal still waits; its expiry goes on.
            ExecutionState::AwaitingApproval => {}
            ExecutionState::Previewing
                if active.proposal.as_ref().is_none_or(|p| self.now >= p.expires_at) =>
            {
                self.start_over(id, "the approval expired while simctl was away");
            }
            ExecutionState::Previewing => {
                self.say(
                    id,
                    active.id,
                    "simctl was interrupted before the action; checking again before it runs",
                );
                self.recheck(id, active.id, 0);
            }
            ExecutionState::Executing | ExecutionState::Verifying => {
                self.close_open_step(id, active, INTERRUPTED);
                self.say(
                    id,
                    active.id,
                    "simctl was interrupted; measuring what is true now, repeating nothing",
                );
                if active.verification.is_some() && active.state == ExecutionState::Executing {
                    // It was taking back after a failed proof.
                    self.take_back_or_go_on(id, active.id, "interrupted while taking back".into());
                } else {
                    self.verify(id, active.id);
                }
            }
            ExecutionState::Completed | ExecutionState::Failed | ExecutionState::Cancelled => {}
        }
    }

    pub(super) fn say(&mut self, id: IncidentId, execution: ExecutionId, text: &str) {
        let line = PhaseLine::say(Phase::Thinking, text);
        self.emit_on(id, actor::ENGINE, EventBody::Phase { execution, line });
    }

    /// A step whose end nobody has seen: said as it is.
    pub(super) fn close_open_step(&mut self, id: IncidentId, active: &Execution, why: &str) {
        for run in active.steps.iter().filter(|run| run.end.is_none()) {
            let output = Output { stderr: why.to_owned(), ..Output::default() };
            let end =
                StepEnd { at: self.now, ok: false, output, health_after: Health::Inconclusive };
            let body = EventBody::ActionFinished { execution: active.id, run: run.id, end };
            self.emit_on(id, actor::ENGINE, body);
        }
    }

    pub(super) fn tick(&mut self) {
        self.expire_proposals();
        self.revert_overdue();
        self.give_up_on_late_work();
        self.give_up_on_late_undos();
        self.give_up_on_late_proofs();
    }

    fn give_up_on_late_work(&mut self) {
        let late: Vec<(IncidentId, Execution)> = self
            .world
            .ledger
            .incidents
            .values()
            .filter_map(|incident| Some((incident, incident.active_execution()?)))
            .filter(|(_, execution)| self.is_late(execution))
            .map(|(incident, execution)| (incident.id, execution.clone()))
            .collect();
        for (id, execution) in late {
            self.outcome.effects.push(Effect::Cancel { execution: execution.id });
            self.world.agenda.remove(&execution.id);
            self.give_up(id, &execution);
        }
    }

    fn is_late(&self, execution: &Execution) -> bool {
        let limits = &self.world.limits;
        let allowed = match execution.state {
            ExecutionState::Thinking => limits.investigation,
            ExecutionState::Previewing | ExecutionState::Executing => limits.step,
            ExecutionState::Verifying => limits.verification,
            ExecutionState::AwaitingApproval
            | ExecutionState::Completed
            | ExecutionState::Failed
            | ExecutionState::Cancelled => return false,
        };
        self.world.agenda.get(&execution.id).is_some_and(|since| self.now - *since > allowed)
    }

    fn give_up(&mut self, id: IncidentId, execution: &Execution) {
        let reason = format!("no end of {} in time", execution.state.as_str());
        if !execution.has_acted() {
            self.end_execution(id, execution.id, ExecutionState::Failed, Some(reason), None);
            self.hand_over(id);
            return;
        }
        match execution.state {
            ExecutionState::Executing if execution.verification.is_none() => {
                self.close_open_step(id, execution, "it had no end in time and was broken off");
                self.verify(id, execution.id);
            }
            ExecutionState::Executing => {
                self.end_execution(id, execution.id, ExecutionState::Failed, Some(reason), None);
                self.hand_over(id);
            }
            ExecutionState::Thinking
            | ExecutionState::Previewing
            | ExecutionState::AwaitingApproval
            | ExecutionState::Verifying
            | ExecutionState::Completed
            | ExecutionState::Failed
            | ExecutionState::Cancelled => self.take_back_or_go_on(id, execution.id, reason),
        }
    }
}

impl Execution {
    /// Whether a crash hid how an action ended: it may never have reached the target.
    pub(super) fn was_interrupted(&self) -> bool {
        let ends = self.steps.iter().filter_map(|run| run.end.as_ref());
        ends.into_iter().any(|end| end.output.stderr == INTERRUPTED)
    }
}

impl Incident {
    /// Whether simctl itself is still busy with it, as opposed to waiting for somebody.
    pub fn is_being_worked_on(&self) -> bool {
        self.active_execution()
            .is_some_and(|execution| execution.state != ExecutionState::AwaitingApproval)
    }
}
