//! A transaction is prepared for a two-phase commit and nobody ends it: it has no session, and its rows stay locked.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::reach::Session;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, standing, tables, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct PreparedOrphan;

const ROWS: u64 = 100;
const WAITERS: u64 = 3;
const GID: &str = "gid";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "prepared-orphan",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A prepared transaction nobody ends",
    about: "Writes rows of the fault's own table, prepares the transaction and leaves it. Three clients wait for these \
            rows, behind no session at all. It survives a restart.",
    finding: FindingKind::LockQueue,
    cause: "prepared-orphan",
    fixed_by: &["end_prepared"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["tables of others", "sessions of others", "prepared transactions of others"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "ROLLBACK PREPARED of the fault's own transaction, if it is still there",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for PreparedOrphan {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let session = reach::superuser(server).await.map_err(|error| error.in_words())?;
        let sql = "select current_setting('max_prepared_transactions')::int \
                   > (select count(*) from pg_prepared_xacts)";
        let row = session.client.query_one(sql, &[]).await;
        let row =
            row.map_err(|e| reach::sql_failed("count prepared transactions", e).in_words())?;
        let has_room: bool = row.get(0);
        has_room.then_some(()).ok_or_else(|| {
            format!(
                "{} takes no prepared transaction (max_prepared_transactions)",
                server.target.id
            )
        })
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows"),
            format!(
                "BEGIN; UPDATE {WAITERS} of its rows; PREPARE TRANSACTION with an ordinary name"
            ),
            format!("connect {WAITERS} times as {who}, and UPDATE one of these rows in each"),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut saved = tables::names(server, seed).await?;
        let gid = format!("{}:{}", words::program(seed), seed % 100_000);
        saved.insert(GID.into(), json!(gid));
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let session = sessions::open(server, name).await?;
        tables::make(&session, table, ROWS).await?;
        let write = format!("begin; update public.{table} set amount = 1 where id <= {WAITERS}");
        tables::run(&session.client, &write).await?;
        compose(&session, "select format('PREPARE TRANSACTION %L', $1::text)", saved).await?;
        progress(format!("{WAITERS} rows of {table} are locked by no session"));
        let queries =
            (1..=WAITERS).map(|id| format!("update public.{table} set amount = 2 where id = {id}"));
        Ok(Box::new(sessions::each_at_work(server, name, queries).await?))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let session = reach::superuser(server).await?;
        let sql = "select count(*) from pg_stat_activity where application_name = $1 \
                   and wait_event_type = 'Lock' and 0 = any(pg_blocking_pids(pid))";
        let row = session.client.query_one(sql, &[&text(saved, entry::SESSION)?]).await;
        let waiting: i64 = row.map_err(|e| reach::sql_failed("look at who waits", e))?.get(0);
        if waiting < i64::try_from(WAITERS).unwrap_or(i64::MAX) {
            return Err(FaultError::Precondition(format!("{waiting} sessions wait behind it")));
        }
        Ok(format!("{waiting} sessions wait behind a transaction without a session"))
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let session = reach::superuser_inside(server).await?;
        let rollback = "select format('ROLLBACK PREPARED %L', gid) from pg_prepared_xacts \
                        where gid = $1::text and database = current_database()";
        compose(&session, rollback, saved).await?;
        tables::take_back(server, saved).await
    }
}

/// Runs what this composes for the fault's own transaction, if it composes anything.
async fn compose(session: &Session, sql: &str, saved: &Saved) -> Result<(), FaultError> {
    let row = session.client.query_opt(sql, &[&text(saved, GID)?]).await;
    let row = row.map_err(|e| reach::sql_failed("look for the prepared transaction", e))?;
    match row {
        Some(row) => tables::run(&session.client, row.get(0)).await,
        None => Ok(()),
    }
}
