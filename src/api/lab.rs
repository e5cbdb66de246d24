//! The lab: how everything is, breaking it on purpose, and the way back. The paths are those of the old simulator.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::door::{Door, shortened};
use super::extract::{MaybeJson, Path, Query};
use super::incidents::view::waiting;
use super::problem::Problem;
use super::targets::TargetStatus;
use crate::domain::effect::{Accepted, Command};
use crate::domain::finding::Severity;
use crate::domain::ids::TargetId;
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::Injection;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::handle::StoreView;
use crate::faults::{self, Descriptor, Fault, LONGEST_TTL_S, Param};
use crate::targets::Server;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(list))
        .routes(routes!(trigger))
        .routes(routes!(clear))
}

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
struct LabStatus {
    at: DateTime<Utc>,
    /// The newest event in here.
    seq: u64,
    targets: Vec<TargetStatus>,
    /// The lab's own, by their kind.
    redis: Option<TargetStatus>,
    postgres: Option<TargetStatus>,
    /// What is injected right now.
    injections: Vec<Injection>,
    /// What is open.
    incidents: Vec<OpenIncident>,
    store: StoreView,
}

/// An open incident in short.
#[derive(Debug, Serialize, ToSchema)]
struct OpenIncident {
    id: uuid::Uuid,
    #[schema(example = "INC-0042")]
    name: String,
    affected_system: String,
    status: Status,
    severity: Severity,
    message: String,
    cause: Option<String>,
    /// The execution whose proposal waits for a decision.
    execution_id: Option<uuid::Uuid>,
    fingerprint: Option<String>,
    actions: Option<String>,
}

impl OpenIncident {
    fn of(incident: &Incident) -> Self {
        let proposal = waiting(incident);
        let execution = incident.active_execution().filter(|_| proposal.is_some());
        Self {
            id: incident.id.0,
            name: incident.name(),
            affected_system: incident.target.to_string(),
            status: incident.status,
            severity: incident.severity,
            message: incident.message.clone(),
            cause: incident.cause().map(ToString::to_string),
            execution_id: execution.map(|execution| execution.id.0),
            fingerprint: proposal.map(|proposal| proposal.fingerprint.0.clone()),
            actions: proposal.map(|proposal| proposal.draft.actions()),
        }
    }
}

/// How every target is, what is injected, what is open
#[utoipa::path(
    get, path = "/status", tag = "lab",
    responses((status = 200, description = "From the newest snapshot", body = LabStatus)),
)]
async fn status(State(door): State<Door>) -> Answer<LabStatus> {
    let now = door.snapshot();
    let of_lab = |engine| {
        let mut views = now.targets.iter().filter(|view| view.target.is_lab());
        views.find(|view| view.target.engine == engine).map(|view| TargetStatus::of(view))
    };
    Answer(LabStatus {
        at: now.at,
        seq: now.seq,
        redis: of_lab(Engine::Redis),
        postgres: of_lab(Engine::Postgres),
        targets: now.targets.iter().map(|view| TargetStatus::of(view)).collect(),
        injections: now.injections.iter().filter(|one| one.state.is_live()).cloned().collect(),
        incidents: now
            .incidents
            .iter()
            .filter(|incident| incident.is_open())
            .map(|incident| OpenIncident::of(incident))
            .collect(),
        store: now.store.clone(),
    })
}

/// A way to break the lab.
#[derive(Debug, Serialize, ToSchema)]
struct FaultView {
    #[schema(example = "idle-leak")]
    id: &'static str,
    /// Other names for it.
    aliases: &'static [&'static str],
    /// `null`: any target.
    engine: Option<&'static str>,
    title: &'static str,
    about: &'static str,
    finding: &'static str,
    cause: &'static str,
    risk: Risk,
    params: Vec<ParamView>,
    /// What taking it back does.
    undo: &'static [&'static str],
}

/// A parameter of a fault: a whole number.
#[derive(Debug, Serialize, ToSchema)]
struct ParamView {
    name: &'static str,
    about: &'static str,
    default: u64,
    min: u64,
    max: u64,
}

