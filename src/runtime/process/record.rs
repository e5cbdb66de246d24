//! What was started, on disk: how to start it again, and which process it is now. One file per unit,
//! replaced as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::table::Life;
use crate::ports::runtime::{UnitState, UnitStatus};

/// As much of a log as is looked at for its last lines.
const LOG_TAIL: u64 = 256 << 10;

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    pub lab: String,
    /// `redis`, `postgres` or `store`.
    pub kind: String,
    pub port: u16,
    pub argv: Vec<String>,
    /// The server's whole environment.
    pub env: BTreeMap<String, String>,
    /// Added to the environment of its clients.
    pub client_env: BTreeMap<String, String>,
    /// Whom it runs as, when we may choose.
    pub user: Option<User>,
    pub stop_signal: StopSignal,
    pub data: PathBuf,
    pub log: PathBuf,
    pub life: Option<Life>,
    pub started_at: Option<DateTime<Utc>>,
}

/// An unprivileged user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// What a server takes as a polite request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    Term,
    /// PostgreSQL's fast shutdown: SIGTERM would wait for its clients.
    Int,
}

impl StopSignal {
    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
        }
    }
}

impl Record {
    pub(super) fn state(&self) -> UnitState {
        let seen = self.life.as_ref().and_then(Life::now);
        let status = match seen {
            Some(stat) if stat.is_stopped() => UnitStatus::Paused,
            Some(_) => UnitStatus::Running,
            None => UnitStatus::Exited,
        };
        UnitState {
            status,
            id: self.life.map(|life| format!("{}+{}", life.pid, life.start)).unwrap_or_default(),
            lab: Some(self.lab.clone()),
            exit_code: None,
            started_at: self.started_at,
            published: Some(vec![self.port]),
            files: self.life.as_ref().and_then(super::files::of),
            ..UnitState::default()
        }
    }

    pub(super) fn last_lines(&self, most: usize) -> io::Result<Vec<String>> {
        let mut file = fs::File::open(&self.log)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(LOG_TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // Where reading began in the middle, the first line is a piece.
        let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
        let surplus = lines.len().saturating_sub(most);
        Ok(lines[surplus..].iter().map(|line| (*line).to_owned()).collect())
    }
}

/// The records of one lab.
#[derive(Clone, Debug)]
pub struct Records {
    dir: PathBuf,
    lab: String,
}

impl Records {
    pub fn of(lab_id: &str, state_dir: &Path) -> Self {
        Self { dir: state_dir.join("lab").join(lab_id), lab: lab_id.to_owned() }
    }

    /// The directory with the records and logs of this lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn lab(&self) -> &str {
        &self.lab
    }

    /// Makes the directory, for its owner only.
    pub fn prepare(&self) -> anyhow::Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.with_context(|| format!("create {}", self.dir.display()))
    }

    pub fn load(&self, name: &str) -> anyhow::Result<Option<Record>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                record.map(Some).with_context(|| format!("read {}", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Every record, by name.
    pub fn all(&self) -> anyhow::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", self.dir.display()));
            }
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
            .collect();
        names.sort();
        names.iter().filter_map(|name| self.load(name).transpose()).collect()
    }

    pub fn save(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.path(&record.name);
        let fresh = path.with_extension("new");
        let write = || -> anyhow::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(record)?)?;
            file.sync_all()?;
            Ok(fs::rename(&fresh, &path)?)
        };
        write().with_context(|| format!("write {}", path.display()))
    }

    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}
