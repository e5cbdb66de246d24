//! The lab in containers: found by its labels, made from [`super::spec`], removed without a trace.
//!
//! A container that has one of our names but not our label is somebody else's and is never touched.
//! What a failed attempt made or started is undone.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, NetworkCreateRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures::TryStreamExt;

use super::spec::{ContainerSpec, Part, Ports, SERVERS, Spec, UNIT_LABEL};
use super::{Found, Progress, images, ports, ready};
use crate::config::Config;
use crate::runtime::LAB_LABEL;
use crate::runtime::docker::DockerRuntime;
use crate::runtime::made::Made;

mod body;
mod down;
mod likeness;

pub(super) use down::down;

/// No single call to the engine may take longer.
const CALL: Duration = Duration::from_secs(60);

/// Makes every container exist and run, then waits until the servers answer.
pub(super) async fn up(
    runtime: &DockerRuntime,
    config: &Config,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    let docker = &runtime.client().clone().with_timeout(CALL);
    let spec = Spec::of(&config.lab);
    let mut seen = Vec::new();
    for container in &spec.containers {
        seen.push(look(docker, &spec, container).await?);
    }
    free_ports(docker, &spec, &seen).await?;
    if seen.iter().any(|seen| !matches!(seen, Seen::Adopted { .. })) {
        images::make(docker, &config.state_dir, progress).await?;
    }
    let made_here = Made::of(&spec.id, &config.state_dir);
    let mut attempt = Attempt { docker, spec: &spec, made_here, progress, made: Vec::new() };
    match attempt.build(&seen).await {
        Ok(()) => Ok(()),
        Err(error) => {
            attempt.undo().await;
            Err(error)
        }
    }
}

/// The servers that exist, and where they listen.
pub(super) async fn find(runtime: &DockerRuntime, config: &Config) -> anyhow::Result<Found> {
    let docker = runtime.client();
    let mut listen = Ports::of(&config.lab);
    let mut parts = Vec::new();
    for part in SERVERS {
        let Some(seen) = inspect(docker, &part.name(&config.lab.id)).await? else { continue };
        if label(&seen, LAB_LABEL) != Some(config.lab.id.as_str()) {
            continue;
        }
        parts.push(part);
        if let Some(port) = published(&seen) {
            match part {
                Part::Redis => listen.redis = port,
                Part::Postgres => listen.postgres = port,
                Part::Store | Part::Keeper => listen.store = port,
            }
        }
    }
    Ok((!parts.is_empty()).then_some((listen, parts)))
}

/// What `doctor` tells of a container.
pub(super) enum Survey {
    Ours { status: String },
    Foreign,
}

/// Every container that has one of the lab's names, by name.
pub(super) async fn survey(
    runtime: &DockerRuntime,
    spec: &Spec,
) -> anyhow::Result<Vec<(String, Survey)>> {
    let mut lines = Vec::new();
    for wanted in &spec.containers {
        let Some(seen) = inspect(runtime.client(), &wanted.name).await? else { continue };
        let ours = label(&seen, LAB_LABEL) == Some(spec.id.as_str());
        let status = seen.state.and_then(|state| state.status).unwrap_or(Status::EMPTY);
        let line = if ours { Survey::Ours { status: status.to_string() } } else { Survey::Foreign };
        lines.push((wanted.name.clone(), line));
    }
    Ok(lines)
}

/// What there is of a container that the lab wants.
enum Seen {
    Missing,
    /// Ours and usable as it is.
    Adopted {
        id: String,
        status: Status,
        /// It is what would have been made here, as compose does.
        as_specified: bool,
    },
    /// Ours, but published on another port than the configuration says now.
    Outdated {
        id: String,
    },
}

async fn look(docker: &Docker, spec: &Spec, wanted: &ContainerSpec) -> anyhow::Result<Seen> {
    let Some(seen) = inspect(docker, &wanted.name).await? else { return Ok(Seen::Missing) };
    if label(&seen, LAB_LABEL) != Some(spec.id.as_str()) {
        bail!(
            "a container named {} exists that is not labelled {}: simctl does not touch it; \
             rename or remove it, or give the lab another `id` under `[lab]`",
            wanted.name,
            spec.label()
        );
    }
    let port = published(&seen);
    let as_specified = likeness::is_as_specified(&seen, spec, wanted);
    let status = seen.state.and_then(|state| state.status).unwrap_or(Status::EXITED);
    let id = seen.id.unwrap_or_default();
    if wanted.port.map(|(outer, _)| outer) == port {
        Ok(Seen::Adopted { id, status, as_specified })
    } else {
        Ok(Seen::Outdated { id })
    }
}

