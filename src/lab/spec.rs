//! What the lab consists of: its servers, their limits and volumes, their logins.
//!
//! `compose/compose.yaml` says the same for people who prefer compose; a test compares the two.
//! The passwords are no secrets: the servers listen on loopback only and hold nothing of value.

use std::collections::BTreeMap;

use crate::config::LabConfig;
use crate::domain::target::Engine;
use crate::domain::unit::{CpuLimit, UnitLimits, setting};
use crate::runtime::LAB_LABEL;

/// The label that says which part of the lab a container is.
pub const UNIT_LABEL: &str = "simctl.unit";
/// The id of the lab whose names carry no prefix.
pub const DEFAULT_ID: &str = "lab";

pub const REDIS_IMAGE: &str = "simctl-lab/redis";
pub const POSTGRES_IMAGE: &str = "simctl-lab/postgres";

/// Role `postgres`: a superuser, for fixes.
pub const SUPERUSER_PASSWORD: &str = "lab-superuser";
/// Role `app`: owner of the database `app`, no superuser; workloads and fresh probes.
pub const APP_PASSWORD: &str = "lab-app";
/// Role `monitor`: member of `pg_monitor`; held probes.
pub const MONITOR_PASSWORD: &str = "lab-monitor";
/// Role `repl`: replication.
pub const REPL_PASSWORD: &str = "lab-repl";
/// Role `simctl` of the store, owner of the database `simctl`.
pub const STORE_PASSWORD: &str = "lab-store";

const MB: u64 = 1 << 20;
/// One period of the CPU limit, in microseconds; the quota is given in these.
pub const CPU_PERIOD: i64 = 100_000;
/// What each server may take.
const SERVER_CPU_QUOTA: i64 = 2 * CPU_PERIOD;
const SERVER_PIDS: i64 = 128;
const REDIS_MEMORY: u64 = 400 * MB;
const POSTGRES_MEMORY: u64 = 256 * MB;
/// Where the PostgreSQL containers keep their data.
const PG_ROOT: &str = "/var/lib/simctl/pg";
const PG_WAL: &str = "/var/lib/simctl/wal";
const PG_TABLESPACE: &str = "/var/lib/simctl/tablespace";

/// A part of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Redis,
    Postgres,
    Store,
    /// Holds the bounded volumes.
    Keeper,
}

impl Part {
    /// The value of its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Store => "store",
            Self::Keeper => "keeper",
        }
    }

    /// The part with this label.
    pub fn parse(label: &str) -> Option<Self> {
        [Self::Redis, Self::Postgres, Self::Store, Self::Keeper]
            .into_iter()
            .find(|part| part.as_str() == label)
    }

    /// The name of its container in the default lab.
    fn base_name(self) -> &'static str {
        match self {
            Self::Redis => "redis-test",
            Self::Postgres => "postgres-test",
            Self::Store => "simctl-store",
            Self::Keeper => "simctl-keeper",
        }
    }

    /// Its name in the lab of this id.
    pub fn name(self, lab_id: &str) -> String {
        prefixed(lab_id, self.base_name())
    }

    /// The key under `[lab]` that moves it to another port.
    pub fn port_key(self) -> &'static str {
        match self {
            Self::Redis => "redis_port",
            Self::Postgres => "postgres_port",
            Self::Store | Self::Keeper => "store_port",
        }
    }
}

/// The servers of a lab, in the order in which they start.
pub const SERVERS: [Part; 3] = [Part::Redis, Part::Postgres, Part::Store];

/// Where the servers listen on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub redis: u16,
    pub postgres: u16,
    pub store: u16,
}

impl Ports {
    pub fn of(config: &LabConfig) -> Self {
        Self { redis: config.redis_port, postgres: config.postgres_port, store: config.store_port }
    }

    /// The port of a server; the keeper has none.
    pub fn get(&self, part: Part) -> Option<u16> {
        match part {
            Part::Redis => Some(self.redis),
            Part::Postgres => Some(self.postgres),
            Part::Store => Some(self.store),
            Part::Keeper => None,
        }
    }
}

