//! A person's statement: read by a cursor in a transaction that the server holds to reading, or, when that was
//! said, run as a change that is recorded.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::failure::{Failure, Outcome};
use super::read::{self, Sink};
use super::replicas::Answering;
use super::statement::Statement;
use super::value::{Column, Row};
use super::workbench::Workbench;
use super::writes::Permit;

/// What is collected for one answer weighs no more than this.
const HEAVIEST: usize = 64 << 20;
/// Rows of one answer, unless the request says otherwise.
pub const ROWS: u64 = 1_000;

/// A statement and how to run it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "sql": "select 1 as one", "max_rows": 10 }))]
pub struct QueryRequest {
    pub sql: String,
    /// Values for `$1`, `$2` …: a text is the value's own text form, for every type.
    #[schema(value_type = Vec<Object>)]
    pub params: Vec<Value>,
    /// REPEATABLE READ for a statement that reads.
    pub transaction: bool,
    /// Takes an answer of the last seconds where nothing of ours changed its tables.
    pub use_cache: bool,
    /// It may change something. Without this the server refuses whatever would.
    pub write: bool,
    pub timeout_ms: Option<u64>,
    pub max_rows: Option<u64>,
    pub replica: Replica,
    /// The `lsn` of a write: what is read is at least as new.
    pub after_lsn: Option<String>,
    pub database: Option<String>,
}

/// Whether a standby may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Replica {
    /// When one is close enough behind.
    #[default]
    Auto,
    Never,
}

/// The rows and what belongs to them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct QueryResponse {
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Row>,
    #[serde(flatten)]
    pub facts: Facts,
}

/// Everything about an answer but its rows.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Facts {
    pub success: bool,
    /// Rows given, or changed.
    pub row_count: u64,
    pub execution_time_ms: f64,
    /// `SELECT`, `DELETE`, `SHOW` …
    pub query_type: String,
    pub from_cache: bool,
    pub columns: Vec<Column>,
    /// There are more rows than were asked for.
    pub truncated: bool,
    pub notices: Vec<String>,
    /// The server that answered: the target, or one of its replicas.
    pub served_by: String,
    /// Of a write: what a later reader gives as `after_lsn`.
    pub lsn: Option<String>,
}

impl QueryRequest {
    pub(super) fn timeout(&self, bench: &Workbench) -> Duration {
        self.timeout_ms.map_or(bench.settings.query_timeout, Duration::from_millis)
    }

    pub(super) fn max_rows(&self) -> u64 {
        self.max_rows.unwrap_or(ROWS)
    }

    fn checked(&self) -> Outcome<Statement> {
        if self.timeout_ms == Some(0) {
            return Err(Failure::invalid("no time is no time-out", "give it at least 1 ms"));
        }
        if let Some(lsn) = &self.after_lsn
            && !is_lsn(lsn)
        {
            return Err(Failure::invalid(
                format!("`{lsn}` is no position in the server's log"),
                "give the `lsn` of a write, like 0/15D68C0",
            ));
        }
        let statement = Statement::one(&self.sql)?;
        statement.must_be_run()?;
        Ok(statement)
    }
}

fn is_lsn(text: &str) -> bool {
    let is_half = |half: &str| {
        (1..=8).contains(&half.len()) && half.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    text.split_once('/').is_some_and(|(high, low)| is_half(high) && is_half(low))
}

/// Runs a statement and collects its rows. `permit` is who agreed to it, when it may change something.
pub async fn query(
    bench: &Workbench,
    request: &QueryRequest,
    permit: Option<&Permit>,
) -> Outcome<QueryResponse> {
    let statement = request.checked()?;
    let began = Instant::now();
    let outcome = answered(bench, request, &statement, permit).await;
    bench.stats.ran(&statement, began.elapsed(), outcome.as_ref().map(|_| ()));
    outcome
}

async fn answered(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
    permit: Option<&Permit>,
) -> Outcome<QueryResponse> {
    if request.write {
        return super::change::change(bench, request, statement, permit).await;
    }
    if request.use_cache {
        return super::cache::through(bench, request, statement).await;
    }
    collected(bench, request, statement).await
}

/// Runs a statement that reads, and gives each row to `sink` as it comes: memory does not grow with their number.
pub async fn stream(
    bench: &Workbench,
    request: &QueryRequest,
    sink: &mut Sink<'_>,
) -> Outcome<Facts> {
    let statement = request.checked()?;
    let began = Instant::now();
    let outcome = read_from_somewhere(bench, request, &statement, sink).await;
    bench.stats.ran(&statement, began.elapsed(), outcome.as_ref().map(|_| ()));
    outcome
}

/// Reads everything that was asked for into memory, within bounds.
pub(super) async fn collected(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
) -> Outcome<QueryResponse> {
    let (mut rows, mut weight) = (Vec::new(), 0);
    let facts = read_from_somewhere(bench, request, statement, &mut |given| {
        if let read::Given::Row(row) = given {
            weight += row.weight();
            if weight > HEAVIEST {
                return Ok(read::Go::Stop);
            }
            rows.push(row);
        }
        Ok(read::Go::On)
    })
    .await?;
    Ok(QueryResponse { rows, facts })
}

/// Reads from a replica when one will do; what goes wrong there before the first row is asked of the primary.
async fn read_from_somewhere(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
    sink: &mut Sink<'_>,
) -> Outcome<Facts> {
    if let Some(replica) = bench.replica_for(request, statement).await {
        let mut given = false;
        let tried = read::read(&replica, request, statement, &mut |row| {
            given = true;
            sink(row)
        })
        .await;
        match tried {
            Err(failure) if !given && Answering::is_at_fault(&failure) => {
                tracing::debug!(replica = %replica.name(), %failure, "the primary is asked instead");
            }
            answered => return answered,
        }
    }
    read::read(&Answering::primary(bench), request, statement, sink).await
}
