//! A program with a role of its own leaks connections, and opens new ones as soon as its old ones are ended.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::sleep;

use super::marks::{saved as entry, text};
use super::reach::{self, Session, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, sessions,
    words,
};
use crate::config::secret::Secret;
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;
use crate::targets::postgres::{Login, PostgresLink};

pub(super) struct ReLeak;

const ROLE: &str = "role";
const PASSWORD: &str = "password";
/// So soon a connection that was cut is opened again …
const LOOK: Duration = Duration::from_millis(20);
/// … and one that was refused is tried again.
const REFUSED: Duration = Duration::from_millis(500);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "re-leak",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Held,
    title: "Leaked connections that come back",
    about: "A program with a role of its own takes every slot and leaves its sessions idle. Whenever one of them is ended, it \
            opens another at once, before anybody else gets in.",
    finding: FindingKind::ClientsRefused,
    cause: "re-leak",
    fixed_by: &["limit_role", "kill_idle_connections"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["sessions and roles of others", "data", "every setting"],
    undo: &[
        "close the connections the fault holds, and end those that the server still runs",
        "DROP ROLE of the fault's own role",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for ReLeak {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let place = server.and_then(|server| postgres_link(server).ok());
        let place =
            place.map_or_else(String::new, |link| format!(" at {}:{}", link.host, link.port));
        vec![
            "CREATE ROLE with an ordinary name and a password of its own, LOGIN".into(),
            format!(
                "as that role{place}: connect as often as max_connections allows, run `select 1` in each, leave them idle"
            ),
            "whenever one of these is cut: connect again at once".into(),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let session = reach::superuser(server).await?;
        let program = words::program(seed);
        let role = program.replace('-', "_");
        let there = "select exists (select from pg_roles where rolname = $1::text)";
        let row = session.client.query_one(there, &[&role]).await;
        if row.map_err(|e| reach::sql_failed("look for the role", e))?.get(0) {
            return Err(FaultError::Precondition(format!("a role {role} is there already")));
        }
        Ok(Saved::from([
            (entry::SESSION.into(), json!(program)),
            (ROLE.into(), json!(role)),
            (PASSWORD.into(), json!(words::secret(seed))),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let session = reach::superuser(server).await?;
        let (role, password) = (text(saved, ROLE)?, text(saved, PASSWORD)?);
        let make = "select format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)";
        compose(&session, make, &[&role, &password]).await?;
        progress(format!("role {role} is there"));
        let sql = "select current_setting('max_connections')::int";
        let row = session.client.query_one(sql, &[]).await;
        let slots: i32 = row.map_err(|e| reach::sql_failed("count the slots", e))?.get(0);
        let link = postgres_link(server)?;
        let mut members = Tasks::default();
        for _ in 0..slots.unsigned_abs().min(100) {
            let login = Login {
                user: role.to_owned(),
                password: Some(Secret::new(password)),
                database: link.app.database.clone(),
            };
            let name = text(saved, entry::SESSION)?.to_owned();
            members.spawn("faults: a connection that comes back", leak(link.clone(), login, name));
        }
        Ok(Box::new(members))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        sessions::refusal(server, text(saved, entry::SESSION)?).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        sessions::end(server, text(saved, entry::SESSION)?).await?;
        let session = reach::superuser(server).await?;
        let drop = "select format('DROP ROLE %I', rolname) from pg_roles where rolname = $1::text";
        compose(&session, drop, &[&text(saved, ROLE)?]).await
    }
}

/// Holds one idle connection, and opens another whenever it is cut.
async fn leak(link: PostgresLink, login: Login, name: String) {
    loop {
        match reach::postgres(&link, &login, &name).await {
            Ok(session) => {
                let used = session.client.batch_execute("select 1").await;
                tracing::debug!(ok = used.is_ok(), "a connection of a fault was used");
                while !session.client.is_closed() {
                    sleep(LOOK).await;
                }
            }
            Err(_) => sleep(REFUSED).await,
        }
    }
}

/// Runs what this composes, if it composes anything.
async fn compose(
    session: &Session,
    sql: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<(), FaultError> {
    let row = session.client.query_opt(sql, values).await;
    let Some(row) = row.map_err(|e| reach::sql_failed("look for the role of the fault", e))? else {
        return Ok(());
    };
    let run = session.client.batch_execute(row.get(0)).await;
    // Not the statement itself: it may hold the password.
    run.map_err(|e| reach::sql_failed("make or drop the role of the fault", e))
}
