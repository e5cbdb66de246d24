//! The lab in containers.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptions,
    StopContainerOptions,
};

use super::*;

fn trial() -> Trial {
    Trial::new(RuntimeChoice::Docker)
}

fn engine() -> Docker {
    Docker::connect_with_defaults().expect("the Docker engine")
}

/// Names of everything that carries this lab's label.
async fn left(trial: &Trial) -> Vec<String> {
    let label = format!("simctl.lab={}", trial.config.lab.id);
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let docker = engine();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.expect("containers");
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.expect("networks");
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.expect("volumes");
    let containers = containers.into_iter().flat_map(|container| container.names).flatten();
    let networks = networks.into_iter().filter_map(|network| network.name);
    let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name);
    containers.chain(networks).chain(volumes).collect()
}

#[tokio::test]
async fn a_lab_is_made_once_found_broken_and_removed() {
    let trial = trial();
    assert!(lab::find(&trial.config).await.expect("find").is_none());
    let lab = trial.up().await.expect("up");
    assert!(trial.said().contains("starting"));
    trial.up().await.expect("up again");
    let said = trial.said();
    assert!(said.contains("is there") && !said.contains("starting"), "{said}");

    servers_are_as_specified(&lab).await;
    commands_are_bounded(&lab).await;
    stopping_is_done_seen_and_announced(&lab).await;

    let found = lab::find(&trial.config).await.expect("find").expect("the lab");
    assert_eq!(found.servers.len(), 2);
    assert_eq!(found.store_url, lab.store_url);
    let lines = lab::doctor(&trial.config).await;
    let wrong: Vec<_> = lines.iter().filter(|line| line.ok == Some(false)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(lines.iter().any(|line| line.subject == "role monitor"), "{lines:?}");

    trial.down(false).await;
    assert_eq!(left(&trial).await, [trial.name("simctl-store-data")]);
    trial.down(true).await;
    assert_eq!(left(&trial).await, Vec::<String>::new());
    assert!(lab::find(&trial.config).await.expect("find").is_none());
}

#[tokio::test]
async fn containers_have_the_limits_and_the_labels_of_the_specification() {
    let trial = trial();
    trial.up().await.expect("up");
    let docker = engine();
    for (base, unit, memory) in [
        ("redis-test", "redis", 400_i64 << 20),
        ("postgres-test", "postgres", 256 << 20),
        ("simctl-store", "store", 256 << 20),
    ] {
        let name = trial.name(base);
        let seen = docker.inspect_container(&name, None::<InspectContainerOptions>).await;
        let seen = seen.expect("inspect");
        let host = seen.host_config.expect("limits");
        assert_eq!(host.memory, Some(memory), "{name}");
        assert!(host.pids_limit.is_some_and(|pids| pids > 0), "{name}");
        assert_eq!((host.cpu_quota, host.nano_cpus), (Some(200_000), Some(0)), "{name}");
        let bindings = host.port_bindings.unwrap_or_default().into_values().flatten().flatten();
        assert!(bindings.into_iter().all(|b| b.host_ip.as_deref() == Some("127.0.0.1")), "{name}");
        let labels = seen.config.and_then(|config| config.labels).unwrap_or_default();
        assert_eq!(labels.get("simctl.unit").map(String::as_str), Some(unit));
        assert_eq!(labels.get("simctl.lab"), Some(&trial.config.lab.id));
    }
}

#[tokio::test]
async fn bounded_volumes_that_went_with_their_keeper_give_a_fresh_server() {
    let trial = trial();
    let lab = trial.up().await.expect("up");
    ask(&lab, "postgres-test", &["-c", "CREATE TABLE gone (n int)"], None).await;
    let docker = engine();
    for base in ["postgres-test", "redis-test", "simctl-keeper"] {
        let stopped = docker.stop_container(&trial.name(base), None::<StopContainerOptions>).await;
        stopped.expect("stop");
    }
    let lab = trial.up().await.expect("up after the loss");
    let there = "SELECT to_regclass('gone') IS NULL AND to_regclass('hb') IS NOT NULL";
    assert_eq!(ask(&lab, "postgres-test", &["-Atc", there], None).await, "t");
}

#[tokio::test]
async fn an_attempt_that_fails_leaves_nothing_it_began() {
    let trial = trial();
    let docker = engine();
    // Too small for a database, so the store cannot start; it was there before the attempt.
    let volume = trial.name("simctl-store-data");
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=1777")];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let request = VolumeCreateRequest {
        name: Some(volume.clone()),
        driver_opts: Some(options.map(owned).into()),
        labels: Some([("simctl.lab", trial.config.lab.id.as_str())].map(owned).into()),
        ..Default::default()
    };
    docker.create_volume(request).await.expect("create the volume");
    let refused = trial.up().await.err().expect("it must fail").to_string();
    assert!(refused.contains("the lab's store ended instead of answering"), "{refused}");
    assert_eq!(left(&trial).await, [volume]);
}

#[tokio::test]
async fn a_container_of_somebody_else_is_never_touched() {
    let trial = trial();
    let warm = trial.up().await;
    warm.expect("the images exist now");
    trial.down(true).await;
    let docker = engine();
    let name = trial.name("redis-test");
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let body = ContainerCreateBody { image: Some("simctl-lab/redis".into()), ..Default::default() };
    let foreign = docker.create_container(Some(options), body).await.expect("create").id;

    let refused = trial.up().await.err().expect("it must refuse").to_string();
    trial.down(true).await;
    let seen = docker.inspect_container(&foreign, None::<InspectContainerOptions>).await;
    docker.remove_container(&foreign, None::<RemoveContainerOptions>).await.expect("remove");
    assert!(refused.contains(&name) && refused.contains("does not touch it"), "{refused}");
    assert!(seen.is_ok(), "still there after up and down");
    assert_eq!(left(&trial).await, Vec::<String>::new(), "nothing was begun");
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder_and_nothing_is_begun() {
    let trial = trial();
    let held = std::net::TcpListener::bind(("127.0.0.1", trial.config.lab.store_port));
    let held = held.expect("the port was free");
    let refused = trial.up().await.err().expect("it must refuse").to_string();
    let port = trial.config.lab.store_port.to_string();
    assert!(refused.contains(&port) && refused.contains("`store_port`"), "{refused}");
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    assert_eq!(left(&trial).await, Vec::<String>::new());
    drop(held);
}
