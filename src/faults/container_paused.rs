//! The container (or process) is frozen: clients connect and wait for an answer that does not come.

use std::time::Duration;

use async_trait::async_trait;

use super::standing::{self, Contact};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::ports::runtime::{Operation, UnitStatus};
use crate::targets::Server;

pub(super) struct ContainerPaused;

const SILENCE: Duration = Duration::from_millis(500);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "container-paused",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: None,
    class: Class::Persists,
    title: "Container paused",
    about: "Freezes what the server runs in. Connecting still succeeds; nothing answers. Memory is kept.",
    finding: FindingKind::ServerHung,
    cause: "container-paused",
    fixed_by: &["unpause_container"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data and memory", "connections that are open"],
    undo: &["unpause it, if it is still paused"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for ContainerPaused {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![standing::spelled(server, Operation::Pause, "pause")]
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
        let paused = place.runtime.pause(&place.unit).await;
        paused.map_err(|e| FaultError::failed(format!("pause {}", place.unit.name), e))?;
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let status = standing::unit(server).await?.status;
        if status != UnitStatus::Paused {
            return Err(FaultError::Precondition(format!("it is {}", standing::word(status))));
        }
        match standing::contact(server, SILENCE).await {
            Contact::Silent => Ok(format!("no answer within {} ms", SILENCE.as_millis())),
            Contact::Answers => Err(FaultError::Precondition("it still answers".into())),
            Contact::Refused(words) => {
                Err(FaultError::Precondition(format!("it refuses instead of hanging: {words}")))
            }
        }
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<(), FaultError> {
        if standing::unit(server).await?.status != UnitStatus::Paused {
            return Ok(());
        }
        let place = standing::place(server)?;
        let undone = place.runtime.unpause(&place.unit).await;
        standing::unless_gone(format!("unpause {}", place.unit.name), undone)
    }
}
