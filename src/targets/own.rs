//! The user's own servers, from the configuration.

use std::sync::Arc;

use super::postgres::{Login, PostgresLink};
use super::redis::RedisLink;
use super::{Link, Place, Server};
use crate::config::TargetConfig;
use crate::domain::target::{Engine, Target};
use crate::ports::runtime::{Runtime, RuntimeKind, Unit};

/// A configured server. Its container can be reached only through Docker.
pub fn server(config: &TargetConfig, runtime: Option<&Arc<dyn Runtime>>) -> Server {
    let place = place(config, runtime);
    let target = Target {
        id: config.id.clone(),
        engine: config.engine,
        profile: config.profile,
        lab: None,
        has_runtime: place.is_some(),
        thresholds: config.thresholds.clone(),
        verify_hold: config.verify_hold,
    };
    let link = match config.engine {
        Engine::Redis => Link::Redis(redis(config)),
        Engine::Postgres => Link::Postgres(postgres(config)),
    };
    Server { target, periods: config.periods.clone(), link, place }
}

fn place(config: &TargetConfig, runtime: Option<&Arc<dyn Runtime>>) -> Option<Place> {
    let docker = runtime.filter(|runtime| runtime.kind() == RuntimeKind::Docker)?;
    let client = match config.engine {
        Engine::Redis => vec!["redis-cli".to_owned()],
        Engine::Postgres => {
            let user = config.user.clone().unwrap_or_else(|| "postgres".to_owned());
            let words = ["psql", "-X", "-U", &user, "-d", &config.database];
            words.map(str::to_owned).to_vec()
        }
    };
    let unit = Unit { name: config.container.clone()?, lab: None, client };
    Some(Place { runtime: Arc::clone(docker), unit })
}

fn redis(config: &TargetConfig) -> RedisLink {
    RedisLink {
        name: config.id.to_string(),
        host: config.host.clone(),
        port: config.port,
        database: config.database.parse().unwrap_or(0),
        user: config.user.clone(),
        password: config.password.clone(),
        tls: config.tls.clone(),
        deadline: config.periods.deadline,
        kept: Default::default(),
    }
}

/// One login is all the user gave; what it may not do, the server refuses.
fn postgres(config: &TargetConfig) -> PostgresLink {
    let login = Login {
        user: config.user.clone().unwrap_or_default(),
        password: config.password.clone(),
        database: config.database.clone(),
    };
    PostgresLink {
        name: config.id.to_string(),
        host: config.host.clone(),
        port: config.port,
        app: login.clone(),
        monitor: login.clone(),
        fixer: Some(login),
        tls: config.tls.clone(),
        deadline: config.periods.deadline,
    }
}
