//! Removes the keys of one family and nothing else, after a copy of each was taken.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, append, within};
use super::checks::{
    announced, bytes, costs, count, grouped, kept, measured, progress, unmeasured,
};
use super::redis::{Info, Redis, link};
use super::undo_file::{Writer, path_for, trouble};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, copy};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "unlink_keys";
/// Removed without being told a maximum.
const DEFAULT_MAX: u64 = 1_000_000;
const KEYS_PER_UNLINK: usize = 500;
/// UNLINKs fed to one redis-cli; progress is told in between.
const UNLINKS_PER_CALL: usize = 100;
const MAX_COPY_BYTES: u64 = 256 << 20;
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
const COPY_DEADLINE: Duration = Duration::from_secs(120);
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Memory must be below this afterwards, in percent of the limit.
pub(super) const ENOUGH_ROOM_PERCENT: f64 = 85.0;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::High,
    title: "Remove the keys under a prefix",
    about: "Copies and then unlinks every key that starts with the prefix; all other keys stay. Right when one \
            family of keys fills the memory and its writer has stopped.",
    args: &[
        Arg::text("prefix", "the beginning of the keys to remove, taken literally"),
        Arg::whole("max", "refuse when there are more keys than this (1,000,000)").optional(),
    ],
    needs: &[Need::Redis(&["scan", "unlink", "dump", "pttl", "restore", "info"]), Need::RedisKeys],
    verify: "no key under the prefix is left, no other key is missing, memory is below 85 % of its limit",
};

/// See the module.
#[derive(Debug)]
pub(super) struct UnlinkKeys;

struct Wanted {
    prefix: String,
    max: u64,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let prefix: String =
            given.required("prefix", "the beginning of the keys, like `cache:`")?;
        if prefix.is_empty() {
            return Err(wrong("prefix", "is empty, which means every key; use clear_redis_cache"));
        }
        let max = given.optional("max", "a whole number")?.unwrap_or(DEFAULT_MAX);
        Ok(Self { prefix, max })
    }

    /// Every key of the family, or why it is not removed.
    async fn keys(&self, redis: &mut Redis) -> Result<Vec<Vec<u8>>, ActionError> {
        let family = redis.family(&self.prefix, self.max).await?;
        if family.more {
            return Err(ActionError::Precondition(format!(
                "more than {} keys start with `{}`; nothing is removed unless `max` allows for it",
                grouped(self.max),
                self.prefix
            )));
        }
        if family.keys.is_empty() {
            return Err(ActionError::Precondition(format!("no key starts with `{}`", self.prefix)));
        }
        Ok(family.keys)
    }
}

fn undo_path(server: &Server, wanted: &Wanted) -> Result<std::path::PathBuf, ActionError> {
    path_for(ID, server.target.id.as_str(), &wanted.prefix)
}

/// The removal of these keys, in calls between which progress is told.
fn calls(keys: &[Vec<u8>]) -> impl Iterator<Item = (Call, usize)> {
    let unlink = |part: &[Vec<u8>]| {
        Words(std::iter::once(b"UNLINK".to_vec()).chain(part.iter().cloned()).collect())
    };
    keys.chunks(KEYS_PER_UNLINK * UNLINKS_PER_CALL).map(move |part| {
        (Call::Redis(part.chunks(KEYS_PER_UNLINK).map(unlink).collect()), part.len())
    })
}

