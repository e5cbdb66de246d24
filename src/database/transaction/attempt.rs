//! One attempt at a transaction, on a connection of its own.

use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::commit::{Fate, fate_of};
use super::{Commit, Isolation, StatementResult, TransactionResponse};
use crate::database::failure::{Code, Failure, Outcome};
use crate::database::param::{bound, refs};
use crate::database::read::{self, Given, Go};
use crate::database::sitting::{Sitting, is_over};
use crate::database::statement::Statement;
use crate::database::value::{Head, Row};
use crate::database::workbench::{As, Workbench};
use crate::targets::postgres::Session;

/// What is attempted.
pub(in crate::database) struct Plan<'a> {
    pub(in crate::database) statements: Vec<(&'a Statement, &'a [Value])>,
    pub(in crate::database) isolation: Isolation,
    pub(in crate::database) write: bool,
    pub(in crate::database) retry_locks: bool,
    pub(in crate::database) max_retries: u32,
    /// Of each statement.
    pub(in crate::database) max_rows: u64,
    pub(in crate::database) database: Option<&'a str>,
    pub(in crate::database) until: Instant,
    pub(in crate::database) limit: Duration,
}

/// How an attempt ended.
pub(super) enum Ended {
    Well(Box<TransactionResponse>),
    Badly(Failure),
    /// Nothing of it was applied, and the same may work another time.
    Again {
        failure: Failure,
        why: String,
    },
}

pub(super) async fn attempt(bench: &Workbench, plan: &Plan<'_>) -> Ended {
    let session = if plan.write { Session::Change } else { Session::Ask };
    let leased = match bench.lease(As::App, plan.database, session).await {
        Ok(leased) => leased,
        Err(failure) => return Ended::Badly(failure),
    };
    let left = plan.until.saturating_duration_since(Instant::now()).min(plan.limit);
    let mut sitting = Sitting::new(&bench.link, leased, left, &bench.stop);
    let results = match statements(&mut sitting, plan).await {
        Ok(results) => results,
        Err(failure) => {
            sitting.failed(&failure).await;
            return before_commit(failure, plan);
        }
    };
    if plan.write {
        commit(bench, plan, sitting, results).await
    } else {
        roll_back(sitting, results).await
    }
}

/// Deadlocks, serialisation failures and lost connections; nothing else gets better by itself.
fn before_commit(failure: Failure, plan: &Plan<'_>) -> Ended {
    let state = failure.sqlstate.clone().unwrap_or_default();
    let again = matches!(state.as_str(), "40001" | "40P01")
        || (state == "55P03" && plan.retry_locks)
        || is_lost(&failure);
    if !again {
        return Ended::Badly(failure);
    }
    let why = if state.is_empty() { "connection lost".to_owned() } else { state };
    Ended::Again { failure, why }
}

/// The connection went away, rather than the server having said no.
pub(super) fn is_lost(failure: &Failure) -> bool {
    match &failure.sqlstate {
        Some(state) => is_over(state),
        None => failure.code == Code::Unavailable,
    }
}

async fn statements(sitting: &mut Sitting, plan: &Plan<'_>) -> Outcome<Vec<StatementResult>> {
    begin(sitting, plan).await?;
    let mut results = Vec::with_capacity(plan.statements.len());
    for (index, (statement, params)) in plan.statements.iter().enumerate() {
        let result = if plan.write {
            changed(sitting, statement, params, plan.max_rows).await
        } else {
            only_read(sitting, statement, params, plan.max_rows).await
        };
        let of_many = |failure: Failure| match plan.statements.len() {
            1 => failure,
            _ => failure.of_statement(index, &statement.text),
        };
        results.push(result.map_err(of_many)?);
    }
    Ok(results)
}

/// The isolation stands in BEGIN itself: said later it is a mere warning, or refused.
/// A serializable reader waits for a snapshot in which nothing can turn out wrong, so that it need not commit.
async fn begin(sitting: &Sitting, plan: &Plan<'_>) -> Outcome<()> {
    let (level, limit) = (plan.isolation.sql(), sitting.limit_ms());
    let access = match (plan.write, plan.isolation) {
        (true, _) => "READ WRITE",
        (false, Isolation::Serializable) => "READ ONLY DEFERRABLE",
        (false, Isolation::ReadCommitted | Isolation::RepeatableRead) => "READ ONLY",
    };
    // After a query the server refuses to lift READ ONLY.
    let first = if plan.write { "" } else { "; SELECT 1" };
    let begin = format!(
        "BEGIN ISOLATION LEVEL {level} {access}; SET LOCAL statement_timeout = {limit}{first}"
    );
    sitting.ask(sitting.connection.batch_execute(&begin)).await
}

async fn only_read(
    sitting: &mut Sitting,
    statement: &Statement,
    params: &[Value],
    max_rows: u64,
) -> Outcome<StatementResult> {
    let mut rows = Vec::new();
    let told = read::statement(sitting, statement, params, max_rows, &mut |given| {
        if let Given::Row(row) = given {
            rows.push(row);
        }
        Ok(Go::On)
    })
    .await?;
    Ok(StatementResult {
        query_type: statement.word.clone(),
        row_count: told.rows,
        columns: told.head,
        rows,
        truncated: told.truncated,
    })
}

