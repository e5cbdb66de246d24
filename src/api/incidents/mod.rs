//! Incidents: list them a page at a time, open one from outside, read and change one.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::door::Door;
use super::extract::{Json, Path, Query, given, listed};
use super::problem::Problem;
use super::turns::reading;
use crate::domain::change::Change;
use crate::domain::effect::Command;
use crate::domain::finding::Severity;
use crate::domain::ids::TargetId;
use crate::domain::incident::{Incident, Status};
use crate::domain::notice::Notice;
use crate::ports::store::IncidentFilter;

pub(super) mod decisions;
pub(super) mod executions;
pub(super) mod proposals;
pub(super) mod records;
pub(super) mod view;

use view::{IncidentSummary, IncidentView};

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(list_resolved))
        .routes(routes!(read, change))
}

/// The largest number that JSON carries everywhere without loss.
const LAST_NUMBER: u64 = 9_007_199_254_740_991;

/// Which incidents; every part narrows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Any of these, with commas between them.
    #[serde(deserialize_with = "listed")]
    #[param(style = Form, explode = false, required = false)]
    status: Vec<Status>,
    /// Any of these, with commas between them.
    #[serde(deserialize_with = "listed")]
    #[param(style = Form, explode = false, required = false)]
    severity: Vec<Severity>,
    /// The target's name.
    target: Option<String>,
    /// A finding kind or a cause.
    fault_type: Option<String>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    /// Words in the message, the cause or the notes.
    text: Option<String>,
    #[param(minimum = 1, maximum = 500, default = 50, required = false)]
    limit: u32,
    /// The `next_cursor` of the page before.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    cursor: Option<u64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            status: Vec::new(),
            severity: Vec::new(),
            target: None,
            fault_type: None,
            created_after: None,
            created_before: None,
            text: None,
            limit: 50,
            cursor: None,
        }
    }
}

/// A page of incidents, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct IncidentPage {
    incidents: Vec<IncidentSummary>,
    /// Where the next page begins; `null` at the end.
    next_cursor: Option<u64>,
}

/// List incidents, newest first
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", params(Filter),
    responses((status = 200, description = "A page", body = IncidentPage)),
)]
async fn list(
    State(door): State<Door>,
    Query(filter): Query<Filter>,
) -> Result<Answer<IncidentPage>, Problem> {
    page(&door, filter).await
}

/// List resolved incidents, newest first
#[utoipa::path(
    get, path = "/api/v1/incidents/resolved", tag = "incidents", params(Filter),
    responses((status = 200, description = "A page", body = IncidentPage)),
)]
async fn list_resolved(
    State(door): State<Door>,
    Query(filter): Query<Filter>,
) -> Result<Answer<IncidentPage>, Problem> {
    page(&door, Filter { status: vec![Status::Resolved], ..filter }).await
}

async fn page(door: &Door, filter: Filter) -> Result<Answer<IncidentPage>, Problem> {
    if !(1..=500).contains(&filter.limit) {
        return Err(Problem::invalid("`limit` is a number from 1 to 500"));
    }
    if filter.cursor.is_some_and(|cursor| !(1..=LAST_NUMBER).contains(&cursor)) {
        return Err(Problem::invalid("`cursor` is the `next_cursor` of the page before"));
    }
    let limit = filter.limit;
    let wanted = IncidentFilter {
        status: filter.status,
        severity: filter.severity,
        target: filter.target.map(storable),
        fault_type: filter.fault_type.map(storable),
        created_after: filter.created_after,
        created_before: filter.created_before,
        text: filter.text.map(storable),
        before_number: filter.cursor,
        limit: limit + 1,
    };
    let _turn = reading().await;
    let mut lines = door.store()?.incidents(&wanted).await?;
    let fits = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_cut = lines.len() > fits;
    lines.truncate(fits);
    let next_cursor = lines.last().filter(|_| is_cut).map(|line| line.number);
    let incidents = lines.into_iter().map(IncidentSummary::from).collect();
    Ok(Answer(IncidentPage { incidents, next_cursor }))
}

/// No store keeps a zero byte, so nothing with one is found.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// An incident that somebody outside noticed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "message": "Checkout answers with 500 since 14:02", "severity": "high", "affected_system": "redis-test",
    "source": "support", "team": "payments", "error_logs": ["READONLY You can't write against a read only replica."],
}))]
struct NewIncident {
    #[schema(min_length = 1, max_length = 500, pattern = r"\S")]
    message: String,
    severity: Severity,
    /// A target that is watched is diagnosed; for anything else the incident waits for a person.
    #[schema(min_length = 1, max_length = 63, pattern = "^[A-Za-z0-9._-]+$")]
    affected_system: String,
    /// Who noticed it, where that is not whoever asks.
    #[schema(max_length = 64)]
    source: Option<String>,
    #[schema(max_length = 64)]
    team: Option<String>,
    #[serde(default)]
    #[schema(max_items = 20, value_type = Vec<ErrorLine>)]
    error_logs: Vec<String>,
}

/// A line of a log.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 2_000)]
#[expect(dead_code, reason = "only its description is used")]
struct ErrorLine(String);

