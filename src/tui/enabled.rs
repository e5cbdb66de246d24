//! Why an action cannot be done now, in words: the footer, help and the palette show the same reason.

use super::desk::{Desk, proposal_of};
use super::keymap::{Action, Scope};
use crate::domain::execution::ExecutionState;
use crate::domain::incident::{Incident, Status};
use crate::domain::undo::undoable;

/// What holds on every screen.
pub fn check(action: Action, desk: &Desk) -> Result<(), String> {
    match action {
        Action::Approve | Action::Reject => {
            may_change(desk)?;
            let incident = in_hand(desk)?;
            proposal_of(incident).map(drop).ok_or_else(|| no_proposal(incident))
        }
        Action::Undo => {
            may_change(desk)?;
            undoable(in_hand(desk)?, desk.now.at).map(drop)
        }
        Action::Note => {
            may_change(desk)?;
            in_hand(desk).map(drop)
        }
        Action::Stop | Action::Kill => {
            may_change(desk)?;
            let incident = in_hand(desk)?;
            let runs = incident.active_execution().is_some();
            runs.then_some(()).ok_or_else(|| format!("nothing runs for {}", incident.name()))
        }
        Action::Verify => {
            may_change(desk)?;
            check_verify(in_hand(desk)?)
        }
        Action::Retry => {
            may_change(desk)?;
            let incident = in_hand(desk)?;
            let failed = incident.status == Status::Failed;
            failed.then_some(()).ok_or_else(|| {
                format!(
                    "{} is {}; only a failed incident starts over",
                    incident.name(),
                    incident.status.as_str()
                )
            })
        }
        Action::Resolve => {
            may_change(desk)?;
            let incident = in_hand(desk)?;
            let open = incident.is_open();
            open.then_some(()).ok_or_else(|| format!("{} is resolved already", incident.name()))
        }
        Action::Report => in_hand(desk).map(drop),
        Action::Inject => {
            may_change(desk)?;
            let has_lab = desk.newest.targets.iter().any(|view| view.target.is_lab());
            has_lab.then_some(()).ok_or_else(|| "there is no lab to break; `simctl up`".into())
        }
        Action::Clear => {
            may_change(desk)?;
            desk.is_injected().then_some(()).ok_or_else(|| "nothing is injected".into())
        }
        Action::NextWaiting => {
            let waits = !desk.waiting().is_empty();
            waits.then_some(()).ok_or_else(|| "nothing waits for a decision".into())
        }
        Action::Refresh => match desk.link.refusal() {
            Some(reason) => Err(reason),
            None => Ok(()),
        },
        Action::ReadOnly if desk.settings.read_only => Err("read-only already".into()),
        Action::ReadWrite if !desk.settings.read_only => Err("changes are allowed already".into()),
        _ => Ok(()),
    }
}

/// Why a key of this scope does nothing where the focus is.
pub fn elsewhere(scope: Scope) -> String {
    match scope {
        Scope::Everywhere => "not here".into(),
        Scope::Lists => "works in a list; tab goes there".into(),
        Scope::Logs => "works in a log; tab goes there".into(),
        Scope::Panes => "nothing to act on here".into(),
        Scope::On(screens) => format!("works on {}", screens.join(", ")),
    }
}

fn may_change(desk: &Desk) -> Result<(), String> {
    desk.refusal().map_or(Ok(()), Err)
}

fn in_hand(desk: &Desk) -> Result<&Incident, String> {
    let id = desk.selected.ok_or("no incident is selected")?;
    desk.incident_now(id).map(|incident| &**incident).ok_or_else(|| "it is being read".into())
}

/// Why nothing of an incident can be decided.
pub fn no_proposal(incident: &Incident) -> String {
    let name = incident.name();
    let Some(execution) = incident.executions.last() else {
        return format!("no proposal of {name} waits; it is {}", incident.status.as_str());
    };
    match (&execution.approval, execution.state) {
        (Some(approval), _) => format!(
            "{} of {name} was {} by {} at {}",
            approval.fingerprint,
            approval.decision.as_str(),
            approval.actor,
            approval.at.format("%H:%M:%S")
        ),
        (None, ExecutionState::Thinking) => format!("the agent still investigates {name}"),
        (None, state) => format!("no proposal of {name} waits; it is {}", state.as_str()),
    }
}

fn check_verify(incident: &Incident) -> Result<(), String> {
    let name = incident.name();
    let acted = incident.executions.iter().rev().find(|execution| execution.has_acted());
    match acted {
        None => Err(format!("nothing was executed for {name} yet")),
        Some(execution) if execution.state == ExecutionState::Verifying => {
            Err(format!("{name} is being verified"))
        }
        Some(_) if !incident.is_open() => Err(format!("{name} is resolved already")),
        Some(_) => Ok(()),
    }
}
