//! A client begins transactions, writes, and never ends them: slots and rows stay taken.

use std::time::Duration;

use async_trait::async_trait;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct IdleInTransaction;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "idle-in-transaction",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Transactions left open",
    about: "One client opens connections until the next is refused; each begins a transaction, changes one row of \
            the fault's own table and stops. The slots and the rows stay taken.",
    finding: FindingKind::ClientsRefused,
    cause: "idle-in-transaction",
    fixed_by: &["kill_idle_transactions"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["rows of others", "sessions of others"],
    undo: &["close the connections the fault holds", "DROP TABLE of the fault's own table"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for IdleInTransaction {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!(
                "as {who}: CREATE TABLE with an ordinary name and {} rows",
                sessions::MOST_CONNECTIONS
            ),
            format!(
                "connect as {who} until the server answers 53300, at most {} times; in each `BEGIN; UPDATE` of a row \
                 of its own, and nothing more",
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
        let maker = sessions::open(server, name).await?;
        tables::make(&maker, table, sessions::MOST_CONNECTIONS).await?;
        drop(maker);
        let query =
            |n| format!("begin; update public.{table} set amount = amount + 1 where id = {n}");
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
        tables::take_back(server, saved).await
    }
}
