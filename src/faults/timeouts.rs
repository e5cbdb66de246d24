//! Somebody gives every statement of the server one millisecond: most are cut off before they end.

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
    name: "statement_timeout",
    value: "1ms",
    took: |server| took(server).boxed(),
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "timeouts",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Statements cut off after a millisecond",
    about: "Sets statement_timeout to 1 ms for the whole server and reloads. Connecting works; ordinary statements are \
            cancelled before they end, also those of whoever wants to change it back.",
    finding: FindingKind::ProbeFailing,
    cause: "timeouts",
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
    match session.client.batch_execute("select pg_sleep(0.1)").await {
        Ok(()) => Err(FaultError::Precondition("a statement still has its time".into())),
        Err(error) => match error.as_db_error() {
            Some(db) if db.code().code() == "57014" => Ok(format!("57014: {}", db.message())),
            _ => Err(reach::sql_failed("wait a moment", error)),
        },
    }
}
