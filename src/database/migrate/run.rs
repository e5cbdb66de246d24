//! Running one file after the other, each with a short patience for locks and tried again, and what is looked at
//! afterwards.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migration};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::time::sleep;

use super::super::{As, Code, Failure, Outcome, Workbench};
use super::files::Script;
use super::lint::{self, Named, Read};
use crate::inspect::quoted;
use crate::targets::postgres::{Login, PostgresLink, Session};

/// sqlx's own table, so that its other tools see the same.
const TABLE: &str = "_sqlx_migrations";
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const NOT_AVAILABLE: &str = "55P03";
/// Building an index without locking waits for every transaction that is older.
const OLDEST: i32 = 60;

const OLD: &str = "
SELECT pid, coalesce(usename::text, '?'), extract(epoch FROM now() - xact_start)::int4
  FROM pg_stat_activity WHERE xact_start < now() - make_interval(secs => $1) AND pid <> pg_backend_pid()
    AND datname = current_database() AND backend_type = 'client backend'
  ORDER BY xact_start LIMIT 1";

/// Indexes that are there and not usable, but for those that somebody is building.
const INVALID: &str = "
SELECT n.nspname, c.relname, pg_table_is_visible(i.indrelid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)";

impl Script {
    /// The file that runs.
    pub(super) fn file(&self, is_up: bool) -> String {
        let file = match &self.down {
            Some((_, file)) if !is_up => file,
            _ => &self.up_file,
        };
        file.display().to_string()
    }

    pub(super) fn migration(&self, is_up: bool) -> &Migration {
        match &self.down {
            Some((down, _)) if !is_up => down,
            _ => &self.up,
        }
    }

    /// What it does.
    pub(super) fn read(&self, is_up: bool) -> Read {
        let migration = self.migration(is_up);
        lint::read(&self.file(is_up), migration.sql.as_str(), !migration.no_tx)
    }
}

/// The connection that migrations run on.
pub(super) struct Runner<'a> {
    bench: &'a Workbench,
    database: Option<String>,
    connection: PgConnection,
    jitter: StdRng,
}

impl<'a> Runner<'a> {
    pub(super) async fn connect(bench: &'a Workbench, database: Option<&str>) -> Outcome<Self> {
        let login = bench.login(As::App, database)?;
        let connection =
            options(&bench.link, &login).connect().await.map_err(|error| of_sqlx(&error))?;
        // Two that lost the same lock must not come back at the same moment.
        let jitter = StdRng::seed_from_u64(u64::from(std::process::id()));
        Ok(Self { bench, database: database.map(str::to_owned), connection, jitter })
    }

    /// What was applied so far; `create` makes the table where there is none.
    pub(super) async fn applied(&mut self, create: bool) -> Outcome<Vec<AppliedMigration>> {
        if create {
            self.connection
                .ensure_migrations_table(TABLE)
                .await
                .map_err(|error| of_migrate(&error))?;
        }
        match self.connection.list_applied_migrations(TABLE).await {
            Ok(applied) => Ok(applied),
            Err(error) if of_migrate(&error).sqlstate.as_deref() == Some("42P01") => Ok(Vec::new()),
            Err(error) => Err(of_migrate(&error)),
        }
    }

    /// An index is not begun while somebody's transaction would keep it waiting.
    pub(super) async fn wait_for_nobody(&self, chosen: &[&Script], is_up: bool) -> Outcome<()> {
        if !chosen.iter().any(|script| script.read(is_up).builds_concurrently) {
            return Ok(());
        }
        let database = self.database.as_deref();
        let session =
            self.bench.connect(As::Monitor, database, Session::Monitor, "migrate").await?;
        let row = session.query_opt(OLD, &[&f64::from(OLDEST)]).await;
        let row = row.map_err(|error| Failure::of_postgres(&error))?;
        session.close().await;
        let Some(row) = row else { return Ok(()) };
        let (pid, user, age): (i32, String, i32) = (row.get(0), row.get(1), row.get(2));
        let message = format!(
            "a transaction of {user} (pid {pid}) is {age} s old, and an index that is built concurrently would wait for it"
        );
        Err(Failure::new(Code::Conflict, message, "let it end, or end it; nothing was run"))
    }

