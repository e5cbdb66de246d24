//! Commits wait for a standby that does not exist: reads work, every commit hangs.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::timeout;

use super::pg_setting::{Setting, UNDO};
use super::reach::{self, postgres_link};
use super::{ANYWHERE, Class, Descriptor, FaultError, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) const FAULT: Setting = Setting {
    descriptor: &DESCRIPTOR,
    name: "synchronous_standby_names",
    value: "reporting",
    took: |server| took(server).boxed(),
};
/// A commit on a healthy server takes milliseconds.
const HANGS: Duration = Duration::from_millis(700);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "sync-standby-missing",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Commits wait for a missing standby",
    about: "Names a standby that does not exist in synchronous_standby_names and reloads. Reads work, every commit \
            waits for its word and hangs.",
    finding: FindingKind::WritesRefused,
    cause: "sync-standby-missing",
    fixed_by: &["reset_pg_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "every other setting"],
    undo: UNDO,
    takes_within: Duration::from_secs(5),
};

async fn took(server: &Server) -> Result<String, FaultError> {
    let link = postgres_link(server)?;
    let session = reach::postgres(link, &link.app, reach::OURS).await?;
    let failed = |error| reach::sql_failed("try to commit", error);
    let row = session.client.query_one("select pg_backend_pid()", &[]).await.map_err(failed)?;
    // A commit record and nothing else.
    let commit = session.client.batch_execute("select pg_logical_emit_message(true, 'look', '')");
    if let Ok(done) = timeout(HANGS, commit).await {
        done.map_err(failed)?;
        return Err(FaultError::Precondition("a commit still works".into()));
    }
    let look = reach::superuser(server).await?;
    let sql = "select wait_event, pg_cancel_backend(pid) from pg_stat_activity where pid = $1";
    let pid: i32 = row.get(0);
    let row = look.client.query_one(sql, &[&pid]).await.map_err(failed)?;
    match row.get::<_, Option<&str>>(0) {
        Some("SyncRep") => Ok("a commit waits for a standby (SyncRep)".into()),
        other => Err(FaultError::Precondition(format!("a commit hangs in {other:?}"))),
    }
}
