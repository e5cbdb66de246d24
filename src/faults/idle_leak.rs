//! A client leaks PostgreSQL connections: they stay open, idle, for ever.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach, sessions, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct IdleLeak;

const CONNECTIONS: &str = "connections";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "idle-leak",
    aliases: &["postgres-connections"],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Idle connections pile up",
    about: "One client opens connections as the application's role and leaves them idle. Nothing fails yet; the \
            slots are gone.",
    finding: FindingKind::ConnectionPressure,
    cause: "idle-leak",
    fixed_by: &["kill_idle_connections"],
    params: &[Param {
        name: CONNECTIONS,
        about: "how many connections to leave open",
        default: 12,
        min: 1,
        max: 15,
    }],
    risk: Risk::Low,
    untouched: &["data", "sessions of others"],
    undo: &["close the connections the fault holds"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for IdleLeak {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![format!(
            "connect {} times as {who}, run `select 1` in each, and leave them idle",
            params[CONNECTIONS]
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
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, wanted) = (text(saved, entry::SESSION)?, params[CONNECTIONS]);
        let opened = sessions::open_idle(server, name, wanted, progress).await?;
        match opened.refused {
            None => Ok(Box::new(opened.held)),
            Some(words) => Err(FaultError::Precondition(format!(
                "only {} of {wanted} connections opened: {words}",
                opened.held.len()
            ))),
        }
    }

    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        let (_, idle) = sessions::count(server, text(saved, entry::SESSION)?).await?;
        let wanted = params[CONNECTIONS];
        if idle < wanted {
            return Err(FaultError::Precondition(format!("{idle} of {wanted} sessions are idle")));
        }
        Ok(format!("{idle} idle sessions of one client"))
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
