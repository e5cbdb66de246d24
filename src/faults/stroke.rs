//! What is done to what a server runs in, in one stroke: it stands still, or it is gone.

use async_trait::async_trait;

use super::{Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, standing};
use crate::ports::runtime::{Operation, Signal, UnitStatus};
use crate::targets::{Server, processes};

/// One such fault.
pub(super) struct Stroke {
    pub(super) descriptor: &'static Descriptor,
    pub(super) blow: Blow,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// All of it stands still, and the runtime says so.
    Pause,
    /// Its first process stands still, and the runtime does not say so.
    Stop,
    Kill,
    Crash,
}

impl Blow {
    fn operation(self) -> Operation<'static> {
        match self {
            Self::Pause => Operation::Pause,
            Self::Stop => Operation::Signal(Signal::Stop),
            Self::Kill => Operation::Kill,
            Self::Crash => Operation::Signal(Signal::SegmentationFault),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stop => "send SIGSTOP to",
            Self::Kill => "kill",
            Self::Crash => "send SIGSEGV to",
        }
    }
}

#[async_trait]
impl Fault for Stroke {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, self.descriptor.runtimes)?;
        if self.blow != Blow::Stop {
            return Ok(());
        }
        let place = standing::place(server).map_err(|error| error.in_words())?;
        let state = processes::first(place).await;
        state.map(drop).map_err(|answer| format!("its first process: {}", answer.describe()))
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        vec![standing::spelled(server, self.blow.operation(), self.blow.verb())]
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        standing::must_run(server).await?;
        Ok(Saved::new())
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        _: &Saved,
        _: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let place = standing::place(server)?;
        let (runtime, unit) = (&place.runtime, &place.unit);
        let struck = match self.blow {
            Blow::Pause => runtime.pause(unit).await,
            Blow::Kill => runtime.kill(unit).await,
            Blow::Stop => runtime.signal(unit, Signal::Stop).await,
            Blow::Crash => runtime.signal(unit, Signal::SegmentationFault).await,
        };
        let doing = || format!("{} {}", self.blow.verb(), unit.name);
        struck.map_err(|error| FaultError::failed(doing(), error))?;
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        let status = standing::unit(server).await?.status;
        match self.blow {
            Blow::Pause if status != UnitStatus::Paused => {
                Err(FaultError::Precondition(format!("it is {}", standing::word(status))))
            }
            Blow::Pause | Blow::Stop => standing::is_silent(server).await,
            Blow::Kill | Blow::Crash => standing::has_ended(server).await,
        }
    }

    async fn revert(&self, server: &Server, _: &Params, _: &Saved) -> Result<(), FaultError> {
        let place = standing::place(server)?;
        let status = standing::unit(server).await?.status;
        match (self.blow, status) {
            (Blow::Pause, UnitStatus::Paused) => {
                let undone = place.runtime.unpause(&place.unit).await;
                standing::unless_gone(format!("unpause {}", place.unit.name), undone)
            }
            // Whoever is not stopped takes no notice of it.
            (Blow::Stop, UnitStatus::Running) => {
                let undone = place.runtime.signal(&place.unit, Signal::Continue).await;
                standing::unless_gone(format!("send SIGCONT to {}", place.unit.name), undone)
            }
            (Blow::Kill | Blow::Crash, UnitStatus::Exited) => {
                standing::start_if_ended(server).await
            }
            _ => Ok(()),
        }
    }
}