/// A whole lab in containers.
#[derive(Clone, Debug)]
pub struct Spec {
    pub id: String,
    pub network: String,
    pub volumes: Vec<VolumeSpec>,
    /// The keeper first: the volumes it holds must exist before their users start.
    pub containers: Vec<ContainerSpec>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    pub name: String,
    /// The size of a bounded one, as `mount` takes it.
    pub size: Option<&'static str>,
    /// Whether it outlives `simctl down`.
    pub lasts: bool,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    pub part: Part,
    pub name: String,
    pub image: &'static str,
    pub command: Vec<String>,
    pub env: Vec<(&'static str, &'static str)>,
    /// On 127.0.0.1, and the server's own port inside.
    pub port: Option<(u16, u16)>,
    pub memory: u64,
    pub shm: Option<u64>,
    pub cpu_quota: i64,
    pub pids: i64,
    /// Volume and path.
    pub mounts: Vec<(String, &'static str)>,
    pub stop_signal: &'static str,
}

impl Spec {
    /// The lab that this configuration describes.
    pub fn of(config: &LabConfig) -> Self {
        let id = config.id.clone();
        let volume = |name| prefixed(&id, name);
        let bounded =
            |name, size| VolumeSpec { name: volume(name), size: Some(size), lasts: false };
        let plain = |name, lasts| VolumeSpec { name: volume(name), size: None, lasts };
        Self {
            network: network(&id),
            volumes: vec![
                bounded("simctl-redis-data", "6m"),
                bounded("simctl-postgres-wal", "96m"),
                bounded("simctl-postgres-tablespace", "32m"),
                plain("simctl-postgres-data", false),
                plain("simctl-store-data", true),
            ],
            containers: vec![
                keeper(&id),
                redis(&id, config.redis_port),
                postgres(&id, config.postgres_port),
                store(&id, config.store_port),
            ],
            id,
        }
    }

