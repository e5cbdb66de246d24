//! Several statements as one transaction: at the isolation that was asked for, begun again as a whole where that is
//! right, and never applied twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::failure::{Code, Failure, Outcome};
use super::jobs::{Recorded, failed};
use super::statement::Statement;
use super::value::{Column, Row};
use super::workbench::Workbench;
use super::writes::{Change, Permit};
use crate::domain::job::JobEnd;
use attempt::Ended;

mod attempt;
mod commit;
mod file;

pub(super) use attempt::Plan;
pub use file::read as read_file;

/// Most statements of one transaction.
const MOST: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Statements to run as one.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "queries": [{ "sql": "select 1" }], "isolation_level": "repeatable_read" }))]
pub struct TransactionRequest {
    pub queries: Vec<Query>,
    pub isolation_level: Isolation,
    /// They may change something. Without this the server refuses whatever would.
    pub write: bool,
    pub max_retries: Option<u32>,
    /// Of all attempts together.
    pub deadline_ms: Option<u64>,
    /// Also begins again when a lock was not to be had (55P03).
    pub retry_locks: bool,
    pub database: Option<String>,
}

/// One statement of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TransactionQuery)]
pub struct Query {
    pub sql: String,
    #[schema(value_type = Vec<Object>)]
    pub params: Vec<Value>,
}

/// What the statements see of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    #[default]
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// What the transaction did.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TransactionResponse {
    pub success: bool,
    pub queries_executed: usize,
    pub results: Vec<StatementResult>,
    pub attempts: u32,
    /// The SQLSTATE or reason of every attempt before the last.
    pub retried_for: Vec<String>,
    /// What only reads is rolled back, always.
    pub commit: Commit,
    pub lsn: Option<String>,
    pub notices: Vec<String>,
    pub execution_time_ms: f64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    Committed,
    RolledBack,
}

/// What one statement gave.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StatementResult {
    pub query_type: String,
    /// Rows given, or changed.
    pub row_count: u64,
    pub columns: Vec<Column>,
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Row>,
    pub truncated: bool,
}

/// Runs the statements as one transaction. `permit` is who agreed to it, when it may change something.
pub async fn transaction(
    bench: &Workbench,
    request: &TransactionRequest,
    permit: Option<&Permit>,
) -> Outcome<TransactionResponse> {
    let statements = checked(request)?;
    let began = Instant::now();
    let outcome = if request.write {
        recorded(bench, request, &statements, permit, "transaction").await
    } else {
        statements.iter().try_for_each(Statement::must_not_act_outside)?;
        repeated(bench, &plan(bench, request, &statements)).await
    };
    bench.stats.ran_transaction(began.elapsed(), &outcome);
    outcome
}

fn checked(request: &TransactionRequest) -> Outcome<Vec<Statement>> {
    if request.queries.is_empty() {
        return Err(Failure::invalid("there is no statement", "write at least one"));
    }
    if request.queries.len() > MOST {
        let many = format!("there are {} statements", request.queries.len());
        return Err(Failure::invalid(many, format!("run at most {MOST} as one transaction")));
    }
    let mut statements = Vec::with_capacity(request.queries.len());
    for (index, query) in request.queries.iter().enumerate() {
        let statement = Statement::one(&query.sql).and_then(|one| one.must_be_run().map(|()| one));
        statements.push(statement.map_err(|failure| failure.of_statement(index, &query.sql))?);
    }
    Ok(statements)
}

fn plan<'a>(
    bench: &Workbench,
    request: &'a TransactionRequest,
    statements: &'a [Statement],
) -> Plan<'a> {
    let limit = request.deadline_ms.map_or(bench.settings.query_timeout, Duration::from_millis);
    Plan {
        statements: statements
            .iter()
            .zip(&request.queries)
            .map(|(one, q)| (one, &q.params[..]))
            .collect(),
        isolation: request.isolation_level,
        write: request.write,
        retry_locks: request.retry_locks,
        max_retries: request.max_retries.unwrap_or(bench.settings.max_retries),
        max_rows: super::query::ROWS,
        database: request.database.as_deref(),
        until: Instant::now() + limit,
        limit,
    }
}

/// Runs what changes something, with its start and its end on record.
async fn recorded(
    bench: &Workbench,
    request: &TransactionRequest,
    statements: &[Statement],
    permit: Option<&Permit>,
    what: &str,
) -> Outcome<TransactionResponse> {
    let change = Change::of_transaction(bench, request)?;
    let permit = change.permitted(bench, permit)?;
    let record = Recorded::start(bench, what, &change, &permit).await?;
    run_recorded(bench, &plan(bench, request, statements), record).await
}

/// Runs a plan that changes something and writes down its end.
pub(super) async fn run_recorded(
    bench: &Workbench,
    plan: &Plan<'_>,
    record: Recorded,
) -> Outcome<TransactionResponse> {
    let outcome = repeated(bench, plan).await;
    // Whether it was applied or that is not known: what was read of its tables before may be old now.
    let database = bench.database(plan.database);
    bench.cache.changed(&database, plan.statements.iter().map(|(statement, _)| *statement));
    match outcome {
        Ok(mut response) => {
            let rows = response.results.iter().map(|result| result.row_count).sum();
            let end = JobEnd { ok: true, rows: Some(rows), lsn: response.lsn.clone(), error: None };
            response.notices.extend(record.end(end).await);
            Ok(response)
        }
        Err(mut failure) => {
            if let Some(warning) = record.end(failed(&failure)).await {
                failure.message = format!("{} ({warning})", failure.message);
            }
            Err(failure)
        }
    }
}

/// Tries until it ended, for good or ill. Only what may be begun again is.
pub(super) async fn repeated(bench: &Workbench, plan: &Plan<'_>) -> Outcome<TransactionResponse> {
    let began = Instant::now();
    let (mut retried_for, mut pause) = (Vec::new(), bench.settings.retry_delay.min(LONGEST_PAUSE));
    pause = pause.max(FIRST_PAUSE.min(bench.settings.retry_delay));
    loop {
        let attempts = u32::try_from(retried_for.len()).unwrap_or(u32::MAX).saturating_add(1);
        match attempt::attempt(bench, plan).await {
            Ended::Well(mut response) => {
                response.attempts = attempts;
                response.retried_for = retried_for;
                response.execution_time_ms = began.elapsed().as_secs_f64() * 1e3;
                return Ok(*response);
            }
            Ended::Badly(failure) => return Err(after(failure, attempts)),
            Ended::Again { failure, why } => {
                let wait = bench.stats.jitter(pause);
                if attempts > plan.max_retries || Instant::now() + wait >= plan.until {
                    return Err(after(failure, attempts));
                }
                bench.stats.retried();
                retried_for.push(why);
                sleep(wait).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn after(failure: Failure, attempts: u32) -> Failure {
    if attempts == 1 || failure.code == Code::UnknownOutcome {
        return failure;
    }
    Failure { message: format!("{}, also in attempt {attempts}", failure.message), ..failure }
}
