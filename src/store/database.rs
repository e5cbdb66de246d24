//! The store over any SQL dialect: one writer connection for everything that changes, pooled ones for reading.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::failure::{Remedy, Trouble, store_error, too_late};
use super::filter;
use super::past;
use super::read;
use super::sql::{Cell, Dialect, Session, Sql};
use super::times;
use super::write::{self, Append, LeaseMove, backoff};
use crate::domain::event::{Head, RawEvent};
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::domain::ledger::Ledger;
use crate::ports::store::{
    ActionLine, Batch, HistoryPoint, IncidentFilter, IncidentLine, IncidentTimes, Lease,
    SimilarIncident, Store, StoreError,
};

/// Nothing that writes takes longer; a store that hangs is one that is away.
const WRITE_BOUND: Duration = Duration::from_millis(2_500);
const READ_BOUND: Duration = Duration::from_secs(5);
/// Transactions that lost against others are tried so often.
const ATTEMPTS: u32 = 6;

/// A store in one database.
pub(super) struct Database<D: Dialect> {
    dialect: D,
    url: String,
    /// Taken out while it works: work that is given up midway takes the connection with it.
    writer: Mutex<Option<D::Conn>>,
}

/// A row as the dialect gives it.
type RowOf<D> = <<D as Dialect>::Conn as Session>::Row;

/// Something the writer does in one go, which can be done again when it did not get through.
enum Work<'a> {
    Append(&'a Append, &'a Lease),
    Lease(LeaseMove),
    /// Statements of one transaction.
    Statements(Vec<(Sql, Vec<Cell>)>),
}

/// What came of it.
enum Done {
    Head(Head),
    Lease(Option<Lease>),
    Nothing,
}

impl<D: Dialect> Database<D> {
    pub(super) fn new(dialect: D, url: String) -> Self {
        Self { dialect, url, writer: Mutex::new(None) }
    }

    async fn write(&self, verb: &'static str, work: Work<'_>) -> Result<Done, StoreError> {
        match timeout(WRITE_BOUND, self.write_in_time(&work)).await {
            Ok(done) => done.map_err(|trouble| trouble.into_error(verb, &self.url)),
            Err(_) => Err(too_late(&self.url, WRITE_BOUND)),
        }
    }

    async fn write_in_time(&self, work: &Work<'_>) -> Result<Done, Trouble> {
        let mut writer = self.writer.lock().await;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let held = writer.is_some();
            let trouble = match self.work(&mut writer, work).await {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            match trouble.remedy() {
                Remedy::Repeat if attempt < ATTEMPTS => {
                    tokio::time::sleep(backoff(attempt, u64::from(std::process::id()))).await;
                }
                // A held connection may be one to a server that was restarted meanwhile.
                Remedy::Reconnect if held && attempt < ATTEMPTS => {}
                _ => return Err(trouble),
            }
        }
    }

    async fn work(
        &self,
        writer: &mut MutexGuard<'_, Option<D::Conn>>,
        work: &Work<'_>,
    ) -> Result<Done, Trouble> {
        let mut conn = match writer.take() {
            Some(conn) => conn,
            None => self.dialect.connect().await?,
        };
        let done = match work {
            Work::Append(append, lease) => {
                append.attempt::<D>(&mut conn, lease).await.map(Done::Head)
            }
            Work::Lease(step) => step.attempt::<D>(&mut conn).await.map(Done::Lease),
            Work::Statements(statements) => {
                run::<D>(&mut conn, statements).await.map(|()| Done::Nothing)
            }
        };
        let keeps = match &done {
            Ok(_) | Err(Trouble::Refused(_)) => true,
            Err(trouble) => matches!(trouble.remedy(), Remedy::Repeat | Remedy::None),
        };
        if keeps {
            **writer = Some(conn);
        }
        done
    }

