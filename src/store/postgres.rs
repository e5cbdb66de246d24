//! PostgreSQL: the pool, the writer's connection, and the SQL that only it understands.

use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::sql::{Cell, Columns, Dialect, Session, Sql};
use crate::domain::event::RawEvent;

/// How long a reader waits for the pool before it asks the server itself.
const PATIENCE: Duration = Duration::from_millis(300);

pub(super) struct Pg {
    options: PgConnectOptions,
    pool: PgPool,
}

impl Pg {
    /// Prepares the connections; opens none yet.
    pub(super) fn new(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("simctl/store")
            .options([
                ("statement_timeout", "5s"),
                ("lock_timeout", "2s"),
                // A listing's best plan depends on which words and times are asked for.
                ("plan_cache_mode", "force_custom_plan"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(25)
            .min_connections(5)
            .acquire_timeout(Duration::from_secs(3))
            .max_lifetime(Duration::from_mins(5))
            .idle_timeout(Duration::from_mins(2))
            .connect_lazy_with(options.clone());
        Ok(Self { options, pool })
    }

    /// A connection without time limits, for migrations.
    pub(super) async fn unhurried(&self) -> Result<PgConnection, sqlx::Error> {
        let options = self.options.clone();
        options.options([("statement_timeout", "0"), ("lock_timeout", "0")]).connect().await
    }

    /// Where it is, without the password.
    pub(super) fn masked(&self) -> String {
        let options = &self.options;
        let host = options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| socket.display().to_string(),
        );
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        format!("postgres://{}@{host}/{database}", options.get_username())
    }
}

#[async_trait]
impl Dialect for Pg {
    type Db = Postgres;
    type Conn = PgConnection;

    const BEGIN_WRITE: &'static str = "begin";
    const BEGIN_READ: &'static str = "begin isolation level repeatable read read only";
    const STAYS: &'static str = " for share";

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// While the server refuses connections the pool waits for it without a word: a direct try says at once
    /// what is wrong.
    async fn reader(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if let Ok(acquired) = timeout(PATIENCE, self.pool.acquire()).await {
            return acquired;
        }
        self.options.connect().await?.close().await?;
        self.pool.acquire().await
    }

    async fn insert_events(
        conn: &mut PgConnection,
        events: &[RawEvent],
    ) -> Result<(), sqlx::Error> {
        let seqs: Vec<i64> = events.iter().map(|e| e.seq.try_into().unwrap_or(i64::MAX)).collect();
        sqlx::query(
            "insert into events (seq, at, kind, incident_id, target, actor, body, prev_hash, hash)
             select * from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[],
                                  $6::text[], $7::jsonb[], $8::text[], $9::text[])",
        )
        .bind(seqs)
        .bind(events.iter().map(|e| e.at).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.incident).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.target.as_deref()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.actor.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| Json(&e.body)).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.prev_hash.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.hash.as_str()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        Ok(())
    }
}

fn bound(sql: Sql, cells: Vec<Cell>) -> Query<'static, Postgres, PgArguments> {
    cells.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, cell| match cell {
        Cell::Text(text) => query.bind(text),
        Cell::Int(int) => query.bind(int),
        Cell::Time(at) => query.bind(at),
        Cell::Id(id) => query.bind(id),
        Cell::Json(value) => query.bind(value.map(Json)),
        Cell::Flag(flag) => query.bind(flag),
    })
}

#[async_trait]
impl Session for PgConnection {
    type Row = PgRow;

    async fn execute(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<u64, sqlx::Error> {
        Ok(bound(sql, cells).execute(self).await?.rows_affected())
    }

    async fn fetch(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<Vec<PgRow>, sqlx::Error> {
        bound(sql, cells).fetch_all(self).await
    }
}

impl Columns for PgRow {
    fn opt_text(&self, name: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_int(&self, name: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_time(&self, name: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_id(&self, name: &str) -> Result<Option<Uuid>, sqlx::Error> {
        self.try_get(name)
    }

    fn opt_json(&self, name: &str) -> Result<Option<Value>, sqlx::Error> {
        Ok(self.try_get::<Option<Json<Value>>, _>(name)?.map(|json| json.0))
    }
}
