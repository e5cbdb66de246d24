//! A Lua script that keeps a Redis server busy for a bounded time, with or without a write before.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::time::sleep;

use super::marks::{number, saved as entry, text};
use super::{
    Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, filling, keys, reach,
    redis_state,
};
use crate::engine::tasks::Tasks;
use crate::targets::Server;

/// One such script.
pub(super) struct Script {
    pub(super) descriptor: &'static Descriptor,
    pub(super) kind: Kind,
}

/// Whether the script writes before it begins to loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
}

pub(super) const PARAMS: &[Param] = &[Param {
    name: SECONDS,
    about: "how long the script runs when nobody ends it",
    default: 60,
    min: 5,
    max: 90,
}];
const SECONDS: &str = "seconds";
const THRESHOLD: &str = "busy-reply-threshold";
const LOWERED_TO: &str = "lowered_to";
/// How long a script may run before others are told, in milliseconds: below the deadline of a probe, so that nobody
/// takes it for a server that hangs.
const LOWERED: u64 = 200;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Longer than the longest script.
const PATIENCE: Duration = Duration::from_secs(100);

/// `ARGV[1]`: seconds. The clock goes on while a script runs.
const LOOP: &str = "local start = redis.call('TIME')[1] \
                    while redis.call('TIME')[1] - start < tonumber(ARGV[1]) do end \
                    return 'done'";

fn source(kind: Kind) -> String {
    match kind {
        Kind::Reads => LOOP.to_owned(),
        Kind::Writes => format!("redis.call('SET', KEYS[1], 'begun', 'EX', 600) {LOOP}"),
    }
}

#[async_trait]
impl Fault for Script {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn calls(&self, _: Option<&Server>, params: &Params) -> Vec<String> {
        let keys = match self.kind {
            Kind::Reads => "0",
            Kind::Writes => "1 <prefix>run",
        };
        vec![
            format!("CONFIG SET {THRESHOLD} {LOWERED}"),
            format!("EVAL \"{}\" {keys} {}", source(self.kind), params[SECONDS]),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let mut saved = filling::names(&mut con, seed).await?;
        saved.extend([
            (THRESHOLD.into(), json!(redis_state::setting(&mut con, THRESHOLD).await?)),
            (LOWERED_TO.into(), json!(LOWERED)),
        ]);
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        redis_state::set(&mut con, THRESHOLD, &number(saved, LOWERED_TO)?.to_string()).await?;
        let key = format!("{}run", text(saved, entry::PREFIX)?);
        let (kind, seconds) = (self.kind, params[SECONDS]);
        let mut tasks = Tasks::default();
        tasks.spawn("faults: script", async move {
            con.set_response_timeout(PATIENCE);
            // Killed, stopped or done: whichever it was, it is not this task that tells.
            let ended = run(&mut con, kind, &key, seconds).await;
            tracing::debug!(?ended, "the script of a fault ended");
        });
        progress(format!("a script runs for {seconds} s at most"));
        Ok(Box::new(tasks))
    }

    /// The server's words while it is busy.
    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        busy(&mut con)
            .await?
            .ok_or_else(|| FaultError::Precondition("every command is still answered".into()))
    }

    /// Ends our script, or waits for its end; nobody else's script is killed, because none can run beside it.
    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        while busy(&mut con).await?.is_some() {
            // UNKILLABLE when it has written: then its own bound ends it.
            let _: redis::RedisResult<()> =
                redis::cmd("SCRIPT").arg("KILL").query_async(&mut con).await;
            sleep(LOOK_AGAIN).await;
        }
        let ours = number(saved, LOWERED_TO)?.to_string();
        redis_state::set_back(&mut con, THRESHOLD, &ours, text(saved, THRESHOLD)?).await?;
        keys::unlink(&mut con, text(saved, entry::PREFIX)?).await?;
        Ok(())
    }
}

async fn run(
    con: &mut MultiplexedConnection,
    kind: Kind,
    key: &str,
    seconds: u64,
) -> redis::RedisResult<String> {
    let mut eval = redis::cmd("EVAL");
    eval.arg(source(kind));
    match kind {
        Kind::Reads => eval.arg(0),
        Kind::Writes => eval.arg(1).arg(key),
    };
    eval.arg(seconds).query_async(con).await
}

async fn busy(con: &mut MultiplexedConnection) -> Result<Option<String>, FaultError> {
    let answered: redis::RedisResult<String> = redis::cmd("PING").query_async(con).await;
    match answered {
        Ok(_) => Ok(None),
        Err(error) if error.code() == Some("BUSY") => {
            Ok(Some(format!("BUSY {}", error.detail().unwrap_or_default())))
        }
        Err(error) => Err(FaultError::failed("ask for PING", error)),
    }
}
