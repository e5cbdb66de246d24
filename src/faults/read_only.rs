//! Somebody makes every transaction read-only by default: reads work, writes are refused.

use std::time::Duration;

use futures::FutureExt;

use super::pg_setting::{Setting, UNDO};
use super::reach::{self, postgres_link};
use super::{ANYWHERE, Class, Descriptor, FaultError, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) const FAULT: Setting = Setting {
    descriptor: &DESCRIPTOR,
    name: "default_transaction_read_only",
    value: "on",
    took: |server| took(server).boxed(),
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "read-only",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Transactions read-only by default",
    about: "Sets default_transaction_read_only for the whole server and reloads. Reads work, every write is refused, \
            as a standby would.",
    finding: FindingKind::WritesRefused,
    cause: "read-only",
    fixed_by: &["reset_pg_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions", "every other setting"],
    undo: UNDO,
    takes_within: Duration::from_secs(3),
};

async fn took(server: &Server) -> Result<String, FaultError> {
    let link = postgres_link(server)?;
    let session = reach::postgres(link, &link.app, reach::OURS).await?;
    // A temporary table dies with the session; a read-only transaction refuses even that.
    match session.client.batch_execute("create temporary table looked (at int)").await {
        Ok(()) => Err(FaultError::Precondition("a new session may still write".into())),
        Err(error) => match error.as_db_error() {
            Some(db) if db.code().code() == "25006" => Ok(format!("25006: {}", db.message())),
            _ => Err(reach::sql_failed("try to write", error)),
        },
    }
}
