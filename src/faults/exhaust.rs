//! The application's role takes every connection slot it can get; the next client is refused.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct Exhaust;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "exhaust",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "No connection slot left",
    about: "One client opens connections as the application's role until the server refuses the next, and keeps \
            them idle. A slot that becomes free is not taken again.",
    finding: FindingKind::ClientsRefused,
    cause: "idle-leak",
    fixed_by: &["kill_idle_connections"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions of others"],
    undo: &["close the connections the fault holds"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for Exhaust {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![format!(
            "connect as {who} until the server answers 53300, at most {} times; run `select 1` in \
             each, and leave them idle",
            sessions::MOST_CONNECTIONS
        )]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        reach::superuser(server).await?;
        Ok(Saved::from([(entry::SESSION.into(), json!(words::program(seed)))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let query = |_| "select 1".to_owned();
        Ok(Box::new(sessions::until_refused(server, name, query, progress).await?))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        sessions::refusal(server, text(saved, entry::SESSION)?).await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        sessions::end(server, text(saved, entry::SESSION)?).await
    }
}
