//! Lets a process go on that a signal stopped: the first one of a container, or that of one session.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Op};
use super::checks::{kept, measured, unmeasured};
use super::unit::{inspect, place, word};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::unit::{UnitState, UnitStatus};
use crate::ports::runtime::Signal;
use crate::targets::{Server, processes};

const ID: &str = "continue_process";
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a stopped process go on",
    about: "SIGCONT to the first process of the container, or to that of one session; connections and memory are as they \
            were. Right when a signal stopped it and the container is not paused.",
    args: &[
        Arg::whole("pid", "the process of one session; without it the first process").optional()
    ],
    needs: &[Need::Runtime("kill --signal CONT")],
    verify: "the process is not stopped, and it is the same life of the container as before",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ContinueProcess;

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    First,
    Session(i32),
}

impl Whom {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let pid: Option<i32> = Given::to(&DESCRIPTOR, args)?.optional("pid", "a whole number")?;
        match pid {
            None => Ok(Self::First),
            Some(pid) if pid > 1 => Ok(Self::Session(pid)),
            Some(pid) => Err(wrong("pid", format!("{pid} is no session's"))),
        }
    }

    fn words(self) -> String {
        match self {
            Self::First => "its first process".into(),
            Self::Session(pid) => format!("process {pid}"),
        }
    }

    fn call(self) -> Call {
        Call::Runtime(match self {
            Self::First => Op::Signal(Signal::Continue),
            Self::Session(pid) => Op::SignalInside(pid, Signal::Continue),
        })
    }

    /// As the kernel has it; `None`: there is no such process.
    async fn state(self, server: &Server) -> Result<Option<char>, ActionError> {
        let place = place(server)?;
        let looked = match self {
            Self::First => processes::first(place).await.map(Some),
            Self::Session(pid) => processes::state(place, pid).await,
        };
        looked.map_err(|answer| {
            let what = format!("look at {} of {}", self.words(), place.unit.name);
            ActionError::Precondition(format!("{what}: {}", answer.describe()))
        })
    }

    /// What it runs in, when it is stopped.
    async fn stopped(self, server: &Server) -> Result<UnitState, ActionError> {
        let state = inspect(server).await?;
        let name = &place(server)?.unit.name;
        let refused = |why: String| Err(ActionError::Precondition(format!("{name} {why}")));
        if state.status != UnitStatus::Running {
            return refused(format!("is {}, not stopped by a signal", word(state.status)));
        }
        match self.state(server).await? {
            Some(stopped) if processes::is_stopped(stopped) => Ok(state),
            Some(other) => refused(format!("goes on: {} is in state {other}", self.words())),
            None => refused(format!("has no {}", self.words())),
        }
    }
}

#[async_trait]
impl Action for ContinueProcess {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let whom = Whom::read(args)?;
        let state = whom.stopped(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&whom.call())],
            scope: [("unit".into(), state.identity()), ("process".into(), whom.words())].into(),
            consequences: Vec::new(),
            notes: vec!["nothing in memory is lost; what waited for it goes on".into()],
        })
    }

    fn undo_kind(&self, _: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let state = Whom::read(args)?.stopped(server).await?;
        Ok(Saved::from([("unit".into(), json!(state.identity()))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let whom = Whom::read(args)?;
        whom.stopped(server).await?;
        Channel::new(server, ID).carry_out(&whom.call(), CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let (whom, before): (_, String) = (Whom::read(args)?, kept(saved, "unit")?);
            let (state, process) = (inspect(server).await?, whom.state(server).await?);
            let same = state.identity() == before;
            let life = if same { "the same as before" } else { "another one" };
            // A session that was told to end while it stood still ends as soon as it goes on.
            let goes_on = process.is_none_or(|process| !processes::is_stopped(process));
            let seen = process.map_or_else(|| "it has ended".into(), |p| format!("state {p}"));
            Ok(vec![
                measured(&format!("{} goes on", whom.words()), goes_on, seen),
                measured("same container, not restarted", same, life),
            ])
        };
        measuring.await.unwrap_or_else(|e: ActionError| vec![unmeasured("process", &e)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_a_process_of_its_own() {
        let read = |pid: serde_json::Value| Whom::read(&[("pid".to_owned(), pid)].into());
        assert_eq!(Whom::read(&Args::new()).unwrap(), Whom::First);
        assert_eq!(read(json!(42)).unwrap(), Whom::Session(42));
        for bad in [json!(1), json!(0), json!(-1), json!("42")] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
