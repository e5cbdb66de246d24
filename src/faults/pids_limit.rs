//! PostgreSQL can start no process for a new client: who is in goes on, who comes is cut off.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    process_limit, standing,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct PidsLimit;

const WAIT: Duration = Duration::from_secs(1);
/// What the server tells a client in the middle of its greeting.
const TOLD: &str = "could not fork";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "pids-limit",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "No process can be started for a client",
    about: "Lowers the container's limit of processes to as many as it has. Sessions that are there go on; no new \
            client gets one, a superuser neither.",
    finding: FindingKind::ProbeFailing,
    cause: "pids-limit",
    fixed_by: &["reset_pids_limit"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["sessions that are open", "every row", "the server's settings"],
    undo: &["set the limit of processes back to what it was, unless somebody did already"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for PidsLimit {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        process_limit::available(server).await
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![process_limit::call(server)]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut saved = Saved::new();
        process_limit::save(server, &mut saved).await?;
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        process_limit::lower(server, saved, progress).await?;
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let told = standing::first_words(server, WAIT).await;
        let words = told.map_err(|why| FaultError::Precondition(format!("no answer: {why}")))?;
        if words.contains(TOLD) {
            return Ok(words);
        }
        Err(FaultError::Precondition("a new client still gets a session".into()))
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        process_limit::raise(server, saved).await
    }
}
