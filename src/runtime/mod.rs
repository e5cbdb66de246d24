//! What servers run in: the Docker engine, local processes, or (for tests) a simulation of either.

use std::path::Path;
use std::sync::Arc;

use crate::config::RuntimeChoice;
use crate::ports::runtime::{Runtime, RuntimeError};
use docker::DockerRuntime;
use process::ProcessRuntime;

mod capture;
pub mod docker;
pub mod made;
pub mod process;
pub mod simulated;
mod spelling;

/// The label every container, volume and network of a lab carries; its value is the lab's id.
pub const LAB_LABEL: &str = "simctl.lab";

/// A runtime for a lab, still of its own type: building a lab needs more than the trait.
#[derive(Clone, Debug)]
pub enum Opened {
    Docker(DockerRuntime),
    Process(ProcessRuntime),
}

impl Opened {
    /// The same behind the trait.
    pub fn shared(self) -> Arc<dyn Runtime> {
        match self {
            Self::Docker(docker) => Arc::new(docker),
            Self::Process(process) => Arc::new(process),
        }
    }
}

/// Opens the chosen runtime. `Auto` is Docker when its engine answers, else local processes when
/// the servers are installed here.
pub async fn open(
    choice: RuntimeChoice,
    lab_id: &str,
    state_dir: &Path,
) -> Result<Arc<dyn Runtime>, RuntimeError> {
    choose(choice, lab_id, state_dir).await.map(Opened::shared)
}

/// As [`open`], with the type kept.
pub async fn choose(
    choice: RuntimeChoice,
    lab_id: &str,
    state_dir: &Path,
) -> Result<Opened, RuntimeError> {
    let processes = || Opened::Process(ProcessRuntime::new(lab_id, state_dir));
    match choice {
        RuntimeChoice::Docker => DockerRuntime::connect().await.map(Opened::Docker),
        RuntimeChoice::Process => process::binaries::check().map(|()| processes()),
        RuntimeChoice::Auto => match DockerRuntime::connect().await {
            Ok(docker) => Ok(Opened::Docker(docker)),
            Err(docker) => match process::binaries::check() {
                Ok(()) => Ok(processes()),
                Err(missing) => Err(neither(&docker, &missing)),
            },
        },
    }
}

fn neither(docker: &RuntimeError, missing: &RuntimeError) -> RuntimeError {
    let reason_of = |error: &RuntimeError| match error {
        RuntimeError::Unreachable { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    RuntimeError::Unreachable {
        engine: "a runtime for the lab".into(),
        reason: format!(
            "the Docker engine does not answer ({}), and for local processes {}",
            reason_of(docker),
            reason_of(missing)
        ),
    }
}
