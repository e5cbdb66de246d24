//! A client writes keys without a TTL until Redis is full and refuses writes, and keeps trying.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::keys::{self, MOST_BYTES, VALUE_BYTES, grouped, megabytes};
use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    reach, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;

pub(super) struct LeakOom;

const MOST_KEYS: u64 = 200_000;
const RETRY: Duration = Duration::from_millis(200);
/// Keys between two looks at the memory.
const STEP: u64 = 2_000;
/// Ordinary keys put into an empty server, so that a fix can show that it spares them.
const OTHERS_PER_PREFIX: u64 = 250;
const OTHER_BYTES: usize = 40;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "leak-oom",
    aliases: &["redis-memory"],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Restores,
    title: "Key leak until Redis is full",
    about: "One client writes keys of 900 bytes without a TTL until the first out-of-memory error, then keeps \
            trying. Reads still work; every write is refused.",
    finding: FindingKind::WritesRefused,
    cause: "leak-oom",
    fixed_by: &["kill_redis_clients", "unlink_keys"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["keys outside its own prefix", "settings"],
    undo: &["close the writer's connection", "UNLINK every key under the fault's own prefix"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for LeakOom {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!(
                "SET <prefix>:<n> <{OTHER_BYTES} bytes> for 2 other prefixes of {OTHERS_PER_PREFIX} keys, \
                 only if the server holds no keys; these stay"
            ),
            format!(
                "SET <prefix>:<n> <{VALUE_BYTES} bytes> in pipelines of 500 to the first OOM error, at most {} \
                 keys and {} MB; the prefix is an ordinary word that no key has yet",
                grouped(MOST_KEYS),
                megabytes(MOST_BYTES)
            ),
            format!(
                "SET <prefix>:<n> every {} ms until the connection is closed",
                RETRY.as_millis()
            ),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let full = keys::fullness(&mut con).await?;
        keys::can_fill(server, &full)?;
        let mut saved = filling::names(&mut con, seed).await?;
        let ours = text(&saved, entry::PREFIX)?;
        let others = keys::unused(&mut con, words::prefixes(seed)).await?;
        let others = others.into_iter().filter(|prefix| prefix != ours);
        let stays: Vec<String> =
            if full.lasting_keys == 0 { others.take(2).collect() } else { Vec::new() };
        saved.insert(entry::STAYS.into(), json!(stays));
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (prefix, name) = (text(saved, entry::PREFIX)?, text(saved, entry::SESSION)?);
        let mut con = reach::redis(server, name).await?;
        for other in super::Marks::of(saved).stays {
            keys::fill(&mut con, &other, 0..OTHERS_PER_PREFIX, OTHER_BYTES).await?;
        }
        let written = fill_up(&mut con, prefix, progress).await?;
        let mut writer = Tasks::default();
        writer.spawn("faults: leak", keep_leaking(con, prefix.to_owned(), written));
        Ok(Box::new(writer))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::unlink(server, saved).await
    }
}

/// Writes until the server refuses; how many keys it took.
async fn fill_up(
    con: &mut MultiplexedConnection,
    prefix: &str,
    progress: Progress<'_>,
) -> Result<u64, FaultError> {
    let mut keys = 0;
    while keys < MOST_KEYS {
        let filled = keys::fill(con, prefix, keys..keys + STEP, VALUE_BYTES).await?;
        keys += filled.keys;
        if let Some(words) = filled.refused {
            progress(format!("{} keys, then {words}", grouped(keys)));
            return Ok(keys);
        }
        let full = keys::fullness(con).await?;
        let (used, limit) = (megabytes(full.used), megabytes(full.limit));
        progress(format!("{} keys, {used} MB of {limit} MB", grouped(keys)));
        if full.used > MOST_BYTES {
            break;
        }
    }
    Err(FaultError::Precondition(format!(
        "not full after {} keys, where this fault stops",
        grouped(keys)
    )))
}

/// One write at a time, until its connection is closed: it does not come back, as a client without retries.
async fn keep_leaking(mut con: MultiplexedConnection, prefix: String, first: u64) {
    let value = [b'x'; VALUE_BYTES];
    let mut n = first;
    while n < MOST_KEYS {
        tokio::time::sleep(RETRY).await;
        let mut set = redis::cmd("SET");
        set.arg(format!("{prefix}{n}")).arg(&value[..]);
        match set.query_async::<()>(&mut con).await {
            Ok(()) => n += 1,
            Err(error) if error.is_io_error() && !error.is_timeout() => return,
            Err(_) => {}
        }
    }
}
