//! What a server runs in, as actions need it: found, ours, and in the state that the action is for.

use super::channel::no_place;
use super::{ActionError, failed};
use crate::domain::unit::{UnitState, UnitStatus};
use crate::targets::{Place, Server};

/// The place, or why there is nothing to act on.
pub(super) fn place(server: &Server) -> Result<&Place, ActionError> {
    server.place.as_ref().ok_or_else(|| no_place(server))
}

/// A look at the unit. One that is gone, or is not the lab's when it should be, is refused.
pub(super) async fn inspect(server: &Server) -> Result<UnitState, ActionError> {
    let place = place(server)?;
    let unit = &place.unit;
    let state = place
        .runtime
        .inspect(unit)
        .await
        .map_err(|e| failed(format!("inspect {}", unit.name), e))?;
    if state.status == UnitStatus::Absent {
        return Err(ActionError::Precondition(format!(
            "{} does not exist any more; create it again with `simctl up`",
            unit.name
        )));
    }
    if unit.lab.is_some() && state.lab != unit.lab {
        return Err(ActionError::Precondition(format!(
            "{} does not carry the lab's label, so it is another one of that name",
            unit.name
        )));
    }
    Ok(state)
}

/// The word for what a unit does.
pub(super) fn word(status: UnitStatus) -> &'static str {
    match status {
        UnitStatus::Running => "running",
        UnitStatus::Paused => "paused",
        UnitStatus::Restarting => "restarting",
        UnitStatus::Exited => "stopped",
        UnitStatus::Absent => "gone",
    }
}
