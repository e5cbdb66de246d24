//! The backups on disk: one directory each, complete or absent. It is written as `NAME.partial`, synced, and renamed,
//! so whatever ends simctl midway leaves no directory that looks like a backup.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{Code, Failure, Outcome};
use super::manifest::{FileSum, Manifest};
use super::name;
use super::record::Record;
use super::retention::Kept;
use super::sums;

pub(crate) const MANIFEST: &str = "manifest.json";
const RECORD: &str = "record.json";
const LOCK: &str = "lock";
const PARTIAL: &str = ".partial";

/// Where backups lie.
#[derive(Clone, Debug)]
pub struct Catalogue {
    location: PathBuf,
}

/// One backup that was finished.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub dir: PathBuf,
    pub manifest: Manifest,
    pub record: Record,
}

/// What lies there and is no backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoilt {
    pub name: String,
    pub reason: String,
}

impl Entry {
    /// As retention looks at it.
    pub fn kept(&self) -> Kept {
        Kept {
            name: self.name.clone(),
            finished_at: self.record.finished_at,
            verified: self.record.counts(),
            pinned: self.record.pinned,
        }
    }

    /// Whether it is of that database of that server.
    pub fn is_of(&self, system: &str, database: &str) -> bool {
        self.manifest.system == system && self.manifest.database == database
    }

    /// The dump: a file, or a directory of files.
    pub(crate) fn dump(&self) -> PathBuf {
        dump_in(&self.dir)
    }
}

/// The dump in a backup's directory, finished or not.
pub(crate) fn dump_in(dir: &Path) -> PathBuf {
    let folder = dir.join(super::DUMP_FOLDER);
    if folder.is_dir() { folder } else { dir.join(super::DUMP) }
}

impl Catalogue {
    /// Opens it, and makes the directory, for us alone.
    pub fn open(location: &Path) -> Outcome<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(location);
        made.map_err(|error| broken("make the directory", location, &error))?;
        Ok(Self { location: location.to_owned() })
    }

    pub fn location(&self) -> &Path {
        &self.location
    }

    /// Begins a backup of that name, which nobody else may have or be making.
    pub(crate) fn begin(&self, name: &str) -> Outcome<Draft> {
        name::check(name).map_err(|problem| Failure::invalid(problem, "choose another name"))?;
        let (dir, end) = (self.partial(name), self.location.join(name));
        if end.symlink_metadata().is_ok() {
            let hint = "choose another name, or leave it out to get one with the time";
            return Err(Failure::new(
                Code::Conflict,
                format!("there is a backup {name} already"),
                hint,
            ));
        }
        if self.is_being_made(name) {
            let message = format!("another simctl is making a backup {name}");
            return Err(Failure::new(
                Code::Conflict,
                message,
                "wait for it, or choose another name",
            ));
        }
        let failed = |error| broken("begin the backup", &dir, &error);
        remove_all(&dir).map_err(failed)?;
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        let lock = File::create(dir.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        Ok(Draft { dir, end, location: self.location.clone(), _lock: lock, is_done: false })
    }

    /// Every finished backup, newest first, and what lies there without being one.
    pub fn list(&self) -> Outcome<(Vec<Entry>, Vec<Spoilt>)> {
        let entries = fs::read_dir(&self.location);
        let entries =
            entries.map_err(|error| broken("read the directory", &self.location, &error))?;
        let (mut whole, mut spoilt) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(of) = name.strip_suffix(PARTIAL) {
                let reason = if self.is_being_made(of) { BEING_MADE } else { NEVER_FINISHED };
                spoilt.push(Spoilt { name: of.to_owned(), reason: reason.to_owned() });
            } else if name::check(&name).is_ok() {
                match self.read(&name) {
                    Ok(entry) => whole.push(entry),
                    Err(failure) => spoilt.push(Spoilt { name, reason: failure.message }),
                }
            }
        }
        whole.sort_by(|a, b| (b.record.finished_at, &b.name).cmp(&(a.record.finished_at, &a.name)));
        spoilt.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((whole, spoilt))
    }

    /// The backup of that name, or why it is none.
    pub fn find(&self, name: &str) -> Outcome<Entry> {
        name::check(name).map_err(|problem| Failure::invalid(problem, LIST))?;
        let dir = self.location.join(name);
        match dir.symlink_metadata() {
            Ok(kind) if kind.is_dir() => self.read(name),
            Ok(_) => {
                Err(Failure::refused(format!("{} is no directory of ours", dir.display()), LIST))
            }
            Err(_) if self.partial(name).is_dir() => Err(Failure::refused(
                format!("the backup {name} {NEVER_FINISHED}"),
                "take another one",
            )),
            Err(_) => Err(Failure::invalid(
                format!("there is no backup {name} in {}", self.location.display()),
                LIST,
            )),
        }
    }

    fn read(&self, name: &str) -> Outcome<Entry> {
        let dir = self.location.join(name);
        let record: Record = read_json(&dir.join(RECORD))?;
        let manifest = dir.join(MANIFEST);
        let sum = sums::file(&manifest).map_err(|error| broken("read", &manifest, &error))?;
        if sum.sha256 != record.manifest_sha256 {
            let message = format!("{} is not as it was written", manifest.display());
            return Err(Failure::refused(message, "it cannot be trusted; restore another backup"));
        }
        let manifest: Manifest = read_json(&manifest)?;
        Ok(Entry { name: name.to_owned(), dir, manifest, record })
    }

    /// Replaces the record of a backup.
    pub fn write_record(&self, entry: &Entry) -> Outcome<()> {
        write_json(&entry.dir.join(RECORD), &entry.record)
    }

    /// Removes a backup. It stops being one before the first of its files goes.
    pub fn remove(&self, name: &str) -> Outcome<()> {
        let (dir, doomed) = (self.location.join(name), self.partial(name));
        let failed = |error| broken("remove the backup", &dir, &error);
        remove_all(&doomed).map_err(failed)?;
        fs::rename(&dir, &doomed).map_err(failed)?;
        remove_all(&doomed).map_err(failed)
    }

    /// Removes what was never finished and nobody is making. Returns the names.
    pub fn sweep(&self) -> Outcome<Vec<String>> {
        let (_, spoilt) = self.list()?;
        let left = spoilt.into_iter().filter(|one| one.reason == NEVER_FINISHED);
        let mut swept = Vec::new();
        for one in left {
            let dir = self.partial(&one.name);
            remove_all(&dir).map_err(|error| broken("remove", &dir, &error))?;
            swept.push(one.name);
        }
        Ok(swept)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.location.join(format!("{name}{PARTIAL}"))
    }

    /// The lock ends with the process that holds it, however that ends.
    fn is_being_made(&self, name: &str) -> bool {
        let lock = File::open(self.partial(name).join(LOCK));
        lock.is_ok_and(|lock| lock.try_lock().is_err())
    }
}

