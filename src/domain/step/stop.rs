//! A person stops or kills what goes on for an incident: the agent lets go of it, and they have it.
//!
//! A stop lets the running action end and begins nothing after it. A kill drops the running action too; then
//! reality is measured, as after a crash, because nobody knows what the action did before.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Effect, Refused};
use crate::domain::event::EventBody;
use crate::domain::execution::{Execution, ExecutionState, StopOrder, Verification};
use crate::domain::ids::{ExecutionId, IncidentId, incident_name};
use crate::domain::incident::Incident;

/// What an execution is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Midst {
    /// Nothing was done yet, or nothing is being done right now.
    Nothing,
    Step,
    TakingBack,
}

impl Turn<'_> {
    pub(super) fn stop(&mut self, by: &str, number: u64) -> Result<Accepted, Refused> {
        let (id, active) = self.may_stop(by, number, false)?;
        let execution = active.id;
        let message = match midst(&active) {
            Midst::Nothing => {
                self.stop_at_once(id, by, &active);
                format!("{} is stopped; nothing more runs", incident_name(number))
            }
            Midst::Step => {
                self.order_stop(id, by, execution, false);
                let after = place(&active);
                format!("{} stops after {after}, which is let end", incident_name(number))
            }
            Midst::TakingBack => {
                self.order_stop(id, by, execution, false);
                format!("{} stops when what was done is taken back", incident_name(number))
            }
        };
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    pub(super) fn kill(&mut self, by: &str, number: u64) -> Result<Accepted, Refused> {
        if let Some(accepted) = self.kill_undo(by, number)? {
            return Ok(accepted);
        }
        let (id, active) = self.may_stop(by, number, true)?;
        let execution = active.id;
        let name = incident_name(number);
        let message = match midst(&active) {
            Midst::Nothing => {
                self.stop_at_once(id, by, &active);
                format!("{name} is stopped; nothing more runs")
            }
            Midst::Step => {
                self.order_stop(id, by, execution, true);
                self.outcome.effects.push(Effect::Cancel { execution });
                self.close_open_step(id, &active, &unknown_end(by));
                self.verify(id, execution);
                format!("{} of {name} is killed; measuring what is true now", place(&active))
            }
            Midst::TakingBack => {
                self.order_stop(id, by, execution, true);
                self.outcome.effects.push(Effect::Cancel { execution });
                self.undone(id, execution, false, unknown_end(by));
                format!("taking back for {name} is killed; how far it came is not known")
            }
        };
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    /// An undo that a person ordered is no step of an execution; a kill ends it all the same.
    fn kill_undo(&mut self, by: &str, number: u64) -> Result<Option<Accepted>, Refused> {
        let (id, _) = self.recent_incident(number)?;
        let Some(undone) = self.incident(id).and_then(Incident::being_undone) else {
            return Ok(None);
        };
        let execution = undone.id;
        self.operator_line(id, by, execution, format!("{by} kills the undo"));
        self.outcome.effects.push(Effect::Cancel { execution });
        self.undone_by_order(id, execution, false, unknown_end(by));
        let name = incident_name(number);
        let message = format!("the undo for {name} is killed; how far it came is not known");
        Ok(Some(Accepted { message, incident: Some(number), injection: None }))
    }

    fn may_stop(
        &mut self,
        by: &str,
        number: u64,
        kill: bool,
    ) -> Result<(IncidentId, Execution), Refused> {
        let incident = self.open_incident(number)?;
        let (id, name, state) = (incident.id, incident.name(), incident.status.as_str());
        let reason = match incident.active_execution() {
            _ if incident.being_undone().is_some() => {
                format!(
                    "what was done for {name} is being taken back, in one piece; only a kill ends it"
                )
            }
            None => format!("nothing runs for {name}; it is {state}"),
            Some(active) => match &active.stop {
                Some(order) if order.kill || !kill => {
                    format!("{} ordered that already; {name} is handed over when it ends", order.by)
                }
                Some(_) | None => return Ok((id, active.clone())),
            },
        };
        Err(self.refuse(id, by, Refused::because(reason)))
    }

    /// The order is on record before anything is dropped.
    fn order_stop(&mut self, id: IncidentId, by: &str, execution: ExecutionId, kill: bool) {
        self.emit_on(id, by, EventBody::StopOrdered { execution, kill });
        let what = if kill { "kills what runs" } else { "stops it after what runs now" };
        self.operator_line(id, by, execution, format!("{by} {what}"));
    }

    fn stop_at_once(&mut self, id: IncidentId, by: &str, active: &Execution) {
        let execution = active.id;
        self.emit_on(id, by, EventBody::StopOrdered { execution, kill: false });
        self.operator_line(id, by, execution, format!("{by} stops it"));
        let reason = format!("stopped by {by}");
        self.supersede(id, &reason);
        self.outcome.effects.push(Effect::Cancel { execution });
        self.let_go(id, execution);
    }

    /// Whether a person ordered a stop: then nothing follows by itself, and they have it.
    pub(super) fn lets_go(&mut self, id: IncidentId, execution: ExecutionId) -> bool {
        let active = self.incident(id).and_then(Incident::active_execution);
        let stopped = active.is_some_and(|a| a.id == execution && a.stop.is_some());
        if stopped {
            self.let_go(id, execution);
        }
        stopped
    }

    fn let_go(&mut self, id: IncidentId, execution: ExecutionId) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let error = Some(how_it_ended(active));
        self.end_execution(id, execution, ExecutionState::Cancelled, error, None);
        self.hand_over(id);
    }
}

fn midst(active: &Execution) -> Midst {
    match active.state {
        ExecutionState::Executing => match active.steps.last().map(|run| &run.end) {
            Some(None) => Midst::Step,
            // The next step is only looked at; a failure or a failed proof is being taken back.
            Some(Some(end)) if end.ok && active.verification.is_none() => Midst::Nothing,
            Some(Some(_)) => Midst::TakingBack,
            None => Midst::Nothing,
        },
        ExecutionState::Thinking
        | ExecutionState::Previewing
        | ExecutionState::AwaitingApproval
        | ExecutionState::Verifying
        | ExecutionState::Completed
        | ExecutionState::Failed
        | ExecutionState::Cancelled => Midst::Nothing,
    }
}

/// `step 1 of 2`
fn place(execution: &Execution) -> String {
    let all = execution.proposal.as_ref().map_or(0, |proposal| proposal.draft.steps.len());
    format!("step {} of {all}", execution.steps.len())
}

/// `stopped by ops1 after step 1 of 2`
fn how_it_ended(execution: &Execution) -> String {
    let order =
        execution.stop.clone().unwrap_or(StopOrder { by: actor::ENGINE.into(), kill: false });
    let (by, place) = (order.by, place(execution));
    if !execution.has_acted() {
        return format!("stopped by {by} before anything ran");
    }
    let proof = execution.verification.as_ref();
    let proof = match proof.and_then(Verification::failure) {
        Some(failure) => format!("; not proven: {failure}"),
        None if execution.state == ExecutionState::Verifying => "; nothing proves it".into(),
        None => String::new(),
    };
    if order.kill {
        return format!("killed by {by} in {place}; what it did so far is not known{proof}");
    }
    format!("stopped by {by} after {place}{proof}")
}

/// The end of what was killed: nobody has seen it.
fn unknown_end(by: &str) -> String {
    format!("killed by {by}; what it did so far is not known")
}
