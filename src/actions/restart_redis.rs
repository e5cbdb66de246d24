//! Restarts a Redis server and waits until it has loaded its data. Without persistence that loses every key.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Op, within};
use super::checks::{
    announced, bytes, costs, count, grouped, kept, measured, progress, unmeasured,
};
use super::redis::{Info, Redis};
use super::unit::inspect;
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "restart_redis";
/// How long it may save before it is killed.
const GRACE: Duration = Duration::from_secs(30);
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Loading a large data set takes its time; it is watched, not guessed.
const READY_DEADLINE: Duration = Duration::from_secs(180);
const READY_POLL: Duration = Duration::from_millis(50);
/// Measured: a stop that is obeyed and the start after it.
const RESTART_SECONDS: u64 = 1;
/// About what one core loads from disk.
const LOADED_BYTES_PER_SECOND: u64 = 100 << 20;
const PERSISTS: &str = "keeps its data";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &["restart"],
    engine: Some(Engine::Redis),
    needs_runtime: true,
    risk: Risk::High,
    title: "Restart the server",
    about: "Stops and starts the server and waits until it has loaded its data. Right when nothing smaller helps; \
            without persistence every key is lost.",
    args: &[],
    needs: &[Need::Redis(&["config|get", "info"]), Need::Runtime("restart")],
    verify: "a new life of the server answers, its data is loaded, no key that was on disk is missing",
};

/// See the module.
#[derive(Debug)]
pub(super) struct RestartRedis;

fn restart() -> Call {
    Call::Runtime(Op::Restart(GRACE))
}

/// How the data survives a restart, if it does.
struct Persistence {
    save_points: bool,
    append_only: bool,
    last_save_failed: bool,
}

impl Persistence {
    async fn read(redis: &mut Redis, info: &Info) -> Result<Self, ActionError> {
        Ok(Self {
            save_points: !redis.setting("save").await?.is_empty(),
            append_only: redis.setting("appendonly").await? == "yes",
            last_save_failed: info.text("rdb_last_bgsave_status") == "err"
                || info.text("aof_last_write_status") == "err",
        })
    }

    /// Whether the data is on disk when the server comes back.
    fn holds(&self) -> bool {
        (self.save_points || self.append_only) && !self.last_save_failed
    }

    /// A stop would try to save, and fail again.
    fn cannot_save(&self) -> bool {
        (self.save_points || self.append_only) && self.last_save_failed
    }

    fn describe(&self, changes: u64) -> String {
        let since = format!("{} since the last save", count(changes, "change"));
        match (self.append_only, self.save_points) {
            _ if self.last_save_failed => {
                format!("the last save failed: what changed since then is lost ({since})")
            }
            (true, _) => "every write is in the append-only file".into(),
            (false, true) => format!("it saves before it stops ({since})"),
            (false, false) => "nothing is saved to disk: EVERY KEY IS LOST".into(),
        }
    }

    fn keys_lost(&self, keys: u64, changes: u64) -> u64 {
        match (self.holds(), self.save_points || self.append_only) {
            (true, _) => 0,
            (false, true) => changes.min(keys),
            (false, false) => keys,
        }
    }
}

async fn look(server: &Server) -> Result<(Info, Persistence), ActionError> {
    let mut redis = Redis::open(server, ID).await?;
    let info = redis.info().await?;
    if info.text("loading") == "1" {
        return Err(ActionError::Precondition(format!(
            "{} is loading its data; a restart would begin that again",
            server.target.id
        )));
    }
    let persistence = Persistence::read(&mut redis, &info).await?;
    if persistence.cannot_save() {
        return Err(ActionError::Precondition(format!(
            "{} cannot save: a stop would wait for a save that fails, then kill it and lose what changed since; \
             make it save first (save_redis)",
            server.target.id
        )));
    }
    Ok((info, persistence))
}

