//! What a restore is about to do to databases, on disk before it does it: whoever comes after a crash looks at the
//! note and at the databases, and knows what to finish and what to take back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::Outcome;
use super::super::backup::catalogue::{Catalogue, broken, read_json, write_json};

/// Beside the backups; the dot keeps it from being read as one.
const FOLDER: &str = ".restores";

/// One restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub backup: String,
    pub target: String,
    /// The server's own identity.
    pub system: String,
    /// The database that is to be replaced; it need not be there.
    pub database: String,
    /// Databases keep their number when they are renamed: it tells which is which.
    pub live: Option<u32>,
    pub copy: Option<u32>,
    /// What the copy is called until it takes the name.
    pub copy_name: String,
    /// What the replaced one is called from then on.
    pub kept_name: String,
    pub step: Step,
    pub began_at: DateTime<Utc>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The copy is being made and may be half there.
    Copying,
    /// The copy is proven and takes the name.
    Swapping,
    /// The copy has the name; what was there is kept.
    Swapped,
    /// What was there takes its name back.
    SwappingBack,
}

/// Where the notes are.
#[derive(Clone, Debug)]
pub struct Notes {
    folder: PathBuf,
}

/// A note that this process works on. Others leave it alone until it ends, however it ends.
pub(crate) struct Held {
    pub(crate) note: Note,
    path: PathBuf,
    _lock: File,
}

impl Notes {
    pub fn of(catalogue: &Catalogue) -> Outcome<Self> {
        let folder = catalogue.location().join(FOLDER);
        fs::create_dir_all(&folder)
            .map_err(|error| broken("make the directory", &folder, &error))?;
        Ok(Self { folder })
    }

    /// Writes the first note of a restore.
    pub(crate) fn begin(&self, note: Note) -> Outcome<Held> {
        let path = self.path(&note);
        let lock = lock(&path)?;
        let held = Held { note, path, _lock: lock };
        held.write()?;
        Ok(held)
    }

    /// Every note that nobody works on, oldest first.
    pub(crate) fn waiting(&self) -> Outcome<Vec<Held>> {
        let entries = fs::read_dir(&self.folder);
        let entries =
            entries.map_err(|error| broken("read the directory", &self.folder, &error))?;
        let mut held = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            // Locked: its restore is running.
            let Ok(lock) = lock(&path) else { continue };
            // Gone meanwhile: it just ended.
            if path.exists() {
                held.push(Held { note: read_json(&path)?, path, _lock: lock });
            }
        }
        held.sort_by_key(|held| held.note.began_at);
        Ok(held)
    }

    fn path(&self, note: &Note) -> PathBuf {
        // The name has the time in it, and a database's name may hold what a file's may not.
        let stamp = note.began_at.format("%Y%m%dT%H%M%S%6f");
        self.folder.join(format!("{}-{stamp}.json", note.system))
    }
}

impl Held {
    pub(crate) fn write(&self) -> Outcome<()> {
        write_json(&self.path, &self.note)
    }

    /// Notes the next step before it is taken.
    pub(crate) fn step(&mut self, step: Step) -> Outcome<()> {
        self.note.step = step;
        self.write()
    }

    /// Nothing is left to finish or to take back.
    pub(crate) fn forget(self) -> Outcome<()> {
        for path in [&self.path, &lock_path(&self.path)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(broken("remove", path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock_path(note: &Path) -> PathBuf {
    note.with_extension("lock")
}

fn lock(note: &Path) -> Outcome<File> {
    let path = lock_path(note);
    let file = File::create(&path).map_err(|error| broken("create", &path, &error))?;
    file.try_lock().map_err(|error| broken("lock", &path, &error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::restore::testing::note;

    #[test]
    fn a_note_waits_until_its_process_is_gone_and_is_forgotten_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::of(&Catalogue::open(dir.path()).unwrap()).unwrap();
        let mut held = notes.begin(note(Step::Copying)).unwrap();
        held.step(Step::Swapping).unwrap();
        assert!(notes.waiting().unwrap().is_empty(), "somebody works on it");
        drop(held);
        let mut waiting = notes.waiting().unwrap();
        assert_eq!(waiting[0].note.step, Step::Swapping);
        waiting.remove(0).forget().unwrap();
        assert!(notes.waiting().unwrap().is_empty());
        let (backups, spoilt) = Catalogue::open(dir.path()).unwrap().list().unwrap();
        assert!(backups.is_empty() && spoilt.is_empty(), "notes are no backups");
    }
}
