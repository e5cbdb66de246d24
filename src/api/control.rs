//! What consoles and commands are made of: any command, the whole snapshot, its changes, the events.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Admin, Caller};
use super::door::Door;
use super::extract::{Json, Query};
use super::problem::Problem;
use super::{SEQ_HEADER, events, live};
use crate::domain::effect::{Accepted, Command, Ordered};
use crate::engine::handle::Snapshot;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(command))
        .routes(routes!(snapshot))
        .routes(routes!(live_changes))
        .routes(routes!(event_lines))
}

/// An answer that says which event its effect is shown from.
type Seen = [(&'static str, String); 1];

/// Give any command
///
/// The actor is whoever the token belongs to; only the owner of the control socket may name another.
#[utoipa::path(
    post, path = "/api/v1/commands", tag = "control", request_body = Ordered,
    responses((status = 200, description = "Accepted", body = Accepted)),
)]
async fn command(
    State(door): State<Door>,
    caller: Caller,
    Json(mut ordered): Json<Ordered>,
) -> Result<(Seen, Answer<Accepted>), Problem> {
    if !caller.is_owner {
        if let Command::Record { .. } | Command::Consulted { .. } = ordered.command {
            return Err(Problem::forbidden("records are written by what does something"));
        }
        ordered.actor = caller.name;
    }
    if let Command::Clear { injection: Some(number), .. } = &ordered.command
        && i64::try_from(*number).is_err()
    {
        return Err(Problem::invalid("an injection has no such number"));
    }
    let accepted = door.handle.order(ordered).await?;
    let seq = door.handle.snapshots.borrow().seq;
    Ok(([(SEQ_HEADER, seq.to_string())], Answer(accepted)))
}

/// The world as the engine sees it
#[utoipa::path(
    get, path = "/api/v1/snapshot", tag = "control",
    responses((status = 200, description = "The newest snapshot", body = Object)),
)]
async fn snapshot(State(door): State<Door>, caller: Caller) -> Answer<Snapshot> {
    let newest = Snapshot::clone(&door.snapshot());
    Answer(if caller.is_owner { newest } else { newest.without_undo_data() })
}

/// The snapshot, then what changes, one JSON object a line
#[utoipa::path(
    get, path = "/api/v1/live", tag = "control", security(("token" = ["admin"])),
    responses((status = 200, description = "Lines until the engine ends", content_type = "application/x-ndjson", body = String)),
)]
async fn live_changes(State(door): State<Door>, _: Admin) -> Response {
    live::stream(door.handle.snapshots, door.stop)
}

#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// The last event the reader has; without it the stream begins with the next one that happens.
    after: Option<u64>,
}

/// The events as they are recorded, one JSON object a line
#[utoipa::path(
    get, path = "/api/v1/events", tag = "live", params(After), security(("token" = ["admin"])),
    responses((status = 200, description = "Lines until the engine ends", content_type = "application/x-ndjson", body = String)),
)]
async fn event_lines(
    State(door): State<Door>,
    _: Admin,
    Query(After { after }): Query<After>,
) -> Response {
    events::stream(&door.handle, door.store, after, door.stop)
}
