//! The engine over HTTP: commands in, snapshot, its changes and events out. One router serves every door: the
//! control socket, and the network where the configuration says so.
//!
//! To add a group of routes: one file here with `pub(super) fn routes() -> OpenApiRouter<Door>` and handlers that
//! carry `#[utoipa::path]`, and two lines in this file, `mod x;` and an entry in `GROUPS`. The router asks for a
//! viewer where a route only reads and for an operator elsewhere; a handler that takes `caller::Admin` asks for
//! more. Bounds, problems, the description at `/openapi.json` and its checks come by themselves.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::routing::get;
use futures::stream::{Stream, StreamExt, unfold};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

mod alerts;
pub mod caller;
pub mod client;
mod control;
mod door;
pub(crate) mod events;
mod extract;
mod guard;
mod incidents;
mod lab;
pub mod listen;
pub mod live;
mod metrics;
mod openapi;
mod patient;
mod problem;
mod rate;
pub mod remote;
pub mod socket;
mod stream;
mod targets;
mod turns;
mod workbench;

pub use door::Door;
pub use extract::BodyBounds;
pub use metrics::Tally;
pub use problem::Problem;
pub use turns::Turns;
pub use workbench::agreed::Agreements;

/// In the answer to an accepted command: the newest event that the engine's snapshot then held.
const SEQ_HEADER: &str = "simctl-seq";

/// Routes that belong together.
type Group = fn() -> OpenApiRouter<Door>;

/// Every route there is.
const GROUPS: &[Group] = &[
    control::routes,
    incidents::routes,
    incidents::decisions::routes,
    incidents::executions::routes,
    incidents::proposals::routes,
    incidents::records::routes,
    alerts::routes,
    lab::routes,
    metrics::routes,
    targets::routes,
    stream::routes,
    workbench::routes,
];

fn all() -> OpenApiRouter<Door> {
    GROUPS.iter().fold(OpenApiRouter::new(), |all, group| all.merge(group()))
}

/// The description of every route, with examples.
pub fn description() -> OpenApi {
    openapi::complete(all().into_openapi())
}

/// The routes, for callers whom the door in front of them has let in.
pub fn router(door: Door, bounds: BodyBounds) -> Router {
    let (routes, described) = all().split_for_parts();
    // Every connection has its own copy of the router, so what is in there is shared.
    let described = serde_json::to_vec(&openapi::complete(described)).unwrap_or_default();
    let described = Bytes::from(described);
    routes
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], described.clone())),
        )
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not know the method; see the header Allow";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(move |request, next| extract::bound(bounds, request, next)))
        .layer(from_fn(caller::check))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(door)
}

/// The stream, until `stop` and nothing more is ready: what happened before the end is still sent.
fn until<T: Send>(
    stream: impl Stream<Item = T> + Send,
    stop: CancellationToken,
) -> impl Stream<Item = T> + Send {
    unfold((Box::pin(stream), stop), |(mut stream, stop)| async move {
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
mod network_tests;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
