//! The workbench: statements, transactions, schema, plans and indexes of a PostgreSQL, by the same functions that
//! `simctl db` calls.
//!
//! What changes something is shown first: 202 with the change and its fingerprint. It runs when it is asked for again
//! with that fingerprint, and with the database's name typed where something would be gone.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::door::Door;
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::database::health;
use crate::database::health::HealthResponse;
use crate::database::indexes::{self, AnalyzeResponse, IndexesRequest, SuggestResponse};
use crate::database::optimize::{OptimizeRequest, OptimizeResponse, optimize};
use crate::database::query::{QueryRequest, QueryResponse, query};
use crate::database::schema::{SchemaRequest, SchemaResponse, schema};
use crate::database::transaction::{TransactionRequest, TransactionResponse, transaction};
use crate::database::writes::{Change, Permit};
use crate::domain::sample::Sample;

pub(super) mod agreed;
pub(super) mod describe;
mod job;

use agreed::{Agreed, ToAgree};
use job::{Job, answer, failed};

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(run_query))
        .routes(routes!(run_transaction))
        .routes(routes!(explain))
        .routes(routes!(work_on_indexes))
        .routes(routes!(table))
        .routes(routes!(how_it_is))
}

/// Run one statement
///
/// It only reads, by the server's own permission, unless `write` is given.
#[utoipa::path(
    post, path = "/query", tag = "workbench", request_body = QueryRequest,
    responses(
        (status = 200, description = "The rows", body = QueryResponse),
        (status = 202, description = "It would change something; agree to it by its fingerprint", body = ToAgree),
    ),
)]
async fn run_query(State(door): State<Door>, caller: Caller, job: Job<QueryRequest>) -> Response {
    let run = async {
        let bench = door.bench(job.target.as_deref())?;
        let permit = if job.request.write {
            let change = Change::of_query(bench, &job.request).map_err(failed)?;
            Some(agree(&door, &caller, &change, &job.agreed)?)
        } else {
            None
        };
        Ok(answer(Box::pin(query(bench, &job.request, permit.as_ref())).await))
    };
    run.await.unwrap_or_else(|refused: Response| refused)
}

/// Run several statements as one
#[utoipa::path(
    post, path = "/transaction", tag = "workbench", request_body = TransactionRequest,
    responses(
        (status = 200, description = "What each gave, and how it ended", body = TransactionResponse),
        (status = 202, description = "It would change something; agree to it by its fingerprint", body = ToAgree),
    ),
)]
async fn run_transaction(
    State(door): State<Door>,
    caller: Caller,
    job: Job<TransactionRequest>,
) -> Response {
    let run = async {
        let bench = door.bench(job.target.as_deref())?;
        let permit = if job.request.write {
            let change = Change::of_transaction(bench, &job.request).map_err(failed)?;
            Some(agree(&door, &caller, &change, &job.agreed)?)
        } else {
            None
        };
        Ok(answer(Box::pin(transaction(bench, &job.request, permit.as_ref())).await))
    };
    run.await.unwrap_or_else(|refused: Response| refused)
}

/// Plan a statement, and say what would make it faster
#[utoipa::path(
    post, path = "/optimize", tag = "workbench", request_body = OptimizeRequest,
    responses((status = 200, description = "The plan and what it tells", body = OptimizeResponse)),
)]
async fn explain(State(door): State<Door>, job: Job<OptimizeRequest>) -> Response {
    match door.bench(job.target.as_deref()) {
        Ok(bench) => answer(Box::pin(optimize(bench, &job.request)).await),
        Err(refused) => refused,
    }
}

