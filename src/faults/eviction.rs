//! Somebody takes a cache's room away and lets it evict: no error, but clients miss what they had.
//!
//! Only keys with a time to live may go, and none but the fault's own have one, so nobody else's data is lost. Its
//! clients fill in what they miss, as those of a cache do.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::time::sleep;

use super::marks::{number, saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    keys, reach, redis_state,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;
use crate::targets::redis::HEARTBEAT_KEY;

pub(super) struct Eviction;

const LIMIT: &str = "maxmemory";
const POLICY: &str = "maxmemory-policy";
const LOWERED: &str = "lowered_to";
const EVICTING: &str = "volatile-lru";
const KEYS: u64 = 5_000;
const BYTES: usize = 900;
const TTL_S: u64 = 3_600;
/// Room for about a third of them.
const ROOM: u64 = 2 << 20;
/// What they all take, with some to spare.
const ALL: u64 = 8 << 20;
const CLIENTS: u64 = 2;
const READS: u64 = 50;
const REST: Duration = Duration::from_millis(25);
/// So long the clients find everything before the room is taken away.
const WELL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(1);
/// Fewer reads than this that find their key are a trouble, in percent.
const FOUND_PERCENT: u64 = 75;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "eviction",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "A cache without room",
    about: "Lowers maxmemory below what a working cache holds and sets a policy that evicts. Clients get no error; \
            they find fewer and fewer of their keys and fill them in again, which evicts others.",
    finding: FindingKind::CacheMisses,
    cause: "eviction",
    fixed_by: &["reset_redis_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key that was there", "writes, which are accepted all the while"],
    undo: &[
        "CONFIG SET maxmemory and maxmemory-policy back to what they were, unless somebody did already",
        "close the connections the fault holds, UNLINK its keys",
    ],
    takes_within: Duration::from_secs(8),
};

#[async_trait]
impl Fault for Eviction {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _: Option<&Server>, _: &Params) -> Vec<String> {
        vec![
            format!("SET <prefix><n> <{BYTES} bytes> EX {TTL_S}, {KEYS} times"),
            format!(
                "connect {CLIENTS} times and, every {} ms: EXISTS of {READS} of them, SET those that are missing",
                REST.as_millis()
            ),
            format!("CONFIG SET {POLICY} {EVICTING}"),
            format!("CONFIG SET {LIMIT} <what is in use now and {} MB>", keys::megabytes(ROOM)),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let full = keys::fullness(&mut con).await?;
        let refused =
            |why: &str| Err(FaultError::Precondition(format!("{} {why}", server.target.id)));
        if full.policy == EVICTING || full.policy.starts_with("allkeys") {
            return refused("evicts keys already, so others could be lost");
        }
        if full.limit > 0 && full.used + ALL > full.limit {
            return refused("has no room for a cache to work in");
        }
        if others_expire(&mut con).await? {
            return refused("has keys with a time to live, which would be evicted first");
        }
        let mut saved = filling::names(&mut con, seed).await?;
        saved.extend([
            (LIMIT.into(), json!(full.limit.to_string())),
            (POLICY.into(), json!(full.policy)),
            (LOWERED.into(), json!(full.used + ROOM)),
        ]);
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let prefix = text(saved, entry::PREFIX)?;
        let mut work = Tasks::default();
        for client in 0..CLIENTS {
            let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
            fill(&mut con, prefix, client).await?;
            work.spawn("faults: cache", use_cache(con, prefix.to_owned(), client));
        }
        progress(format!("{CLIENTS} clients use a cache of {} keys", keys::grouped(KEYS)));
        sleep(WELL).await;
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set(&mut con, POLICY, EVICTING).await?;
        redis_state::set(&mut con, LIMIT, &number(saved, LOWERED)?.to_string()).await?;
        progress(format!("room for {} MB of it is left", keys::megabytes(ROOM)));
        Ok(Box::new(work))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let before = Counted::of(&mut con).await?;
        sleep(LOOK).await;
        let now = Counted::of(&mut con).await?;
        let (hits, misses) = (now.hits - before.hits, now.misses - before.misses);
        let evicted = now.evicted - before.evicted;
        if evicted == 0 || hits * 100 > (hits + misses) * FOUND_PERCENT {
            return Err(FaultError::Precondition("clients still find their keys".into()));
        }
        Ok(format!("{misses} of {} reads miss, {evicted} keys evicted in a second", hits + misses))
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let lowered = number(saved, LOWERED)?.to_string();
        redis_state::set_back(&mut con, LIMIT, &lowered, text(saved, LIMIT)?).await?;
        redis_state::set_back(&mut con, POLICY, EVICTING, text(saved, POLICY)?).await?;
        filling::leave(server, saved).await
    }
}

