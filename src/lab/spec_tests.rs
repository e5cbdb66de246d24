//! Keeps `compose/compose.yaml` equal to the specification: the file is what [`compose`] writes.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::config::RuntimeChoice;

const COMPOSE: &str = include_str!("../../compose/compose.yaml");

pub(in crate::lab) fn config(id: &str) -> LabConfig {
    LabConfig {
        enabled: true,
        id: id.into(),
        runtime: RuntimeChoice::Docker,
        redis_port: 6380,
        postgres_port: 5433,
        store_port: 5434,
        verify_hold: Duration::from_secs(10),
    }
}

/// The specification as a compose file.
fn compose(spec: &Spec) -> String {
    let mut text = String::from(HEADER);
    text.push_str("\nservices:\n");
    for container in &spec.containers {
        text.push_str(&service(spec, container));
    }
    let labels = format!("labels: {{{LAB_LABEL}: {}}}", spec.id);
    write!(
        text,
        "networks:\n  lab:\n    name: {}\n    driver: bridge\n    {labels}\n",
        spec.network
    )
    .unwrap();
    text.push_str("\nvolumes:\n");
    for volume in &spec.volumes {
        write!(text, "  {0}:\n    name: {0}\n    {labels}\n", volume.name).unwrap();
        if let Some(size) = volume.size {
            let options = format!("type: tmpfs, device: tmpfs, o: \"size={size},mode=1777\"");
            write!(text, "    driver: local\n    driver_opts: {{{options}}}\n").unwrap();
        }
    }
    text
}

const HEADER: &str = "\
# The lab for people who prefer compose; simctl adopts it by its labels.
# First run compose/images, which makes the two images; then docker-compose -f compose/compose.yaml up -d.
# The passwords are constants of the lab: the servers listen on loopback only and hold nothing of value.
# A test compares this file with src/lab/spec.rs.
";

fn service(spec: &Spec, container: &ContainerSpec) -> String {
    let mut lines = vec![
        format!("image: {}", container.image),
        format!("container_name: {}", container.name),
        format!("command: {}", serde_json::to_string(&container.command).unwrap()),
        format!("labels: {{{LAB_LABEL}: {}, {UNIT_LABEL}: {}}}", spec.id, container.part.as_str()),
        format!("mem_limit: {}", container.memory),
        format!("cpu_period: {CPU_PERIOD}"),
        format!("cpu_quota: {}", container.cpu_quota),
        format!("pids_limit: {}", container.pids),
        format!("stop_signal: {}", container.stop_signal),
    ];
    if let Some(shm) = container.shm {
        lines.push(format!("shm_size: {shm}"));
    }
    match container.port {
        Some((outer, inner)) => {
            lines.push(format!("ports: [\"127.0.0.1:{outer}:{inner}\"]"));
            lines.push("networks: [lab]".into());
        }
        None => lines.extend(["network_mode: none".into(), "user: \"0\"".into()]),
    }
    if container.part == Part::Redis || container.part == Part::Postgres {
        lines.push("depends_on: [keeper]".into());
    }
    if !container.env.is_empty() {
        lines.push("environment:".into());
        lines.extend(container.env.iter().map(|(name, value)| format!("  {name}: {value}")));
    }
    lines.push("volumes:".into());
    lines.extend(container.mounts.iter().map(|(volume, path)| {
        let bounded = spec.volumes.iter().any(|v| v.name == *volume && v.size.is_some());
        format!("  - {volume}:{path}{}", if bounded { ":nocopy" } else { "" })
    }));
    let body: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("  {}:\n{body}\n", container.part.as_str())
}

#[test]
fn the_compose_file_says_the_same() {
    let wanted = compose(&Spec::of(&config(DEFAULT_ID)));
    for (number, (wanted, found)) in wanted.lines().zip(COMPOSE.lines()).enumerate() {
        assert_eq!(found, wanted, "compose/compose.yaml, line {}", number + 1);
    }
    assert_eq!(COMPOSE.lines().count(), wanted.lines().count());
}

#[test]
fn only_the_default_lab_has_names_without_a_prefix() {
    let names =
        |id| Spec::of(&config(id)).containers.into_iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names("lab"), ["simctl-keeper", "redis-test", "postgres-test", "simctl-store"]);
    assert_eq!(names("b")[1], "b-redis-test");
    let (a, b) = (Spec::of(&config("a")), Spec::of(&config("b")));
    assert_ne!(a.network, b.network);
    assert!(a.volumes.iter().all(|volume| b.volumes.iter().all(|other| other.name != volume.name)));
}

#[test]
fn redis_is_started_with_exactly_the_documented_arguments() {
    let spec = Spec::of(&config("lab"));
    let redis = spec.containers.iter().find(|c| c.part == Part::Redis).unwrap();
    let line = "redis-server --bind 0.0.0.0 --protected-mode no --dir /data --maxmemory 50mb \
                --maxmemory-policy noeviction --save ";
    assert_eq!(redis.command.join(" "), line);
}

#[test]
fn the_write_ahead_log_fits_its_volume_beside_the_reserve() {
    let settings = include_str!("../../compose/postgres/start");
    assert!(settings.contains("max_wal_size = 48MB"));
    let spec = Spec::of(&config("lab"));
    let wal = spec.volumes.iter().find(|volume| volume.name.ends_with("wal")).unwrap();
    assert_eq!(wal.size, Some("96m"));
}
