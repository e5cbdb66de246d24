//! Empties every database of a Redis server: the last resort of the actions for memory.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Words, within};
use super::checks::{announced, bytes, costs, count, grouped, kept, measured, unmeasured};
use super::redis::{Info, Redis};
use super::undo_file::{Writer, path_for, trouble};
use super::unlink_keys::enough_room;
use super::{Action, ActionError, Descriptor, Need, Report, Saved, copy};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "clear_redis_cache";
/// Beyond these no copy is taken.
const MAX_COPY_KEYS: u64 = 200_000;
const MAX_COPY_BYTES: u64 = 64 << 20;
const LOOK_DEADLINE: Duration = Duration::from_secs(15);
const COPY_DEADLINE: Duration = Duration::from_secs(60);
const CALL_DEADLINE: Duration = Duration::from_secs(30);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &["flush", "clear_cache"],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Destructive,
    title: "Remove every key",
    about: "FLUSHALL ASYNC: all keys of all databases are gone and the cache starts cold. Right only when all of it \
            can be computed again and nothing smaller helps.",
    args: &[],
    needs: &[
        Need::Redis(&[
            "config|get",
            "flushall",
            "flushdb",
            "info",
            "scan",
            "dump",
            "pttl",
            "restore",
            "client|list",
        ]),
        Need::RedisKeys,
    ],
    verify: "the keys are gone and memory is below 85 % of its limit",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ClearRedisCache;

fn flush() -> Call {
    Call::Redis(vec![Words::of(["FLUSHALL", "ASYNC"])])
}

/// Why no copy can be taken before, if so.
fn too_big_to_copy(info: &Info) -> Result<Option<String>, ActionError> {
    let (keys, data) = (info.keys(), info.number("used_memory_dataset")?);
    let over = |what: String, limit: String| Some(format!("{what} is over the {limit} of a copy"));
    Ok(if keys > MAX_COPY_KEYS {
        over(count(keys, "key"), grouped(MAX_COPY_KEYS))
    } else if data > MAX_COPY_BYTES {
        over(bytes(data), bytes(MAX_COPY_BYTES))
    } else {
        None
    })
}

#[async_trait]
impl Action for ClearRedisCache {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let info = redis.info().await?;
            let keys = info.keys();
            if keys == 0 {
                return Err(ActionError::Precondition(format!(
                    "{} holds no keys",
                    server.target.id
                )));
            }
            let dataset = info.number("used_memory_dataset")?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&flush())],
                scope: [("server run".into(), info.text("run_id").into())].into(),
                consequences: vec![costs(keys, "keys removed"), costs(dataset, "bytes freed")],
                notes: notes(server, &mut redis, &info).await?,
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Compensating(
            "restores the keys from the copy taken before, if the data was small enough for one"
                .into(),
        )
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let path = path_for(ID, server.target.id.as_str(), "")?;
        let mut redis = Redis::open(server, ID).await?;
        let info = redis.info().await?;
        let mut saved = Saved::from([("keys".into(), json!(info.keys()))]);
        let copied = match too_big_to_copy(&info)? {
            Some(reason) => Err(ActionError::Precondition(reason)),
            None => {
                let copying = copy_all(&mut redis, &info, path.clone());
                within(COPY_DEADLINE, "copy all keys", copying).await
            }
        };
        match copied {
            Ok(copied) => {
                saved.insert("file".into(), json!(path));
                saved.insert("copied".into(), json!(copied));
            }
            Err(error) => {
                saved.insert("no_copy".into(), json!(super::checks::explain(&error)));
            }
        }
        Ok(saved)
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&flush())));
        channel.perform(&flush(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "count keys", async {
            let before: u64 = kept(saved, "keys")?;
            let info = Redis::open(server, ID).await?.info().await?;
            let now = info.keys();
            let detail = format!("{} now, {} before", grouped(now), grouped(before));
            Ok(vec![measured("keys are gone", now < before, detail), enough_room(&info)?])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("keys", &e)])
    }

    fn undo_commands(&self, _server: &Server, _args: &Args, saved: &Saved) -> Vec<String> {
        copy::told(saved, "copied")
    }

    async fn undo(
        &self,
        server: &Server,
        _args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        if let Ok(reason) = kept::<String>(saved, "no_copy") {
            return Err(ActionError::Precondition(format!("no copy was taken: {reason}")));
        }
        let path: PathBuf = kept(saved, "file")?;
        copy::restore(Channel::new(server, ID), &path).await
    }
}

async fn notes(
    server: &Server,
    redis: &mut Redis,
    info: &Info,
) -> Result<Vec<String>, ActionError> {
    let (hits, misses) = (info.number("keyspace_hits")?, info.number("keyspace_misses")?);
    let mut notes = Vec::new();
    if let Some(percent) = (hits * 100).checked_div(hits + misses) {
        notes.push(format!(
            "{percent} % of {} since the start were hits; all of them miss at first afterwards",
            count(hits + misses, "read")
        ));
    }
    notes.push(match too_big_to_copy(info)? {
        None => "a copy of all keys is taken before".into(),
        Some(reason) => format!("cannot be undone: {reason}"),
    });
    let used = info.number("used_memory")?;
    if server.place.is_some()
        && let Some(limit) = super::unit::inspect(server).await?.memory_limit
        && used * 2 > limit
    {
        notes.push(format!(
            "a refill at once can take twice the {} in use, and the container may have {}",
            bytes(used),
            bytes(limit)
        ));
    }
    if !redis.setting("save").await?.is_empty() {
        notes.push("the dump on disk is rewritten empty as well".into());
    }
    Ok(notes)
}

async fn copy_all(redis: &mut Redis, info: &Info, path: PathBuf) -> Result<u64, ActionError> {
    let mut writer =
        Writer::create(&path, info.text("run_id")).map_err(|e| trouble("create", &path, e))?;
    for (number, _) in info.databases() {
        let () = redis.ask(&["SELECT", &number.to_string()]).await?;
        let family = redis.family("", MAX_COPY_KEYS).await?;
        if family.more {
            return Err(ActionError::Precondition("there are too many keys for a copy".into()));
        }
        let database = u32::try_from(number).unwrap_or_default();
        copy::copy_keys(redis, &mut writer, database, &family.keys, MAX_COPY_BYTES).await?;
    }
    copy::finish(writer, path).await
}
