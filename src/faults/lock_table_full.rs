//! One transaction locks thousands of things one by one and stays open: there is no room for the locks of others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::sleep;

use super::clients::{self, Work};
use super::marks::{saved as entry, text};
use super::reach::{self, Session, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, sessions,
    tables, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct LockTableFull;

/// Left for whoever needs few: a session takes one while it begins.
const SPARE: u64 = 32;
/// What a transaction of the clients takes.
const NEEDED: u64 = 60;
/// Taken at a time, down to where eight more do not fit; the last twice, because a client may have held some at that
/// moment. To the last one, others would be refused whatever they need until the spare ones are given back.
const STEPS: [u64; 4] = [512, 64, 8, 8];
/// No server that is watched has so many.
const MOST: u64 = 200_000;
/// Under these numbers the clients and the fault lock; each program has its own.
const SPACE: (u32, u32) = (17, 18);
const CLIENTS: u64 = 2;
const REST: Duration = Duration::from_millis(100);
/// So long the clients get their locks before.
const WELL: Duration = Duration::from_secs(4);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "lock-table-full",
    aliases: &[],
    tier: Tier::Dangerous,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "No room for more locks",
    about: "One transaction takes advisory locks until the table of locks has room for thirty more, and stays open. Two \
            clients whose transactions need sixty fail with 53200; who needs few goes on.",
    finding: FindingKind::TransactionsFail,
    cause: "lock-table-full",
    fixed_by: &["kill_idle_transactions"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions of others", "every setting"],
    undo: &["close the connections the fault holds, and end those that the server still runs"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for LockTableFull {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let who = reach::who(server);
        vec![
            format!(
                "connect {CLIENTS} times as {who}; every {} ms: a transaction that takes {NEEDED} advisory locks",
                REST.as_millis()
            ),
            format!(
                "in another session: BEGIN; pg_advisory_xact_lock to 53200, less {SPARE}; and nothing more"
            ),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        reach::superuser(server).await?;
        Ok(Saved::from([(entry::SESSION.into(), json!(words::program(seed)))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let work = Work {
            first: String::new(),
            // Other numbers for each, so that they do not wait for each other.
            statement: Arc::new(|n| take(SPACE.0, n * NEEDED, NEEDED)),
            rest: REST,
            renewed_after: u64::MAX,
        };
        let members = clients::at_work(server, name, CLIENTS, &work).await?;
        let (spare, holder) =
            (sessions::open(server, name).await?, sessions::open(server, name).await?);
        progress(format!("{CLIENTS} clients take {NEEDED} locks at a time"));
        sleep(WELL).await;
        tables::run(&spare.client, &format!("begin; {}", take(SPACE.0, 1 << 30, SPARE))).await?;
        let held = fill(&holder).await?;
        // No lock is needed to give some back.
        tables::run(&spare.client, "rollback").await?;
        progress(format!("one transaction holds {held} locks"));
        Ok(Box::new((members, holder)))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, reach::OURS).await?;
        match session.client.batch_execute(&take(SPACE.0, 1 << 30, NEEDED)).await {
            Ok(()) => Err(FaultError::Precondition("a transaction still gets its locks".into())),
            Err(error) => match error.as_db_error() {
                Some(db) if db.code().code() == NO_ROOM => {
                    Ok(format!("{NO_ROOM}: {}", db.message()))
                }
                _ => Err(reach::sql_failed("take some locks", error)),
            },
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        sessions::end(server, text(saved, entry::SESSION)?).await
    }
}

const NO_ROOM: &str = "53200";

fn take(space: u32, from: u64, count: u64) -> String {
    let to = from + count - 1;
    format!(
        "select count(pg_advisory_xact_lock({space}, n::int)) from generate_series({from}, {to}) n"
    )
}

/// Takes locks in one transaction until not one more fits. What did not fit is given back by its savepoint.
async fn fill(holder: &Session) -> Result<u64, FaultError> {
    tables::run(&holder.client, "begin").await?;
    let mut held = 0;
    for step in STEPS {
        while held < MOST {
            tables::run(&holder.client, "savepoint more").await?;
            match holder.client.batch_execute(&take(SPACE.1, held + 1, step)).await {
                Ok(()) => held += step,
                Err(error) if error.code().is_some_and(|code| code.code() == NO_ROOM) => {
                    tables::run(&holder.client, "rollback to more").await?;
                    break;
                }
                Err(error) => return Err(reach::sql_failed("take locks", error)),
            }
            tables::run(&holder.client, "release more").await?;
        }
    }
    match held < MOST {
        true => Ok(held),
        false => Err(FaultError::Precondition(format!("there is room for more than {MOST} locks"))),
    }
}
