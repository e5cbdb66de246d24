//! Our own servers to break: one Redis, one PostgreSQL, and the PostgreSQL that keeps the records.
//! In containers or as local processes; [`spec`] says what they are.

use std::sync::Arc;

use crate::config::secret::Secret;
use crate::config::{Config, RuntimeChoice};
use crate::ports::runtime::Runtime;
use crate::runtime::process::ProcessRuntime;
use crate::runtime::{self, Opened};
use crate::targets::Server;
use spec::{Part, Ports};

mod docker;
mod doctor;
mod images;
mod ports;
mod process;
mod ready;
mod servers;
pub mod spec;

pub use doctor::{DoctorLine, doctor};
pub use spec::{baseline, passwords, unit_baseline};

/// Where each step of something that takes a while is told.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A lab that exists; its servers may be running or not.
#[derive(Clone)]
pub struct Lab {
    pub runtime: Arc<dyn Runtime>,
    /// `redis-test` and `postgres-test`, as far as they exist.
    pub servers: Vec<Server>,
    /// Where the records go.
    pub store_url: Secret,
}

/// Makes the lab exist and answer. Whatever of it is there already is taken as it is.
pub async fn up(config: &Config, progress: Progress<'_>) -> anyhow::Result<Lab> {
    match place(config).await? {
        Opened::Docker(runtime) => {
            docker::up(&runtime, config, progress).await?;
            Ok(servers::assemble(
                Opened::Docker(runtime),
                config,
                Ports::of(&config.lab),
                &spec::SERVERS,
            ))
        }
        Opened::Process(runtime) => {
            process::up(&runtime, config, progress).await?;
            Ok(servers::assemble(
                Opened::Process(runtime),
                config,
                Ports::of(&config.lab),
                &spec::SERVERS,
            ))
        }
    }
}

/// The lab, when there is one, however it was made. Changes nothing.
pub async fn find(config: &Config) -> anyhow::Result<Option<Lab>> {
    let (opened, found) = match place(config).await? {
        Opened::Docker(runtime) => {
            let found = docker::find(&runtime, config).await?;
            (Opened::Docker(runtime), found)
        }
        Opened::Process(runtime) => {
            let found = process::find(&runtime, config)?;
            (Opened::Process(runtime), found)
        }
    };
    let lab = found.map(|(ports, parts)| servers::assemble(opened, config, ports, &parts));
    Ok(lab)
}

/// Removes this lab and nothing else. The store's data stays unless `volumes`.
pub async fn down(config: &Config, volumes: bool, progress: Progress<'_>) -> anyhow::Result<()> {
    match place(config).await? {
        Opened::Docker(runtime) => docker::down(&runtime, config, volumes, progress).await,
        Opened::Process(runtime) => process::down(&runtime, config, volumes, progress).await,
    }
}

/// What [`find`] saw: where the servers listen and which of them exist.
type Found = Option<(Ports, Vec<Part>)>;

/// The runtime this lab lives in. A lab of local processes that exists already is kept to, whatever
/// else `auto` would find.
async fn place(config: &Config) -> anyhow::Result<Opened> {
    let lab = &config.lab;
    if lab.runtime == RuntimeChoice::Auto {
        let processes = ProcessRuntime::new(&lab.id, &config.state_dir);
        if !processes.records().all()?.is_empty() {
            return Ok(Opened::Process(processes));
        }
    }
    Ok(runtime::choose(lab.runtime, &lab.id, &config.state_dir).await?)
}
