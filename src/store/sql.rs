//! What both databases have in common: values to bind, columns to read, a connection that takes both.
//!
//! The stores share their SQL text, so they cannot drift apart; a dialect adds what really differs.

use std::borrow::Cow;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::pool::PoolConnection;
use uuid::Uuid;

use crate::domain::event::{RawEvent, storable, without_nul};

/// SQL text: constant, or put together from constant fragments.
pub(super) type Sql = Cow<'static, str>;

/// A value to bind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    Int(Option<i64>),
    Time(Option<DateTime<Utc>>),
    Id(Option<Uuid>),
    Json(Option<Value>),
    Flag(bool),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Some(without_nul(text.into())))
    }

    pub(super) fn opt_text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Text(None), Self::text)
    }

    /// A count; more than `i64::MAX` of anything stays there.
    pub(super) fn count(count: impl TryInto<i64>) -> Self {
        Self::Int(Some(count.try_into().unwrap_or(i64::MAX)))
    }

    pub(super) fn time(at: DateTime<Utc>) -> Self {
        Self::Time(Some(at))
    }

    pub(super) fn id(id: Uuid) -> Self {
        Self::Id(Some(id))
    }

    pub(super) fn json(value: &impl serde::Serialize) -> Self {
        Self::Json(Some(storable(serde_json::to_value(value).unwrap_or_default())))
    }

    pub(super) fn opt_json(value: Option<&impl serde::Serialize>) -> Self {
        value.map_or(Self::Json(None), Self::json)
    }
}

/// A row that was read. Each reader names its column.
pub(super) trait Columns: Send + Sync {
    fn opt_text(&self, name: &str) -> Result<Option<String>, sqlx::Error>;
    fn opt_int(&self, name: &str) -> Result<Option<i64>, sqlx::Error>;
    fn opt_time(&self, name: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error>;
    fn opt_id(&self, name: &str) -> Result<Option<Uuid>, sqlx::Error>;
    fn opt_json(&self, name: &str) -> Result<Option<Value>, sqlx::Error>;

    fn text(&self, name: &str) -> Result<String, sqlx::Error> {
        self.opt_text(name)?.ok_or_else(|| missing(name))
    }

    fn time(&self, name: &str) -> Result<DateTime<Utc>, sqlx::Error> {
        self.opt_time(name)?.ok_or_else(|| missing(name))
    }

    fn id(&self, name: &str) -> Result<Uuid, sqlx::Error> {
        self.opt_id(name)?.ok_or_else(|| missing(name))
    }

    fn json(&self, name: &str) -> Result<Value, sqlx::Error> {
        self.opt_json(name)?.ok_or_else(|| missing(name))
    }

    fn count<T: TryFrom<i64>>(&self, name: &str) -> Result<T, sqlx::Error> {
        self.opt_count(name)?.ok_or_else(|| missing(name))
    }

    fn opt_count<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, sqlx::Error> {
        let Some(count) = self.opt_int(name)? else { return Ok(None) };
        count.try_into().map(Some).map_err(|_| unreadable(name, format!("{count} is out of range")))
    }
}

fn missing(name: &str) -> sqlx::Error {
    unreadable(name, "it is missing")
}

/// A column that holds something else than what was written.
pub(super) fn unreadable(
    name: &str,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: name.to_owned(), source: why.into() }
}

/// A connection that takes SQL text and cells.
#[async_trait]
pub(super) trait Session: Send {
    type Row: Columns;

    async fn execute(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<u64, sqlx::Error>;

    async fn fetch(&mut self, sql: Sql, cells: Vec<Cell>) -> Result<Vec<Self::Row>, sqlx::Error>;
}

/// What differs between the databases.
#[async_trait]
pub(super) trait Dialect: Send + Sync + 'static {
    type Db: sqlx::Database<Connection = Self::Conn>;
    type Conn: sqlx::Connection<Database = Self::Db> + Session;

    /// Starts a transaction that writes.
    const BEGIN_WRITE: &'static str;
    /// Starts a transaction whose reads all see the same moment.
    const BEGIN_READ: &'static str;
    /// Ends a query whose row must stay as it is until the transaction ends.
    const STAYS: &'static str;

    /// A connection of its own, for the writer.
    async fn connect(&self) -> Result<Self::Conn, sqlx::Error>;

    /// A pooled connection for a reader.
    async fn reader(&self) -> Result<PoolConnection<Self::Db>, sqlx::Error>;

    async fn insert_events(conn: &mut Self::Conn, events: &[RawEvent]) -> Result<(), sqlx::Error>;
}
