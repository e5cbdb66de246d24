//! Removes a lab's containers, network and volumes, by label.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use bollard::Docker;
use bollard::query_parameters::{
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use super::{CALL, is_absent, labelled, remove_container};
use crate::config::Config;
use crate::lab::Progress;
use crate::lab::spec::{Part, Spec};
use crate::runtime::docker::DockerRuntime;
use crate::runtime::made::Made;

/// Removes all that carries this lab's label; the store's volume only when `volumes`.
pub(in crate::lab) async fn down(
    runtime: &DockerRuntime,
    config: &Config,
    volumes: bool,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    let docker = &runtime.client().clone().with_timeout(CALL);
    let spec = Spec::of(&config.lab);
    let made_here = Made::of(&spec.id, &config.state_dir);
    let mut containers = labelled(docker, &spec).await?;
    // The keeper last: while it holds them, the volumes stay what they are.
    containers.sort_by_key(|(_, _, part)| *part == Some(Part::Keeper));
    for (name, id, part) in containers {
        progress(format!("removing {name}"));
        if part == Some(Part::Store) {
            stop(docker, &id).await;
        }
        remove_container(docker, &id).await.with_context(|| format!("remove {name}"))?;
        made_here.forget(&id);
    }
    networks(docker, &spec, progress).await?;
    remove_volumes(docker, &spec, volumes, progress).await
}

/// The records deserve an orderly end; whatever goes wrong here, removal follows.
async fn stop(docker: &Docker, id: &str) {
    let options = bollard::query_parameters::StopContainerOptionsBuilder::default().t(10).build();
    if let Err(error) = docker.stop_container(id, Some(options)).await {
        tracing::debug!(%error, "stop the store before its removal");
    }
}

async fn networks(docker: &Docker, spec: &Spec, progress: Progress<'_>) -> anyhow::Result<()> {
    let options = ListNetworksOptionsBuilder::default().filters(&by_label(spec)).build();
    let networks = docker.list_networks(Some(options)).await.context("list networks")?;
    for name in networks.into_iter().filter_map(|network| network.name) {
        progress(format!("removing network {name}"));
        let removed = docker.remove_network(&name).await;
        if let Err(error) = removed.as_ref()
            && !is_absent(error)
        {
            return removed.with_context(|| {
                format!("remove network {name}; a container that is not the lab's may use it")
            });
        }
    }
    Ok(())
}

async fn remove_volumes(
    docker: &Docker,
    spec: &Spec,
    all: bool,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    let options = ListVolumesOptionsBuilder::default().filters(&by_label(spec)).build();
    let listed = docker.list_volumes(Some(options)).await.context("list volumes")?;
    for volume in listed.volumes.unwrap_or_default() {
        let name = volume.name;
        if !all && spec.volumes.iter().any(|wanted| wanted.lasts && wanted.name == name) {
            progress(format!("keeping volume {name}"));
            continue;
        }
        progress(format!("removing volume {name}"));
        match docker.remove_volume(&name, None::<RemoveVolumeOptions>).await {
            Err(error) if !is_absent(&error) => {
                return Err(anyhow!(error).context(format!("remove volume {name}")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn by_label(spec: &Spec) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![spec.label()])])
}
