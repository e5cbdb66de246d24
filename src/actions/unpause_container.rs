//! Lets a paused container go on where it stopped.

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

const ID: &str = "unpause_container";
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a paused container go on",
    about: "Unpauses what the server runs in; connections and memory are as they were. Right when it was paused.",
    args: &[],
    needs: &[Need::Runtime("unpause")],
    verify: "the container runs, and it is the same life of it as before",
};

/// See the module.
#[derive(Debug)]
pub(super) struct UnpauseContainer;

async fn paused(server: &Server) -> Result<UnitState, ActionError> {
    let state = inspect(server).await?;
    if state.status == UnitStatus::Paused {
        return Ok(state);
    }
    Err(ActionError::Precondition(format!(
        "{} is not paused, it is {}",
        place(server)?.unit.name,
        word(state.status)
    )))
}

#[async_trait]
impl Action for UnpauseContainer {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let state = paused(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&Call::Runtime(Op::Unpause))],
            scope: [
                ("unit".into(), state.identity()),
                ("status".into(), word(state.status).into()),
            ]
            .into(),
            consequences: Vec::new(),
            notes: vec!["nothing in memory is lost; commands that waited are answered".into()],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let identity = paused(server).await?.identity();
        Ok(Saved::from([("unit".into(), json!(identity))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        paused(server).await?;
        let (channel, call) = (Channel::new(server, ID), Call::Runtime(Op::Unpause));
        report(announced(channel.spell(&call)));
        channel.perform(&call, CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let before: String = kept(saved, "unit")?;
            let state = inspect(server).await?;
            let same = state.identity() == before;
            let life = if same { "the same as before" } else { "another one" };
            Ok(vec![
                measured("container runs", state.status == UnitStatus::Running, word(state.status)),
                measured("same container, not restarted", same, life),
            ])
        };
        measuring.await.unwrap_or_else(|e: ActionError| vec![unmeasured("container", &e)])
    }
}
