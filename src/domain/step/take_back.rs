//! Taking back what an execution did because a person says so, also after its incident ended.
//!
//! The order is on record before anything is taken back. What a crash interrupts is taken back again, like every
//! undo: it restores what was saved and finds what is restored already.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Effect, Refused};
use crate::domain::event::EventBody;
use crate::domain::execution::{Execution, Phase, PhaseLine};
use crate::domain::ids::{ExecutionId, IncidentId, TargetId, incident_name};
use crate::domain::incident::{Incident, Status};
use crate::domain::undo::{UndoPlan, undo_steps, undoable};

impl Turn<'_> {
    pub(super) fn undo(
        &mut self,
        by: &str,
        number: u64,
        typed: Option<&str>,
    ) -> Result<Accepted, Refused> {
        let (id, target) = self.recent_incident(number)?;
        let plan = match self.may_undo(id, &target, typed) {
            Ok(plan) => plan,
            Err(reason) => return Err(self.refuse(id, by, Refused::because(reason))),
        };
        let (execution, actions) = (plan.execution, plan.actions());
        // What the agent had in mind rests on what is now taken back.
        self.cancel_active(id, &format!("{by} takes back what was done"));
        self.emit_on(id, by, EventBody::UndoStarted { execution });
        self.operator_line(id, by, execution, format!("{by} takes back {actions}"));
        for line in plan.lines {
            let line = PhaseLine::say(Phase::Command, line);
            self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        }
        self.take_back(id, execution);
        let message = format!("taking back {actions} on {target}");
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    fn may_undo(
        &self,
        id: IncidentId,
        target: &TargetId,
        typed: Option<&str>,
    ) -> Result<UndoPlan, String> {
        let incident = self.incident(id).ok_or("the incident is gone")?;
        let plan = undoable(incident, self.now)?;
        if typed != Some(target.as_str()) {
            let got =
                typed.map_or("nothing was typed".into(), |typed| format!("`{typed}` was typed"));
            return Err(format!("taking back wants the target's name typed: {target} ({got})"));
        }
        if self.world.target(target).is_none() {
            return Err(format!("{target} is not watched here"));
        }
        match self.world.ledger.acting_on(target) {
            Some((busy, _)) => Err(format!("an action for {} still runs on {target}", busy.name())),
            None => Ok(plan),
        }
    }

    /// An incident that is still in memory, whether it ended or not.
    pub(super) fn recent_incident(&self, number: u64) -> Result<(IncidentId, TargetId), Refused> {
        let found = self.world.ledger.by_number(number).map(|i| (i.id, i.target.clone()));
        found.ok_or_else(|| {
            let name = incident_name(number);
            Refused::because(format!("{name} is not among the recent incidents"))
        })
    }

    fn take_back(&mut self, id: IncidentId, execution: ExecutionId) {
        let Some(incident) = self.incident(id) else { return };
        let Some(undone) = incident.executions.iter().find(|e| e.id == execution) else { return };
        let (target, steps) = (incident.target.clone(), undo_steps(undone));
        self.work_began(execution);
        self.outcome.effects.push(Effect::Undo { incident: id, execution, target, steps });
    }

    /// Whether a person ordered this undo, as opposed to one that follows from a failed proof.
    pub(super) fn was_ordered(&self, id: IncidentId, execution: ExecutionId) -> bool {
        let undone = self.incident(id).and_then(Incident::being_undone);
        undone.is_some_and(|undone| undone.id == execution)
    }

    pub(super) fn undone_by_order(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        ok: bool,
        detail: String,
    ) {
        self.world.agenda.remove(&execution);
        let order = self.incident(id).and_then(Incident::being_undone).and_then(|e| e.undo.clone());
        let by = order.map_or_else(|| actor::ENGINE.to_owned(), |order| order.by);
        let line = PhaseLine::say(if ok { Phase::Result } else { Phase::Error }, detail.clone());
        let reason = if ok {
            format!("{by} took back what was done")
        } else {
            format!("{by} ordered to take back what was done, and that failed: {detail}")
        };
        self.emit_on(id, actor::AGENT, EventBody::RolledBack { execution, ok, detail });
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        if self.incident(id).is_some_and(|incident| incident.status.may_become(Status::Failed)) {
            self.fail(id, &by, &reason);
        } else {
            self.report(id);
        }
    }

    /// Goes on with what a crash interrupted.
    pub(super) fn resume_undos(&mut self) {
        for (id, execution, target) in self.ordered_undos() {
            if self.world.target(&target).is_none() {
                let detail = format!("{target} is no longer watched; nothing more was taken back");
                self.undone_by_order(id, execution, false, detail);
                continue;
            }
            self.say(id, execution, "simctl was interrupted while taking back; it does so again");
            self.take_back(id, execution);
        }
    }

    pub(super) fn give_up_on_late_undos(&mut self) {
        for (id, execution, _) in self.ordered_undos() {
            let since = self.world.agenda.get(&execution);
            if since.is_some_and(|since| self.now - *since > self.world.limits.step) {
                self.outcome.effects.push(Effect::Cancel { execution });
                let detail = "no end of it in time; what was taken back so far is not known";
                self.undone_by_order(id, execution, false, detail.into());
            }
        }
    }

    fn ordered_undos(&self) -> Vec<(IncidentId, ExecutionId, TargetId)> {
        let incidents = self.world.ledger.incidents.values();
        let named = |(incident, undone): (&Incident, &Execution)| {
            (incident.id, undone.id, incident.target.clone())
        };
        incidents.filter_map(|i| i.being_undone().map(|undone| named((i, undone)))).collect()
    }
}
