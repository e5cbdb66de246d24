//! A Lua script that keeps a Redis server busy for a bounded time, with or without a write before.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::time::sleep;

use super::marks::{number, saved as entry, text};
use super::{FaultError, Grip, Param, Params, Progress, Saved, keys, reach, redis_state, words};
use crate::engine::tasks::Tasks;
use crate::targets::Server;

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

pub(super) fn calls(kind: Kind, params: &Params) -> Vec<String> {
    let keys = match kind {
        Kind::Reads => "0",
        Kind::Writes => "1 <prefix>run",
    };
    vec![
        format!("CONFIG SET {THRESHOLD} {LOWERED}"),
        format!("EVAL \"{}\" {keys} {}", source(kind), params[SECONDS]),
    ]
}

pub(super) async fn save(server: &Server, seed: u64) -> Result<Saved, FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    let free = keys::unused(&mut con, words::prefixes(seed)).await?;
    let prefix = free.first().ok_or_else(|| {
        FaultError::Precondition("every prefix this fault could use is taken".into())
    })?;
    let original = redis_state::setting(&mut con, THRESHOLD).await?;
    Ok(Saved::from([
        (entry::PREFIX.into(), json!(prefix)),
        (entry::SESSION.into(), json!(words::program(seed))),
        (THRESHOLD.into(), json!(original)),
        (LOWERED_TO.into(), json!(LOWERED)),
    ]))
}

pub(super) async fn inject(
    server: &Server,
    kind: Kind,
    params: &Params,
    saved: &Saved,
    progress: Progress<'_>,
) -> Result<Grip, FaultError> {
    let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
    redis_state::set(&mut con, THRESHOLD, &number(saved, LOWERED_TO)?.to_string()).await?;
    let key = format!("{}run", text(saved, entry::PREFIX)?);
    let seconds = params[SECONDS];
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

/// The server's words while it is busy.
pub(super) async fn took(server: &Server) -> Result<String, FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    busy(&mut con)
        .await?
        .ok_or_else(|| FaultError::Precondition("every command is still answered".into()))
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

/// Ends our script, or waits for its end; nobody else's script is killed, because none can run beside it.
pub(super) async fn revert(server: &Server, saved: &Saved) -> Result<(), FaultError> {
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
