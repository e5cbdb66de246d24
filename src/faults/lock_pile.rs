//! One session locks a table and stops; readers queue behind it until no connection slot is left.

use std::time::Duration;

use async_trait::async_trait;

use super::marks::{saved as entry, text};
use super::sessions::Afterwards;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct LockPile;

const ROWS: u64 = 100;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "lock-pile",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "A queue behind a lock",
    about: "One session locks the fault's own table and does nothing more. Readers of the table wait behind it, each \
            with its connection, until the next client is refused.",
    finding: FindingKind::ClientsRefused,
    cause: "lock-pile",
    fixed_by: &["kill_blocker"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["tables of others", "sessions of others"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for LockPile {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows"),
            "in one session: BEGIN; LOCK TABLE of it IN ACCESS EXCLUSIVE MODE; and nothing more"
                .into(),
            format!(
                "connect as {who} until the server answers 53300, at most {} times, and SELECT count(*) of it in each",
                sessions::MOST_CONNECTIONS
            ),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        tables::names(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let root = sessions::open(server, name).await?;
        tables::make(&root, table, ROWS).await?;
        tables::run(
            &root.client,
            &format!("begin; lock table public.{table} in access exclusive mode"),
        )
        .await?;
        progress(format!("{table} is locked"));
        let read = format!("select count(*) from public.{table}");
        // A reader that was served leaves, as clients do.
        let readers = sessions::crowd(server, name, &read, Afterwards::Leaves, progress).await?;
        Ok(Box::new((root, readers)))
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
        tables::take_back(server, saved).await
    }
}