impl FaultView {
    fn of(d: &Descriptor) -> Self {
        let param = |p: &Param| ParamView {
            name: p.name,
            about: p.about,
            default: p.default,
            min: p.min,
            max: p.max,
        };
        Self {
            id: d.id,
            aliases: d.aliases,
            engine: d.engine.map(Engine::as_str),
            title: d.title,
            about: d.about,
            finding: d.finding.as_str(),
            cause: d.cause,
            risk: d.risk,
            params: d.params.iter().map(param).collect(),
            undo: d.undo,
        }
    }
}

/// List every way to break the lab, with its parameters
#[utoipa::path(
    get, path = "/api/v1/faults", tag = "lab",
    responses((status = 200, description = "The catalogue", body = Vec<FaultView>)),
)]
async fn list() -> Answer<Vec<FaultView>> {
    Answer(faults::ALL.iter().map(|fault| FaultView::of(fault.descriptor())).collect())
}

/// How to break it; everything has a default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "ttl_s": 60 }))]
struct Trigger {
    /// Which target of the lab, where more than one fits.
    #[schema(max_length = 63)]
    target: Option<String>,
    /// The parameters of the fault, by name.
    #[schema(value_type = Object)]
    params: BTreeMap<String, Value>,
    /// It is taken back after this many seconds at the latest.
    #[schema(minimum = 1, maximum = 3600)]
    ttl_s: Option<u64>,
    /// Also where the target is broken already.
    beside: bool,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HowToTrigger {
    /// Tell what would be done, and do nothing.
    #[param(required = false)]
    dry_run: bool,
}

/// What was broken, and how it ends.
#[derive(Debug, Serialize, ToSchema)]
struct Triggered {
    success: bool,
    #[schema(example = "triggered")]
    status: &'static str,
    message: String,
    fault: &'static str,
    target: String,
    /// `f-19`.
    injection: String,
    /// When it is taken back at the latest.
    deadline: Option<DateTime<Utc>>,
    undo: &'static [&'static str],
}

/// What would be done.
#[derive(Debug, Serialize, ToSchema)]
struct Rehearsed {
    success: bool,
    #[schema(example = "dry_run")]
    status: &'static str,
    fault: &'static str,
    target: String,
    params: BTreeMap<String, u64>,
    /// The exact calls.
    calls: Vec<String>,
    undo: &'static [&'static str],
    ttl_s: u64,
}

/// What came of a trigger, or would come of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Trial {
    Triggered(Triggered),
    Rehearsed(Rehearsed),
}

/// Break a target of the lab on purpose
///
/// By the fault's id or by the old simulator's name for it. Only the lab can be broken, and it is taken back at the
/// deadline whatever happens.
#[utoipa::path(
    post, path = "/trigger/{fault}", tag = "lab", request_body = Option<Trigger>,
    params(("fault" = String, Path, description = "Like `postgres-connections` or `idle-leak`; /api/v1/faults lists them", example = "redis-memory"), HowToTrigger),
    responses((status = 200, description = "Under way, or with `dry_run` what would be done", body = Trial)),
)]
async fn trigger(
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(how): Query<HowToTrigger>,
    caller: Caller,
    MaybeJson(asked): MaybeJson<Trigger>,
) -> Result<Answer<Trial>, Problem> {
    let fault = faults::find(&name).ok_or_else(|| {
        let name = shortened(&name);
        Problem::not_found(format!("there is no fault `{name}`; /api/v1/faults lists them"))
    })?;
    if how.dry_run {
        return Ok(Answer(Trial::Rehearsed(rehearse(&door, fault, &asked)?)));
    }
    let d = fault.descriptor();
    let command = Command::Inject {
        fault: d.id.into(),
        target: asked.target.map(TargetId::from),
        params: asked.params,
        ttl_s: asked.ttl_s,
        beside: asked.beside,
    };
    let accepted = door.order(&caller, command).await?;
    let snapshot = door.snapshot();
    let number = accepted.injection.unwrap_or_default();
    let injection = snapshot.injections.iter().find(|injection| injection.number == number);
    Ok(Answer(Trial::Triggered(Triggered {
        success: true,
        status: "triggered",
        message: accepted.message,
        fault: d.id,
        target: injection.map(|injection| injection.target.to_string()).unwrap_or_default(),
        injection: format!("f-{number}"),
        deadline: injection.map(|injection| injection.deadline),
        undo: d.undo,
    })))
}

