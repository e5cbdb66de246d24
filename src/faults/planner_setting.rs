//! Somebody keeps the planner of one database from using indexes: sessions that are there go on as ever, new ones read
//! whole tables.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::clients::{self, Work};
use super::marks::{saved as entry, text};
use super::reach::{self, Session, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    sessions, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct PlannerSetting;

/// Either of them alone would leave the other way to an index.
const SETTINGS: [&str; 2] = ["enable_indexscan", "enable_bitmapscan"];
const ROWS: u64 = 30_000;
const CLIENTS: u64 = 2;
const REST: Duration = Duration::from_millis(40);
/// A pool gives its sessions back now and then.
const RENEWED_AFTER: u64 = 20;
const SECONDS: &str = "seconds";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "planner-setting",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "The planner may not use indexes",
    about: "Two clients look up rows of the fault's own table by its key, in sessions that a pool renews. Then the \
            application's database gets enable_indexscan and enable_bitmapscan off. No client gets an error; each lookup of \
            a new session reads the whole table.",
    finding: FindingKind::FullScans,
    cause: "planner-setting",
    fixed_by: &["reset_role_db_setting"],
    params: &[Param {
        name: SECONDS,
        about: "how long the clients find their rows by the index before",
        default: 10,
        min: 2,
        max: 30,
    }],
    risk: Risk::Low,
    untouched: &["tables of others", "sessions of others", "every other setting"],
    undo: &[
        "ALTER DATABASE … RESET of both settings, unless somebody did already",
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for PlannerSetting {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let who = reach::who(server);
        let database = server.and_then(|server| postgres_link(server).ok());
        let database = database.map_or("<its database>", |link| link.app.database.as_str());
        let mut calls = vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows; ANALYZE it"),
            format!(
                "connect {CLIENTS} times, SELECT a row by its key every {} ms, anew after {RENEWED_AFTER} of them",
                REST.as_millis()
            ),
        ];
        calls.extend(SETTINGS.map(|name| format!("ALTER DATABASE {database} SET {name} = off")));
        calls
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let session = reach::superuser(server).await?;
        if ours(server, &session).await? > 0 {
            return Err(FaultError::Precondition(format!(
                "{} has such a setting for its database already",
                server.target.id
            )));
        }
        tables::names(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?.to_owned());
        let session = sessions::open(server, name).await?;
        tables::make(&session, &table, ROWS).await?;
        tables::run(&session.client, &format!("analyze public.{table}")).await?;
        let of = table.clone();
        let work = Work {
            first: String::new(),
            statement: Arc::new(move |n| {
                format!("select amount from public.{of} where id = {}", n * 7_919 % ROWS + 1)
            }),
            rest: REST,
            renewed_after: RENEWED_AFTER,
        };
        let members = clients::at_work(server, name, CLIENTS, &work).await?;
        progress(format!("{CLIENTS} clients look up rows of {table}"));
        sleep(Duration::from_secs(params[SECONDS])).await;
        alter(server, "SET %I = off").await?;
        progress("new sessions of its database may not use indexes".into());
        Ok(Box::new(members))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, reach::OURS).await?;
        let table = text(saved, entry::TABLE)?;
        let sql = format!("explain (format json) select amount from public.{table} where id = 7");
        let row = session.client.query_one(&sql, &[]).await;
        let row = row.map_err(|e| reach::sql_failed("explain a lookup", e))?;
        let plan: serde_json::Value = row.get(0);
        match plan[0]["Plan"]["Node Type"].as_str() {
            Some("Seq Scan") => Ok(format!("a lookup reads all of {table} (Seq Scan)")),
            other => Err(FaultError::Precondition(format!(
                "a lookup is still an {}",
                other.unwrap_or("unknown plan")
            ))),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let session = reach::superuser(server).await?;
        if ours(server, &session).await? > 0 {
            alter(server, "RESET %I").await?;
        }
        tables::take_back(server, saved).await
    }
}

/// How many of the settings the database has switched off for every role.
async fn ours(server: &Server, session: &Session) -> Result<i64, FaultError> {
    let database = &postgres_link(server)?.app.database;
    let sql = "select count(*) from pg_db_role_setting o join pg_database d on d.oid = o.setdatabase, \
               unnest(o.setconfig) as c where o.setrole = 0 and d.datname = $1::text \
               and c = any (array['enable_indexscan=off', 'enable_bitmapscan=off'])";
    let row = session.client.query_one(sql, &[database]).await;
    Ok(row.map_err(|e| reach::sql_failed("look at the settings of the database", e))?.get(0))
}

/// Does this to both settings of the database.
async fn alter(server: &Server, what: &str) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    let database = &postgres_link(server)?.app.database;
    let compose = format!("select format('ALTER DATABASE %I {what}', $1::text, $2::text)");
    for setting in SETTINGS {
        let row = session.client.query_one(&compose, &[database, &setting]).await;
        let row = row.map_err(|e| reach::sql_failed("name the database", e))?;
        tables::run(&session.client, row.get(0)).await?;
    }
    Ok(())
}
