//! Whether a container is what the specification would have made, down to what it runs, mounts and publishes. A name
//! and a label alone prove nothing.

use std::collections::BTreeSet;

use bollard::models::{ContainerInspectResponse, PortBinding};

use crate::lab::spec::{ContainerSpec, Spec};

const LOOPBACK: &str = "127.0.0.1";

/// Whether it runs the lab's image and command, on the lab's network and volumes, at its port of the loopback.
pub(super) fn is_as_specified(
    seen: &ContainerInspectResponse,
    spec: &Spec,
    wanted: &ContainerSpec,
) -> bool {
    let config = seen.config.as_ref();
    let host = seen.host_config.as_ref();
    let image = config.and_then(|config| config.image.as_deref());
    let command = config.and_then(|config| config.cmd.as_ref());
    let network = host.and_then(|host| host.network_mode.as_deref());
    let ours = if wanted.port.is_some() { spec.network.as_str() } else { "none" };
    image == Some(wanted.image)
        && command == Some(&wanted.command)
        && network == Some(ours)
        && ports(seen) == wanted.port.map(binding).into_iter().collect()
        && mounts(seen) == wanted.mounts.iter().map(|(name, at)| (name.as_str(), *at)).collect()
}

type Published = (String, String, String);

fn binding((outer, inner): (u16, u16)) -> Published {
    (format!("{inner}/tcp"), LOOPBACK.to_owned(), outer.to_string())
}

fn ports(seen: &ContainerInspectResponse) -> BTreeSet<Published> {
    let bindings = seen.host_config.as_ref().and_then(|host| host.port_bindings.as_ref());
    let one = |inner: &String, binding: &PortBinding| {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        (inner.clone(), text(&binding.host_ip), text(&binding.host_port))
    };
    bindings
        .into_iter()
        .flatten()
        .flat_map(|(inner, all)| all.iter().flatten().map(move |binding| one(inner, binding)))
        .collect()
}

/// Named volumes by where they are mounted; a bind mount has no name and so fits nowhere.
fn mounts(seen: &ContainerInspectResponse) -> BTreeSet<(&str, &str)> {
    fn text(part: Option<&String>) -> &str {
        part.map(String::as_str).unwrap_or_default()
    }
    let all = seen.mounts.iter().flatten();
    all.map(|mount| (text(mount.name.as_ref()), text(mount.destination.as_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, HostConfig, MountPoint};

    use super::*;
    use crate::lab::spec::tests::config;

    /// As the engine tells of a container that was made to the specification.
    fn made(spec: &Spec, wanted: &ContainerSpec) -> ContainerInspectResponse {
        let mount = |(name, at): &(String, &str)| MountPoint {
            name: Some(name.clone()),
            destination: Some((*at).to_owned()),
            ..MountPoint::default()
        };
        let publish = |(outer, inner): (u16, u16)| {
            let binding = PortBinding {
                host_ip: Some(LOOPBACK.to_owned()),
                host_port: Some(outer.to_string()),
            };
            (format!("{inner}/tcp"), Some(vec![binding]))
        };
        ContainerInspectResponse {
            config: Some(ContainerConfig {
                image: Some(wanted.image.to_owned()),
                cmd: Some(wanted.command.clone()),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                network_mode: Some(spec.network.clone()),
                port_bindings: Some(wanted.port.map(publish).into_iter().collect()),
                ..HostConfig::default()
            }),
            mounts: Some(wanted.mounts.iter().map(mount).collect()),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn only_what_runs_mounts_and_publishes_the_same_is_alike() {
        let spec = Spec::of(&config("lab"));
        let wanted = &spec.containers[1];
        let like = |change: &dyn Fn(&mut ContainerInspectResponse)| {
            let mut seen = made(&spec, wanted);
            change(&mut seen);
            is_as_specified(&seen, &spec, wanted)
        };
        assert!(like(&|_| ()));
        let host = |seen: &mut ContainerInspectResponse| seen.host_config.take().unwrap();
        assert!(!like(&|seen| seen.config.as_mut().unwrap().image = Some("redis:7".into())));
        assert!(!like(&|seen| seen.config.as_mut().unwrap().cmd = None));
        assert!(!like(&|seen| seen.mounts = None));
        assert!(!like(&|seen| seen.mounts.as_mut().unwrap()[0].name = Some("orders".into())));
        assert!(!like(&|seen| {
            let network_mode = Some("bridge".to_owned());
            seen.host_config = Some(HostConfig { network_mode, ..host(seen) });
        }));
        assert!(!like(&|seen| {
            let mut other = host(seen);
            let binding = other.port_bindings.as_mut().unwrap().get_mut("6379/tcp").unwrap();
            binding.as_mut().unwrap()[0].host_ip = Some("0.0.0.0".into());
            seen.host_config = Some(other);
        }));
    }
}
