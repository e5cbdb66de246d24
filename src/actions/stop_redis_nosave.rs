//! Stops a Redis server that a script keeps busy for good, without saving, and starts it again. The last resort: what
//! is only in memory is lost.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Op, Words, append, succeeded, within};
use super::checks::{announced, costs, kept, measured, progress, unmeasured};
use super::kill_redis_script::{is_free, must_be_busy};
use super::unit::inspect;
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::domain::unit::UnitStatus;
use crate::targets::Server;

const ID: &str = "stop_redis_nosave";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);
/// It does not save, so it is gone at once or not at all.
const GONE_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: true,
    risk: Risk::Destructive,
    title: "Stop without saving, and start",
    about: "SHUTDOWN NOSAVE, then a start. Only for a script that has written and does not end: every key that is not \
            on disk is lost. A script that can be killed after all is killed instead.",
    args: &[],
    needs: &[
        Need::Redis(&["script|kill", "function|kill", "shutdown", "ping"]),
        Need::Runtime("start"),
    ],
    verify: "the server runs and answers, no script keeps it busy",
};

/// See the module.
#[derive(Debug)]
pub(super) struct StopRedisNosave;

fn shutdown() -> Call {
    Call::Redis(vec![Words::of(["SHUTDOWN", "NOSAVE"])])
}

fn start() -> Call {
    Call::Runtime(Op::Start)
}

#[async_trait]
impl Action for StopRedisNosave {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let unit = inspect(server).await?;
        let looking = must_be_busy(server, ID);
        let (runs, said) =
            within(LOOK_DEADLINE, format!("look at {}", server.target.id), looking).await?;
        let channel = Channel::new(server, ID);
        Ok(Preview {
            commands: [runs.kill(), shutdown(), start()]
                .iter()
                .map(|call| channel.spell(call))
                .collect(),
            scope: [("unit".into(), unit.identity()), ("runs".into(), runs.word().into())].into(),
            consequences: vec![costs(1, "servers stopped"), costs(1, "seconds of downtime")],
            notes: vec![
                format!("the {} that runs: {said}", runs.word()),
                "EVERY KEY THAT IS NOT ON DISK IS LOST; while the script runs the server does not tell how many"
                    .into(),
                "if it can be killed after all, it is, and the server is not stopped".into(),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        Ok(Saved::from([("unit".into(), json!(inspect(server).await?.identity()))]))
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
        let killed = channel.perform(&runs.kill(), CALL_DEADLINE).await?;
        if succeeded(&killed)
            || !format!("{}{}", killed.stderr, killed.stdout).contains("UNKILLABLE")
        {
            return Ok(killed);
        }
        report(progress("it has written and cannot be killed: stopping the server"));
        report(announced(channel.spell(&shutdown())));
        // A server that obeys closes the connection instead of answering.
        let stopped = channel.perform(&shutdown(), CALL_DEADLINE).await;
        if let Err(error) = within(GONE_DEADLINE, "wait until it has ended", ended(server)).await {
            return stopped.and(Err(error));
        }
        report(announced(channel.spell(&start())));
        let mut whole = Output { stdout: "stopped without saving\n".into(), ..Output::default() };
        append(&mut whole, &channel.perform(&start(), CALL_DEADLINE).await?);
        Ok(whole)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the server", async {
            let before: String = kept(saved, "unit")?;
            let state = inspect(server).await?;
            let life = if state.identity() == before { "the same life" } else { "a new life" };
            Ok(vec![
                measured("it runs", state.status == UnitStatus::Running, life),
                is_free(server, ID).await?,
            ])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("server", &e)])
    }
}

async fn ended(server: &Server) -> Result<(), ActionError> {
    while inspect(server).await?.status != UnitStatus::Exited {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
