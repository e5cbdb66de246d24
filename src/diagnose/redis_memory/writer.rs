//! Who writes: only where it can be told from what the clients last did.

use crate::diagnose::facts::{Facts, RedisClient};

/// Commands that add data. A client that only removes or reads fills nothing.
const ADDING: &[&str] = &[
    "append", "copy", "getset", "hincrby", "hmset", "hset", "hsetnx", "incr", "incrby", "linsert",
    "lpush", "lpushx", "mset", "msetnx", "pfadd", "psetex", "restore", "rpush", "rpushx", "sadd",
    "set", "setex", "setnx", "setrange", "xadd", "zadd",
];
/// Longer ago is no writer any more.
const RECENT_S: u64 = 2;

/// The connections that add data now, when they all belong to one client (host and name); more than one
/// writing client means that the leaking one cannot be told.
pub(crate) fn writers(facts: &Facts) -> Option<Vec<&RedisClient>> {
    let redis = facts.redis.as_ref()?;
    let adding: Vec<&RedisClient> =
        redis.clients.iter().filter(|client| is_adding(client)).collect();
    let group = |client: &RedisClient| (host(&client.addr).to_owned(), client.name.clone());
    let first = adding.first().map(|client| group(client))?;
    adding.iter().all(|client| group(client) == first).then_some(adding)
}

fn is_adding(client: &RedisClient) -> bool {
    // Replicas, masters, monitors and subscribers are no ordinary clients.
    let ordinary = !client.flags.contains(['S', 'M', 'O', 'P']);
    ordinary && client.idle_s <= RECENT_S && ADDING.contains(&client.cmd.as_str())
}

fn host(addr: &str) -> &str {
    addr.rsplit_once(':').map_or(addr, |(host, _port)| host)
}