/// Open an incident from outside
///
/// Where one from outside is open for the same target already, this adds to it: 200 instead of 201.
#[utoipa::path(
    post, path = "/api/v1/incidents", tag = "incidents", request_body = NewIncident,
    responses(
        (
            status = 201, description = "Opened", body = IncidentView, headers(("Location" = String)),
            links(
                ("read" = (operation_id = "get_incidents_id", parameters(("id" = "$response.body#/name")))),
                ("change" = (operation_id = "patch_incidents_id", parameters(("id" = "$response.body#/id")))),
            ),
        ),
        (status = 200, description = "Added to the one that is open", body = IncidentView),
    ),
)]
async fn open(
    State(door): State<Door>,
    caller: Caller,
    Json(new): Json<NewIncident>,
) -> Result<Response, Problem> {
    let notice = Notice {
        message: new.message,
        severity: new.severity,
        target: TargetId::from(new.affected_system),
        source: new.source,
        team: new.team,
        error_lines: new.error_logs,
    };
    notice.check().map_err(Problem::invalid)?;
    let before = door.snapshot().incidents.iter().map(|known| known.number).max();
    let accepted = door.order(&caller, Command::Notice { notice }).await?;
    let number = accepted.incident.unwrap_or_default();
    let incident = door.incident(&number.to_string()).await?;
    if before >= Some(number) {
        return Ok(tagged(&incident));
    }
    let place = format!("/api/v1/incidents/{}", incident.name());
    let mut response = (StatusCode::CREATED, tagged(&incident)).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Read one incident
///
/// The header ETag names this state of it, for If-None-Match here and If-Match where it is changed.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents",
    params(
        ("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag; 304 when it still names the state"),
    ),
    responses(
        (status = 200, description = "The incident", body = IncidentView, headers(("ETag" = String))),
        (status = 304, description = "It is as it was"),
    ),
)]
async fn read(
    State(door): State<Door>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let incident = door.incident(&id).await?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| names(known, &incident)) {
        let tag = [(header::ETAG, etag(&incident))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(tagged(&incident))
}

/// What is to be different; what is not named stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "severity": "high", "team": "payments", "notes": "the batch job was the writer" }))]
struct IncidentChange {
    /// `resolved` declares it over, `investigating` starts over on one that needs a person, `failed` asks for one.
    #[schema(value_type = Option<Status>)]
    status: Option<Status>,
    #[schema(value_type = Option<Severity>)]
    severity: Option<Severity>,
    /// `null` takes the team away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 64)]
    team: Option<Option<String>>,
    /// A remark that is added.
    #[schema(max_length = 4_000, min_length = 1, pattern = r"\S")]
    notes: Option<String>,
    /// Why, for the records.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

impl IncidentChange {
    fn is_nothing(&self) -> bool {
        let Self { status, severity, team, notes, reason: _ } = self;
        status.is_none() && severity.is_none() && team.is_none() && notes.is_none()
    }
}

/// Change one incident
///
/// With the header If-Match, which names the ETag of the state that was read, only while it is in that state, else
/// 412. A change of status that is not allowed is refused.
#[utoipa::path(
    patch, path = "/api/v1/incidents/{id}", tag = "incidents", request_body = IncidentChange,
    params(
        ("id" = String, Path, description = "A name like `INC-0042`, a number, or an id", example = "INC-0001"),
    ),
    responses((status = 200, description = "The incident as it is now", body = IncidentView, headers(("ETag" = String)))),
)]
async fn change(
    State(door): State<Door>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    Json(change): Json<IncidentChange>,
) -> Result<Response, Problem> {
    let incident = door.incident(&id).await?;
    let meant = headers.get(header::IF_MATCH).map(|meant| meant.to_str().unwrap_or_default());
    if meant.is_some_and(|meant| meant.trim() != "*" && !names(meant, &incident)) {
        return Err(moved_on(&incident));
    }
    if change.is_nothing() {
        return Ok(tagged(&incident));
    }
    let change = Change {
        status: change.status,
        severity: change.severity,
        // Away is away, whether it is written `null` or empty.
        team: change.team.map(Option::unwrap_or_default),
        note: change.notes,
        reason: change.reason.unwrap_or_default(),
        // Between the look above and the engine's turn it may move on.
        as_of: meant.map(|_| incident.updated_at),
    };
    change.check().map_err(Problem::invalid)?;
    let number = incident.number;
    if let Err(problem) = door.order(&caller, Command::Change { incident: number, change }).await {
        let now = door.incident(&id).await?;
        let is_other = meant.is_some() && now.updated_at != incident.updated_at;
        return Err(if is_other { moved_on(&now) } else { problem });
    }
    Ok(tagged(&*door.incident(&id).await?))
}

fn moved_on(incident: &Incident) -> Problem {
    let detail = format!("{} is not in that state any more; read it again", incident.name());
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

/// Names one state of an incident: every event about it moves the time.
fn etag(incident: &Incident) -> String {
    format!("\"{}-{}\"", incident.number, incident.updated_at.timestamp_micros())
}

fn names(tags: &str, incident: &Incident) -> bool {
    let tag = etag(incident);
    tags.split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

fn tagged(incident: &Incident) -> Response {
    ([(header::ETAG, etag(incident))], Answer(IncidentView::of(incident))).into_response()
}