const NEVER_FINISHED: &str = "was never finished";
const BEING_MADE: &str = "is being made";
const LIST: &str = "`simctl db backup list` lists the backups";

/// A backup that is being made. Removed when dropped before its end.
pub(crate) struct Draft {
    pub(crate) dir: PathBuf,
    end: PathBuf,
    location: PathBuf,
    _lock: File,
    is_done: bool,
}

impl Draft {
    /// The hashes of every file that was written so far, which are synced on the way.
    pub(crate) fn sums(&self) -> Outcome<Vec<FileSum>> {
        let failed = |error| broken("read back", &self.dir, &error);
        let sums = sums::folder(&self.dir).map_err(failed)?;
        Ok(sums.into_iter().filter(|sum| sum.path != LOCK).collect())
    }

    /// Writes manifest and record, and makes it a backup.
    pub(crate) fn finish(mut self, manifest: &Manifest, record: Record) -> Outcome<Record> {
        let path = self.dir.join(MANIFEST);
        write_json(&path, manifest)?;
        let failed = |error| broken("finish the backup", &self.dir, &error);
        let manifest_sha256 = sums::file(&path).map_err(failed)?.sha256;
        let record = Record { manifest_sha256, ..record };
        write_json(&self.dir.join(RECORD), &record)?;
        let put = || {
            File::open(&self.dir)?.sync_all()?;
            fs::rename(&self.dir, &self.end)?;
            // Not before: without it, it would look like one that nobody is making.
            fs::remove_file(self.end.join(LOCK))?;
            File::open(&self.location)?.sync_all()
        };
        put().map_err(failed)?;
        self.is_done = true;
        Ok(record)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done
            && let Err(error) = remove_all(&self.dir)
        {
            tracing::warn!(%error, dir = %self.dir.display(), "an unfinished backup was not removed");
        }
    }
}

/// Reads one of our own files.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let bytes = fs::read(path).map_err(|error| broken("read", path, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Failure::refused(message, "it is damaged; use another backup")
    })
}

/// Replaces a file as a whole: a crash leaves the old one or the new one.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Outcome<()> {
    let next = path.with_extension("json.next");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|error| broken("write", path, &error))
}

fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn broken(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "free disk space there, or configure another location",
        io::ErrorKind::PermissionDenied => "let simctl read and write there",
        _ => "look at the disk",
    };
    Failure::new(Code::Unavailable, format!("{verb} {}: {error}", path.display()), hint)
}

#[cfg(test)]
mod tests;