/// Runs a statement to its end, whatever is kept of its rows.
async fn changed(
    sitting: &Sitting,
    statement: &Statement,
    params: &[Value],
    max_rows: u64,
) -> Outcome<StatementResult> {
    let prepared = sitting.ask(sitting.connection.prepare(&statement.text)).await?;
    let bound = bound(params, &prepared)?;
    let head = Head::of(&prepared);
    let mut kept = Kept { rows: Vec::new(), count: 0, most: max_rows };
    if head.columns.is_empty() {
        let params = refs(&bound);
        kept.count = sitting.ask(sitting.connection.execute(&prepared, &params)).await?;
    } else if bound.is_empty() {
        // The server itself took it as a single statement when it was prepared, so that it can be sent as text and
        // every type comes back as text.
        as_text(sitting, statement, &head, &mut kept).await?;
    } else {
        head.must_be_readable()?;
        let stream = sitting.ask(sitting.connection.query_raw(&prepared, refs(&bound))).await?;
        let mut stream = pin!(stream);
        while let Some(row) = sitting.ask(stream.try_next()).await? {
            kept.add(|| head.of_bytes(&row))?;
        }
    }
    Ok(StatementResult {
        query_type: statement.word.clone(),
        row_count: kept.count,
        columns: head.columns,
        truncated: kept.count > kept.rows.len() as u64 && !kept.rows.is_empty(),
        rows: kept.rows,
    })
}

struct Kept {
    rows: Vec<Row>,
    count: u64,
    most: u64,
}

impl Kept {
    fn add(&mut self, row: impl FnOnce() -> Outcome<Row>) -> Outcome<()> {
        if self.count < self.most {
            self.rows.push(row()?);
        }
        self.count += 1;
        Ok(())
    }
}

async fn as_text(
    sitting: &Sitting,
    statement: &Statement,
    head: &Head,
    kept: &mut Kept,
) -> Outcome<()> {
    let stream = sitting.ask(sitting.connection.simple_query_raw(&statement.text)).await?;
    let mut stream = pin!(stream);
    while let Some(message) = sitting.ask(stream.try_next()).await? {
        if let SimpleQueryMessage::Row(row) = message {
            kept.add(|| Ok(head.of_text(&row)))?;
        }
    }
    Ok(())
}

fn response(
    results: Vec<StatementResult>,
    commit: Commit,
    notices: Vec<String>,
) -> TransactionResponse {
    TransactionResponse {
        success: true,
        queries_executed: results.len(),
        results,
        attempts: 1,
        retried_for: Vec::new(),
        commit,
        lsn: None,
        notices,
        execution_time_ms: 0.0,
    }
}

async fn roll_back(sitting: Sitting, results: Vec<StatementResult>) -> Ended {
    let ended = sitting.ask(sitting.connection.batch_execute("ROLLBACK")).await;
    let notices = sitting.connection.take_notices();
    // What functions did to the session is not looked into here.
    sitting.closed().await;
    match ended {
        Ok(()) => Ended::Well(Box::new(response(results, Commit::RolledBack, notices))),
        Err(failure) => Ended::Badly(failure),
    }
}

/// The number of the transaction is read first: with it a new connection can ask what became of it.
async fn commit(
    bench: &Workbench,
    plan: &Plan<'_>,
    sitting: Sitting,
    results: Vec<StatementResult>,
) -> Ended {
    const NUMBER: &str = "select txid_current_if_assigned()";
    let number = sitting.ask(sitting.connection.query_one(NUMBER, &[])).await;
    let number = number.and_then(|row| {
        row.try_get::<_, Option<i64>>(0).map_err(|error| Failure::of_postgres(&error))
    });
    let number = match number {
        Ok(number) => number,
        Err(failure) => {
            sitting.failed(&failure).await;
            return before_commit(failure, plan);
        }
    };
    let committed = sitting.ask(sitting.connection.batch_execute("COMMIT")).await;
    match committed {
        Ok(()) => {
            let notices = sitting.connection.take_notices();
            let mut response = response(results, Commit::Committed, notices);
            response.lsn = position(&sitting).await;
            sitting.closed().await;
            Ended::Well(Box::new(response))
        }
        Err(failure) if is_lost(&failure) || failure.code == Code::Timeout => {
            drop(sitting);
            bench.stats.commit_lost();
            match fate_of(bench, plan.database, number).await {
                Fate::Committed(lsn) => {
                    let notices = vec![
                        "the connection was lost at COMMIT; the server says it was done".to_owned(),
                    ];
                    let mut response = response(results, Commit::Committed, notices);
                    response.lsn = lsn;
                    Ended::Well(Box::new(response))
                }
                Fate::Aborted => {
                    Ended::Again { failure, why: "connection lost at COMMIT, not applied".into() }
                }
                Fate::Unknown => Ended::Badly(unknown(&failure)),
            }
        }
        Err(failure) => {
            sitting.failed(&failure).await;
            before_commit(failure, plan)
        }
    }
}

fn unknown(failure: &Failure) -> Failure {
    Failure::new(
        Code::UnknownOutcome,
        format!(
            "the connection was lost at COMMIT, and whether it was applied is not known: {failure}"
        ),
        "look at the data before doing it again; it was not repeated",
    )
}

/// Where the server's log stands after the commit; before it the commit itself would be missing.
async fn position(sitting: &Sitting) -> Option<String> {
    let asked = sitting.connection.query_one("select pg_current_wal_insert_lsn()::text", &[]);
    sitting.ask(asked).await.ok()?.try_get(0).ok()
}
