//! The file that says what was done to a server and how to take it back. Durable before the first call.
//!
//! `injections/<id>.json` while it is not undone, `<id>.done.json` afterwards, until the engine has read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Process;
use crate::domain::ids::InjectionId;
use crate::domain::injection::Injection;
use crate::faults::spec::ServerSpec;
use crate::faults::state::StateOfServer;
use crate::faults::{FaultError, Params, Saved};

/// One injection, with everything its undo needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Its state is kept up to date here.
    pub injection: Injection,
    pub server: ServerSpec,
    pub params: Params,
    pub saved: Saved,
    pub before: StateOfServer,
    /// What it was like before the injections that were there already.
    #[serde(default)]
    pub beneath: Vec<StateOfServer>,
    pub watchdog: Process,
}

/// A journal file, or why it cannot be read.
pub(super) type Entry = (PathBuf, Result<Journal, FaultError>);

impl Journal {
    /// Makes it durable. A reader sees the old or the new one, never half of it.
    pub(super) fn write(&self, state_dir: &Path) -> Result<(), FaultError> {
        let path = live_path(state_dir, self.injection.id);
        write_durably(&path, self).map_err(|e| {
            FaultError::failed(format!("write the injection journal {}", path.display()), e)
        })
    }

    /// Writes the end into it and moves it out of the way of the next sweep.
    pub(super) fn finish(&self, state_dir: &Path) -> Result<(), FaultError> {
        let id = self.injection.id;
        self.write(state_dir)?;
        let done = done_path(state_dir, id);
        let moved = fs::rename(live_path(state_dir, id), &done).and_then(|()| sync_parent(&done));
        // Somebody else may have undone it at the same time; the end is on record either way.
        if let Err(error) = moved
            && !done.exists()
        {
            return Err(FaultError::failed(format!("close the injection journal of {id}"), error));
        }
        lift_halt(state_dir, id);
        Ok(())
    }

    /// The journal of an injection that is not undone yet.
    pub(super) fn unfinished(
        state_dir: &Path,
        id: InjectionId,
    ) -> Result<Option<Self>, FaultError> {
        read_if_there(&live_path(state_dir, id))
    }

    /// The journal of an injection that is over.
    pub(super) fn finished(state_dir: &Path, id: InjectionId) -> Result<Option<Self>, FaultError> {
        read_if_there(&done_path(state_dir, id))
    }
}

/// The injections that are not undone yet, newest first. Unreadable journals are the business of `sweep`.
pub fn live(state_dir: &Path) -> Vec<Journal> {
    let (live, _) = entries(state_dir);
    live.into_iter().filter_map(|(_, read)| read.ok()).collect()
}

/// The other injections on the same target that are not undone yet, newest first.
pub(super) fn live_beside(state_dir: &Path, injection: &Injection) -> Vec<Journal> {
    let mut others = live(state_dir);
    others.retain(|other| {
        other.injection.target == injection.target && other.injection.id != injection.id
    });
    others
}

/// Removes the record of an injection that is over, once it is stored elsewhere.
pub fn forget(state_dir: &Path, id: InjectionId) {
    if let Err(error) = fs::remove_file(done_path(state_dir, id))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, injection = %id, "could not remove a finished injection journal");
    }
}

/// Every journal, newest first: those not undone yet, and those that are over.
pub(super) fn entries(state_dir: &Path) -> (Vec<Entry>, Vec<Entry>) {
    let files = fs::read_dir(directory(state_dir)).into_iter().flatten().flatten();
    let mut all: Vec<Entry> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .filter_map(|path| Some((path.clone(), read_if_there(&path).transpose()?)))
        .collect();
    all.sort_by_key(|(_, read)| {
        std::cmp::Reverse(read.as_ref().ok().map(|j| (j.injection.started_at, j.injection.number)))
    });
    all.into_iter().partition(|(path, _)| !path.to_string_lossy().ends_with(".done.json"))
}

/// Orders the injector to undo, also one that has only just been started.
pub(super) fn halt(state_dir: &Path, id: InjectionId) -> Result<(), FaultError> {
    let path = halt_path(state_dir, id);
    make_directory(&path)
        .and_then(|()| fs::write(&path, b""))
        .map_err(|e| FaultError::failed(format!("order injection {id} to halt"), e))
}

/// Takes the order back: there is nothing left to undo.
pub(super) fn lift_halt(state_dir: &Path, id: InjectionId) {
    // It is rarely there, and nobody reads it any more.
    let _ = fs::remove_file(halt_path(state_dir, id));
}

/// Takes back orders to injectors that never came, once none can come any more.
pub(super) fn lift_stale_halts(state_dir: &Path, now: DateTime<Utc>) {
    for path in fs::read_dir(directory(state_dir)).into_iter().flatten().flatten().map(|f| f.path())
    {
        let written = path.metadata().and_then(|file| file.modified()).map(DateTime::<Utc>::from);
        let is_old = written.is_ok_and(|at| now - at > TimeDelta::minutes(5));
        if is_old && path.extension().is_some_and(|ext| ext == "halt") {
            let _ = fs::remove_file(path);
        }
    }
}

/// While this file is there, the injector undoes its fault: for when no signal can reach it.
pub(super) fn halt_path(state_dir: &Path, id: InjectionId) -> PathBuf {
    directory(state_dir).join(format!("{id}.halt"))
}

fn live_path(state_dir: &Path, id: InjectionId) -> PathBuf {
    directory(state_dir).join(format!("{id}.json"))
}

fn done_path(state_dir: &Path, id: InjectionId) -> PathBuf {
    directory(state_dir).join(format!("{id}.done.json"))
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("injections")
}

fn read_if_there(path: &Path) -> Result<Option<Journal>, FaultError> {
    let doing = || format!("read the injection journal {}", path.display());
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| FaultError::failed(doing(), e))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FaultError::failed(doing(), error)),
    }
}

fn write_durably(path: &Path, journal: &Journal) -> io::Result<()> {
    make_directory(path)?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(journal)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// For its owner only: what is in there holds the lab's passwords.
fn make_directory(file: &Path) -> io::Result<()> {
    file.parent()
        .map_or(Ok(()), |parent| fs::DirBuilder::new().recursive(true).mode(0o700).create(parent))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
