//! A client that holds locks is gone in the midst of its query: its session does not notice, and keeps them.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::marks::{saved as entry, text};
use super::sessions::Afterwards;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, standing, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;

pub(super) struct GhostClient;

const ROWS: u64 = 100;
const WAITERS: u64 = 3;
/// The query ends by itself after this.
const LASTS_S: u32 = 900;
/// Until the query runs.
const BEGINS: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "ghost-client",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A client gone in the midst of a query",
    about: "A session updates rows of the fault's own table and begins a long query; then its client's end of the \
            connection is closed without a word. The session reads nothing while its query lasts, so it stays, and \
            others wait for its rows.",
    finding: FindingKind::LockQueue,
    cause: "ghost-client",
    fixed_by: &["kill_blocker"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["tables of others", "sessions of others"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for GhostClient {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let session = reach::superuser(server).await.map_err(|error| error.in_words())?;
        // Before version 14 there is no such setting, and no session ever looks.
        let sql = "select coalesce(current_setting('client_connection_check_interval', true), '0')";
        let row = session.client.query_one(sql, &[]).await;
        let row = row.map_err(|e| reach::sql_failed("look at the setting", e).in_words())?;
        match row.get(0) {
            "0" => Ok(()),
            every => Err(format!(
                "sessions of {} look every {every} whether their client is there",
                server.target.id
            )),
        }
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows"),
            format!("BEGIN; UPDATE {WAITERS} of its rows; SELECT pg_sleep({LASTS_S})"),
            "close the socket of that client, without the message that ends a session".into(),
            format!("connect {WAITERS} times as {who}, and UPDATE one of these rows in each"),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        tables::names(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let client = sessions::open(server, name).await?;
        tables::make(&client, table, ROWS).await?;
        let write = format!(
            "begin; update public.{table} set amount = 1 where id <= {WAITERS}; select pg_sleep({LASTS_S})"
        );
        let mut ghost = Tasks::default();
        sessions::put_to_work(&mut ghost, client, write, Afterwards::Leaves);
        until_it_sleeps(server, name).await?;
        drop(ghost);
        progress(format!("the client that holds {WAITERS} rows of {table} is gone"));
        let queries =
            (1..=WAITERS).map(|id| format!("update public.{table} set amount = 2 where id = {id}"));
        Ok(Box::new(sessions::each_at_work(server, name, queries).await?))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let waiting = sessions::all_wait(server, name, WAITERS).await?;
        if !is_asleep(server, name).await? {
            return Err(FaultError::Precondition("the session noticed and is gone".into()));
        }
        Ok(format!("{waiting} sessions wait behind one whose client is gone"))
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        tables::take_back(server, saved).await
    }
}

async fn until_it_sleeps(server: &Server, name: &str) -> Result<(), FaultError> {
    let until = Instant::now() + BEGINS;
    while !is_asleep(server, name).await? {
        if Instant::now() > until {
            return Err(FaultError::Precondition("its query did not begin".into()));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn is_asleep(server: &Server, name: &str) -> Result<bool, FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select exists (select from pg_stat_activity \
               where application_name = $1 and wait_event = 'PgSleep')";
    let row = session.client.query_one(sql, &[&name]).await;
    Ok(row.map_err(|e| reach::sql_failed("look at the session of the fault", e))?.get(0))
}
