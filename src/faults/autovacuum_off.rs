//! Somebody switches autovacuum off, and a table goes on being rewritten: nobody removes what dies.

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::marks::{saved as entry, text};
use super::pg_setting::Setting;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach, sessions, tables,
};
use crate::diagnose::words::count;
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct AutovacuumOff;

const SETTING: Setting = Setting {
    descriptor: &DESCRIPTOR,
    name: "autovacuum",
    value: "off",
    took: |server| is_off(server).boxed(),
};
const ROWS: &str = "rows";
/// Each row dies so often.
const ROUNDS: u64 = 2;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "autovacuum-off",
    aliases: &["postgres-bloat"],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Autovacuum switched off",
    about: "Switches autovacuum off for the whole server and rewrites every row of the fault's own table twice. No \
            client gets an error; the dead rows stay.",
    finding: FindingKind::DeadRows,
    cause: "autovacuum-off",
    fixed_by: &["vacuum_table", "reset_pg_setting"],
    params: &[Param {
        name: ROWS,
        about: "how many rows the table has",
        default: 50_000,
        min: 20_000,
        max: 200_000,
    }],
    risk: Risk::Low,
    untouched: &["tables of others", "sessions", "every other setting"],
    undo: &[
        "put the line of postgresql.auto.conf back as it was, unless somebody did already, and reload",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for AutovacuumOff {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        SETTING.available(server).await
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let mut calls = SETTING.calls(server, params);
        let who = reach::who(server);
        calls.push(format!(
            "as {who}: CREATE TABLE with an ordinary name and {} rows",
            count(params[ROWS])
        ));
        calls.push(format!("UPDATE all its rows, {ROUNDS} times"));
        calls
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut saved = SETTING.save(server, params, seed).await?;
        saved.extend(tables::names(server, seed).await?);
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let grip = SETTING.inject(server, params, saved, progress).await?;
        let writer = sessions::open(server, name).await?;
        tables::make(&writer, table, params[ROWS]).await?;
        tables::rewrite(&writer, table, ROUNDS, progress).await?;
        Ok(grip)
    }

    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        let off = SETTING.took(server, params, saved).await?;
        let dead = tables::dead(server, text(saved, entry::TABLE)?, params[ROWS]).await?;
        Ok(format!("{} dead rows, and {off}", count(dead)))
    }

    async fn revert(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        SETTING.revert(server, params, saved).await?;
        tables::take_back(server, saved).await
    }
}

async fn is_off(server: &Server) -> Result<String, FaultError> {
    let session = reach::superuser(server).await?;
    let row = session.client.query_one("select current_setting('autovacuum')", &[]).await;
    match row.map_err(|e| reach::sql_failed("look at autovacuum", e))?.get(0) {
        "off" => Ok("autovacuum is off".into()),
        other => Err(FaultError::Precondition(format!("autovacuum is {other}"))),
    }
}
