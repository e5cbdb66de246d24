//! Starts a container that has stopped, with its data as it is on its volumes.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Op};
use super::checks::{announced, kept, measured, unmeasured};
use super::unit::{inspect, place, word};
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::unit::{UnitState, UnitStatus};
use crate::targets::Server;

const ID: &str = "start_container";
const CALL_DEADLINE: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 3;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Start a stopped container",
    about: "Starts what the server runs in, with the data on its volumes. Right when it ended and the reason is gone.",
    args: &[],
    needs: &[Need::Runtime("start")],
    verify: "the container runs, started after this action",
};

/// See the module.
#[derive(Debug)]
pub(super) struct StartContainer;

async fn stopped(server: &Server) -> Result<UnitState, ActionError> {
    let state = inspect(server).await?;
    if state.status == UnitStatus::Exited {
        return Ok(state);
    }
    Err(ActionError::Precondition(format!(
        "{} is not stopped, it is {}",
        place(server)?.unit.name,
        word(state.status)
    )))
}

#[async_trait]
impl Action for StartContainer {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let state = stopped(server).await?;
        let mut notes = vec![match state.exit_code {
            Some(137) => "it was killed (exit code 137)".into(),
            Some(code) => format!("it ended with exit code {code}"),
            None => "how it ended is not known".into(),
        }];
        let place = place(server)?;
        match place.runtime.logs(&place.unit, LOG_LINES).await {
            Ok(lines) => notes.extend(lines.into_iter().map(|line| format!("log: {line}"))),
            Err(error) => notes.push(format!("its log cannot be read: {error}")),
        }
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&Call::Runtime(Op::Start))],
            scope: [
                ("unit".into(), state.identity()),
                ("status".into(), word(state.status).into()),
            ]
            .into(),
            consequences: Vec::new(),
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let state = stopped(server).await?;
        Ok(Saved::from([("id".into(), json!(state.id)), ("unit".into(), json!(state.identity()))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        stopped(server).await?;
        let (channel, call) = (Channel::new(server, ID), Call::Runtime(Op::Start));
        report(announced(channel.spell(&call)));
        channel.perform(&call, CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let before: String = kept(saved, "unit")?;
            let state = inspect(server).await?;
            Ok(vec![
                measured("container runs", state.status == UnitStatus::Running, word(state.status)),
                measured(
                    "started anew",
                    state.identity() != before,
                    state.started_at.map_or_else(
                        || "when it started is not known".into(),
                        |at| format!("started at {}", at.to_rfc3339()),
                    ),
                ),
            ])
        };
        measuring.await.unwrap_or_else(|e: ActionError| vec![unmeasured("container", &e)])
    }
}