#[async_trait]
impl Action for RestartRedis {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let unit = inspect(server).await?;
        let (info, persistence) =
            within(LOOK_DEADLINE, format!("look at {}", server.target.id), look(server)).await?;
        let (keys, changes) = (info.keys(), info.number("rdb_changes_since_last_save")?);
        let dataset = info.number("used_memory_dataset")?;
        let seconds = RESTART_SECONDS + dataset / LOADED_BYTES_PER_SECOND;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&restart())],
            scope: [
                ("unit".into(), unit.identity()),
                (PERSISTS.into(), if persistence.holds() { "yes" } else { "no" }.into()),
            ]
            .into(),
            consequences: vec![
                costs(persistence.keys_lost(keys, changes), "keys removed"),
                // Our own connection is one of them.
                costs(info.number("connected_clients")?.saturating_sub(1), "clients cut"),
                costs(seconds, "seconds of downtime"),
            ],
            notes: vec![
                persistence.describe(changes),
                format!("{} in {}", count(keys, "key"), bytes(dataset)),
                format!("when it does not obey, it is killed after {} s", GRACE.as_secs()),
            ],
        })
    }

    fn risk(&self, _server: &Server, _args: &Args, preview: &Preview) -> Risk {
        match preview.scope.get(PERSISTS).map(String::as_str) {
            Some("yes") => Risk::High,
            _ => Risk::Destructive,
        }
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let (info, persistence) = look(server).await?;
        let mortal: u64 = info.databases().iter().map(|(n, _)| info.database(*n).1).sum();
        Ok(Saved::from([
            ("run_id".into(), json!(info.text("run_id"))),
            ("keys".into(), json!(info.keys())),
            ("keys_with_ttl".into(), json!(mortal)),
            ("holds".into(), json!(persistence.holds())),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        inspect(server).await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&restart())));
        let started = tokio::time::Instant::now();
        let mut output = channel.perform(&restart(), CALL_DEADLINE).await?;
        report(progress("restarted; waiting until it has loaded its data"));
        let loaded = wait_until_loaded(server, report).await;
        output.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = loaded {
            output.exit_code = Some(1);
            output.stderr = format!("{}\n", super::checks::explain(&error));
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the server", async {
            let info = Redis::open(server, ID).await?.info().await?;
            judge(&info, saved)
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("server", &e)])
    }
}

async fn wait_until_loaded(server: &Server, report: Report<'_>) -> Result<(), ActionError> {
    let deadline = tokio::time::Instant::now() + READY_DEADLINE;
    let mut told = String::new();
    loop {
        let state = async { Redis::open(server, ID).await?.info().await }.await;
        match &state {
            Ok(info) if info.text("loading") != "1" => return Ok(()),
            Ok(info) => {
                // Whole tens, so that the log gets ten lines and not a thousand.
                let tens = info.text("loading_loaded_perc").split('.').next().unwrap_or_default();
                let tens = format!("{}0", tens.get(..tens.len().saturating_sub(1)).unwrap_or(""));
                if tens != told {
                    report(progress(format!("loading, {tens} % and more")));
                    told = tens;
                }
            }
            Err(_) => {}
        }
        if tokio::time::Instant::now() >= deadline {
            return state.map(|_| ()).and_then(|()| {
                Err(ActionError::Precondition(format!(
                    "{} is still loading after {} s",
                    server.target.id,
                    READY_DEADLINE.as_secs()
                )))
            });
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

fn judge(info: &Info, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let (run_id, keys): (String, u64) = (kept(saved, "run_id")?, kept(saved, "keys")?);
    let (mortal, holds): (u64, bool) = (kept(saved, "keys_with_ttl")?, kept(saved, "holds")?);
    let loaded = info.text("loading") != "1";
    let now = info.keys();
    let expected = if holds { keys.saturating_sub(mortal) } else { 0 };
    Ok(vec![
        measured(
            "server was restarted",
            info.text("run_id") != run_id,
            format!("up for {} s", info.text("uptime_in_seconds")),
        ),
        measured("data is loaded", loaded, if loaded { "loaded" } else { "still loading" }),
        measured(
            "keys on disk are there",
            now >= expected,
            format!("{} now, {} expected at least", grouped(now), grouped(expected)),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_loses_follows_from_how_data_is_kept() {
        let with = |save_points, append_only, last_save_failed| Persistence {
            save_points,
            append_only,
            last_save_failed,
        };
        for (persistence, holds, lost) in [
            (with(false, false, false), false, 100),
            (with(true, false, false), true, 0),
            (with(false, true, false), true, 0),
            (with(true, false, true), false, 7),
            (with(false, true, true), false, 7),
        ] {
            assert_eq!(persistence.holds(), holds);
            assert_eq!(persistence.keys_lost(100, 7), lost);
            assert_eq!(persistence.cannot_save(), persistence.last_save_failed);
            assert!(!persistence.describe(7).is_empty());
        }
    }
}
