//! How the server would run a statement, and what the plan tells. It is only run where nothing can come of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::Type;

use super::failure::{Failure, Outcome};
use super::indexes::{IndexSuggestion, for_plan};
use super::statement::{Kind, Statement};
use super::workbench::{As, Workbench};
use plan::Plan;
use rules::advise;

pub use rules::Advice;

pub(super) mod explain;
pub(super) mod plan;
mod rules;
mod safe;

/// Which statement, and whether to run it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "sql": "select 1", "analyze": true }))]
pub struct OptimizeRequest {
    /// The statement, or none with `queryid`.
    pub sql: String,
    /// Of pg_stat_statements.
    pub queryid: Option<i64>,
    #[schema(value_type = Vec<Object>)]
    pub params: Vec<Value>,
    /// Run it too, where it provably changes nothing, and measure.
    pub analyze: bool,
    pub database: Option<String>,
}

/// The plan and what it tells.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OptimizeResponse {
    pub success: bool,
    /// Absent unless it was run.
    pub execution_time_ms: Option<f64>,
    pub planning_time_ms: Option<f64>,
    pub total_time_ms: Option<f64>,
    #[schema(value_type = Vec<Object>)]
    pub plan: Value,
    /// The advice in sentences.
    pub suggestions: Vec<String>,
    /// It ran for longer than `slow_query_threshold_ms`.
    pub is_slow: bool,
    pub advice: Vec<Advice>,
    /// Planned for any values, since none were given.
    pub generic: bool,
    pub indexes: Vec<IndexSuggestion>,
    /// Why it was not run although that was asked for.
    pub analyze_refused: Option<String>,
}

/// Plans a statement, runs it where that is safe and wanted, and reads the plan.
pub async fn optimize(bench: &Workbench, request: &OptimizeRequest) -> Outcome<OptimizeResponse> {
    let statement = Statement::one(&text(bench, request).await?)?;
    if !matches!(statement.kind, Kind::Select | Kind::Change) {
        return Err(Failure::invalid(
            format!("{} has no plan to look at", statement.word),
            "give a SELECT, INSERT, UPDATE, DELETE or MERGE, without EXPLAIN",
        ));
    }
    let database = request.database.as_deref();
    let sandbox = explain::Sandbox::open(bench, database).await?;
    let planned = explained(bench, &sandbox, &statement, request).await;
    sandbox.close().await;
    let (json, generic, analyze_refused, rows) = planned?;
    let plan = Plan::read(&json).ok_or_else(|| {
        Failure::invalid("the plan is not as expected", "report it with the server's version")
    })?;
    let indexes = for_plan(bench, database, &statement, &plan).await;
    Ok(response(bench, &json, &plan, generic, analyze_refused, &rows, indexes))
}

/// The statement that is meant: the one that was given, or the one the server counted under that number.
async fn text(bench: &Workbench, request: &OptimizeRequest) -> Outcome<String> {
    match (request.sql.trim(), request.queryid) {
        ("", Some(id)) => by_id(bench, request.database.as_deref(), id).await,
        ("", None) => Err(Failure::invalid("there is no statement", "give `sql` or `queryid`")),
        (_, Some(_)) => {
            Err(Failure::invalid("`sql` and `queryid` are both given", "give one of them"))
        }
        (sql, None) => Ok(sql.to_owned()),
    }
}

async fn by_id(bench: &Workbench, database: Option<&str>, id: i64) -> Outcome<String> {
    use crate::targets::postgres::Session;
    const SCHEMA: &str = "select n.nspname::text from pg_extension e \
         join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_stat_statements'";
    let connection = bench.connect(As::Monitor, database, Session::Inspect, "optimize").await?;
    let failed = |error: tokio_postgres::Error| Failure::of_postgres(&error);
    let schema = connection.query_opt(SCHEMA, &[]).await.map_err(failed)?;
    let Some(schema) = schema.and_then(|row| row.try_get::<_, String>(0).ok()) else {
        return Err(Failure::invalid(
            "pg_stat_statements is not installed in this database",
            "CREATE EXTENSION pg_stat_statements (and shared_preload_libraries), or give the statement itself",
        ));
    };
    let schema = crate::inspect::quoted(&schema);
    let ask = format!(
        "select query from {schema}.pg_stat_statements where queryid = $1 and dbid = \
         (select oid from pg_database where datname = current_database()) order by calls desc limit 1"
    );
    let rows = connection.query_typed(&ask, &[(&id, Type::INT8)]).await.map_err(failed)?;
    connection.close().await;
    match rows.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok()).flatten() {
        Some(text) if text != "<insufficient privilege>" => Ok(text),
        _ => Err(Failure::invalid(
            format!("there is no statement {id} in this database that may be seen"),
            "`simctl pg slow` lists them with their numbers",
        )),
    }
}

/// The plan as text, whether it is generic, why it was not run, and what is known of its tables.
async fn explained(
    bench: &Workbench,
    sandbox: &explain::Sandbox,
    statement: &Statement,
    request: &OptimizeRequest,
) -> Outcome<(String, bool, Option<String>, BTreeMap<String, f64>)> {
    sandbox.begin().await?;
    let (json, generic) = sandbox.plan(statement, &request.params).await?;
    let plan = Plan::read(&json).unwrap_or_default();
    let rows = sandbox.rows_of(&plan).await;
    if !request.analyze {
        return Ok((json, generic, None, rows));
    }
    let refused = if generic {
        Some("it has places for values, and none were given".to_owned())
    } else {
        safe::refusal(sandbox, statement, &plan).await
    };
    if refused.is_some() {
        return Ok((json, generic, refused, rows));
    }
    // A sandbox of its own: nothing before it can have opened a way.
    let runner = explain::Sandbox::open(bench, request.database.as_deref()).await?;
    let ran = async {
        runner.begin().await?;
        runner.run(statement, &request.params).await
    };
    let ran = ran.await;
    runner.close().await;
    match ran {
        Ok(json) => Ok((json, false, None, rows)),
        Err(failure) => Ok((json, false, Some(failure.message), rows)),
    }
}

fn response(
    bench: &Workbench,
    json: &str,
    plan: &Plan,
    generic: bool,
    analyze_refused: Option<String>,
    rows: &BTreeMap<String, f64>,
    indexes: Vec<IndexSuggestion>,
) -> OptimizeResponse {
    let advice = advise(plan, rows);
    let mut suggestions: Vec<String> = advice
        .iter()
        .map(|one| format!("{}: {}; {}", one.node, one.evidence, one.action))
        .collect();
    suggestions.extend(indexes.iter().map(|one| format!("{}: {}", one.reason, one.ddl)));
    let (planning, execution) = (plan.planning_ms, plan.execution_ms);
    let slow = bench.settings.slow_query_threshold.as_secs_f64() * 1e3;
    OptimizeResponse {
        success: true,
        execution_time_ms: execution,
        planning_time_ms: planning,
        total_time_ms: execution.map(|execution| execution + planning.unwrap_or(0.0)),
        plan: serde_json::from_str(json).unwrap_or_default(),
        suggestions,
        is_slow: execution.is_some_and(|execution| execution >= slow),
        advice,
        generic,
        indexes,
        analyze_refused,
    }
}

#[cfg(test)]
mod tests;
