//! Undoing from outside: through the injector while it lives, from its journal when it is dead.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::journal::{self, Journal};
use super::undo;
use crate::domain::ids::InjectionId;
use crate::domain::injection::{Injection, InjectionState};
use crate::engine::clock;
use crate::faults::FaultError;

/// For one injection that is undone here, and for waiting until its own injector has.
const PATIENCE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One journal that was found, and what became of it.
#[derive(Debug)]
pub struct Swept {
    /// The injection's id, or the file that could not be read.
    pub name: String,
    /// The injection with its final state, or why it is not undone.
    pub ended: Result<Injection, String>,
}

/// Undoes one injection now. Returns its final state, also when it was over already, or never began: its injector
/// was killed before it wrote a journal, or finds the order to halt before it does anything.
pub async fn revert_now(state_dir: &Path, id: InjectionId) -> Result<InjectionState, FaultError> {
    match revert(state_dir, id, "order").await {
        Ok(injection) => Ok(injection.state),
        Err(nothing @ FaultError::NothingDone { .. }) => {
            Ok(InjectionState::DidNotTake { reason: nothing.to_string() })
        }
        Err(error) => Err(error),
    }
}

/// Looks at every journal, newest first: undoes those whose injector is dead and lists those that are over.
/// Injections whose injector lives are left to it. Done ones stay listed until `forget`.
pub async fn sweep(state_dir: &Path) -> Vec<Swept> {
    sweep_except(state_dir, &BTreeSet::new()).await
}

/// As [`sweep`], leaving those that are known to whoever knows them.
pub async fn sweep_except(state_dir: &Path, known: &BTreeSet<InjectionId>) -> Vec<Swept> {
    let (mut unfinished, mut finished) = journal::entries(state_dir);
    for entries in [&mut unfinished, &mut finished] {
        entries.retain(|(_, read)| !read.as_ref().is_ok_and(|j| known.contains(&j.injection.id)));
    }
    journal::lift_stale_halts(state_dir, clock::now());
    let mut swept = Vec::new();
    for (path, read) in unfinished {
        let ended = match read {
            Ok(journal) if journal.watchdog.is_alive() => continue,
            Ok(journal) => undo_here(state_dir, journal, "sweep").await,
            Err(error) => Err(error),
        };
        swept.push(told(&path, ended));
    }
    swept.extend(finished.into_iter().map(|(path, read)| told(&path, read.map(|j| j.injection))));
    swept
}

/// Undoes everything, newest first, whether its injector lives or not. One that fails does not stop the rest.
pub async fn clear_all(state_dir: &Path) -> Vec<Swept> {
    clear(state_dir, |_| true).await
}

/// Undoes those that are `wanted`, and says of every journal that cannot be read that it cannot.
pub async fn clear(state_dir: &Path, wanted: impl Fn(&Injection) -> bool) -> Vec<Swept> {
    let (mut unfinished, _) = journal::entries(state_dir);
    unfinished.retain(|(_, read)| read.as_ref().map_or(true, |j| wanted(&j.injection)));
    let mut swept = Vec::new();
    for (path, read) in unfinished {
        let ended = match read {
            Ok(journal) => revert(state_dir, journal.injection.id, "order").await,
            Err(error) => Err(error),
        };
        // Undone and already forgotten by an engine that runs beside this.
        if matches!(ended, Err(FaultError::NothingDone { .. })) {
            continue;
        }
        swept.push(told(&path, ended));
    }
    swept
}

fn told(path: &Path, ended: Result<Injection, FaultError>) -> Swept {
    let name = match &ended {
        Ok(injection) => injection.id.to_string(),
        Err(_) => path.display().to_string(),
    };
    Swept { name, ended: ended.map_err(|error| error.in_words()) }
}

async fn revert(
    state_dir: &Path,
    id: InjectionId,
    by: &'static str,
) -> Result<Injection, FaultError> {
    if let Some(journal) = Journal::finished(state_dir, id)? {
        return Ok(journal.injection);
    }
    journal::halt(state_dir, id)?;
    if let Some(journal) = Journal::unfinished(state_dir, id)?
        && journal.watchdog.is_alive()
    {
        wait_for(state_dir, &journal).await?;
    }
    match (Journal::unfinished(state_dir, id)?, Journal::finished(state_dir, id)?) {
        (Some(journal), _) => undo_here(state_dir, journal, by).await,
        (None, Some(journal)) => {
            journal::lift_halt(state_dir, id);
            Ok(journal.injection)
        }
        // The halt stays: its injector may be starting, and looks for it before it does anything.
        (None, None) => Err(FaultError::NothingDone { id }),
    }
}

/// Asks the living injector to undo, and waits until its journal is closed or it is dead. Where the signal may
/// not reach it, since it runs as somebody else, the halt file does.
async fn wait_for(state_dir: &Path, journal: &Journal) -> Result<(), FaultError> {
    let id = journal.injection.id;
    journal.watchdog.terminate();
    let start = Instant::now();
    while journal.watchdog.is_alive() && Journal::unfinished(state_dir, id)?.is_some() {
        if start.elapsed() > WAIT {
            return Err(FaultError::Precondition(format!(
                "the injector of {} (process {}) is still undoing it",
                journal.injection.name(),
                journal.watchdog.pid
            )));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Undoes it in this process, from what its journal says.
async fn undo_here(
    state_dir: &Path,
    mut journal: Journal,
    by: &'static str,
) -> Result<Injection, FaultError> {
    if journal.injection.state.is_live() {
        let server = journal.server.open(state_dir).await?;
        let left_over = Box::pin(undo::undo(&journal, &server, state_dir, PATIENCE)).await?;
        journal.injection.state =
            InjectionState::Reverted { at: clock::now(), by: by.to_owned(), left_over };
    }
    journal.finish(state_dir)?;
    Ok(journal.injection)
}
