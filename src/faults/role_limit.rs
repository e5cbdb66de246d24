//! Somebody limits the connections of the application's role or database below what it uses.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach, sessions, tables, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::postgres::PostgresLink;

pub(super) struct RoleLimit;

/// The limit, and as many sessions that use it up.
const LIMIT: i64 = 2;
const DATABASE: &str = "database";
const ORIGINAL: &str = "limit";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "role-limit",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Connection limit of a role or database",
    about: "Sets CONNECTION LIMIT of the application's role, or of its database, to what two sessions use up. The \
            server has free slots, and the application is refused all the same. It survives a restart.",
    finding: FindingKind::ClientsRefused,
    cause: "role-limit",
    fixed_by: &["reset_connection_limit"],
    params: &[Param {
        name: DATABASE,
        about: "1 to limit the database instead of the role",
        default: 0,
        min: 0,
        max: 1,
    }],
    risk: Risk::Medium,
    untouched: &["data", "sessions of others", "limits of other roles and databases"],
    undo: &[
        "ALTER ROLE or DATABASE … CONNECTION LIMIT back to what it was, unless somebody changed it meanwhile",
        "close the connections the fault holds",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for RoleLimit {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let link = server.and_then(|server| reach::postgres_link(server).ok());
        let what = match (link, is_database(params)) {
            (Some(link), database) => alter(link, database, LIMIT),
            (None, true) => format!("ALTER DATABASE of the application CONNECTION LIMIT {LIMIT}"),
            (None, false) => format!("ALTER ROLE of the application CONNECTION LIMIT {LIMIT}"),
        };
        vec![
            format!(
                "connect {LIMIT} times as {}, run `select 1` in each, and leave them idle",
                reach::who(server)
            ),
            what,
        ]
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        let limit = current(server, is_database(params)).await?;
        Ok(Saved::from([
            (entry::SESSION.into(), json!(words::program(seed))),
            (ORIGINAL.into(), json!(limit)),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let opened = sessions::open_idle(server, name, LIMIT.unsigned_abs(), progress).await?;
        if let Some(words) = opened.refused {
            return Err(FaultError::Precondition(format!("refused before the limit: {words}")));
        }
        set(server, is_database(params), LIMIT).await?;
        progress(format!("the limit is {LIMIT}"));
        Ok(Box::new(opened.held))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        sessions::refusal(server, text(saved, entry::SESSION)?).await
    }

    async fn revert(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let database = is_database(params);
        let original = saved.get(ORIGINAL).and_then(Value::as_i64).unwrap_or(-1);
        // Only our own value is taken back.
        if current(server, database).await? == LIMIT {
            set(server, database, original).await?;
        }
        sessions::end(server, text(saved, entry::SESSION)?).await
    }
}

fn is_database(params: &Params) -> bool {
    params.get(DATABASE).is_some_and(|given| *given == 1)
}

fn alter(link: &PostgresLink, database: bool, limit: i64) -> String {
    let (kind, name) =
        if database { ("DATABASE", &link.app.database) } else { ("ROLE", &link.app.user) };
    format!("ALTER {kind} \"{}\" CONNECTION LIMIT {limit}", name.replace('"', "\"\""))
}

async fn set(server: &Server, database: bool, limit: i64) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    tables::run(&session.client, &alter(reach::postgres_link(server)?, database, limit)).await
}

async fn current(server: &Server, database: bool) -> Result<i64, FaultError> {
    let link = reach::postgres_link(server)?;
    let (sql, name) = if database {
        ("select datconnlimit from pg_database where datname = $1", &link.app.database)
    } else {
        ("select rolconnlimit from pg_roles where rolname = $1", &link.app.user)
    };
    let session = reach::superuser(server).await?;
    let row = session.client.query_one(sql, &[name]).await;
    let row = row.map_err(|e| reach::sql_failed("read the connection limit", e))?;
    Ok(i64::from(row.get::<_, i32>(0)))
}
