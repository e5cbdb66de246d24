//! The post-mortem of an incident, and the whole log: exported, checked.

use std::convert::Infallible;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Admin;
use crate::api::door::Door;
use crate::api::extract::Path;
use crate::api::problem::Problem;
use crate::api::turns::reading;
use crate::api::until;
use crate::domain::event::RawEvent;
use crate::report;
use crate::store::audit::{self, AuditReport};

pub(in crate::api) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(post_mortem))
        .routes(routes!(export))
        .routes(routes!(verify))
}

/// A post-mortem, from recorded facts.
#[derive(Debug, Serialize, ToSchema)]
struct PostMortem {
    #[schema(example = "INC-0042")]
    incident: String,
    markdown: String,
}

/// Read the post-mortem of an incident
///
/// As JSON, or as Markdown for `Accept: text/markdown`.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/report", tag = "records",
    params(("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001")),
    responses((status = 200, description = "The post-mortem", content(
        (PostMortem = "application/json"), (String = "text/markdown"),
    ))),
)]
async fn post_mortem(
    State(door): State<Door>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let incident = door.incident(&id).await?;
    let _turn = reading().await;
    let markdown = report::from_store(door.store()?, incident.number).await?;
    // One that was opened a moment ago while the store is away is not in there yet.
    let none = || Problem::unavailable(format!("{} is not in the records yet", incident.name()));
    let markdown = markdown.ok_or_else(none)?;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.contains("text/markdown")) {
        let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
        return Ok((kind, markdown).into_response());
    }
    Ok(Answer(PostMortem { incident: incident.name(), markdown }).into_response())
}

/// Export the whole log, one record a line, oldest first
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "records", security(("token" = ["admin"])),
    responses((status = 200, description = "Every record as it is stored", content_type = "application/x-ndjson", body = String)),
)]
async fn export(State(door): State<Door>, _: Admin) -> Result<Response, Problem> {
    const PAGE: u32 = 500;
    door.store()?;
    let Door { store, stop, .. } = door;
    let pages = stream::unfold(Some((store, 0)), |at| async move {
        let (store, after) = at?;
        let read = store.as_ref()?.events(after, PAGE).await;
        let (text, next) = match read {
            Ok(page) if page.is_empty() => return None,
            Ok(page) => {
                let last = page.last().map_or(after, |raw| raw.seq);
                (page.iter().map(line).collect::<String>(), Some((store, last)))
            }
            Err(error) => {
                let problem = Problem::from(error);
                (format!("{}\n", serde_json::to_string(&problem).unwrap_or_default()), None)
            }
        };
        Some((Ok::<_, Infallible>(text), next))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(until(pages, stop))).into_response())
}

fn line(raw: &RawEvent) -> String {
    format!("{}\n", audit::line(raw))
}

/// Check that the whole log is as it was written
#[utoipa::path(
    get, path = "/api/v1/audit/verify", tag = "records", security(("token" = ["admin"])),
    responses((status = 200, description = "What was found", body = AuditReport)),
)]
async fn verify(State(door): State<Door>, _: Admin) -> Result<Answer<AuditReport>, Problem> {
    let store = door.store()?;
    let anchor = audit::recall(&audit::anchor_dir(&door.state_dir, store));
    let anchor = anchor.map_err(|error| {
        tracing::warn!("the end of the log as this machine remembers it: {error:#}");
        Problem::unavailable("this machine's own memory of the log cannot be read")
    })?;
    Ok(Answer(audit::verify(store, anchor.as_ref()).await?))
}