    /// Reads rows over a pooled connection and turns each into what the caller wants.
    async fn read<T>(
        &self,
        verb: &'static str,
        (sql, cells): (Sql, Vec<Cell>),
        turn: impl Fn(&RowOf<D>) -> Result<T, Trouble> + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self
            .in_time(verb, async {
                let mut conn = self.dialect.reader().await?;
                Ok(conn.fetch(sql, cells).await?)
            })
            .await?;
        let turned: Result<Vec<T>, Trouble> = rows.iter().map(turn).collect();
        turned.map_err(|trouble| trouble.into_error(verb, &self.url))
    }

    async fn in_time<T>(
        &self,
        verb: &'static str,
        reading: impl Future<Output = Result<T, Trouble>> + Send,
    ) -> Result<T, StoreError> {
        match timeout(READ_BOUND, reading).await {
            Ok(read) => read.map_err(|trouble| trouble.into_error(verb, &self.url)),
            Err(_) => Err(too_late(&self.url, READ_BOUND)),
        }
    }

    async fn move_lease(&self, step: LeaseMove) -> Result<Option<Lease>, StoreError> {
        match self.write("move the lease", Work::Lease(step)).await? {
            Done::Lease(lease) => Ok(lease),
            Done::Head(_) | Done::Nothing => Ok(None),
        }
    }
}

async fn run<D: Dialect>(
    conn: &mut D::Conn,
    statements: &[(Sql, Vec<Cell>)],
) -> Result<(), Trouble> {
    let mut tx = conn.begin_with(D::BEGIN_WRITE).await?;
    for (sql, cells) in statements {
        if let Err(error) = tx.execute(sql.clone(), cells.clone()).await {
            let _ = tx.rollback().await;
            return Err(error.into());
        }
    }
    tx.commit().await?;
    Ok(())
}

/// A lease that a successful take or renewal always gives.
fn given(lease: Option<Lease>) -> Result<Lease, StoreError> {
    lease.ok_or_else(|| StoreError::Failed {
        verb: "move the lease",
        source: anyhow::anyhow!("the store gave no lease back"),
    })
}

#[async_trait]
impl<D: Dialect> Store for Database<D> {
    fn url(&self) -> &str {
        &self.url
    }

    async fn take_lease(
        &self,
        holder: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let step = LeaseMove::Take { holder: holder.to_owned(), now, until: now + ttl };
        given(self.move_lease(step).await?)
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let step = LeaseMove::Renew { lease: lease.clone(), until: now + ttl };
        given(self.move_lease(step).await?)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.move_lease(LeaseMove::Release { lease: lease.clone() }).await.map(|_| ())
    }

    async fn lease(&self, now: DateTime<Utc>) -> Result<Option<Lease>, StoreError> {
        let sql = "select holder, token, expires_at from leases where expires_at > $1";
        let query = (sql.into(), vec![Cell::time(now)]);
        let held = self.read("read the lease", query, |row| Ok(write::lease_of(row)?)).await?;
        Ok(held.into_iter().next())
    }

    async fn append(&self, batch: &Batch, lease: &Lease) -> Result<Head, StoreError> {
        let append = Append::of(batch)?;
        match self.write("append events", Work::Append(&append, lease)).await? {
            Done::Head(head) => Ok(head),
            Done::Lease(_) | Done::Nothing => self.head().await,
        }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.in_time("read the end of the log", async {
            let mut conn = self.dialect.reader().await?;
            Ok(write::head::<D>(&mut conn).await?)
        })
        .await
    }

