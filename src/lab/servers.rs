//! The lab's servers as targets: how to reach each, and what it runs in.

use std::sync::Arc;

use super::Lab;
use super::ready;
use super::spec::{self, Part, Ports};
use crate::config::Config;
use crate::config::secret::Secret;
use crate::domain::ids::TargetId;
use crate::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use crate::ports::runtime::{RuntimeKind, Unit};
use crate::runtime::Opened;
use crate::targets::postgres::PostgresLink;
use crate::targets::redis::RedisLink;
use crate::targets::{Link, Place, Server};

/// The lab of these parts on these ports.
pub(super) fn assemble(opened: Opened, config: &Config, ports: Ports, parts: &[Part]) -> Lab {
    let runtime = opened.shared();
    let servers = parts
        .iter()
        .filter_map(|part| {
            let name = part.name(&config.lab.id);
            let (engine, link) = link(*part, &name, ports)?;
            let unit = unit(*part, &config.lab.id, runtime.kind(), ports);
            Some(Server {
                target: target(config, &name, engine),
                periods: Periods::of(engine),
                link,
                place: Some(Place { runtime: Arc::clone(&runtime), unit }),
            })
        })
        .collect();
    Lab { runtime, servers, store_url: store_url(ports.store) }
}

/// A part's place in the runtime.
pub(super) fn unit(part: Part, lab_id: &str, kind: RuntimeKind, ports: Ports) -> Unit {
    Unit {
        name: part.name(lab_id),
        lab: Some(lab_id.to_owned()),
        client: client(part, kind, ports),
    }
}

fn target(config: &Config, name: &str, engine: Engine) -> Target {
    Target {
        id: TargetId::from(name),
        engine,
        profile: Profile::Lab,
        lab: Some(config.lab.id.clone()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: config.lab.verify_hold,
    }
}

fn link(part: Part, name: &str, ports: Ports) -> Option<(Engine, Link)> {
    let (name, host) = (name.to_owned(), "127.0.0.1".to_owned());
    match part {
        Part::Redis => {
            let link = RedisLink {
                name,
                host,
                port: ports.redis,
                database: 0,
                user: None,
                password: None,
                tls: None,
                deadline: Periods::of(Engine::Redis).deadline,
                kept: Default::default(),
            };
            Some((Engine::Redis, Link::Redis(link)))
        }
        Part::Postgres => {
            let link = PostgresLink {
                name,
                host,
                port: ports.postgres,
                app: ready::app(),
                monitor: ready::monitor(),
                fixer: Some(ready::superuser()),
                tls: None,
                deadline: Periods::of(Engine::Postgres).deadline,
            };
            Some((Engine::Postgres, Link::Postgres(link)))
        }
        Part::Store | Part::Keeper => None,
    }
}

/// In a container the client finds its server at the default place; a local one must be told.
fn client(part: Part, kind: RuntimeKind, ports: Ports) -> Vec<String> {
    let (redis_port, postgres_port) = (ports.redis.to_string(), ports.postgres.to_string());
    let words: Vec<&str> = match (part, kind) {
        (Part::Redis, RuntimeKind::Process) => {
            vec!["redis-cli", "-h", "127.0.0.1", "-p", &redis_port]
        }
        (Part::Redis | Part::Keeper, _) => vec!["redis-cli"],
        (Part::Postgres, RuntimeKind::Process) => {
            let address = ["psql", "-X", "-h", "127.0.0.1", "-p", &postgres_port];
            address.into_iter().chain(["-U", "postgres", "-d", "app"]).collect()
        }
        (Part::Postgres, _) => vec!["psql", "-X", "-U", "postgres", "-d", "app"],
        (Part::Store, _) => vec!["psql", "-X", "-U", "postgres", "-d", "simctl"],
    };
    words.into_iter().map(str::to_owned).collect()
}

fn store_url(port: u16) -> Secret {
    Secret::new(format!("postgres://simctl:{}@127.0.0.1:{port}/simctl", spec::STORE_PASSWORD))
}
