//! The validated configuration: defaults, then the file, then the environment, then flags.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::ids::TargetId;
use crate::domain::incident::RemediationMode;
use crate::domain::ledger::Limits;
use crate::domain::policy::Policy;
use crate::domain::target::{Engine, Periods, Profile, Thresholds};
use secret::Secret;

pub mod agent;
pub mod alerts;
pub mod backup;
pub mod dirs;
mod file;
pub mod http;
mod layers;
pub mod load;
pub mod nearest;
pub mod secret;
mod target;
mod text;
pub mod url;
pub mod workbench;

pub use file::Span;
pub use layers::{Shown, Source};
pub(crate) use text::{line_of, listed, one_line};

/// The names of the lab's servers that are targets.
pub const LAB_TARGETS: [&str; 2] = ["redis-test", "postgres-test"];

/// Everything simctl was told.
#[derive(Clone, Debug)]
pub struct Config {
    pub lab: LabConfig,
    /// The user's own servers; the lab's come from the lab itself.
    pub targets: Vec<TargetConfig>,
    /// Where the store is; `None` = the lab's own, or SQLite under `state_dir` without a lab.
    pub store_url: Option<Secret>,
    pub policy: Policy,
    pub limits: Limits,
    pub remediation: RemediationMode,
    /// Private files: control socket, journal, undo data, injection journals, log.
    pub state_dir: PathBuf,
    /// Whose name stands in the records.
    pub operator: String,
    pub inject_ttl: Duration,
    pub agent: agent::AgentConfig,
    pub workbench: workbench::WorkbenchConfig,
    pub http: http::HttpConfig,
    pub alerts: alerts::AlertsConfig,
}

/// Our own servers to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabConfig {
    pub enabled: bool,
    /// Labels and names carry it; two labs on one machine differ in it.
    pub id: String,
    pub runtime: RuntimeChoice,
    pub redis_port: u16,
    pub postgres_port: u16,
    pub store_port: u16,
    /// How long a fix must hold on lab targets.
    pub verify_hold: Duration,
}

/// Where the lab runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// Docker when its engine answers, else local processes.
    #[default]
    Auto,
    /// Containers, through the Docker API.
    Docker,
    /// Local child processes.
    Process,
}

impl RuntimeChoice {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Docker => "docker",
            Self::Process => "process",
        }
    }
}

/// A server of the user's.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub id: TargetId,
    pub engine: Engine,
    pub profile: Profile,
    pub host: String,
    pub port: u16,
    /// PostgreSQL: the database; Redis: the number as text.
    pub database: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub tls: Option<TlsConfig>,
    /// The container it runs in, when simctl may look into it and act on it.
    pub container: Option<String>,
    pub thresholds: Thresholds,
    pub periods: Periods,
    pub verify_hold: Duration,
}

/// How to trust the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM of an extra CA; the system's roots are trusted too.
    pub ca_file: Option<PathBuf>,
}
