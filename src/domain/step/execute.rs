//! Carrying out an approved proposal: step by step, proof by measurement, taking back, what comes next.

use super::{Turn, actor};
use crate::domain::diagnosis::Grade;
use crate::domain::effect::{Besides, Effect, Goal, Prepared};
use crate::domain::event::EventBody;
use crate::domain::execution::{
    Approval, Execution, ExecutionState, Output, Phase, PhaseLine, StepEnd, StepRun, Verification,
};
use crate::domain::health::Health;
use crate::domain::ids::{CauseId, ExecutionId, IncidentId};
use crate::domain::incident::{Incident, Status, Tried};
use crate::domain::proposal::{Proposal, fingerprint};
use crate::domain::undo::{ran_steps, undo_steps};

impl Turn<'_> {
    /// The approval is stored: from here on the target is changed.
    pub(super) fn begin(&mut self, id: IncidentId, execution: ExecutionId) {
        self.move_to(id, actor::AGENT, Status::Fixing, "carrying out the approved proposal");
        let to = ExecutionState::Previewing;
        self.emit_on(id, actor::AGENT, EventBody::ExecutionMoved { execution, to });
        self.recheck(id, execution, 0);
    }

    pub(super) fn recheck(&mut self, id: IncidentId, execution: ExecutionId, step: usize) {
        let Some((incident, _, proposal)) = self.permitted(id, execution) else {
            self.end_execution(
                id,
                execution,
                ExecutionState::Failed,
                Some("the approval does not cover it".into()),
                None,
            );
            self.hand_over(id);
            return;
        };
        let Some(plan) = proposal.draft.steps.get(step) else { return };
        let effect = Effect::Recheck {
            incident: id,
            execution,
            target: incident.target.clone(),
            step,
            plan: Box::new(plan.clone()),
            identity: proposal.draft.target_identity.clone(),
        };
        self.work_began(execution);
        self.outcome.effects.push(effect);
    }

    /// The execution with its proposal, when a permitting decision of exactly this fingerprint is stored and
    /// the proposal is still what it was.
    fn permitted(
        &self,
        id: IncidentId,
        execution: ExecutionId,
    ) -> Option<(&Incident, &Execution, &Proposal)> {
        let incident = self.incident(id)?;
        let active = incident.active_execution().filter(|active| active.id == execution)?;
        let proposal = active.proposal.as_ref()?;
        let Approval { fingerprint: approved, decision, at, .. } = active.approval.as_ref()?;
        let print = fingerprint(
            id,
            proposal.revision,
            &incident.target,
            &proposal.draft,
            &self.world.policy.version,
        );
        let covers = *approved == proposal.fingerprint && print == proposal.fingerprint;
        (covers && decision.permits() && *at < proposal.expires_at)
            .then_some((incident, active, proposal))
    }

    pub(super) fn rechecked(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        step: usize,
        result: Result<Prepared, String>,
    ) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let expected = active.id == execution && active.steps.len() == step;
        let state_fits =
            matches!(active.state, ExecutionState::Previewing | ExecutionState::Executing);
        if !expected || !state_fits {
            return;
        }
        let plan = active.proposal.as_ref().and_then(|proposal| proposal.draft.steps.get(step));
        let waits = plan.and_then(|plan| self.waits_for_store(plan.risk));
        self.world.agenda.remove(&execution);
        match waits.map_or(result, Err) {
            Ok(prepared) => self.run(id, execution, step, prepared),
            Err(reason) if step == 0 => self.drifted(id, execution, "approval", &reason),
            Err(reason) => {
                let text = format!("action {} is left out: {reason}", step + 1);
                self.emit_on(
                    id,
                    actor::AGENT,
                    EventBody::Phase { execution, line: PhaseLine::say(Phase::Result, text) },
                );
                self.after_step(id, execution, step);
            }
        }
    }

    /// What was shown is no longer what would run: void, and looked into again.
    pub(super) fn drifted(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        what: &str,
        reason: &str,
    ) {
        self.supersede(id, reason);
        let text = format!("the {what} no longer fits, nothing ran: {reason}");
        let line = PhaseLine::say(Phase::Error, text);
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        self.investigate(id, Some(execution));
    }

    fn run(&mut self, id: IncidentId, execution: ExecutionId, step: usize, prepared: Prepared) {
        let Some((incident, _, proposal)) = self.permitted(id, execution) else { return };
        let Some(plan) = proposal.draft.steps.get(step).cloned() else { return };
        let (target, total) = (incident.target.clone(), proposal.draft.steps.len());
        let command = plan.preview.commands.join("\n");
        let run = StepRun {
            id: self.ids.next(self.now),
            action: plan.action.clone(),
            command,
            started_at: self.now,
            health_before: self.world.health(&target),
            undo_data: prepared.undo_data,
            undo_commands: prepared.undo_commands,
            end: None,
        };
        self.emit_on(id, actor::AGENT, EventBody::ActionStarted { execution, run });
        let text = format!("action {}/{total}  {}", step + 1, plan.action);
        let line = PhaseLine::say(Phase::Executing, text);
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        self.work_began(execution);
        let plan = Box::new(plan);
        self.outcome.effects.push(Effect::Run { incident: id, execution, target, step, plan });
    }

    pub(super) fn step_finished(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        step: usize,
        ok: bool,
        output: Output,
        health: Health,
    ) {
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        let fits = active.id == execution && active.state == ExecutionState::Executing;
        let Some(run) = active.steps.get(step).filter(|run| fits && run.end.is_none()) else {
            return;
        };
        let run = run.id;
        self.world.agenda.remove(&execution);
        let line = PhaseLine {
            output: Some(output.clone()),
            health: Some(health),
            ..PhaseLine::say(Phase::Result, result_text(ok, &output))
        };
        let end = StepEnd { at: self.now, ok, output, health_after: health };
        self.emit_on(id, actor::AGENT, EventBody::ActionFinished { execution, run, end });
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        if ok {
            self.after_step(id, execution, step);
        } else {
            self.take_back_or_go_on(id, execution, "the action failed".into());
        }
    }

    fn after_step(&mut self, id: IncidentId, execution: ExecutionId, step: usize) {
        if self.lets_go(id, execution) {
            return;
        }
        let steps =
            self.permitted(id, execution).map_or(0, |(_, _, proposal)| proposal.draft.steps.len());
        if step + 1 < steps
            && self
                .incident(id)
                .and_then(Incident::active_execution)
                .is_some_and(|e| e.steps.len() == step + 1)
        {
            self.recheck(id, execution, step + 1);
        } else {
            self.verify(id, execution);
        }
    }

    pub(super) fn verify(&mut self, id: IncidentId, execution: ExecutionId) {
        let to = ExecutionState::Verifying;
        self.emit_on(id, actor::AGENT, EventBody::ExecutionMoved { execution, to });
        self.measure(id, execution);
    }

    /// Has it measured whether what an execution did worked.
    pub(super) fn measure(&mut self, id: IncidentId, execution: ExecutionId) {
        let Some(incident) = self.incident(id) else { return };
        let Some(target) = self.world.target(&incident.target) else { return };
        let Some(ran) = incident.executions.iter().find(|e| e.id == execution) else { return };
        let goal = Goal {
            hold: target.verify_hold,
            above_score: target.thresholds.resolve_above_score,
            or_level: incident.health_before,
            besides: self.besides(incident, ran),
        };
        let target = incident.target.clone();
        let steps = ran_steps(ran);
        let own = if incident.request.is_some() {
            "what was asked for is done"
        } else {
            "the cause is gone"
        };
        let text = goal_text(&goal, own);
        let line = PhaseLine::say(Phase::Verifying, text);
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        self.work_began(execution);
        self.outcome.effects.push(Effect::Verify { incident: id, execution, target, steps, goal });
    }

    pub(super) fn verified(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        verification: Verification,
    ) {
        if let Some(by) = self.world.verified_again.remove(&execution) {
            return self.reverified(id, execution, &by, verification);
        }
        let Some(active) = self.incident(id).and_then(Incident::active_execution) else { return };
        if active.id != execution || active.state != ExecutionState::Verifying {
            return;
        }
        let (health, cause_gone) = (verification.health_after, verification.cause_gone);
        let stays = cause_gone && is_for_a_confirmed_cause(active, self.incident(id));
        match self.record_proof(id, execution, verification) {
            None => self.complete(id, execution, health),
            // To bring a cause back that was really there helps nobody; what is left has another one.
            Some(reason) if stays => {
                let text = format!("its own cause is gone, so what was done stays; {reason}");
                self.go_on(id, execution, text);
            }
            Some(reason) => self.take_back_or_go_on(id, execution, format!("not proven: {reason}")),
        }
    }

    /// Records a proof; gives back what did not pass.
    pub(super) fn record_proof(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        verification: Verification,
    ) -> Option<String> {
        self.world.agenda.remove(&execution);
        let failure = verification.failure();
        let line = PhaseLine {
            health: Some(verification.health_after),
            ..PhaseLine::say(Phase::Verification, proof_text(&verification))
        };
        self.emit_on(id, actor::AGENT, EventBody::Verified { execution, verification });
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        failure
    }

    /// What else is wrong with the target: other incidents, and causes of this one that are still to be dealt with.
    fn besides(&self, incident: &Incident, ran: &Execution) -> Besides {
        let open = self.world.ledger.open_on(&incident.target);
        let others = open.iter().filter(|other| other.id != incident.id && other.request.is_none());
        Besides {
            findings: others.map(|other| other.finding).collect(),
            causes: causes_left(incident, ran),
        }
    }

    fn complete(&mut self, id: IncidentId, execution: ExecutionId, health: Health) {
        let Some(incident) = self.incident(id) else { return };
        let tried = tried(incident, "worked");
        if let Some(rest) = self.what_remains(incident, execution) {
            let text = format!("proven for its own cause; what is left: {rest}");
            let line = PhaseLine::say(Phase::Complete, text);
            self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
            self.end_execution(id, execution, ExecutionState::Completed, None, tried);
            let reason = format!("one cause is dealt with; {rest} is left");
            self.move_to(id, actor::AGENT, Status::Investigating, &reason);
            self.investigate(id, None);
            return;
        }
        self.say_resolved(id, execution, health);
        self.end_execution(id, execution, ExecutionState::Completed, None, tried);
        let was_asked_for = self.incident(id).is_some_and(|incident| incident.request.is_some());
        let what = if was_asked_for { "what was asked for is done and" } else { "the fix is" };
        let reason = format!("{what} proven");
        self.emit_on(id, actor::AGENT, EventBody::IncidentResolved { health, reason });
        self.report(id);
    }

    /// The other causes of the same symptom, when the proof had to leave the symptom itself out because of them.
    fn what_remains(&self, incident: &Incident, execution: ExecutionId) -> Option<String> {
        let ran = incident.executions.iter().find(|ran| ran.id == execution)?;
        let left_out = ran.verification.as_ref().is_some_and(|proof| !proof.left_out.is_empty());
        let causes = causes_left(incident, ran);
        let names: Vec<&str> = causes.iter().map(CauseId::as_str).collect();
        (left_out && !names.is_empty()).then(|| names.join(", "))
    }

    pub(super) fn say_resolved(&mut self, id: IncidentId, execution: ExecutionId, health: Health) {
        let Some(incident) = self.incident(id) else { return };
        let took = (self.now - incident.opened_at).num_milliseconds() as f64 / 1_000.0;
        let before = incident.health_at_open;
        let text = format!("resolved in {took:.1} s, health {before} → {health}");
        let line = PhaseLine::say(Phase::Complete, text);
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
    }

    /// After a failure: undo what can be undone, newest first; then the next remedy or a person.
    pub(super) fn take_back_or_go_on(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        reason: String,
    ) {
        if self.lets_go(id, execution) {
            return;
        }
        let Some(incident) = self.incident(id) else { return };
        let steps = incident.active_execution().map(undo_steps).unwrap_or_default();
        if steps.is_empty() {
            self.go_on(id, execution, reason);
            return;
        }
        let target = incident.target.clone();
        let to = ExecutionState::Executing;
        self.emit_on(id, actor::AGENT, EventBody::ExecutionMoved { execution, to });
        let line = PhaseLine::say(Phase::Executing, format!("{reason}; taking back what was done"));
        self.emit_on(id, actor::AGENT, EventBody::Phase { execution, line });
        self.work_began(execution);
        self.outcome.effects.push(Effect::Undo { incident: id, execution, target, steps });
    }

    pub(super) fn undone(
        &mut self,
        id: IncidentId,
        execution: ExecutionId,
        ok: bool,
        detail: String,
    ) {
        if self.was_ordered(id, execution) {
            return self.undone_by_order(id, execution, ok, detail);
        }
        if !self.is_active(id, execution) {
            return;
        }
        let phase = if ok { Phase::Result } else { Phase::Error };
        self.emit_on(
            id,
            actor::AGENT,
            EventBody::RolledBack { execution, ok, detail: detail.clone() },
        );
        self.emit_on(
            id,
            actor::AGENT,
            EventBody::Phase { execution, line: PhaseLine::say(phase, detail) },
        );
        let proof = self
            .incident(id)
            .and_then(Incident::active_execution)
            .and_then(|active| active.verification.as_ref());
        let failure = proof.and_then(Verification::failure);
        let reason = failure.map_or("the action failed".into(), |why| format!("not proven: {why}"));
        self.go_on(id, execution, reason);
    }

    fn go_on(&mut self, id: IncidentId, execution: ExecutionId, reason: String) {
        if self.lets_go(id, execution) {
            return;
        }
        // What may never have run has proven nothing: it may be proposed again, and approved again.
        let incident = self.incident(id).filter(|incident| {
            !incident.active_execution().is_some_and(Execution::was_interrupted)
        });
        let tried = incident.and_then(|incident| tried(incident, &reason));
        self.end_execution(id, execution, ExecutionState::Failed, Some(reason), tried);
        let may_go_on = self.incident(id).is_some_and(|incident| {
            // There is no other remedy for what a person asked for.
            incident.request.is_none()
                && incident.attempts() < self.world.limits.attempts_per_incident
        });
        if may_go_on {
            self.move_to(
                id,
                actor::AGENT,
                Status::Investigating,
                "the fix is not proven; looking again",
            );
            self.investigate(id, None);
        } else {
            self.hand_over(id);
        }
    }
}

