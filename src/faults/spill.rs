//! Somebody bounds what a query may write to temporary files: reports that always sorted on disk fail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde_json::json;
use tokio::time::sleep;

use super::clients::{self, Work};
use super::marks::{saved as entry, text};
use super::pg_setting::Setting;
use super::reach::{self, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, sessions,
    words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct Spill;

const SETTING: Setting = Setting {
    descriptor: &DESCRIPTOR,
    name: "temp_file_limit",
    value: "1MB",
    took: |server| took(server).boxed(),
};
/// What a report has for its sort, and the report: some two megabytes, on disk.
const FIRST: &str = "set work_mem = '64kB'";
const REPORT: &str = "select count(*) from (select repeat('x', 100) || n as line from generate_series(1, 15000) n \
                      order by 1 desc) sorted";
const CLIENTS: u64 = 2;
const REST: Duration = Duration::from_millis(200);
/// So long the reports succeed before.
const WELL: Duration = Duration::from_secs(4);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "spill",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "No room for temporary files",
    about: "Two clients run reports that sort two megabytes on disk; then temp_file_limit is set to one for the whole server. \
            Their reports fail with 53400, and nothing else does.",
    finding: FindingKind::TransactionsFail,
    cause: "spill",
    fixed_by: &["reset_pg_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions of others", "every other setting"],
    undo: &[
        "put the line of postgresql.auto.conf back as it was, unless somebody did already, and reload",
        "close the connections the fault holds, and end those that the server still runs",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for Spill {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        SETTING.available(server).await
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let mut calls = vec![format!(
            "connect {CLIENTS} times as {}, SET work_mem = '64kB', and sort 15,000 lines every {} ms",
            reach::who(server),
            REST.as_millis()
        )];
        calls.extend(SETTING.calls(server, params));
        calls
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut saved = SETTING.save(server, params, seed).await?;
        saved.insert(entry::SESSION.into(), json!(words::program(seed)));
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let work = Work {
            first: FIRST.into(),
            statement: Arc::new(|_| REPORT.into()),
            rest: REST,
            renewed_after: u64::MAX,
        };
        let name = text(saved, entry::SESSION)?;
        let members = clients::at_work(server, name, CLIENTS, &work).await?;
        progress(format!("{CLIENTS} clients run reports"));
        sleep(WELL).await;
        SETTING.inject(server, params, saved, progress).await?;
        Ok(Box::new(members))
    }

    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        SETTING.took(server, params, saved).await
    }

    async fn revert(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        SETTING.revert(server, params, saved).await?;
        sessions::end(server, text(saved, entry::SESSION)?).await
    }
}

async fn took(server: &Server) -> Result<String, FaultError> {
    let link = postgres_link(server)?;
    let session = reach::postgres(link, &link.app, reach::OURS).await?;
    let report = async {
        session.client.batch_execute(FIRST).await?;
        session.client.batch_execute(REPORT).await
    };
    match report.await {
        Ok(()) => Err(FaultError::Precondition("a report still has its room".into())),
        Err(error) => match error.as_db_error() {
            Some(db) if db.code().code() == "53400" => Ok(format!("53400: {}", db.message())),
            _ => Err(reach::sql_failed("run a report", error)),
        },
    }
}