    /// The label that marks all of it.
    pub fn label(&self) -> String {
        format!("{LAB_LABEL}={}", self.id)
    }
}

/// The network of the lab of this id.
pub fn network(lab_id: &str) -> String {
    prefixed(lab_id, "simctl-lab")
}

/// Redis's own arguments. `--save ""`: nothing is saved unless a fault says so.
pub fn redis_args() -> Vec<String> {
    ["--maxmemory", "50mb", "--maxmemory-policy", "noeviction", "--save", ""]
        .map(str::to_owned)
        .to_vec()
}

/// Settings of a healthy lab server, for diagnoses: known beforehand, whatever is read first.
pub fn baseline(engine: Engine) -> BTreeMap<String, String> {
    let known: &[(&str, String)] = match engine {
        Engine::Redis => {
            &[("maxmemory", (50 * MB).to_string()), ("maxmemory-policy", "noeviction".into())]
        }
        Engine::Postgres => &[("max_connections", "20".into())],
    };
    known.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// The limits that the container of a watched server is made with, as settings.
pub fn unit_baseline(engine: Engine) -> impl Iterator<Item = (String, String)> {
    let cpu = CpuLimit::of(Some(SERVER_CPU_QUOTA), Some(CPU_PERIOD));
    let limits = UnitLimits { cpu, pids: u32::try_from(SERVER_PIDS).ok() };
    let memory = match engine {
        Engine::Redis => REDIS_MEMORY,
        Engine::Postgres => POSTGRES_MEMORY,
    };
    limits.settings().into_iter().chain([(setting::MEMORY.into(), memory.to_string())])
}

/// Every password of the lab: no secrets, and masked like ones all the same.
pub fn passwords() -> [&'static str; 5] {
    [SUPERUSER_PASSWORD, APP_PASSWORD, MONITOR_PASSWORD, REPL_PASSWORD, STORE_PASSWORD]
}

/// The passwords that the start script of PostgreSQL reads.
pub fn postgres_env(part: Part) -> Vec<(&'static str, &'static str)> {
    let mut env = vec![("SIMCTL_SUPERUSER_PASSWORD", SUPERUSER_PASSWORD)];
    if part == Part::Store {
        env.push(("SIMCTL_STORE_PASSWORD", STORE_PASSWORD));
    } else {
        env.push(("SIMCTL_APP_PASSWORD", APP_PASSWORD));
        env.push(("SIMCTL_MONITOR_PASSWORD", MONITOR_PASSWORD));
        env.push(("SIMCTL_REPL_PASSWORD", REPL_PASSWORD));
    }
    env
}

fn prefixed(lab_id: &str, name: &str) -> String {
    if lab_id == DEFAULT_ID { name.to_owned() } else { format!("{lab_id}-{name}") }
}

fn keeper(id: &str) -> ContainerSpec {
    ContainerSpec {
        part: Part::Keeper,
        name: Part::Keeper.name(id),
        image: REDIS_IMAGE,
        command: ["sh", "/usr/local/bin/simctl-keeper"].map(str::to_owned).to_vec(),
        env: Vec::new(),
        port: None,
        // What it writes to the volumes counts as its memory.
        memory: 192 * MB,
        shm: None,
        cpu_quota: CPU_PERIOD / 2,
        pids: 32,
        mounts: vec![
            (prefixed(id, "simctl-redis-data"), "/keep/redis-data"),
            (prefixed(id, "simctl-postgres-wal"), "/keep/postgres-wal"),
            (prefixed(id, "simctl-postgres-tablespace"), "/keep/postgres-tablespace"),
        ],
        stop_signal: "SIGTERM",
    }
}

fn redis(id: &str, port: u16) -> ContainerSpec {
    let mut command: Vec<String> =
        ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"]
            .map(str::to_owned)
            .to_vec();
    command.extend(redis_args());
    ContainerSpec {
        part: Part::Redis,
        name: Part::Redis.name(id),
        image: REDIS_IMAGE,
        command,
        env: Vec::new(),
        port: Some((port, 6379)),
        memory: REDIS_MEMORY,
        shm: None,
        cpu_quota: SERVER_CPU_QUOTA,
        pids: SERVER_PIDS,
        mounts: vec![(prefixed(id, "simctl-redis-data"), "/data")],
        stop_signal: "SIGTERM",
    }
}

fn postgres(id: &str, port: u16) -> ContainerSpec {
    let mut env = vec![("SIMCTL_PG_WAL", PG_WAL), ("SIMCTL_PG_TABLESPACE", PG_TABLESPACE)];
    env.extend(postgres_env(Part::Postgres));
    ContainerSpec {
        part: Part::Postgres,
        name: Part::Postgres.name(id),
        image: POSTGRES_IMAGE,
        command: vec!["lab".to_owned()],
        env,
        port: Some((port, 5432)),
        memory: POSTGRES_MEMORY,
        shm: Some(64 * MB),
        cpu_quota: SERVER_CPU_QUOTA,
        pids: SERVER_PIDS,
        mounts: vec![
            (prefixed(id, "simctl-postgres-data"), PG_ROOT),
            (prefixed(id, "simctl-postgres-wal"), PG_WAL),
            (prefixed(id, "simctl-postgres-tablespace"), PG_TABLESPACE),
        ],
        stop_signal: "SIGINT",
    }
}

fn store(id: &str, port: u16) -> ContainerSpec {
    ContainerSpec {
        part: Part::Store,
        name: Part::Store.name(id),
        image: POSTGRES_IMAGE,
        command: vec!["store".to_owned()],
        env: postgres_env(Part::Store),
        port: Some((port, 5432)),
        memory: 256 * MB,
        shm: Some(64 * MB),
        cpu_quota: SERVER_CPU_QUOTA,
        pids: SERVER_PIDS,
        mounts: vec![(prefixed(id, "simctl-store-data"), PG_ROOT)],
        stop_signal: "SIGINT",
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
pub(in crate::lab) mod tests;
