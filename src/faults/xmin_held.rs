//! A report stays open in one snapshot while rows are rewritten: what they were must be kept, and VACUUM removes
//! nothing.

use std::time::Duration;

use async_trait::async_trait;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach, sessions, tables,
};
use crate::diagnose::words::count;
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct XminHeld;

const ROWS: &str = "rows";
/// Each row dies so often.
const ROUNDS: u64 = 2;
/// One statement over all rows may take this long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "xmin-held",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Old rows cannot be removed",
    about: "One session reads in a REPEATABLE READ transaction and leaves it open while every row of the fault's own \
            table is rewritten twice. A VACUUM then removes nothing, because that session may still look at the rows.",
    finding: FindingKind::DeadRows,
    cause: "xmin-held",
    fixed_by: &["kill_idle_transactions", "vacuum_table"],
    params: &[Param {
        name: ROWS,
        about: "how many rows the table has",
        default: 50_000,
        min: 20_000,
        max: 200_000,
    }],
    risk: Risk::Low,
    untouched: &["tables of others", "sessions of others"],
    undo: &["close the connections the fault holds", "DROP TABLE of the fault's own table"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for XminHeld {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {} rows", count(params[ROWS])),
            "in one session: BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) of it; and nothing more".into(),
            format!("in another: UPDATE all its rows, {ROUNDS} times, then VACUUM it"),
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
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let (reader, writer) =
            (sessions::open(server, name).await?, sessions::open(server, name).await?);
        let work = async {
            tables::make(&writer, table, params[ROWS]).await?;
            let look = "begin isolation level repeatable read";
            tables::run(&reader.client, &format!("{look}; select count(*) from public.{table}"))
                .await?;
            tables::rewrite(&writer, table, ROUNDS, progress).await?;
            tables::run(&writer.client, &format!("vacuum public.{table}")).await
        };
        let done = tokio::time::timeout(PATIENCE, work).await;
        done.map_err(|e| FaultError::failed("rewrite the rows", e))??;
        progress("vacuumed, in vain".to_owned());
        // The writer goes; only the reader is the fault.
        Ok(Box::new(reader))
    }

    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        let dead = tables::dead(server, text(saved, entry::TABLE)?, params[ROWS]).await?;
        Ok(format!("{} dead rows, after a VACUUM", count(dead)))
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
