//! `[workbench]`: what `simctl db` and the API may do with a PostgreSQL, and within which bounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backup::{self, BackupConfig, BackupSection, Known};
use super::file::Span;
use super::layers::{Layers, Setting, word};

/// What a change of data or structure takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Writes {
    /// A person agrees to each one.
    #[default]
    Approval,
    /// `--write` is enough.
    Automatic,
    /// Nothing is changed through the workbench.
    Forbid,
}

impl Writes {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Automatic => "automatic",
            Self::Forbid => "forbid",
        }
    }
}

impl Setting for Writes {
    fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

/// The bounds of the workbench.
#[derive(Clone, Debug)]
pub struct WorkbenchConfig {
    pub writes: Writes,
    /// Of one statement, unless the request says otherwise.
    pub query_timeout: Duration,
    /// Where migrations lie unless a command says otherwise.
    pub migrations: PathBuf,
    pub backup: BackupConfig,
}

impl Default for WorkbenchConfig {
    fn default() -> Self {
        Self {
            writes: Writes::default(),
            query_timeout: Duration::from_secs(30),
            migrations: PathBuf::from("migrations"),
            backup: BackupConfig::default(),
        }
    }
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WorkbenchSection {
    writes: Option<Writes>,
    query_timeout: Option<Span>,
    migrations: Option<PathBuf>,
    backup: BackupSection,
}

pub(super) fn workbench(
    layers: &mut Layers<'_>,
    file: WorkbenchSection,
    state_dir: &Path,
    known: &Known<'_>,
) -> WorkbenchConfig {
    let d = WorkbenchConfig::default();
    WorkbenchConfig {
        writes: layers.pick("workbench.writes", file.writes, d.writes),
        query_timeout: span(layers, "workbench.query_timeout", file.query_timeout, d.query_timeout),
        migrations: layers.pick("workbench.migrations", file.migrations, d.migrations),
        backup: backup::backup(layers, file.backup, state_dir, known),
    }
}

/// A duration that must not be nothing.
fn span(layers: &mut Layers<'_>, key: &str, given: Option<Span>, default: Duration) -> Duration {
    let value = layers.pick(key, given, Span(default)).0;
    if value.is_zero() {
        layers.refuse(key, format_args!("`{key}` must be longer than 0s"));
    }
    value
}
