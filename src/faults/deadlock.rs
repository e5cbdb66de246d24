//! Two clients of one program lock the same two rows in different orders, again and again.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{number, saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;

pub(super) struct Deadlock;

const ROWS: u64 = 100;
const COUNT: &str = "deadlocks before";
/// Between the two rows of a transaction: the other client takes its first one meanwhile.
const PAUSE: &str = "select pg_sleep(0.1)";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "deadlock",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Two clients lock crosswise",
    about: "Two clients update the same two rows of the fault's own table in opposite orders, again and again. Each time \
            the server cancels one of them (40P01). No setting and no session is to blame, so a person is told.",
    finding: FindingKind::Deadlocks,
    cause: "deadlock",
    fixed_by: &[],
    params: &[],
    risk: Risk::Low,
    untouched: &["tables of others", "sessions of others"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(8),
};

#[async_trait]
impl Fault for Deadlock {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows"),
            "in one session, over and over: BEGIN; UPDATE row 1; wait 0.1 s; UPDATE row 2; COMMIT"
                .into(),
            "in another, over and over: BEGIN; UPDATE row 2; wait 0.1 s; UPDATE row 1; COMMIT"
                .into(),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut saved = tables::names(server, seed).await?;
        saved.insert(COUNT.into(), json!(count(server).await?));
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
        let first = sessions::open(server, name).await?;
        tables::make(&first, table, ROWS).await?;
        let second = sessions::open(server, name).await?;
        let update =
            |id: u32| format!("update public.{table} set amount = amount + 1 where id = {id}");
        let mut clients = Tasks::default();
        for (session, one, other) in [(first, 1, 2), (second, 2, 1)] {
            let work = format!("begin; {}; {PAUSE}; {}; commit", update(one), update(other));
            clients.spawn("faults: a client that locks crosswise", async move {
                // As a whole: its driver must live as long.
                let session = session;
                while !session.client.is_closed() {
                    if session.client.batch_execute(&work).await.is_err() {
                        let ended = session.client.batch_execute("rollback").await;
                        tracing::debug!(
                            ok = ended.is_ok(),
                            "a transaction of a fault was cancelled"
                        );
                    }
                }
            });
        }
        progress(format!("two clients update rows 1 and 2 of {table}, in opposite orders"));
        Ok(Box::new(clients))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        match count(server).await?.saturating_sub(number(saved, COUNT)?) {
            0 => Err(FaultError::Precondition("no deadlock was counted yet".into())),
            new => Ok(format!("deadlocks broken by the server: {new}")),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        tables::take_back(server, saved).await
    }
}

async fn count(server: &Server) -> Result<u64, FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select coalesce(sum(deadlocks), 0)::bigint from pg_stat_database";
    let row = session.client.query_one(sql, &[]).await;
    let count: i64 = row.map_err(|e| reach::sql_failed("count deadlocks", e))?.get(0);
    Ok(count.unsigned_abs())
}
