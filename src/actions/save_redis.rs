//! Has a Redis server save its data to disk in the background, and waits for it.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Words, succeeded, within};
use super::checks::{announced, bytes, count, kept, measured, progress, unmeasured};
use super::redis::{Info, Redis};
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::{Server, disk};

const ID: &str = "save_redis";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);
const SAVED_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Save to disk now",
    about: "BGSAVE, waited for. Right once the reason for a failed save is gone: with a snapshot that works, writes \
            are taken again at once.",
    args: &[],
    needs: &[Need::Redis(&["bgsave", "info", "config|get"])],
    verify: "a later snapshot than before is on disk, its status is ok",
};

/// See the module.
#[derive(Debug)]
pub(super) struct SaveRedis;

fn save() -> Call {
    Call::Redis(vec![Words::of(["BGSAVE"])])
}

/// What tells one snapshot from the next. The time alone has a resolution of a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    at: u64,
    saves: u64,
}

impl Mark {
    fn of(info: &Info) -> Result<Self, ActionError> {
        Ok(Self {
            at: info.number("rdb_last_save_time")?,
            saves: info.number("rdb_saves").unwrap_or(0),
        })
    }
}

fn is_saving(info: &Info) -> bool {
    ["rdb_bgsave_in_progress", "aof_rewrite_in_progress"]
        .into_iter()
        .any(|field| info.text(field) == "1")
}

async fn look(redis: &mut Redis, server: &Server) -> Result<Info, ActionError> {
    let info = redis.info().await?;
    if is_saving(&info) {
        let text = format!("{} is saving already", server.target.id);
        return Err(ActionError::Precondition(text));
    }
    Ok(info)
}

/// How much is free where it would save, where that can be asked.
async fn room(redis: &mut Redis, server: &Server) -> Option<u64> {
    let dir = redis.setting("dir").await.ok()?;
    Some(disk::look(server.place.as_ref()?, &dir).await.ok()?.available)
}

/// A snapshot is about half as large as the data in memory, and an old one stays beside it until the end.
fn wanted(info: &Info) -> Result<u64, ActionError> {
    Ok(info.number("used_memory_dataset")? / 2)
}

#[async_trait]
impl Action for SaveRedis {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let info = look(&mut redis, server).await?;
            let mut notes = vec![format!(
                "{} in {}; the server goes on while a child process writes",
                count(info.keys(), "key"),
                bytes(info.number("used_memory_dataset")?)
            )];
            if let Some(free) = room(&mut redis, server).await {
                let enough =
                    if free < wanted(&info)? { ", too little until some is freed" } else { "" };
                notes.push(format!("{} free on its disk now{enough}", bytes(free)));
            }
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&save())],
                scope: [("server run".into(), info.text("run_id").into())].into(),
                consequences: Vec::new(),
                notes,
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let mark = Mark::of(&settled(&mut Redis::open(server, ID).await?).await?)?;
        Ok(Saved::from([("at".into(), json!(mark.at)), ("saves".into(), json!(mark.saves))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let mut redis = Redis::open(server, ID).await?;
        let looking = async {
            let info = settled(&mut redis).await?;
            match room(&mut redis, server).await {
                Some(free) if free < wanted(&info)? => Err(ActionError::Precondition(format!(
                    "only {} are free on its disk",
                    bytes(free)
                ))),
                Some(_) | None => Ok(()),
            }
        };
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), looking).await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&save())));
        let mut output = channel.perform(&save(), CALL_DEADLINE).await?;
        if succeeded(&output) {
            report(progress("waiting until it has saved"));
            let info = within(SAVED_DEADLINE, "wait until it has saved", done(&mut redis)).await?;
            if info.text("rdb_last_bgsave_status") != "ok" {
                output.exit_code = Some(1);
                output.stderr.push_str("the snapshot failed; the server's log says why\n");
            }
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the last save", async {
            let before = Mark { at: kept(saved, "at")?, saves: kept(saved, "saves")? };
            let info = Redis::open(server, ID).await?.info().await?;
            let now = Mark::of(&info)?;
            let status = info.text("rdb_last_bgsave_status").to_owned();
            Ok(vec![
                measured("it saved anew", now > before, format!("last save at {}", now.at)),
                measured("the last save worked", status == "ok", format!("status {status}")),
            ])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("last save", &e)])
    }
}

/// Once nothing is being saved: a server whose trouble just ended may save by itself that very moment.
async fn settled(redis: &mut Redis) -> Result<Info, ActionError> {
    within(LOOK_DEADLINE, "wait until another save is over", done(redis)).await
}

async fn done(redis: &mut Redis) -> Result<Info, ActionError> {
    loop {
        let info = redis.info().await?;
        if !is_saving(&info) {
            return Ok(info);
        }
        tokio::time::sleep(POLL).await;
    }
}
