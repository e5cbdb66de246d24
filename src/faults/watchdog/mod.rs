//! The detached injector: a process of its own that breaks the lab, watches the deadline and undoes the fault, so
//! that an injection ends in time even when simctl was killed.
//!
//! Its journal is on disk before the first call. Whoever finds a journal whose process is dead undoes it from there:
//! [`sweep`] at every start, [`clear_all`] for `simctl clear`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::spec::ServerSpec;
use super::{FaultError, standing};
use crate::domain::injection::Injection;
use crate::targets::Server;

mod alive;
mod clear;
mod guard;
mod journal;
mod launch;
mod life;
mod process;
mod undo;

pub use alive::Process;
pub use clear::{Swept, clear, clear_all, revert_now, sweep, sweep_except};
pub use journal::{Journal, forget, live};
pub use launch::{Running, spawn, spawn_from};
pub use life::{Reporter, live_through};
pub use process::{is_called, main};

/// What the injector is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub injection: Injection,
    pub server: ServerSpec,
    /// Its journal is `injections/<id>.json` in here.
    pub state_dir: PathBuf,
}

impl Spec {
    /// Describes an injection into the server as it runs now: another container or a restart is another server.
    /// Refuses what is not the lab before any call.
    pub async fn prepare(
        injection: Injection,
        server: &Server,
        state_dir: &Path,
    ) -> Result<Self, FaultError> {
        guard::scope(server)?;
        let mut spec = ServerSpec::from(server);
        spec.identity = Some(standing::unit(server).await?.identity());
        let state_dir = std::path::absolute(state_dir)
            .map_err(|e| FaultError::failed("find the state directory", e))?;
        Ok(Self { injection, server: spec, state_dir })
    }
}

/// What the injector says, one JSON line each on its standard output. One that ends without a last word was
/// killed, or gave up undoing: its journal is still there for `revert_now` and `sweep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "report", deny_unknown_fields)]
pub enum Report {
    Progress {
        text: String,
    },
    Took {
        symptom: String,
    },
    /// Its symptom did not show; everything was undone.
    DidNotTake {
        reason: String,
    },
    Reverted {
        by: String,
        left_over: Vec<String>,
    },
    /// Refused before the first call, or broken off and undone.
    Failed {
        reason: String,
    },
}

impl Report {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Progress { .. } | Self::Took { .. } => false,
            Self::DidNotTake { .. } | Self::Reverted { .. } | Self::Failed { .. } => true,
        }
    }
}
