//! Queries that take for ever hold every connection slot; their sessions stay when they are cancelled.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::sessions::Afterwards;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct SlowPile;

/// How long a query would take; bounded, so that it ends even where nobody reverts.
const QUERY: &str = "select pg_sleep(600)";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "slow-pile",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Slow queries pile up",
    about: "One client opens connections until the next is refused and runs a query of ten minutes in each. A \
            cancelled query leaves its connection open.",
    finding: FindingKind::ClientsRefused,
    cause: "slow-pile",
    fixed_by: &["cancel_query", "kill_idle_connections"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions of others"],
    undo: &["close the connections the fault holds, and end those that the server still runs"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for SlowPile {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![format!(
            "connect as {} until the server answers 53300, at most {} times, and run `{QUERY}` in each",
            reach::who(server),
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
        Ok(Box::new(sessions::crowd(server, name, QUERY, Afterwards::Stays, progress).await?))
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