/// Says who holds a port before anything is started.
async fn free_ports(docker: &Docker, spec: &Spec, seen: &[Seen]) -> anyhow::Result<()> {
    // Only a local engine publishes where we can look.
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    if !(host.is_empty() || host.starts_with("unix://")) {
        return Ok(());
    }
    for (wanted, seen) in spec.containers.iter().zip(seen) {
        let listens =
            matches!(seen, Seen::Adopted { status: Status::RUNNING | Status::PAUSED, .. });
        if let Some((port, _)) = wanted.port
            && !listens
            && !ports::is_free(port)
        {
            let holder = publisher(docker, port).await?;
            return Err(ports::taken(wanted.part, port, holder));
        }
    }
    Ok(())
}

/// The container that publishes this port.
async fn publisher(docker: &Docker, port: u16) -> anyhow::Result<Option<String>> {
    let running = docker.list_containers(None::<bollard::query_parameters::ListContainersOptions>);
    let publishes = running.await.context("list containers")?.into_iter().find(|container| {
        let listens = container.ports.iter().flatten();
        listens.into_iter().any(|published| published.public_port == Some(port))
    });
    let name = publishes.and_then(|container| container.names?.into_iter().next());
    Ok(name.map(|name| format!("the container {}", name.trim_start_matches('/'))))
}

/// One thing that this attempt did.
enum Step {
    Network(String),
    Volume(String),
    Container(String),
    Started(String),
    Unpaused(String),
}

/// An attempt at [`up`] that remembers what it did.
struct Attempt<'a> {
    docker: &'a Docker,
    spec: &'a Spec,
    made_here: Made,
    progress: Progress<'a>,
    made: Vec<Step>,
}

impl Attempt<'_> {
    async fn build(&mut self, seen: &[Seen]) -> anyhow::Result<()> {
        self.network().await?;
        self.volumes().await?;
        for (wanted, seen) in self.spec.containers.iter().zip(seen) {
            self.container(wanted, seen).await?;
        }
        for wanted in self.spec.containers.iter().rev() {
            let why = || why_ended(self.docker, &wanted.name);
            let Some((port, _)) = wanted.port else {
                // It answers nobody; by now it would have ended if it could not do its work.
                if let Some(why) = why().await {
                    bail!("{}, which holds the bounded volumes, ended: {why}", wanted.name);
                }
                continue;
            };
            ready::wait(wanted.part, port, why).await?;
            (self.progress)(format!("{} answers on 127.0.0.1:{port}", wanted.name));
        }
        Ok(())
    }

    async fn network(&mut self) -> anyhow::Result<()> {
        let name = &self.spec.network;
        match self.docker.inspect_network(name, None).await {
            Ok(_) => return Ok(()),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("look for network {name}")),
        }
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(body::labels(self.spec, None)),
            ..Default::default()
        };
        let created = self.docker.create_network(request).await;
        created.with_context(|| format!("create network {name}"))?;
        self.made.push(Step::Network(name.clone()));
        Ok(())
    }

    async fn volumes(&mut self) -> anyhow::Result<()> {
        for volume in &self.spec.volumes {
            let name = &volume.name;
            match self.docker.inspect_volume(name).await {
                Ok(_) => continue,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error).with_context(|| format!("look for volume {name}")),
            }
            let request = VolumeCreateRequest {
                name: Some(name.clone()),
                driver: Some("local".to_owned()),
                driver_opts: volume.size.map(body::tmpfs),
                labels: Some(body::labels(self.spec, None)),
                ..Default::default()
            };
            let created = self.docker.create_volume(request).await;
            created.with_context(|| format!("create volume {name}"))?;
            self.made.push(Step::Volume(name.clone()));
        }
        Ok(())
    }

    async fn container(&mut self, wanted: &ContainerSpec, seen: &Seen) -> anyhow::Result<()> {
        let name = &wanted.name;
        if let Seen::Adopted { id, as_specified, .. } = seen {
            self.adopt(name, id, *as_specified)?;
        }
        match seen {
            Seen::Adopted { status: Status::RUNNING, .. } => {
                (self.progress)(format!("{name} is there"));
                Ok(())
            }
            Seen::Adopted { id, status: Status::PAUSED, .. } => {
                (self.progress)(format!("unpausing {name}"));
                let unpaused = self.docker.unpause_container(id).await;
                unpaused.with_context(|| format!("unpause {name}"))?;
                self.made.push(Step::Unpaused(id.clone()));
                Ok(())
            }
            Seen::Adopted { id, .. } => {
                (self.progress)(format!("starting {name}, which was stopped"));
                self.made.push(Step::Started(id.clone()));
                self.start(wanted, id).await
            }
            Seen::Outdated { id } => {
                (self.progress)(format!("removing {name}, which listens on another port"));
                remove_container(self.docker, id).await?;
                self.made_here.forget(id);
                self.create(wanted).await
            }
            Seen::Missing => self.create(wanted).await,
        }
    }

    /// What compose made, or an earlier simctl whose notes are gone, counts as made here; nothing else does.
    fn adopt(&self, name: &str, id: &str, as_specified: bool) -> anyhow::Result<()> {
        if self.made_here.has(id) {
            return Ok(());
        }
        if as_specified {
            let noted = self.made_here.note(id);
            return noted.with_context(|| format!("note that container {name} is the lab's"));
        }
        (self.progress)(format!(
            "{name} was not made from here, so it is watched and not broken; \
             `simctl down` and `simctl up` make one that may be"
        ));
        Ok(())
    }

    async fn create(&mut self, wanted: &ContainerSpec) -> anyhow::Result<()> {
        let name = &wanted.name;
        (self.progress)(format!("starting {name}"));
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = body::container(self.spec, wanted);
        let created = self.docker.create_container(Some(options), body).await;
        let id = created.with_context(|| format!("create container {name}"))?.id;
        self.made.push(Step::Container(id.clone()));
        let noted = self.made_here.note(&id);
        noted.with_context(|| format!("note that container {name} was made here"))?;
        self.start(wanted, &id).await
    }

    async fn start(&self, wanted: &ContainerSpec, id: &str) -> anyhow::Result<()> {
        let started = self.docker.start_container(id, None::<StartContainerOptions>).await;
        // Somebody was faster since we looked.
        if let Err(DockerError::DockerResponseServerError { message, .. }) = &started
            && (message.contains("already allocated") || message.contains("already in use"))
            && let Some((port, _)) = wanted.port
        {
            return Err(ports::taken(wanted.part, port, None));
        }
        started.with_context(|| format!("start container {}", wanted.name))
    }

    /// Undoes in reverse. What cannot be undone is told, and `down` will find it by its label.
    async fn undo(&self) {
        for made in self.made.iter().rev() {
            let undone = match made {
                Step::Network(name) => self.docker.remove_network(name).await,
                Step::Volume(name) => {
                    self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await
                }
                Step::Unpaused(id) => self.docker.pause_container(id).await,
                Step::Started(id) => {
                    let options = StopContainerOptionsBuilder::default().t(5).build();
                    self.docker.stop_container(id, Some(options)).await
                }
                Step::Container(id) => {
                    self.made_here.forget(id);
                    let options =
                        RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                    self.docker.remove_container(id, Some(options)).await
                }
            };
            if let Err(error) = undone {
                (self.progress)(format!("could not undo a step: {error}"));
            }
        }
    }
}

