//! Taking an injection back, for as long as it takes, and looking whether the server is as it was.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Journal, journal};
use crate::faults::state::{self, StateOfServer};
use crate::faults::{Class, Fault, FaultError, Marks, named, standing};
use crate::ports::runtime::{RuntimeKind, UnitStatus};
use crate::targets::Server;

/// One attempt may take this long.
const STEP: Duration = Duration::from_secs(15);
/// Closed sockets leave the server's lists a moment later.
const SETTLE: Duration = Duration::from_secs(5);
/// A server that was started again needs this long at most.
const WAKE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Undoes it and says what is left over. An error means that it could not be undone within `patience`.
pub(super) async fn undo(
    journal: &Journal,
    server: &Server,
    state_dir: &Path,
    patience: Duration,
) -> Result<Vec<String>, FaultError> {
    let fault = named(journal.injection.fault.as_str())?;
    let start = Instant::now();
    let mut pause = PAUSE;
    loop {
        let error = match attempt(journal, fault, server, state_dir).await {
            Ok(left_over) => return Ok(left_over),
            Err(error) => error,
        };
        if start.elapsed() + pause > patience {
            return Err(error);
        }
        tracing::debug!(error = %error.in_words(), injection = %journal.injection.id, "undo again");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(
    journal: &Journal,
    fault: &dyn Fault,
    server: &Server,
    state_dir: &Path,
) -> Result<Vec<String>, FaultError> {
    if is_gone(journal, fault, server).await? {
        return Ok(Vec::new());
    }
    let start = Instant::now();
    loop {
        revert(journal, fault, server).await?;
        let after = state::capture(server, &Marks::of(&journal.saved)).await;
        let left_over = left_over(journal, &after, state_dir);
        let patience = if after.unanswered.is_some() { WAKE } else { SETTLE };
        if left_over.is_empty() || start.elapsed() > patience {
            // Nobody can say of a server that does not answer that it is as it was.
            return after.unanswered.map_or(Ok(left_over), |words| {
                Err(FaultError::Precondition(format!(
                    "{} does not answer: {words}",
                    server.target.id
                )))
            });
        }
        sleep(PAUSE).await;
    }
}

/// What differs from before and is this fault's: not what was undone beneath it meanwhile, nor what another one
/// that is still there changed since.
fn left_over(journal: &Journal, after: &StateOfServer, state_dir: &Path) -> Vec<String> {
    let mut found = state::difference(&journal.before, after);
    for beneath in &journal.beneath {
        let since = state::difference(beneath, after);
        found.retain(|words| since.contains(words));
    }
    for other in journal::live_beside(state_dir, &journal.injection) {
        if other.injection.number > journal.injection.number {
            let others = state::difference(&other.before, after);
            found.retain(|words| !others.contains(words));
        }
    }
    found
}

/// Whether the fault went with the server: the unit is no more, another one, or stopped with all it held.
async fn is_gone(
    journal: &Journal,
    fault: &dyn Fault,
    server: &Server,
) -> Result<bool, FaultError> {
    let unit = standing::unit(server).await?;
    let id_before = journal.before.unit.as_ref().map(|unit| unit.id.as_str());
    // A local process has a new id after every start; a container keeps its own.
    let keeps_id =
        server.place.as_ref().is_some_and(|place| place.runtime.kind() != RuntimeKind::Process);
    let replaced = keeps_id && id_before != Some(unit.id.as_str());
    let went_with_it = match fault.descriptor().class {
        Class::Held | Class::Expires | Class::Setting => true,
        Class::Persists | Class::Restores => false,
    };
    Ok(match unit.status {
        UnitStatus::Absent => true,
        UnitStatus::Exited => replaced || went_with_it,
        UnitStatus::Running | UnitStatus::Paused | UnitStatus::Restarting => replaced,
    })
}

async fn revert(journal: &Journal, fault: &dyn Fault, server: &Server) -> Result<(), FaultError> {
    let work = fault.revert(server, &journal.params, &journal.saved);
    timeout(STEP, work).await.unwrap_or_else(|elapsed| {
        Err(FaultError::failed(format!("undo {}", journal.injection.fault), elapsed))
    })
}
