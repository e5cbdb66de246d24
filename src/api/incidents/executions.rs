//! What was attempted for an incident, and what ran.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::view::{ExecutionView, executions};
use crate::api::door::{Door, shortened};
use crate::api::extract::{Path, Query};
use crate::api::problem::Problem;
use crate::api::turns::reading;
use crate::domain::ids::{ExecutionId, incident_name};
use crate::domain::incident::Incident;
use crate::ports::store::ActionLine;

pub(in crate::api) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(attempts)).routes(routes!(one)).routes(routes!(actions))
}

/// List what was attempted for an incident
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/agent/executions", tag = "agent",
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 200, description = "In order", body = Vec<ExecutionView>)),
)]
async fn attempts(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Answer<Vec<ExecutionView>>, Problem> {
    Ok(Answer(executions(&*door.incident(&id).await?)))
}

/// Read one execution
#[utoipa::path(
    get, path = "/api/v1/agent/executions/{id}", tag = "agent",
    params(("id" = Uuid, Path, description = "The execution")),
    responses((status = 200, description = "The execution", body = ExecutionView)),
)]
async fn one(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Answer<ExecutionView>, Problem> {
    let (incident, place) = execution(&door, &id).await?;
    let execution = incident.executions.get(place).ok_or_else(|| unknown(&id))?;
    Ok(Answer(ExecutionView::of(&incident, execution)))
}

/// The incident an execution belongs to, and which of its executions it is.
pub(super) async fn execution(door: &Door, id: &str) -> Result<(Arc<Incident>, usize), Problem> {
    let wanted = ExecutionId(id.parse::<Uuid>().map_err(|_| unknown(id))?);
    let place_in = |incident: &Incident| incident.executions.iter().position(|e| e.id == wanted);
    let snapshot = door.snapshot();
    let mut known = snapshot.incidents.iter();
    if let Some(found) = known.find_map(|one| Some((Arc::clone(one), place_in(one)?))) {
        return Ok(found);
    }
    let number = {
        let _turn = reading().await;
        door.store()?.incident_of(wanted).await?.ok_or_else(|| unknown(id))?
    };
    let incident = door.incident(&number.to_string()).await?;
    let place = place_in(&incident).ok_or_else(|| unknown(id))?;
    Ok((incident, place))
}

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no execution `{}`", shortened(id)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AtMost {
    #[param(minimum = 1, maximum = 1_000, default = 100, required = false)]
    limit: u32,
}

impl Default for AtMost {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// One action that ran.
#[derive(Debug, Serialize, ToSchema)]
struct ActionView {
    id: Uuid,
    #[schema(example = "INC-0042")]
    incident: String,
    target: String,
    action: String,
    command: String,
    executed_at: DateTime<Utc>,
    /// `running`, `success` or `failed`.
    result: String,
    exit_code: Option<i64>,
    stdout: String,
    stderr: String,
    duration_ms: Option<u64>,
    health_before: Option<u8>,
    health_after: Option<u8>,
}

impl From<ActionLine> for ActionView {
    fn from(line: ActionLine) -> Self {
        Self {
            id: line.id,
            incident: incident_name(line.incident),
            target: line.target,
            action: line.action,
            command: line.command,
            executed_at: line.executed_at,
            result: line.result,
            exit_code: line.exit_code,
            stdout: line.stdout,
            stderr: line.stderr,
            duration_ms: line.duration_ms,
            health_before: line.health_before,
            health_after: line.health_after,
        }
    }
}

/// List the actions that ran for an incident, newest first
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/actions", tag = "agent",
    params(
        ("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001"),
        AtMost,
    ),
    responses((status = 200, description = "Newest first", body = Vec<ActionView>)),
)]
async fn actions(
    State(door): State<Door>,
    Path(id): Path<String>,
    Query(AtMost { limit }): Query<AtMost>,
) -> Result<Answer<Vec<ActionView>>, Problem> {
    if !(1..=1_000).contains(&limit) {
        return Err(Problem::invalid("`limit` is a number from 1 to 1000"));
    }
    let incident = door.incident(&id).await?;
    let _turn = reading().await;
    let lines = door.store()?.history(Some(incident.number), limit).await?;
    Ok(Answer(lines.into_iter().map(ActionView::from).collect()))
}