    /// Runs one file, again when a lock was not free in time. What it leaves invalid makes it fail.
    pub(super) async fn run(&mut self, script: &Script, is_up: bool) -> Outcome<()> {
        let read = script.read(is_up);
        let invalid_before = self.invalid().await?;
        for attempt in 1..=TRIES {
            match self.attempt(script, is_up, &read).await {
                Ok(()) => return self.check_indexes(script, is_up, &read, &invalid_before).await,
                Err(failure)
                    if attempt < TRIES && failure.sqlstate.as_deref() == Some(NOT_AVAILABLE) =>
                {
                    let pause = FIRST_PAUSE * 2u32.pow(attempt - 1);
                    sleep(pause.mul_f64(self.jitter.random_range(0.5..1.5))).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn attempt(&mut self, script: &Script, is_up: bool, read: &Read) -> Outcome<()> {
        // It waits for transactions to end, keeps nobody waiting meanwhile, and leaves a carcass when it gives up.
        let patience = if read.builds_concurrently { "0" } else { "2s" };
        let set = sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(patience);
        set.execute(&mut self.connection).await.map_err(|error| of_sqlx(&error))?;
        let migration = script.migration(is_up);
        let done = if is_up {
            self.connection.apply(TABLE, migration).await
        } else {
            self.connection.revert(TABLE, migration).await
        };
        done.map(|_| ()).map_err(|error| of_migrate(&error))
    }

    /// `IF NOT EXISTS` is content with an index that is there and unusable.
    async fn check_indexes(
        &mut self,
        script: &Script,
        is_up: bool,
        read: &Read,
        before: &[(String, String, bool)],
    ) -> Outcome<()> {
        let invalid = self.invalid().await?;
        let is_meant = |one: &&(String, String, bool)| {
            let (schema, name, is_visible) = one;
            let by_file = read.indexes.iter().any(|Named { schema: of, name: called }| {
                called == name && of.as_ref().map_or(*is_visible, |of| of == schema)
            });
            by_file || !before.contains(one)
        };
        let Some((schema, name, _)) = invalid.iter().find(is_meant) else { return Ok(()) };
        if is_up && script.up.no_tx {
            let forget = sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
                .bind(script.version());
            forget.execute(&mut self.connection).await.map_err(|error| of_sqlx(&error))?;
        }
        let message = format!(
            "{} left the index {schema}.{name} invalid: it slows writes and answers nobody",
            script.file(is_up)
        );
        let hint = format!(
            "drop it (the action drop_invalid_index), and run the migration again: DROP INDEX CONCURRENTLY {}.{}",
            quoted(schema),
            quoted(name)
        );
        Err(Failure::new(Code::Conflict, message, hint))
    }

    async fn invalid(&mut self) -> Outcome<Vec<(String, String, bool)>> {
        let rows = sqlx::query_as(INVALID).fetch_all(&mut self.connection).await;
        rows.map_err(|error| of_sqlx(&error))
    }
}

/// As our other connections, with the application's own search path.
fn options(link: &PostgresLink, login: &Login) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&link.host)
        .port(link.port)
        .username(&login.user)
        .database(&login.database)
        .application_name("simctl/migrate")
        .options([("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")])
        .disable_statement_logging();
    if let Some(password) = &login.password {
        options = options.password(password.reveal());
    }
    match &link.tls {
        None => options.ssl_mode(PgSslMode::Disable),
        Some(tls) => {
            let options = options.ssl_mode(PgSslMode::VerifyFull);
            match &tls.ca_file {
                Some(file) => options.ssl_root_cert(file),
                None => options,
            }
        }
    }
}

fn of_migrate(error: &MigrateError) -> Failure {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => of_sqlx(error),
        other => Failure::invalid(other.to_string(), "look at the files"),
    }
}

fn of_sqlx(error: &sqlx::Error) -> Failure {
    match error.as_database_error() {
        Some(said) => {
            Failure::said_by_server(said.code().as_deref().unwrap_or_default(), said.message())
        }
        None => Failure::new(
            Code::Unavailable,
            error.to_string(),
            "bring the server up, or correct its address",
        ),
    }
}