    async fn load(&self) -> Result<Ledger, StoreError> {
        self.in_time("load the ledger", async {
            let mut conn = self.dialect.reader().await?;
            let mut tx = conn.begin_with(D::BEGIN_READ).await?;
            let ledger = read::ledger::<D>(&mut tx).await?;
            tx.rollback().await?;
            Ok(ledger)
        })
        .await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<RawEvent>, StoreError> {
        self.read("read events", read::events_query(after, limit), read::event).await
    }

    async fn incident_events(&self, incident: IncidentId) -> Result<Vec<RawEvent>, StoreError> {
        self.read("read events", read::incident_events_query(incident), read::event).await
    }

    async fn remembered_head(&self) -> Result<Option<Head>, StoreError> {
        let query = ("select seq, hash from chain_head where seq > 0".into(), vec![]);
        let heads = self.read("read the end of the log", query, read::remembered_head).await?;
        Ok(heads.into_iter().next())
    }

    async fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<IncidentLine>, StoreError> {
        let Some(query) = filter::query(filter) else { return Ok(Vec::new()) };
        self.read("list incidents", query, read::incident_line).await
    }

    async fn incident(&self, number: u64) -> Result<Option<Incident>, StoreError> {
        let query = (
            "select number, body from incidents where number = $1".into(),
            vec![Cell::count(number)],
        );
        let found = self.read("read an incident", query, |row| read::body(row, "incident")).await?;
        Ok(found.into_iter().next())
    }

    async fn incident_of(&self, execution: ExecutionId) -> Result<Option<u64>, StoreError> {
        let sql = "select i.number from agent_executions e join incidents i on i.id = e.incident_id where e.id = $1";
        let query = (sql.into(), vec![Cell::id(execution.0)]);
        let found = self.read("find an execution", query, read::number).await?;
        Ok(found.into_iter().next())
    }

    async fn injections(&self, limit: u32) -> Result<Vec<Injection>, StoreError> {
        let query = (
            "select number, body from injections order by number desc limit $1".into(),
            vec![Cell::count(limit)],
        );
        self.read("list injections", query, |row| read::body(row, "injection")).await
    }

    async fn history(
        &self,
        incident: Option<u64>,
        limit: u32,
    ) -> Result<Vec<ActionLine>, StoreError> {
        self.read("list actions", read::history_query(incident, limit), read::action_line).await
    }

    async fn times(&self, since: Option<DateTime<Utc>>) -> Result<Vec<IncidentTimes>, StoreError> {
        self.in_time("read the times of incidents", async {
            let mut conn = self.dialect.reader().await?;
            let mut tx = conn.begin_with(D::BEGIN_READ).await?;
            let times = times::read::<D>(&mut tx, since).await?;
            tx.rollback().await?;
            Ok(times)
        })
        .await
    }

    async fn past(
        &self,
        target: Option<&str>,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<HistoryPoint>, StoreError> {
        let query = past::points_query(target, since, limit);
        let mut points = self.read("read the history", query, past::point).await?;
        points.reverse();
        Ok(points)
    }

    async fn similar(
        &self,
        incident: &Incident,
        limit: u32,
    ) -> Result<Vec<SimilarIncident>, StoreError> {
        self.in_time("find similar incidents", async {
            let mut conn = self.dialect.reader().await?;
            let mut tx = conn.begin_with(D::BEGIN_READ).await?;
            let found = past::similar::<D>(&mut tx, incident, limit).await?;
            tx.rollback().await?;
            Ok(found)
        })
        .await
    }

    async fn record_history(
        &self,
        points: &[HistoryPoint],
        keep_after: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let insert = "insert into samples (target, at, health, readings) values ($1, $2, $3, $4)
                      on conflict (target, at) do update set
                          health = excluded.health, readings = excluded.readings";
        let mut statements: Vec<(Sql, Vec<Cell>)> = points
            .iter()
            .map(|point| {
                let cells = vec![
                    Cell::text(&point.target),
                    Cell::time(point.at),
                    Cell::Int(point.health.map(i64::from)),
                    Cell::json(&point.readings),
                ];
                (insert.into(), cells)
            })
            .collect();
        statements.push(("delete from samples where at < $1".into(), vec![Cell::time(keep_after)]));
        self.write("record the history", Work::Statements(statements)).await.map(|_| ())
    }

    async fn events_before(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<RawEvent>, StoreError> {
        self.read("read events", read::events_before_query(before, limit), read::event).await
    }
}

/// The error of a store that could not be opened.
pub(super) fn open_error(error: sqlx::Error, url: &str) -> StoreError {
    store_error(error, "open the tables", url)
}
