//! SQLite: one file, one writer, and the SQL that only it understands.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::sql::{Cell, Columns, Dialect, Session, Sql, unreadable};
use crate::domain::event::RawEvent;

/// Events per statement: 9 parameters each, and SQLite takes 32,766.
const EVENTS_AT_ONCE: usize = 100;

pub(super) struct Lite {
    options: SqliteConnectOptions,
    pool: SqlitePool,
}

impl Lite {
    /// Prepares the connections; opens none yet.
    pub(super) fn new(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(2))
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(25)
            .min_connections(0)
            .acquire_timeout(Duration::from_secs(3))
            .max_lifetime(Duration::from_mins(5))
            .idle_timeout(Duration::from_mins(2))
            .connect_lazy_with(options.clone());
        Self { options, pool }
    }
}

#[async_trait]
impl Dialect for Lite {
    type Db = Sqlite;
    type Conn = SqliteConnection;

    const BEGIN_WRITE: &'static str = "begin immediate";
    const BEGIN_READ: &'static str = "begin";
    const STAYS: &'static str = "";

    /// Switching a new file to WAL does not wait for a lock, whatever the busy timeout: two that open it at the
    /// same instant take turns here.
    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        const TURNS: u32 = 40;
        for _ in 1..TURNS {
            match self.options.connect().await {
                Err(error) if is_locked(&error) => tokio::time::sleep(TURN).await,
                connected => return connected,
            }
        }
        self.options.connect().await
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.pool.acquire().await
    }

    async fn insert_events(
        conn: &mut SqliteConnection,
        events: &[RawEvent],
    ) -> Result<(), sqlx::Error> {
        for some in events.chunks(EVENTS_AT_ONCE) {
            let mut insert = sqlx::QueryBuilder::<Sqlite>::new(
                "insert into events (seq, at, kind, incident_id, target, actor, body, prev_hash, hash) ",
            );
            insert.push_values(some, |mut row, event| {
                row.push_bind(i64::try_from(event.seq).unwrap_or(i64::MAX))
                    .push_bind(event.at.timestamp_micros())
                    .push_bind(event.kind.clone())
                    .push_bind(event.incident.map(|id| id.to_string()))
                    .push_bind(event.target.clone())
                    .push_bind(event.actor.clone())
                    .push_bind(event.body.to_string())
                    .push_bind(event.prev_hash.clone())
                    .push_bind(event.hash.clone());
            });
            insert.build().execute(&mut *conn).await?;
        }
        Ok(())
    }
}

const TURN: Duration = Duration::from_millis(50);

fn is_locked(error: &sqlx::Error) -> bool {
    const BUSY: &str = "5";
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|c| c == BUSY)
}

fn bound(sql: Sql, cells: Vec<Cell>) -> Query<'static, Sqlite, SqliteArguments> {
    cells.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, cell| match cell {
        Cell::Text(text) => query.bind(text),
        Cell::Int(int) => query.bind(int),
        Cell::Time(at) => query.bind(at.map(|at| at.timestamp_micros())),
        Cell::Id(id) => query.bind(id.map(|id| id.to_string())),
        Cell::Json(value) => query.bind(value.map(|value| value.to_string())),
        Cell::Flag(flag) => query.bind(flag),
    })
}

#[async_trait]
impl Session for SqliteConnection {
    type Row = SqliteRow;

    async fn execute(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<u64, sqlx::Error> {
        Ok(bound(sql, cells).execute(self).await?.rows_affected())
    }

    async fn fetch(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<Vec<SqliteRow>, sqlx::Error> {
        bound(sql, cells).fetch_all(self).await
    }
}

impl Columns for SqliteRow {
    fn opt_text(&self, name: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_int(&self, name: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_time(&self, name: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        let Some(micros) = self.opt_int(name)? else { return Ok(None) };
        let at = DateTime::from_timestamp_micros(micros);
        at.map(Some).ok_or_else(|| unreadable(name, format!("{micros} is no time")))
    }

    fn opt_id(&self, name: &str) -> Result<Option<Uuid>, sqlx::Error> {
        let Some(text) = self.opt_text(name)? else { return Ok(None) };
        Uuid::parse_str(&text).map(Some).map_err(|error| unreadable(name, error))
    }

    fn opt_json(&self, name: &str) -> Result<Option<Value>, sqlx::Error> {
        let Some(text) = self.opt_text(name)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| unreadable(name, error))
    }
}
