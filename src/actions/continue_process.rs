//! Lets the first process of a container go on that a signal stopped.

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
use crate::ports::runtime::Signal;
use crate::targets::{Server, first_process};

const ID: &str = "continue_process";
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a stopped process go on",
    about: "SIGCONT to the first process of the container; connections and memory are as they were. Right when a \
            signal stopped it and the container is not paused.",
    args: &[],
    needs: &[Need::Runtime("kill --signal CONT")],
    verify: "its first process is not stopped, and it is the same life of the container as before",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ContinueProcess;

fn go_on() -> Call {
    Call::Runtime(Op::Signal(Signal::Continue))
}

async fn first(server: &Server) -> Result<char, ActionError> {
    let place = place(server)?;
    first_process::state(place).await.map_err(|answer| {
        let what = format!("look at the first process of {}", place.unit.name);
        ActionError::Precondition(format!("{what}: {}", answer.describe()))
    })
}

async fn stopped(server: &Server) -> Result<UnitState, ActionError> {
    let state = inspect(server).await?;
    let refused =
        |why: String| Err(ActionError::Precondition(format!("{} {why}", place(server)?.unit.name)));
    if state.status != UnitStatus::Running {
        return refused(format!("is {}, not stopped by a signal", word(state.status)));
    }
    match first(server).await? {
        stopped if first_process::is_stopped(stopped) => Ok(state),
        other => refused(format!("goes on: its first process is in state {other}")),
    }
}

#[async_trait]
impl Action for ContinueProcess {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let state = stopped(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&go_on())],
            scope: [("unit".into(), state.identity())].into(),
            consequences: Vec::new(),
            notes: vec!["nothing in memory is lost; commands that waited are answered".into()],
        })
    }

    fn undo_kind(&self, _: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, _: &Args) -> Result<Saved, ActionError> {
        Ok(Saved::from([("unit".into(), json!(stopped(server).await?.identity()))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        stopped(server).await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&go_on())));
        channel.perform(&go_on(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, _: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let before: String = kept(saved, "unit")?;
            let (state, first) = (inspect(server).await?, first(server).await?);
            let same = state.identity() == before;
            let life = if same { "the same as before" } else { "another one" };
            let goes_on = !first_process::is_stopped(first);
            Ok(vec![
                measured("its first process goes on", goes_on, format!("state {first}")),
                measured("same container, not restarted", same, life),
            ])
        };
        measuring.await.unwrap_or_else(|e: ActionError| vec![unmeasured("first process", &e)])
    }
}
