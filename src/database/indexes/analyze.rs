//! Fresh statistics for the planner: ANALYZE, with the time before and after as the proof.

use serde::{Deserialize, Serialize};

use super::IndexesRequest;
use crate::database::failure::{Failure, Outcome};
use crate::database::jobs::{Recorded, failed};
use crate::database::schema::{find, rows};
use crate::database::workbench::{As, Workbench};
use crate::database::writes::{Change, Permit};
use crate::domain::job::JobEnd;
use crate::targets::postgres::{PgConnection, Session};

/// When the planner's figures are from.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AnalyzeResponse {
    pub success: bool,
    pub table: String,
    pub last_analyze_before: Option<String>,
    pub last_analyze_after: Option<String>,
    pub rows_estimate: Option<f64>,
    pub notices: Vec<String>,
}

#[derive(Deserialize)]
struct Analyzed {
    last: Option<String>,
    rows: Option<f64>,
}

const STATE: &str = "select greatest(s.last_analyze, s.last_autoanalyze)::text as last, \
     case when c.reltuples >= 0 then c.reltuples end as rows \
     from pg_class c left join pg_stat_all_tables s on s.relid = c.oid where c.oid = $1::oid";

/// What a person agrees to.
pub async fn change_of(bench: &Workbench, request: &IndexesRequest) -> Outcome<Change> {
    let database = request.database.as_deref();
    let connection = bench.connect(As::Monitor, database, Session::Inspect, "analyze").await?;
    let table = find(&connection, &request.table).await;
    connection.close().await;
    Change::of(bench, database, vec![format!("ANALYZE {}", table?.name)], false)
}

/// Has the server look at a table again.
pub async fn analyze(
    bench: &Workbench,
    request: &IndexesRequest,
    permit: Option<&Permit>,
) -> Outcome<AnalyzeResponse> {
    let change = change_of(bench, request).await?;
    let permit = change.permitted(bench, permit)?;
    let record = Recorded::start(bench, "analyze", &change, &permit).await?;
    let outcome = analyzed(bench, request, &change).await;
    let end = match &outcome {
        Ok(_) => JobEnd { ok: true, ..JobEnd::default() },
        Err(failure) => failed(failure),
    };
    let warning = record.end(end).await;
    let mut response = outcome?;
    response.notices.extend(warning);
    Ok(response)
}

async fn analyzed(
    bench: &Workbench,
    request: &IndexesRequest,
    change: &Change,
) -> Outcome<AnalyzeResponse> {
    let database = request.database.as_deref();
    // Whoever may maintain the server may do it for every table; else the owner.
    let role = if bench.link.fixer.is_some() { As::Fixer } else { As::App };
    let connection = bench.connect(role, database, Session::Fixer, "analyze").await?;
    let table = find(&connection, &request.table).await?;
    let before = state(&connection, &table.oid).await?;
    connection.take_notices();
    let statement = change.statements.first().map_or("", String::as_str);
    let guard = connection.guard(&bench.link);
    let limit = bench.settings.query_timeout;
    let ran = tokio::time::timeout(limit, connection.batch_execute(statement)).await;
    let Ok(ran) = ran else {
        let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        return Err(Failure::timed_out(ms));
    };
    guard.done();
    ran.map_err(|error| Failure::of_postgres(&error))?;
    let notices = connection.take_notices();
    let after = settled(&connection, &table.oid, &before).await?;
    connection.close().await;
    if after.last == before.last {
        return Err(Failure::refused(
            format!("the server did not look at {}: {}", table.name, notices.join("; ")),
            "its owner may, or from 17 on a member of pg_maintain",
        ));
    }
    Ok(AnalyzeResponse {
        success: true,
        table: table.name,
        last_analyze_before: before.last,
        last_analyze_after: after.last,
        rows_estimate: after.rows,
        notices,
    })
}

async fn state(connection: &PgConnection, table: &str) -> Outcome<Analyzed> {
    let mut found: Vec<Analyzed> = rows(connection, STATE, table).await?;
    found.pop().ok_or_else(|| Failure::invalid(format!("{table} is gone"), "ask again"))
}

/// Statistics arrive a moment after the work, before 15 through another process.
async fn settled(connection: &PgConnection, table: &str, before: &Analyzed) -> Outcome<Analyzed> {
    const LOOKS: u32 = 20;
    let mut after = state(connection, table).await?;
    for _ in 0..LOOKS {
        if after.last != before.last {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        after = state(connection, table).await?;
    }
    Ok(after)
}
