//! The lab's parts in the engine's own terms. Builds values only.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};

use crate::lab::spec::{CPU_PERIOD, ContainerSpec, Part, Spec, UNIT_LABEL};
use crate::runtime::LAB_LABEL;

/// What marks a thing as this lab's.
pub(super) fn labels(spec: &Spec, part: Option<Part>) -> HashMap<String, String> {
    let mut labels = HashMap::from([(LAB_LABEL.to_owned(), spec.id.clone())]);
    if let Some(part) = part {
        labels.insert(UNIT_LABEL.to_owned(), part.as_str().to_owned());
    }
    labels
}

/// The options of a bounded volume: the local driver mounts a tmpfs that anyone may write to.
pub(super) fn tmpfs(size: &str) -> HashMap<String, String> {
    HashMap::from([
        ("type".to_owned(), "tmpfs".to_owned()),
        ("device".to_owned(), "tmpfs".to_owned()),
        ("o".to_owned(), format!("size={size},mode=1777")),
    ])
}

/// The request that creates a container.
pub(super) fn container(spec: &Spec, wanted: &ContainerSpec) -> ContainerCreateBody {
    let env = wanted.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    ContainerCreateBody {
        image: Some(wanted.image.to_owned()),
        cmd: Some(wanted.command.clone()),
        env: Some(env),
        // The keeper must be able to remove what others wrote to the volumes it holds.
        user: (wanted.part == Part::Keeper).then(|| "0".to_owned()),
        labels: Some(labels(spec, Some(wanted.part))),
        exposed_ports: wanted.port.map(|(_, inner)| vec![format!("{inner}/tcp")]),
        stop_signal: Some(wanted.stop_signal.to_owned()),
        host_config: Some(host(spec, wanted)),
        ..Default::default()
    }
}

fn host(spec: &Spec, wanted: &ContainerSpec) -> HostConfig {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let network = if wanted.port.is_some() { spec.network.clone() } else { "none".to_owned() };
    let publish = |(outer, inner): (u16, u16)| {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(outer.to_string()),
        };
        HashMap::from([(format!("{inner}/tcp"), Some(vec![binding]))])
    };
    HostConfig {
        // No copy of the image's files: it would give the volume's root to one user.
        binds: Some(wanted.mounts.iter().map(|mount| bind(spec, mount)).collect()),
        port_bindings: wanted.port.map(publish),
        network_mode: Some(network),
        memory: Some(bytes(wanted.memory)),
        shm_size: wanted.shm.map(bytes),
        // Not NanoCpus: the engine would go on reporting it after a fault was undone.
        cpu_period: Some(CPU_PERIOD),
        cpu_quota: Some(wanted.cpu_quota),
        pids_limit: Some(wanted.pids),
        ..Default::default()
    }
}

fn bind(spec: &Spec, (volume, path): &(String, &str)) -> String {
    let bounded = spec.volumes.iter().any(|v| v.name == *volume && v.size.is_some());
    if bounded { format!("{volume}:{path}:nocopy") } else { format!("{volume}:{path}") }
}
