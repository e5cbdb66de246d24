//! What a server runs in (a container, a local process): look at it, run a command in it, stop and start it.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::domain::execution::Output;
use crate::domain::sample::RuntimeEventKind;
pub use crate::domain::unit::{Attachment, CpuLimit, UnitLimits, UnitState, UnitStatus, UnitUsage};

/// Why the runtime did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine itself does not answer.
    #[error("reach {engine}: {reason}")]
    Unreachable { engine: String, reason: String },
    #[error("find {unit}: there is no such container or process")]
    NoSuchUnit { unit: String },
    #[error("{verb} {unit}")]
    Failed {
        verb: &'static str,
        unit: String,
        #[source]
        source: anyhow::Error,
    },
    #[error("{verb} {unit}: not done within {after:?}")]
    Deadline { verb: &'static str, unit: String, after: Duration },
}

/// Which kind of runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    Docker,
    Process,
    Simulated,
}

impl RuntimeKind {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Process => "process",
            Self::Simulated => "simulated",
        }
    }
}

/// One server's place in the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The container's name, or the process lab's name for it.
    pub name: String,
    /// The lab it must be labelled with, when it is ours.
    pub lab: Option<String>,
    /// How the server's own client is called there, up to its first argument that matters:
    /// `["redis-cli"]`, `["psql", "-X", "-U", "postgres"]`, with host and port where it needs them.
    pub client: Vec<String>,
}

/// What an `exec` may use.
#[derive(Clone, Copy, Debug)]
pub struct ExecLimits {
    pub deadline: Duration,
    /// Output beyond this is cut, and the cut is said in the text.
    pub output_bytes: usize,
}

impl Default for ExecLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), output_bytes: 1 << 20 }
    }
}

/// The streams of a command that may move more than fits into memory.
pub struct Streams<'a> {
    /// A file of ours that is fed to it.
    pub input: Option<&'a Path>,
    pub output: Sink<'a>,
    pub errors: Sink<'a>,
}

/// Takes what a command writes; an error ends the command's turn to speak.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

/// An event of one of our units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitEvent {
    pub unit: String,
    pub at: DateTime<Utc>,
    pub kind: RuntimeEventKind,
    pub detail: String,
}

/// A container engine, local processes, or a simulation of either.
#[async_trait]
pub trait Runtime: Send + Sync {
    fn kind(&self) -> RuntimeKind;

    /// A unit that is not there is `UnitStatus::Absent`, not an error.
    async fn inspect(&self, unit: &Unit) -> Result<UnitState, RuntimeError>;

    /// Runs an argv (never a shell line) inside, with `stdin` fed to it. A non-zero exit is an `Output`.
    async fn exec(
        &self,
        unit: &Unit,
        argv: &[String],
        stdin: Option<&[u8]>,
        limits: ExecLimits,
    ) -> Result<Output, RuntimeError>;

    /// Runs an argv inside with its streams in our hands, however much flows, without a deadline: its exit code.
    /// `env` is added to its environment. What has no inside refuses.
    async fn converse(
        &self,
        unit: &Unit,
        argv: &[String],
        _env: &[(String, String)],
        _streams: Streams<'_>,
    ) -> Result<Option<i64>, RuntimeError> {
        Err(RuntimeError::Failed {
            verb: "run a command in",
            unit: unit.name.clone(),
            source: anyhow::anyhow!(
                "{} has no inside; its programs run on this machine",
                argv.first().map_or("it", String::as_str)
            ),
        })
    }

    async fn start(&self, unit: &Unit) -> Result<(), RuntimeError>;

    /// Asks it to stop, waits `grace`, kills it, starts it.
    async fn restart(&self, unit: &Unit, grace: Duration) -> Result<(), RuntimeError>;

    async fn pause(&self, unit: &Unit) -> Result<(), RuntimeError>;

    async fn unpause(&self, unit: &Unit) -> Result<(), RuntimeError>;

    /// A signal to its first process alone. What cannot say refuses.
    async fn signal(&self, unit: &Unit, signal: Signal) -> Result<(), RuntimeError> {
        Err(RuntimeError::Failed {
            verb: "signal",
            unit: unit.name.clone(),
            source: anyhow::anyhow!("SIG{} cannot be sent here", signal.as_str()),
        })
    }

    /// A signal to one process inside, by its number in there. What cannot say refuses.
    async fn signal_inside(
        &self,
        unit: &Unit,
        pid: i32,
        signal: Signal,
    ) -> Result<(), RuntimeError> {
        Err(RuntimeError::Failed {
            verb: "signal a process of",
            unit: unit.name.clone(),
            source: anyhow::anyhow!("SIG{} cannot be sent to process {pid} here", signal.as_str()),
        })
    }

    /// SIGKILL.
    async fn kill(&self, unit: &Unit) -> Result<(), RuntimeError>;

    /// Changes its network or its limits while it runs. What has neither refuses.
    async fn adjust(&self, unit: &Unit, _change: Change<'_>) -> Result<(), RuntimeError> {
        Err(RuntimeError::Failed {
            verb: "change the network or the limits of",
            unit: unit.name.clone(),
            source: anyhow::anyhow!("only a container has a network and limits of its own"),
        })
    }

    /// What it took and was kept from so far; `None` where nobody counts.
    async fn usage(&self, _unit: &Unit) -> Result<Option<UnitUsage>, RuntimeError> {
        Ok(None)
    }

    /// The newest lines of its log, oldest first.
    async fn logs(&self, unit: &Unit, lines: usize) -> Result<Vec<String>, RuntimeError>;

    /// Events of these units as they happen. The stream ends when the engine goes away.
    fn events(&self, units: &[Unit]) -> BoxStream<'static, UnitEvent>;

    /// The command line a person would type for an operation, for previews and records.
    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String;
}

/// An operation to spell out.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    Exec(&'a [String]),
    Start,
    Restart(Duration),
    Pause,
    Unpause,
    Kill,
    Signal(Signal),
    /// To this process inside.
    SignalInside(i32, Signal),
    Adjust(Change<'a>),
}

/// A signal to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Continue,
    Terminate,
    SegmentationFault,
}

impl Signal {
    /// Its name without `SIG`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Terminate => "TERM",
            Self::SegmentationFault => "SEGV",
        }
    }
}

/// A change of what a container may reach and take.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Attaches it to the network, under its own name and these.
    Connect {
        network: &'a str,
        aliases: &'a [String],
    },
    Disconnect {
        network: &'a str,
    },
    Cpu(CpuLimit),
    /// `None`: no limit.
    Pids(Option<u32>),
    /// In bytes.
    Memory(u64),
    /// How many files a process may have open, up to its hard limit.
    Files(u64),
}