#[async_trait]
impl Action for UnlinkKeys {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("count the keys of {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let keys = wanted.keys(&mut redis).await?;
            let (freed, total) = (redis.weigh(&keys).await?, redis.dbsize().await?);
            let info = redis.info().await?;
            let removed = keys.len() as u64;
            let kept = total.saturating_sub(removed);
            let channel = Channel::new(server, ID);
            Ok(Preview {
                commands: calls(&keys).map(|(call, _)| channel.spell(&call)).collect(),
                scope: [
                    ("prefix".into(), wanted.prefix.clone()),
                    ("database".into(), link(server)?.database.to_string()),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: vec![costs(removed, "keys removed"), costs(freed, "bytes freed")],
                notes: vec![
                    format!(
                        "{} under `{}`, about {}",
                        count(removed, "key"),
                        wanted.prefix,
                        bytes(freed)
                    ),
                    format!("{} of other families kept", count(kept, "key")),
                    "a copy of each key and its time to live is taken before".into(),
                ],
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("restores the removed keys with their times to live from the copy".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        let path = undo_path(server, &wanted)?;
        within(COPY_DEADLINE, format!("copy keys of {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let keys = wanted.keys(&mut redis).await?;
            let info = redis.info().await?;
            let database = u32::try_from(link(server)?.database).unwrap_or_default();
            let mut writer = Writer::create(&path, info.text("run_id"))
                .map_err(|e| trouble("create", &path, e))?;
            copy::copy_keys(&mut redis, &mut writer, database, &keys, MAX_COPY_BYTES).await?;
            let size = writer.bytes;
            let copied = copy::finish(writer, path.clone()).await?;
            let others = redis.dbsize().await?.saturating_sub(keys.len() as u64);
            Ok(Saved::from([
                ("file".into(), json!(path)),
                ("keys".into(), json!(copied)),
                ("bytes".into(), json!(size)),
                ("others".into(), json!(others)),
                ("removed_by_server".into(), json!(removed_by_server(&info)?)),
            ]))
        })
        .await
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let keys = copied_keys(server, &wanted).await?;
        let channel = Channel::new(server, ID);
        let mut whole = Output::default();
        let mut done = 0;
        for (call, size) in calls(&keys) {
            report(announced(channel.spell(&call)));
            append(&mut whole, &channel.perform(&call, CALL_DEADLINE).await?);
            if !super::channel::succeeded(&whole) {
                return Ok(whole);
            }
            done += size as u64;
            report(progress(format!(
                "{} of {} unlinked",
                grouped(done),
                grouped(keys.len() as u64)
            )));
        }
        Ok(whole)
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "count keys", measure(server, args, saved));
        measuring.await.unwrap_or_else(|e| vec![unmeasured("keys", &e)])
    }

    fn undo_commands(&self, _server: &Server, _args: &Args, saved: &Saved) -> Vec<String> {
        copy::told(saved, "keys")
    }

    async fn undo(
        &self,
        server: &Server,
        _args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let path: std::path::PathBuf = kept(saved, "file")?;
        copy::restore(Channel::new(server, ID), &path).await
    }
}

/// Exactly the keys that are in the copy: one written in between has none, so it is not removed.
async fn copied_keys(server: &Server, wanted: &Wanted) -> Result<Vec<Vec<u8>>, ActionError> {
    let path = undo_path(server, wanted)?;
    if !path.exists() {
        return Err(ActionError::Precondition("no copy of the keys was taken before".into()));
    }
    let (run_id, keys) = copy::read_keys(path).await?;
    let info = Redis::open(server, ID).await?.info().await?;
    if info.text("run_id") != run_id {
        return Err(ActionError::Precondition(format!(
            "{} was restarted after the copy of its keys was taken",
            server.target.id
        )));
    }
    if keys.iter().any(|key| !key.starts_with(wanted.prefix.as_bytes())) {
        return Err(ActionError::Precondition("the copy holds keys of another family".into()));
    }
    Ok(keys)
}

/// Keys that the server took away by itself since it started.
pub(super) fn removed_by_server(info: &Info) -> Result<u64, ActionError> {
    Ok(info.number("expired_keys")? + info.number("evicted_keys")?)
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let wanted = Wanted::read(args)?;
    let others_before: u64 = kept(saved, "others")?;
    let removed_before: u64 = kept(saved, "removed_by_server")?;
    let mut redis = Redis::open(server, ID).await?;
    let left = redis.family(&wanted.prefix, u64::MAX).await?.keys.len() as u64;
    let others = redis.dbsize().await?.saturating_sub(left);
    let info = redis.info().await?;
    let by_server = removed_by_server(&info)?.saturating_sub(removed_before);
    Ok(vec![
        measured(
            "prefix is empty",
            left == 0,
            format!("{} under `{}`", count(left, "key"), wanted.prefix),
        ),
        measured(
            "other keys are there",
            others + by_server >= others_before,
            format!(
                "{} now, {} before, {} expired or evicted since",
                grouped(others),
                grouped(others_before),
                grouped(by_server)
            ),
        ),
        enough_room(&info)?,
    ])
}

/// Whether there is memory to write into again.
pub(super) fn enough_room(info: &Info) -> Result<Check, ActionError> {
    let name = "memory below 85 % of its limit";
    Ok(match info.memory_percent()? {
        Some(percent) => measured(name, percent < ENOUGH_ROOM_PERCENT, format!("{percent:.1} %")),
        None => measured(name, true, "no limit is set"),
    })
}
