//! Actions that people and agents ask for, whether something is wrong or not.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::decisions::{Standing, Stood};
use crate::api::caller::Caller;
use crate::api::door::Door;
use crate::api::extract::{Json, Path};
use crate::api::problem::Problem;
use crate::domain::effect::Command;
use crate::domain::ids::{ActionId, TargetId};
use crate::domain::proposal::Args;

pub(in crate::api) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(propose_fix)).routes(routes!(propose_action))
}

/// An action that somebody wants, whether something is wrong or not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "target": "redis-test", "action": "save_redis", "args": {}, "reason": "before the maintenance",
}))]
struct FixProposal {
    #[schema(example = "redis-test")]
    target: String,
    /// One of `simctl actions`.
    #[schema(example = "save_redis")]
    action: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    args: Args,
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
}

/// Propose an action on a target
///
/// It is previewed on the live server, opens an incident of its own, and waits for approval like any other.
#[utoipa::path(
    post, path = "/propose-fix", tag = "agent", request_body = FixProposal,
    responses((status = 202, description = "Proposed", body = Standing)),
)]
async fn propose_fix(
    State(door): State<Door>,
    caller: Caller,
    Json(fix): Json<FixProposal>,
) -> Result<Stood, Problem> {
    if door.watched(&fix.target).is_none() {
        return Err(Problem::not_found(door.no_target(&fix.target)));
    }
    let FixProposal { target, action, args, reason } = fix;
    propose(&door, &caller, TargetId::from(target), &action, args, reason).await
}

/// An action on an incident's target.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "action": "save_redis", "args": {}, "reason": "before anything else" }))]
struct ActionProposal {
    /// One of `simctl actions`.
    #[schema(example = "save_redis")]
    action: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    args: Args,
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
}

/// Propose an action on an incident's target
///
/// It gets an incident of its own, so that what the agent proposed goes on waiting beside it.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/actions", tag = "agent", request_body = ActionProposal,
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 202, description = "Proposed", body = Standing)),
)]
async fn propose_action(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    Json(wanted): Json<ActionProposal>,
) -> Result<Stood, Problem> {
    let incident = door.incident(&id).await?;
    let ActionProposal { action, args, reason } = wanted;
    let reason = match reason.trim() {
        "" => format!("for {}", incident.name()),
        reason => format!("for {}: {reason}", incident.name()),
    };
    propose(&door, &caller, incident.target.clone(), &action, args, reason).await
}

async fn propose(
    door: &Door,
    caller: &Caller,
    target: TargetId,
    action: &str,
    args: Args,
    reason: String,
) -> Result<Stood, Problem> {
    let action = ActionId::from(action);
    let accepted = door.order(caller, Command::Propose { target, action, args, reason }).await?;
    let incident = door.incident(&accepted.incident.unwrap_or_default().to_string()).await?;
    Ok((StatusCode::ACCEPTED, Answer(Standing::of(&incident))))
}
