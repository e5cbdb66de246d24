//! `/metrics`, for Prometheus: how the targets are and how incidents go, from the last snapshot and what was counted
//! meanwhile. A scrape asks no server and no store.
//!
//! | file | holds |
//! |---|---|
//! | `tally` | what is counted as events happen, and how the store answers |
//! | `figures` | what the snapshot says: targets, incidents, injections, store |
//! | `readings` | which reading has which name |
//! | `text` | the two formats |

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::Door;
use super::problem::Problem;

mod figures;
mod readings;
mod tally;
mod text;

pub use tally::Tally;
use text::Format;

/// Labels of one series, in the order they are written.
type Labels = Vec<(&'static str, String)>;
type Series<M> = Family<Labels, M>;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(scrape))
}

/// Labels with their values.
fn labels<const COUNT: usize>(pairs: [(&'static str, &str); COUNT]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

/// The figures for Prometheus
///
/// From the newest snapshot; nothing is asked. OpenMetrics where the header Accept prefers it, else Prometheus' text.
#[utoipa::path(
    get, path = "/metrics", tag = "metrics",
    params(("Accept" = Option<String>, Header, description = "`application/openmetrics-text` or `text/plain`")),
    responses((status = 200, description = "One line per series", body = String, content_type = "text/plain")),
)]
async fn scrape(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<impl IntoResponse + use<>, Problem> {
    let wanted = headers.get(header::ACCEPT).and_then(|wanted| wanted.to_str().ok());
    let format = Format::wanted(wanted.unwrap_or_default());
    let mut registry = Registry::default();
    figures::register(&mut registry, &door.snapshot());
    door.tally.register(&mut registry);
    let text = format.of(&registry).map_err(|_| Problem::unavailable("the figures got lost"))?;
    Ok(([(header::CONTENT_TYPE, format.media_type())], text))
}

#[cfg(test)]
mod tests;
