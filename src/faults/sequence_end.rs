//! A sequence reaches the end of its type: every insert that needs the next number fails.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::clients::{self, Work};
use super::marks::{saved as entry, text};
use super::reach::{self, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, sessions,
    tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct SequenceEnd;

const END: i32 = i32::MAX;
const CLIENTS: u64 = 2;
const REST: Duration = Duration::from_millis(80);
/// So long their inserts succeed before.
const WELL: Duration = Duration::from_secs(4);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "sequence-end",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A sequence at its end",
    about: "Two clients insert rows into the fault's own table, whose numbers come from a sequence of four bytes; then that \
            sequence is set to the last one. Every insert fails with 2200H. Only another type for the column lasts, so a \
            person is told.",
    finding: FindingKind::TransactionsFail,
    cause: "sequence-end",
    fixed_by: &[],
    params: &[],
    risk: Risk::Low,
    untouched: &["tables and sequences of others", "sessions of others"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table, with its sequence",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for SequenceEnd {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!(
                "as {who}: CREATE TABLE (id serial PRIMARY KEY, note text) with an ordinary name"
            ),
            format!(
                "connect {CLIENTS} times and INSERT a row every {} ms, for {} s and on",
                REST.as_millis(),
                WELL.as_secs()
            ),
            format!("SELECT setval of its sequence, {END}"),
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
        let session = sessions::open(server, name).await?;
        let make = format!("create table public.{table} (id serial primary key, note text)");
        tables::run(&session.client, &make).await?;
        let insert = insert(table);
        let work = Work {
            first: String::new(),
            statement: Arc::new(move |_| insert.clone()),
            rest: REST,
            renewed_after: u64::MAX,
        };
        let members = clients::at_work(server, name, CLIENTS, &work).await?;
        progress(format!("{CLIENTS} clients insert into {table}"));
        sleep(WELL).await;
        let end = format!("select setval('public.{table}_id_seq', {END})");
        tables::run(&session.client, &end).await?;
        progress(format!("{table}_id_seq is at {END}"));
        Ok(Box::new(members))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, reach::OURS).await?;
        match session.client.batch_execute(&insert(text(saved, entry::TABLE)?)).await {
            Ok(()) => Err(FaultError::Precondition("a row is still inserted".into())),
            Err(error) => match error.as_db_error() {
                Some(db) if db.code().code() == "2200H" => Ok(format!("2200H: {}", db.message())),
                _ => Err(reach::sql_failed("insert a row", error)),
            },
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        tables::take_back(server, saved).await
    }
}

fn insert(table: &str) -> String {
    format!("insert into public.{table} (note) values ('entered')")
}