/// Which table, and what about its indexes.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "table": "public.orders", "action": "suggest" }))]
struct IndexWork {
    table: String,
    action: IndexAction,
    database: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum IndexAction {
    /// Indexes that the workload wants.
    Suggest,
    /// Fresh statistics for the planner.
    Analyze,
    /// An index at a time, which is an action: `POST /propose-fix` with `reindex_index`.
    Rebuild,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum IndexAnswer {
    Suggested(SuggestResponse),
    Analyzed(AnalyzeResponse),
}

/// Suggest indexes, or have the planner's statistics taken anew
#[utoipa::path(
    post, path = "/indexes", tag = "workbench", request_body = IndexWork,
    responses(
        (status = 200, description = "Suggestions, or when the statistics are from", body = IndexAnswer),
        (status = 202, description = "It would change something; agree to it by its fingerprint", body = ToAgree),
    ),
)]
async fn work_on_indexes(
    State(door): State<Door>,
    caller: Caller,
    job: Job<IndexWork>,
) -> Response {
    let run = async {
        let bench = door.bench(job.target.as_deref())?;
        let IndexWork { table, action, database } = job.request;
        let request = IndexesRequest { table, database };
        match action {
            IndexAction::Suggest => {
                let suggested = Box::pin(indexes::suggest(bench, &request)).await;
                Ok(answer(suggested.map(IndexAnswer::Suggested)))
            }
            IndexAction::Analyze => {
                let change = indexes::analyze_change(bench, &request).await.map_err(failed)?;
                let permit = agree(&door, &caller, &change, &job.agreed)?;
                let analyzed = Box::pin(indexes::analyze(bench, &request, Some(&permit))).await;
                Ok(answer(analyzed.map(IndexAnswer::Analyzed)))
            }
            IndexAction::Rebuild => {
                let detail = "an index is rebuilt by the action `reindex_index`: ask for it by POST /propose-fix";
                Err(Problem::conflict(detail).into_response())
            }
        }
    };
    run.await.unwrap_or_else(|refused: Response| refused)
}

/// Which server and database.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Where {
    /// A PostgreSQL target; without it the first.
    target: Option<String>,
    database: Option<String>,
}

/// Tell what a table is made of
#[utoipa::path(
    get, path = "/schema/{table}", tag = "workbench",
    params(("table" = String, Path, description = "As SQL writes it, like `public.orders`", example = "pg_catalog.pg_class"), Where),
    responses((status = 200, description = "Columns, constraints, indexes, size", body = SchemaResponse)),
)]
async fn table(
    State(door): State<Door>,
    Path(table): Path<String>,
    Query(at): Query<Where>,
) -> Response {
    let request = SchemaRequest { table, database: at.database };
    match door.bench(at.target.as_deref()) {
        Ok(bench) => answer(Box::pin(schema(bench, &request)).await),
        Err(refused) => refused,
    }
}

/// Tell how the workbench of a target is
///
/// From what is known already: nothing is asked of the server. 503 where nothing can be.
#[utoipa::path(
    get, path = "/health", tag = "workbench", params(Where),
    responses(
        (status = 200, description = "It works", body = HealthResponse),
        (status = 503, description = "Nothing can be asked", body = HealthResponse),
    ),
)]
async fn how_it_is(State(door): State<Door>, Query(at): Query<Where>) -> Response {
    let bench = match door.bench(at.target.as_deref()) {
        Ok(bench) => bench,
        Err(refused) => return refused,
    };
    let snapshot = door.snapshot();
    let view = snapshot.targets.iter().find(|view| view.target.id == bench.target.id);
    let sample = view.and_then(|view| view.fresh.as_ref().or(view.held.as_ref()));
    let told = health::health(bench, snapshot.at, sample.map(Sample::is_clean));
    let status = match told.status {
        health::Health::Unhealthy => axum::http::StatusCode::SERVICE_UNAVAILABLE,
        health::Health::Healthy | health::Health::Degraded => axum::http::StatusCode::OK,
    };
    (status, axum::Json(told)).into_response()
}

/// Who agreed to a change; else what is to be agreed to, as the answer.
#[expect(clippy::result_large_err, reason = "an answer is made once a request and sent at once")]
fn agree(
    door: &Door,
    caller: &Caller,
    change: &Change,
    agreed: &Agreed,
) -> Result<Permit, Response> {
    door.agreements.permit(caller, change, agreed, door.new_id())
}
