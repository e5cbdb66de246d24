//! What people and agents do about an incident: diagnose it, have a fix suggested, approve or reject it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::executions::{execution, unknown};
use super::view::waiting;
use crate::api::caller::Caller;
use crate::api::door::Door;
use crate::api::extract::{Json, MaybeJson, Path};
use crate::api::problem::Problem;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::effect::{Accepted, Command};
use crate::domain::execution::ExecutionState;
use crate::domain::incident::{Incident, Status};
use crate::domain::policy::Demand;
use crate::domain::proposal::Proposal;

pub(in crate::api) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(diagnose))
        .routes(routes!(suggest_fix))
        .routes(routes!(remediate))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(approve_execution))
        .routes(routes!(reject_execution))
}

/// How far an incident has come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Standing {
    #[schema(example = "INC-0042")]
    incident: String,
    status: Status,
    execution_id: Option<Uuid>,
    state: Option<ExecutionState>,
    diagnosis: Option<Diagnosis>,
    /// What waits for a decision, to the letter of what would run.
    proposal: Option<Proposal>,
    /// Why nothing is proposed, when that is so.
    reason: Option<String>,
}

impl Standing {
    pub(super) fn of(incident: &Incident) -> Self {
        let newest = incident.executions.last();
        Self {
            incident: incident.name(),
            status: incident.status,
            execution_id: newest.map(|execution| execution.id.0),
            state: newest.map(|execution| execution.state),
            diagnosis: incident.diagnosis.clone(),
            proposal: waiting(incident).cloned(),
            reason: incident.failure_reason.clone(),
        }
    }
}

pub(super) type Stood = (StatusCode, Answer<Standing>);

/// Find the cause
///
/// 200 with the diagnosis where there is one; else it is being looked for, or is from now on: 202.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/diagnose", tag = "incidents",
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses(
        (status = 200, description = "The diagnosis", body = Standing),
        (status = 202, description = "Being looked for", body = Standing),
    ),
)]
async fn diagnose(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Stood, Problem> {
    bring_forward(&door, &caller, &id, |incident| incident.diagnosis.is_some()).await
}

/// Have a fix suggested
///
/// 200 with the proposal where one waits; else it is being worked on, or is from now on: 202. Nothing runs by this.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/suggest-fix", tag = "incidents",
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses(
        (status = 200, description = "The proposal", body = Standing),
        (status = 202, description = "Being worked on", body = Standing),
    ),
)]
async fn suggest_fix(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Stood, Problem> {
    bring_forward(&door, &caller, &id, |incident| waiting(incident).is_some()).await
}

/// Set the agent to work
///
/// It finds the cause and proposes; what the policy calls automatic runs, everything else waits for approval.
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/agent/remediate", tag = "agent",
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 202, description = "At work", body = Standing)),
)]
async fn remediate(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Stood, Problem> {
    bring_forward(&door, &caller, &id, |_| false).await
}

/// Starts over where nothing is under way; an incident that is over has nothing to bring forward.
async fn bring_forward(
    door: &Door,
    caller: &Caller,
    id: &str,
    is_there: fn(&Incident) -> bool,
) -> Result<Stood, Problem> {
    let incident = door.incident(id).await?;
    if is_there(&incident) {
        return Ok((StatusCode::OK, Answer(Standing::of(&incident))));
    }
    if incident.active_execution().is_none() {
        door.order(caller, Command::Retry { incident: incident.number }).await?;
    }
    let incident = door.incident(id).await?;
    Ok((StatusCode::ACCEPTED, Answer(Standing::of(&incident))))
}

/// A yes, to exactly what was read.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "fingerprint": "7f3a9c", "typed": "redis-test" }))]
struct Approving {
    /// The proposal's, at least its first six digits.
    #[schema(max_length = 64)]
    fingerprint: Option<String>,
    /// The target's name, where the ruling wants it typed.
    #[schema(max_length = 64)]
    typed: Option<String>,
}

/// Approve what is proposed for an incident
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/approve", tag = "agent", request_body = Approving,
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 200, description = "Approved; it runs", body = Accepted)),
)]
async fn approve(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    Json(yes): Json<Approving>,
) -> Result<Answer<Accepted>, Problem> {
    let naming = Naming::Incident(&id);
    let (_, accepted) = approve_named(&door, &caller, naming, yes.fingerprint, yes.typed).await?;
    Ok(Answer(accepted))
}