/// What the server counted since it started.
struct Counted {
    hits: u64,
    misses: u64,
    evicted: u64,
}

impl Counted {
    async fn of(con: &mut MultiplexedConnection) -> Result<Self, FaultError> {
        let mut fields = [0; 3];
        for (field, name) in
            fields.iter_mut().zip(["keyspace_hits", "keyspace_misses", "evicted_keys"])
        {
            let told = redis_state::info(con, "stats", name).await?;
            *field = told.parse().map_err(|e| FaultError::failed(format!("read {name}"), e))?;
        }
        let [hits, misses, evicted] = fields;
        Ok(Self { hits, misses, evicted })
    }
}

/// Whether any key but that of the probes has a time to live.
async fn others_expire(con: &mut MultiplexedConnection) -> Result<bool, FaultError> {
    let keyspace: String = reach::ask(con, &["INFO", "keyspace"]).await?;
    let expires = keyspace.lines().filter_map(|line| {
        let (_, rest) = line.split_once("expires=")?;
        rest.split(',').next()?.parse::<u64>().ok()
    });
    let ours: u64 = reach::ask(con, &["EXISTS", HEARTBEAT_KEY]).await?;
    Ok(expires.sum::<u64>() > ours)
}

fn put(prefix: &str, n: u64) -> redis::Cmd {
    let mut set = redis::cmd("SET");
    set.arg(format!("{prefix}{n}")).arg(vec![b'x'; BYTES]).arg("EX").arg(TTL_S);
    set
}

/// This client's share of the keys.
async fn fill(
    con: &mut MultiplexedConnection,
    prefix: &str,
    client: u64,
) -> Result<(), FaultError> {
    let mine: Vec<u64> = (0..KEYS).filter(|n| n % CLIENTS == client).collect();
    for some in mine.chunks(500) {
        let mut sets = redis::pipe();
        for n in some {
            sets.add_command(put(prefix, *n)).ignore();
        }
        let () = sets
            .query_async(con)
            .await
            .map_err(|e| FaultError::failed(format!("fill keys under {prefix}"), e))?;
    }
    Ok(())
}

/// Reads here and there, and fills in what is missing, until its connection ends.
async fn use_cache(mut con: MultiplexedConnection, prefix: String, client: u64) {
    let mut at = client;
    loop {
        let some: Vec<u64> = (0..READS)
            .map(|_| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
                (at >> 33) % KEYS
            })
            .collect();
        let mut gets = redis::pipe();
        for n in &some {
            gets.cmd("EXISTS").arg(format!("{prefix}{n}"));
        }
        let Ok(there) = gets.query_async::<Vec<u64>>(&mut con).await else { return };
        let mut sets = redis::pipe();
        for (n, _) in some.iter().zip(&there).filter(|(_, there)| **there == 0) {
            sets.add_command(put(&prefix, *n)).ignore();
        }
        if sets.query_async::<()>(&mut con).await.is_err_and(|error| error.is_io_error()) {
            return;
        }
        sleep(REST).await;
    }
}
