//! One statement that may change something: a transaction of its own, agreed to and on record.

use tokio::time::Instant;

use super::failure::{Failure, Outcome};
use super::jobs::Recorded;
use super::query::{Facts, QueryRequest, QueryResponse};
use super::statement::Statement;
use super::transaction::{Isolation, Plan, run_recorded};
use super::workbench::Workbench;
use super::writes::{Change, Permit};

pub(super) async fn change(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
    permit: Option<&Permit>,
) -> Outcome<QueryResponse> {
    let change = Change::of_query(bench, request)?;
    let permit = change.permitted(bench, permit)?;
    let record = Recorded::start(bench, "query", &change, &permit).await?;
    let limit = request.timeout(bench);
    let isolation =
        if request.transaction { Isolation::RepeatableRead } else { Isolation::ReadCommitted };
    let plan = Plan {
        statements: vec![(statement, &request.params[..])],
        isolation,
        write: true,
        retry_locks: false,
        max_retries: bench.settings.max_retries,
        max_rows: request.max_rows(),
        database: request.database.as_deref(),
        until: Instant::now() + limit,
        limit,
    };
    let mut done =
        run_recorded(bench, &plan, record).await.map_err(|failure| alone(failure, statement))?;
    let Some(result) = done.results.pop() else {
        return Err(Failure::invalid("nothing was run", "write one statement"));
    };
    Ok(QueryResponse {
        rows: result.rows,
        facts: Facts {
            success: true,
            row_count: result.row_count,
            execution_time_ms: done.execution_time_ms,
            query_type: result.query_type,
            from_cache: false,
            columns: result.columns,
            truncated: result.truncated,
            notices: done.notices,
            served_by: bench.target.id.to_string(),
            lsn: done.lsn,
        },
    })
}

/// What cannot run inside a transaction is a job of its own.
fn alone(failure: Failure, statement: &Statement) -> Failure {
    if !failure.message.contains("cannot run inside a transaction block") {
        return failure;
    }
    let hint = match statement.word.as_str() {
        "VACUUM" => "`simctl propose vacuum_table` does it, watched and recorded",
        "REINDEX" => {
            "`simctl propose reindex_index` does it, one index at a time, watched and recorded"
        }
        _ => {
            "use psql for it: what runs outside a transaction cannot be taken back when it fails half way"
        }
    };
    Failure { hint: Some(hint.to_owned()), ..failure }
}