/// Why a container will never answer: it has ended, with these last words.
async fn why_ended(docker: &Docker, name: &str) -> Option<String> {
    let state = inspect(docker, name).await.ok()??.state?;
    if state.status? != Status::EXITED {
        return None;
    }
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("3").build();
    let chunks: Vec<_> = docker.logs(name, Some(options)).try_collect().await.ok()?;
    let bytes: Vec<u8> = chunks.into_iter().flat_map(LogOutput::into_bytes).collect();
    let words = String::from_utf8_lossy(&bytes).trim().replace('\n', " / ");
    Some(format!("exit code {}, {words}", state.exit_code.unwrap_or_default()))
}

async fn inspect(docker: &Docker, name: &str) -> anyhow::Result<Option<ContainerInspectResponse>> {
    match docker.inspect_container(name, None).await {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(anyhow!(error).context(format!("look at container {name}"))),
    }
}

/// With the volumes without a name that an official image declares; named ones stay.
async fn remove_container(docker: &Docker, id: &str) -> anyhow::Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Err(error) if !is_absent(&error) => Err(anyhow!(error).context("remove a container")),
        _ => Ok(()),
    }
}

/// Name, id and part of every container with this lab's label.
pub(super) async fn labelled(
    docker: &Docker,
    spec: &Spec,
) -> anyhow::Result<Vec<(String, String, Option<Part>)>> {
    let filters = HashMap::from([("label", vec![spec.label()])]);
    let filters: HashMap<String, Vec<String>> =
        filters.into_iter().map(|(key, values)| (key.to_owned(), values)).collect();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await.context("list containers")?;
    let read = listed.into_iter().filter_map(|container| {
        let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
        let part =
            container.labels.unwrap_or_default().get(UNIT_LABEL).and_then(|l| Part::parse(l));
        Some((name, container.id?, part))
    });
    Ok(read.collect())
}

fn label<'a>(seen: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    seen.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
}

/// The port on the host, as configured: a stopped container has none in its network settings.
fn published(seen: &ContainerInspectResponse) -> Option<u16> {
    let bindings = seen.host_config.as_ref()?.port_bindings.as_ref()?;
    let first = bindings.values().flatten().flatten().next()?;
    first.host_port.as_ref()?.parse().ok()
}

fn is_absent(error: &DockerError) -> bool {
    matches!(error, DockerError::DockerResponseServerError { status_code: 404, .. })
}