fn rehearse(door: &Door, fault: &dyn Fault, asked: &Trigger) -> Result<Rehearsed, Problem> {
    let d = fault.descriptor();
    let server = lab_server(door, d, asked.target.as_deref())?;
    let params = faults::complete_params(fault, &asked.params)
        .map_err(|error| Problem::conflict(error.to_string()))?;
    let ttl_s = asked.ttl_s.unwrap_or(door.inject_ttl.as_secs());
    if !(1..=LONGEST_TTL_S).contains(&ttl_s) {
        return Err(Problem::invalid(format!("`ttl_s` is from 1 to {LONGEST_TTL_S}")));
    }
    Ok(Rehearsed {
        success: true,
        status: "dry_run",
        fault: d.id,
        target: server.target.id.to_string(),
        calls: fault.calls(Some(server), &params),
        params,
        undo: d.undo,
        ttl_s,
    })
}

fn lab_server<'a>(
    door: &'a Door,
    d: &Descriptor,
    name: Option<&str>,
) -> Result<&'a Server, Problem> {
    let fits = |server: &&Server| {
        let engine = server.target.engine;
        server.target.is_lab() && d.engine.is_none_or(|wanted| wanted == engine)
    };
    let Some(name) = name else {
        let none = || Problem::conflict(format!("no target of the lab fits {}", d.id));
        return door.servers.iter().find(fits).ok_or_else(none);
    };
    let named = door.server(name)?;
    Some(named).filter(fits).ok_or_else(|| {
        Problem::conflict(format!("{} does not fit {name}, or it is none of the lab's", d.id))
    })
}

/// Take injections back
///
/// `redis` and `postgres` mean those on such targets, `all` means all; else the name of a target or of one
/// injection, like `f-19`.
#[utoipa::path(
    post, path = "/clear/{what}", tag = "lab",
    params(("what" = String, Path, description = "`redis`, `postgres`, `all`, a target, or an injection", example = "redis")),
    responses((status = 200, description = "Being taken back, newest first", body = Cleared)),
)]
async fn clear(
    State(door): State<Door>,
    Path(what): Path<String>,
    caller: Caller,
) -> Result<Answer<Cleared>, Problem> {
    let mut messages = Vec::new();
    for command in clearing(&door, &what)? {
        let Accepted { message, .. } = door.order(&caller, command).await?;
        messages.push(message);
    }
    Ok(Answer(Cleared { success: true, status: "cleared", message: messages.join("; ") }))
}

/// What is taken back.
#[derive(Debug, Serialize, ToSchema)]
struct Cleared {
    success: bool,
    #[schema(example = "cleared")]
    status: &'static str,
    message: String,
}

fn clearing(door: &Door, what: &str) -> Result<Vec<Command>, Problem> {
    let of = |injection, target| Command::Clear { injection, target };
    if what == "all" {
        return Ok(vec![of(None, None)]);
    }
    if let Some(number) = what.strip_prefix("f-").and_then(|number| number.parse().ok()) {
        return Ok(vec![of(Some(number), None)]);
    }
    if let Some(target) = door.watched(what) {
        return Ok(vec![of(None, Some(target))]);
    }
    let snapshot = door.snapshot();
    let ours = snapshot.targets.iter().map(|view| &view.target).filter(|target| target.is_lab());
    let of_kind: Vec<_> = ours.filter(|target| target.engine.as_str() == what).collect();
    if of_kind.is_empty() && !["redis", "postgres"].contains(&what) {
        return Err(Problem::not_found(door.no_target(what)));
    }
    Ok(of_kind.into_iter().map(|target| of(None, Some(target.id.clone()))).collect())
}
