//! The Docker engine (or anything that speaks its API) as a runtime.
//!
//! A unit that belongs to a lab must carry the lab's label: whatever else has its name is not touched.
//! Every call has a deadline, because an engine can accept a connection and never answer.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HostConfig,
};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, LogsOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use tokio::time::timeout;

use super::LAB_LABEL;
use super::spelling::spell;
use crate::domain::execution::Output;
use crate::ports::runtime::{
    Change, ExecLimits, Operation, Runtime, RuntimeError, RuntimeKind, Signal, Streams, Unit,
    UnitEvent, UnitState, UnitStatus, UnitUsage,
};

mod adjust;
mod events;
mod exec;
mod inside;

/// To reach the engine at all.
const CONNECT: Duration = Duration::from_secs(5);
/// For a question, and for an order that the engine carries out at once.
const ANSWER: Duration = Duration::from_secs(10);
/// For starting a container, besides the grace given to its stop.
const START: Duration = Duration::from_secs(30);

/// A connection to the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    docker: Docker,
}

impl DockerRuntime {
    /// Connects to the engine that `DOCKER_HOST` names, or the local one.
    pub async fn connect() -> Result<Self, RuntimeError> {
        let docker = Docker::connect_with_defaults().map_err(|e| unreachable(&e.to_string()))?;
        match timeout(CONNECT, docker.negotiate_version()).await {
            Ok(Ok(docker)) => Ok(Self { docker }),
            Ok(Err(error)) => Err(unreachable(&words(&error))),
            Err(_) => Err(unreachable("no answer within 5 s")),
        }
    }

    /// The client, for what is not the business of the trait.
    pub fn client(&self) -> &Docker {
        &self.docker
    }

    async fn look(
        &self,
        verb: &'static str,
        unit: &Unit,
    ) -> Result<ContainerInspectResponse, RuntimeError> {
        let asked = self.docker.inspect_container(&unit.name, None);
        let seen = bounded(verb, unit, ANSWER, asked).await?;
        let label = lab_of(&seen);
        if unit.lab.is_some() && unit.lab != label {
            return Err(RuntimeError::Failed {
                verb,
                unit: unit.name.clone(),
                source: anyhow::anyhow!(
                    "the container is not labelled {LAB_LABEL}={}, so it is not ours to touch",
                    unit.lab.as_deref().unwrap_or_default()
                ),
            });
        }
        Ok(seen)
    }

    async fn send(
        &self,
        verb: &'static str,
        unit: &Unit,
        signal: &str,
    ) -> Result<(), RuntimeError> {
        let id = self.id(verb, unit).await?;
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        bounded(verb, unit, ANSWER, self.docker.kill_container(&id, Some(options))).await
    }

    /// The id of the container that is this unit, after checking that it is.
    async fn id(&self, verb: &'static str, unit: &Unit) -> Result<String, RuntimeError> {
        let seen = self.look(verb, unit).await?;
        seen.id.ok_or_else(|| RuntimeError::NoSuchUnit { unit: unit.name.clone() })
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    async fn inspect(&self, unit: &Unit) -> Result<UnitState, RuntimeError> {
        match self.look("inspect", unit).await {
            Ok(seen) => Ok(state_of(seen)),
            Err(RuntimeError::NoSuchUnit { .. }) => Ok(UnitState::default()),
            Err(error) => Err(error),
        }
    }

    async fn exec(
        &self,
        unit: &Unit,
        argv: &[String],
        stdin: Option<&[u8]>,
        limits: ExecLimits,
    ) -> Result<Output, RuntimeError> {
        let run = async {
            let id = self.id("run a command in", unit).await?;
            exec::run(&self.docker, &id, argv, stdin, limits.output_bytes)
                .await
                .map_err(|error| failed("run a command in", unit, error))
        };
        timeout(limits.deadline, run).await.unwrap_or_else(|_| {
            Err(RuntimeError::Deadline {
                verb: "run a command in",
                unit: unit.name.clone(),
                after: limits.deadline,
            })
        })
    }

    async fn converse(
        &self,
        unit: &Unit,
        argv: &[String],
        env: &[(String, String)],
        streams: Streams<'_>,
    ) -> Result<Option<i64>, RuntimeError> {
        let id = self.id("run a command in", unit).await?;
        exec::converse(&self.docker, &id, argv, env, streams)
            .await
            .map_err(|error| failed_for("run a command in", unit, error))
    }

    async fn start(&self, unit: &Unit) -> Result<(), RuntimeError> {
        let id = self.id("start", unit).await?;
        let started = self.docker.start_container(&id, None::<StartContainerOptions>);
        bounded("start", unit, START, started).await
    }

    async fn restart(&self, unit: &Unit, grace: Duration) -> Result<(), RuntimeError> {
        let id = self.id("restart", unit).await?;
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let mut patient = self.docker.clone();
        patient.set_timeout(grace + START);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stopped = patient.stop_container(&id, Some(options));
        bounded("restart", unit, grace + START, stopped).await?;
        let started = self.docker.start_container(&id, None::<StartContainerOptions>);
        bounded("restart", unit, START, started).await
    }

    async fn pause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        let id = self.id("pause", unit).await?;
        bounded("pause", unit, ANSWER, self.docker.pause_container(&id)).await
    }