fn is_for_a_confirmed_cause(ran: &Execution, incident: Option<&Incident>) -> bool {
    let Some(proposal) = &ran.proposal else { return false };
    let judged = incident.and_then(|incident| incident.diagnosis.as_ref());
    judged
        .iter()
        .flat_map(|diagnosis| &diagnosis.causes)
        .any(|judged| judged.cause == proposal.draft.cause && judged.grade == Grade::Confirmed)
}

/// The causes that were confirmed beside the one this execution is for, and that nothing was tried against.
fn causes_left(incident: &Incident, ran: &Execution) -> Vec<CauseId> {
    let Some(proposal) = &ran.proposal else { return Vec::new() };
    let judged = incident.diagnosis.iter().flat_map(|diagnosis| &diagnosis.causes);
    judged
        .filter(|judged| judged.grade == Grade::Confirmed && judged.cause != proposal.draft.cause)
        .filter(|judged| incident.tried.iter().all(|tried| tried.cause != judged.cause))
        .map(|judged| judged.cause.clone())
        .collect()
}

fn goal_text(goal: &Goal, own: &str) -> String {
    let hold = goal.hold.as_secs();
    if goal.besides.is_empty() {
        let above = goal.above_score;
        return format!(
            "a fresh client reads and writes, health above {above}, {own}; held for {hold} s"
        );
    }
    format!(
        "{own}, and what a client feels that is not due to {}; held for {hold} s",
        goal.besides.describe()
    )
}

fn tried(incident: &Incident, outcome: &str) -> Option<Tried> {
    let draft = &incident.active_execution()?.proposal.as_ref()?.draft;
    let actions = draft.steps.iter().map(|step| step.action.clone()).collect();
    Some(Tried { cause: draft.cause.clone(), actions, outcome: outcome.to_owned() })
}

/// A result with an exit code speaks for itself; without one it says what else is known.
fn result_text(ok: bool, output: &Output) -> String {
    match output.exit_code {
        Some(_) => String::new(),
        None if ok => format!("done in {} ms", output.duration_ms),
        None => format!("not done: {}", output.stderr),
    }
}

fn left_out(verification: &Verification) -> String {
    match verification.left_out.as_slice() {
        [] => String::new(),
        left_out => format!("; not judged, due to other trouble: {}", left_out.join("; ")),
    }
}

fn proof_text(verification: &Verification) -> String {
    let held = verification.held_ms as f64 / 1_000.0;
    match verification.failure() {
        None => format!(
            "PASS  {} checks over {} rounds, held {held:.1} s{}",
            verification.checks.len(),
            verification.rounds,
            left_out(verification)
        ),
        Some(failure) => format!("FAIL  {failure}"),
    }
}