/// Approve what an execution proposes
///
/// The id names what was read, so the fingerprint may be left out where the target's name need not be typed.
#[utoipa::path(
    post, path = "/api/v1/agent/executions/{id}/approve", tag = "agent", request_body = Option<Approving>,
    params(("id" = Uuid, Path, description = "The execution")),
    responses((status = 200, description = "Approved; it runs", body = Accepted)),
)]
async fn approve_execution(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    MaybeJson(yes): MaybeJson<Approving>,
) -> Result<Answer<Accepted>, Problem> {
    let naming = Naming::Execution(&id);
    let (_, accepted) = approve_named(&door, &caller, naming, yes.fingerprint, yes.typed).await?;
    Ok(Answer(accepted))
}

/// How an approval says what it is about.
#[derive(Clone, Copy)]
pub(in crate::api) enum Naming<'a> {
    Incident(&'a str),
    Execution(&'a str),
}

/// Approves what was read: by its fingerprint, or by the execution whose proposal it is.
pub(in crate::api) async fn approve_named(
    door: &Door,
    caller: &Caller,
    naming: Naming<'_>,
    fingerprint: Option<String>,
    typed: Option<String>,
) -> Result<(Arc<Incident>, Accepted), Problem> {
    let (incident, is_named) = match naming {
        Naming::Incident(named) => (door.incident(named).await?, false),
        Naming::Execution(id) => (waiting_execution(door, id).await?, true),
    };
    let fingerprint = match (fingerprint, waiting(&incident)) {
        (Some(given), _) => given,
        (None, Some(proposal)) if is_named && proposal.ruling.demand == Demand::Approval => {
            proposal.fingerprint.0.clone()
        }
        (None, _) => return Err(say_which(&incident)),
    };
    let command = Command::Approve { incident: incident.number, fingerprint, typed, seen: None };
    let accepted = door.order(caller, command).await?;
    Ok((incident, accepted))
}

/// The incident of an execution that is still going on.
async fn waiting_execution(door: &Door, id: &str) -> Result<Arc<Incident>, Problem> {
    let (incident, place) = execution(door, id).await?;
    let named = incident.executions.get(place).ok_or_else(|| unknown(id))?;
    if incident.active_execution().map(|active| active.id) != Some(named.id) {
        let state = named.state.as_str();
        return Err(Problem::conflict(format!("this execution is {state}; nothing of it waits")));
    }
    Ok(incident)
}

/// What an approval lacks.
fn say_which(incident: &Incident) -> Problem {
    let Some(proposal) = waiting(incident) else {
        let (name, status) = (incident.name(), incident.status.as_str());
        return Problem::conflict(format!(
            "nothing of {name} waits for a decision; it is {status}"
        ));
    };
    let typed = match proposal.ruling.demand {
        Demand::Typed => format!(", and `typed` with the target's name, {}", proposal.target),
        Demand::Automatic | Demand::Approval | Demand::Forbidden => String::new(),
    };
    Problem::conflict(format!(
        "say what is approved: `fingerprint` of the proposal that was read, {} right now{typed}",
        proposal.fingerprint
    ))
}

/// A no.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "reason": "the batch job ends in a minute" }))]
struct Rejecting {
    /// Only this proposal.
    #[schema(max_length = 64)]
    fingerprint: Option<String>,
    /// Why; it stands in the records.
    #[schema(max_length = 500)]
    reason: String,
}

/// Reject what is proposed for an incident
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/reject", tag = "agent", request_body = Option<Rejecting>,
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 200, description = "Rejected; nothing runs", body = Accepted)),
)]
async fn reject(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    MaybeJson(no): MaybeJson<Rejecting>,
) -> Result<Answer<Accepted>, Problem> {
    let incident = door.incident(&id).await?.number;
    let command = Command::Reject { incident, fingerprint: no.fingerprint, reason: no.reason };
    Ok(Answer(door.order(&caller, command).await?))
}

/// Reject what an execution proposes
#[utoipa::path(
    post, path = "/api/v1/agent/executions/{id}/reject", tag = "agent", request_body = Option<Rejecting>,
    params(("id" = Uuid, Path, description = "The execution")),
    responses((status = 200, description = "Rejected; nothing runs", body = Accepted)),
)]
async fn reject_execution(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    MaybeJson(no): MaybeJson<Rejecting>,
) -> Result<Answer<Accepted>, Problem> {
    let (incident, place) = execution(&door, &id).await?;
    let execution = incident.executions.get(place).ok_or_else(|| unknown(&id))?;
    let Some(proposal) = &execution.proposal else {
        return Err(Problem::conflict("this execution proposes nothing"));
    };
    let fingerprint = Some(no.fingerprint.unwrap_or_else(|| proposal.fingerprint.0.clone()));
    let command = Command::Reject { incident: incident.number, fingerprint, reason: no.reason };
    Ok(Answer(door.order(&caller, command).await?))
}
