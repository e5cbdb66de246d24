//! The container (or process) is killed: clients are cut off, new ones are refused.

use std::time::Duration;

use async_trait::async_trait;

use super::standing::{self, Contact};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::ports::runtime::{Operation, UnitStatus};
use crate::targets::Server;

pub(super) struct ContainerKilled;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "container-killed",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: None,
    class: Class::Persists,
    title: "Container killed",
    about: "Kills what the server runs in with SIGKILL. Clients are cut off; what was only in memory is lost.",
    finding: FindingKind::ServerDown,
    cause: "container-killed",
    fixed_by: &["start_container"],
    params: &[],
    risk: Risk::High,
    untouched: &["what is on disk"],
    undo: &["start it, if it is not running"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for ContainerKilled {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![standing::spelled(server, Operation::Kill, "kill")]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        standing::must_run(server).await?;
        Ok(Saved::new())
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
        _progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let place = standing::place(server)?;
        let killed = place.runtime.kill(&place.unit).await;
        killed.map_err(|e| FaultError::failed(format!("kill {}", place.unit.name), e))?;
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let unit = standing::unit(server).await?;
        if unit.status == UnitStatus::Running {
            return Err(FaultError::Precondition("it still runs".into()));
        }
        let exit = unit.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
        match standing::contact(server, Duration::from_millis(500)).await {
            Contact::Refused(words) => Ok(format!("{words}{exit}")),
            Contact::Answers => Err(FaultError::Precondition("it still answers".into())),
            Contact::Silent => Err(FaultError::Precondition("it hangs instead of refusing".into())),
        }
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<(), FaultError> {
        if standing::unit(server).await?.status != UnitStatus::Exited {
            return Ok(());
        }
        let place = standing::place(server)?;
        let undone = place.runtime.start(&place.unit).await;
        standing::unless_gone(format!("start {}", place.unit.name), undone)
    }
}
