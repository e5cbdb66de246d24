//! Taking back what an execution did, by a person's order: whether it can be, until when, and what would run.

use chrono::{DateTime, TimeDelta, Utc};

use super::effect::RanStep;
use super::execution::{Execution, StepRun};
use super::ids::ExecutionId;
use super::incident::Incident;
use super::proposal::{ProposedStep, Undo};

/// What was done may be taken back this long after its execution ended.
pub const UNDO_WINDOW: TimeDelta = TimeDelta::minutes(30);

/// What taking back would do.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoPlan {
    pub execution: ExecutionId,
    /// The steps to take back, newest first.
    pub steps: Vec<RanStep>,
    /// When the window closes.
    pub until: DateTime<Utc>,
    /// What would run, as recorded before the step ran; a sentence where no command was.
    pub lines: Vec<String>,
}

impl UndoPlan {
    /// The names of the actions that are taken back, in the order they are.
    pub fn actions(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|ran| ran.plan.action.as_str()).collect();
        names.join(", ")
    }
}

/// Whether the last execution of `incident` that acted can be taken back now, or why not. What else goes on at the
/// target is not known here.
pub fn undoable(incident: &Incident, now: DateTime<Utc>) -> Result<UndoPlan, String> {
    let name = incident.name();
    let Some(execution) = incident.last_that_acted() else {
        return Err(format!("nothing was executed for {name}"));
    };
    if execution.undo.is_some() {
        return Err(format!("what was done for {name} is being taken back already"));
    }
    let Some(ended) = execution.completed_at.filter(|_| execution.state.is_over()) else {
        let state = execution.state.as_str();
        return Err(format!("the last execution of {name} still runs ({state})"));
    };
    if execution.rolled_back {
        return Err(format!("what was done for {name} was taken back already"));
    }
    let until = ended + UNDO_WINDOW;
    if now >= until {
        let at = until.format("%H:%M");
        return Err(format!("the window to take back what was done for {name} closed at {at}"));
    }
    let pairs = || pairs(execution).filter(|(plan, _)| can_be_undone(plan));
    if pairs().next().is_none() {
        return Err(why_none(execution));
    }
    let (execution, lines) = (execution.id, pairs().flat_map(lines).collect());
    Ok(UndoPlan { execution, steps: pairs().map(ran).collect(), until, lines })
}

/// The steps of an execution that can be taken back, newest first.
pub(super) fn undo_steps(execution: &Execution) -> Vec<RanStep> {
    pairs(execution).filter(|(plan, _)| can_be_undone(plan)).map(ran).collect()
}

/// Every step that began, in order.
pub(super) fn ran_steps(execution: &Execution) -> Vec<RanStep> {
    pairs(execution).rev().map(ran).collect()
}

/// Each step that began with its plan, newest first.
fn pairs(execution: &Execution) -> impl DoubleEndedIterator<Item = (&ProposedStep, &StepRun)> {
    let plans = execution.proposal.as_ref().map_or(&[][..], |proposal| &proposal.draft.steps);
    let began = plans.len().min(execution.steps.len());
    plans[..began].iter().zip(&execution.steps[..began]).rev()
}

fn ran((plan, run): (&ProposedStep, &StepRun)) -> RanStep {
    RanStep { plan: plan.clone(), undo_data: run.undo_data.clone(), started_at: run.started_at }
}

fn can_be_undone(plan: &ProposedStep) -> bool {
    match plan.undo {
        Undo::Exact(_) | Undo::Compensating(_) => true,
        Undo::Impossible | Undo::NotNeeded => false,
    }
}

fn lines((plan, run): (&ProposedStep, &StepRun)) -> Vec<String> {
    if run.undo_commands.is_empty() {
        return vec![format!("{}: {}", plan.action, plan.undo.describe())];
    }
    run.undo_commands.clone()
}

fn why_none(execution: &Execution) -> String {
    let said: Vec<String> = pairs(execution)
        .map(|(plan, _)| format!("{}: {}", plan.action, plan.undo.describe()))
        .collect();
    format!("there is no undo ({})", said.join("; "))
}