    async fn unpause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        let id = self.id("unpause", unit).await?;
        bounded("unpause", unit, ANSWER, self.docker.unpause_container(&id)).await
    }

    async fn signal(&self, unit: &Unit, signal: Signal) -> Result<(), RuntimeError> {
        self.send("signal", unit, signal.as_str()).await
    }

    async fn signal_inside(
        &self,
        unit: &Unit,
        pid: i32,
        signal: Signal,
    ) -> Result<(), RuntimeError> {
        inside::signal(self, unit, pid, signal).await
    }

    async fn kill(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.send("kill", unit, "KILL").await
    }

    async fn adjust(&self, unit: &Unit, change: Change<'_>) -> Result<(), RuntimeError> {
        let id = self.id(adjust::verb(change), unit).await?;
        adjust::change(&self.docker, unit, &id, change).await?;
        let seen = state_of(self.look(adjust::verb(change), unit).await?);
        adjust::read_back(unit, change, &seen)
    }

    async fn usage(&self, unit: &Unit) -> Result<Option<UnitUsage>, RuntimeError> {
        let id = self.id("count the use of", unit).await?;
        adjust::usage(&self.docker, unit, &id).await
    }

    async fn logs(&self, unit: &Unit, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let id = self.id("read the log of", unit).await?;
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let chunks = self.docker.logs(&id, Some(options)).try_collect::<Vec<_>>();
        let chunks = bounded("read the log of", unit, ANSWER, chunks).await?;
        Ok(lines_of(chunks, lines))
    }

    fn events(&self, units: &[Unit]) -> BoxStream<'static, UnitEvent> {
        events::listen(self.docker.clone(), units)
    }

    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String {
        let name = unit.name.as_str();
        let seconds;
        let adjusted;
        let argv;
        let words: Vec<&str> = match operation {
            Operation::Exec(argv) => ["docker", "exec", name]
                .into_iter()
                .chain(argv.iter().map(String::as_str))
                .collect(),
            Operation::Start => vec!["docker", "start", name],
            Operation::Restart(grace) => {
                seconds = grace.as_secs().to_string();
                vec!["docker", "restart", "-t", &seconds, name]
            }
            Operation::Pause => vec!["docker", "pause", name],
            Operation::Unpause => vec!["docker", "unpause", name],
            Operation::Kill => vec!["docker", "kill", name],
            Operation::Signal(signal) => {
                vec!["docker", "kill", "--signal", signal.as_str(), name]
            }
            Operation::SignalInside(pid, signal) => {
                argv = inside::words(pid, signal);
                ["docker", "exec", name]
                    .into_iter()
                    .chain(argv.iter().map(String::as_str))
                    .collect()
            }
            Operation::Adjust(change) => {
                adjusted = adjust::words(change);
                adjusted.iter().map(String::as_str).chain([name]).collect()
            }
        };
        spell(words)
    }
}

