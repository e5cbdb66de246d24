//! Who is connected to a Redis, and what each does.

use serde_json::json;

use super::{Kind, Look, LookArg, first};
use crate::diagnose::facts::RedisClient;
use crate::domain::target::Engine;

pub(super) const CLIENTS: Look = Look {
    name: "clients",
    about: "The clients of the Redis server other than simctl: id, name, age, idle time, last command, buffers.",
    engine: Some(Engine::Redis),
    args: &[
        LookArg {
            name: "min_idle_s",
            kind: Kind::Count,
            about: "only those idle for at least so many seconds",
        },
        LookArg {
            name: "most",
            kind: Kind::Count,
            about: "at most so many, those with the most memory first",
        },
    ],
    see: |scene, given| {
        let redis =
            scene.facts.redis.as_ref().ok_or("the server could not be asked from inside")?;
        let min_idle = given.count("min_idle_s").unwrap_or(0);
        let mut clients: Vec<&RedisClient> =
            redis.clients.iter().filter(|client| client.idle_s >= min_idle).collect();
        clients.sort_by_key(|client| std::cmp::Reverse(client.total_mem));
        Ok(first(clients.into_iter().map(|client| json!(client)).collect(), given.count("most")))
    },
};
