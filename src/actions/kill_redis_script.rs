//! Ends the script or function that keeps a Redis server busy, as long as it has not written.

use std::time::Duration;

use async_trait::async_trait;
use redis::{FromRedisValue, RedisError, Value};

use super::args::Given;
use super::channel::{Call, Channel, Words, within};
use super::checks::{announced, measured, unmeasured};
use super::redis::Redis;
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "kill_redis_script";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Low,
    title: "End the running script",
    about: "SCRIPT KILL or FUNCTION KILL. Right when one script keeps the server busy; one that has written already \
            is refused by the server, and nothing changes.",
    args: &[],
    needs: &[Need::Redis(&["script|kill", "function|kill", "function|stats", "ping"])],
    verify: "the server answers, no script keeps it busy",
};

/// See the module.
#[derive(Debug)]
pub(super) struct KillRedisScript;

/// What keeps the server busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Script,
    Function,
}

impl Runs {
    pub(super) fn kill(self) -> Call {
        match self {
            Self::Script => Call::Redis(vec![Words::of(["SCRIPT", "KILL"])]),
            Self::Function => Call::Redis(vec![Words::of(["FUNCTION", "KILL"])]),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Function => "function",
        }
    }

    /// By the server's own words, which name the command that ends it.
    fn of(error: &RedisError) -> Option<Self> {
        let told = error.detail().unwrap_or_default();
        let function = told.contains("FUNCTION KILL");
        (error.code() == Some("BUSY")).then_some(if function {
            Self::Function
        } else {
            Self::Script
        })
    }
}

/// What keeps the server busy, with its own words about it; `None` when nothing does.
pub(super) async fn running(redis: &mut Redis) -> Result<Option<(Runs, String)>, ActionError> {
    let answered: Result<Value, RedisError> =
        redis::cmd("PING").query_async(&mut redis.connection).await;
    let Err(error) = answered else { return Ok(None) };
    let Some(runs) = Runs::of(&error) else {
        return Err(super::failed("ask for PING", error));
    };
    let said = match runs {
        Runs::Script => error.detail().unwrap_or_default().to_owned(),
        Runs::Function => function_words(redis).await.unwrap_or_default(),
    };
    Ok(Some((runs, said)))
}

/// A function tells its name and how long it runs; a script does not.
async fn function_words(redis: &mut Redis) -> Option<String> {
    let stats: Value = redis.ask(&["FUNCTION", "STATS"]).await.ok()?;
    let pairs: Vec<Value> = Vec::from_redis_value(stats).ok()?;
    let running: Vec<Value> = Vec::from_redis_value(pairs.into_iter().nth(1)?).ok()?;
    let mut fields = running.into_iter();
    let mut text = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let name: String = redis::from_redis_value(name).ok()?;
        if let Ok(value) = redis::from_redis_value::<String>(value) {
            text.push(format!("{name} {value}"));
        }
    }
    Some(text.join(", "))
}

pub(super) async fn must_be_busy(
    server: &Server,
    action: &'static str,
) -> Result<(Runs, String), ActionError> {
    let mut redis = Redis::open(server, action).await?;
    running(&mut redis).await?.ok_or_else(|| {
        ActionError::Precondition(format!("no script keeps {} busy", server.target.id))
    })
}

/// That nothing keeps the server busy any more.
pub(super) async fn is_free(server: &Server, action: &'static str) -> Result<Check, ActionError> {
    let busy = running(&mut Redis::open(server, action).await?).await?;
    let said = match &busy {
        None => "PING is answered".to_owned(),
        Some((runs, _)) => format!("a {} still runs", runs.word()),
    };
    Ok(measured("no script keeps it busy", busy.is_none(), said))
}

#[async_trait]
impl Action for KillRedisScript {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let (runs, said) = must_be_busy(server, ID).await?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&runs.kill())],
                scope: [("runs".into(), runs.word().into())].into(),
                consequences: Vec::new(),
                notes: vec![
                    format!("the {} that runs: {said}", runs.word()),
                    "its caller gets an error; nothing that it read or computed is kept".into(),
                    "one that has written already is not killed: the server refuses, and nothing changes".into(),
                ],
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let looking = must_be_busy(server, ID);
        let (runs, _) =
            within(LOOK_DEADLINE, format!("look at {}", server.target.id), looking).await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&runs.kill())));
        channel.perform(&runs.kill(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look for a script", is_free(server, ID));
        measuring.await.map_or_else(|e| vec![unmeasured("script", &e)], |check| vec![check])
    }
}
