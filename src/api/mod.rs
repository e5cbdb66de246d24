//! The engine over HTTP: commands in, snapshot, its changes and events out. The same router serves every door.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::domain::effect::{Accepted, Ordered};
use crate::engine::handle::{Handle, Snapshot};
use crate::ports::store::Store;

pub mod client;
pub(crate) mod events;
pub mod live;
pub mod remote;
pub mod socket;

/// In the answer to an accepted command: the newest event that the engine's snapshot then held.
const SEQ_HEADER: &str = "simctl-seq";

/// What every request can reach.
#[derive(Clone)]
struct Door {
    handle: Handle,
    /// Where events from before the request are read.
    store: Option<Arc<dyn Store>>,
    /// Ends the event streams, which would otherwise keep a shutdown waiting for ever.
    stop: CancellationToken,
}

/// Why a request was not fulfilled, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub reason: String,
}

impl Problem {
    fn answer(status: StatusCode, reason: impl Into<String>) -> Response {
        (status, Json(Self { reason: reason.into() })).into_response()
    }
}

/// The routes. `stop` ends streams that are still open.
pub fn router(handle: Handle, store: Option<Arc<dyn Store>>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/api/v1/commands", post(command))
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/live", get(live))
        .route("/api/v1/events", get(events))
        .fallback(async || Problem::answer(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .with_state(Door { handle, store, stop })
}

async fn command(
    State(door): State<Door>,
    body: Result<Json<Ordered>, JsonRejection>,
) -> Result<([(&'static str, String); 1], Json<Accepted>), Response> {
    let Json(ordered) =
        body.map_err(|bad| Problem::answer(StatusCode::BAD_REQUEST, bad.body_text()))?;
    match door.handle.order(ordered).await {
        Ok(accepted) => {
            let seq = door.handle.snapshots.borrow().seq;
            Ok(([(SEQ_HEADER, seq.to_string())], Json(accepted)))
        }
        Err(refused) => Err(Problem::answer(StatusCode::CONFLICT, refused.reason)),
    }
}

async fn snapshot(State(door): State<Door>) -> Json<Snapshot> {
    let newest = Arc::clone(&door.handle.snapshots.borrow());
    Json(Snapshot::clone(&newest))
}

async fn live(State(door): State<Door>) -> Response {
    live::stream(door.handle.snapshots, door.stop)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    /// The last event the reader has; without it the stream begins with the next one that happens.
    after: Option<u64>,
}

async fn events(
    State(door): State<Door>,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Response {
    match after {
        Ok(Query(After { after })) => events::stream(&door.handle, door.store, after, door.stop),
        Err(bad) => Problem::answer(StatusCode::BAD_REQUEST, bad.body_text()),
    }
}

/// The stream, until `stop` and nothing more is ready: what happened before the end is still sent.
fn until<T: Send>(
    stream: impl Stream<Item = T> + Send,
    stop: CancellationToken,
) -> impl Stream<Item = T> + Send {
    stream::unfold((Box::pin(stream), stop), |(mut stream, stop)| async move {
        tokio::select! {
            biased;
            item = stream.next() => item.map(|item| (item, (stream, stop))),
            () = stop.cancelled() => None,
        }
    })
}

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod tests;