/// Waits for a call no longer than `after` and says in our words why it failed.
async fn bounded<T>(
    verb: &'static str,
    unit: &Unit,
    after: Duration,
    call: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, RuntimeError> {
    match timeout(after, call).await {
        Ok(done) => done.map_err(|error| failed(verb, unit, error)),
        Err(_) => Err(RuntimeError::Deadline { verb, unit: unit.name.clone(), after }),
    }
}

/// The same for what may also have failed on our side of the streams.
fn failed_for(verb: &'static str, unit: &Unit, error: anyhow::Error) -> RuntimeError {
    match error.downcast::<DockerError>() {
        Ok(error) => failed(verb, unit, error),
        Err(source) => RuntimeError::Failed { verb, unit: unit.name.clone(), source },
    }
}

fn failed(verb: &'static str, unit: &Unit, error: DockerError) -> RuntimeError {
    let unit = unit.name.clone();
    match error {
        DockerError::DockerResponseServerError { status_code: 404, .. } => {
            RuntimeError::NoSuchUnit { unit }
        }
        DockerError::DockerResponseServerError { message, .. } => {
            RuntimeError::Failed { verb, unit, source: anyhow::anyhow!(message) }
        }
        DockerError::RequestTimeoutError => RuntimeError::Deadline { verb, unit, after: ANSWER },
        DockerError::HyperLegacyError { .. }
        | DockerError::HyperResponseError { .. }
        | DockerError::IOError { .. }
        | DockerError::SocketNotFoundError(_) => unreachable(&words(&error)),
        other => RuntimeError::Failed { verb, unit, source: other.into() },
    }
}

/// What was tried to reach the engine and what to do, in one sentence.
fn unreachable(reason: &str) -> RuntimeError {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let engine = match host.as_str() {
        "" => "the Docker engine".to_owned(),
        host => format!("the Docker engine at {host}"),
    };
    let remedy = if reason.contains("ermission denied") {
        "join the group that may use it (usually `docker`), or use the process runtime"
    } else {
        "start it, set DOCKER_HOST, or use the process runtime"
    };
    RuntimeError::Unreachable { engine, reason: format!("{reason}; {remedy}") }
}

/// The innermost reason: the outer ones only say "client error".
fn words(error: &DockerError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn lab_of(seen: &ContainerInspectResponse) -> Option<String> {
    seen.config.as_ref()?.labels.as_ref()?.get(LAB_LABEL).cloned()
}

fn state_of(seen: ContainerInspectResponse) -> UnitState {
    let lab = lab_of(&seen);
    let host = seen.host_config.unwrap_or_default();
    let networks = seen.network_settings.and_then(|settings| settings.networks);
    let id = seen.id.unwrap_or_default();
    let state = seen.state.unwrap_or_default();
    let status = status_of(&state);
    UnitState {
        networks: Some(adjust::attachments(networks.unwrap_or_default(), &id)),
        home_network: adjust::home(&host),
        published: Some(published(&host)),
        limits: Some(adjust::limits(&host)),
        files: None,
        status,
        id,
        lab,
        exit_code: state.exit_code.filter(|_| status == UnitStatus::Exited),
        started_at: state.started_at.as_deref().and_then(moment),
        memory_limit: host.memory.and_then(|bytes| u64::try_from(bytes).ok()).filter(|b| *b > 0),
        image: seen.config.and_then(|config| config.image),
    }
}

/// As configured: a stopped container has none in its network settings.
fn published(host: &HostConfig) -> Vec<u16> {
    let bindings = host.port_bindings.iter().flat_map(HashMap::values).flatten().flatten();
    let loopback = bindings.filter(|binding| binding.host_ip.as_deref() == Some("127.0.0.1"));
    loopback.filter_map(|binding| binding.host_port.as_ref()?.parse().ok()).collect()
}

fn status_of(state: &ContainerState) -> UnitStatus {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            UnitStatus::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => UnitStatus::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => UnitStatus::Restarting,
        _ => UnitStatus::Exited,
    }
}

/// A time as the engine writes it; the year 1 stands for "never".
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (at.timestamp() > 0).then_some(at)
}

fn lines_of(chunks: Vec<LogOutput>, most: usize) -> Vec<String> {
    let bytes: Vec<u8> = chunks.into_iter().flat_map(LogOutput::into_bytes).collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let surplus = lines.len().saturating_sub(most);
    lines.into_iter().skip(surplus).collect()
}

#[cfg(test)]
mod tests;
