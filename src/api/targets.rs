//! The watched servers: how each is, and every read-only question that can be asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::{Door, shortened};
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::domain::target::Engine;
use crate::engine::handle::TargetView;
use crate::inspect::{self, Arg, ArgKind, Desk, Given, Inspection, Report};
use crate::targets::Server;

pub(super) mod describe;

/// Of an argument; no name on a server is longer.
const MOST_CHARS: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(questions)).routes(routes!(ask))
}

/// One target as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TargetStatus {
    #[schema(example = "redis-test")]
    id: String,
    /// `redis` or `postgres`.
    engine: &'static str,
    /// Whether it is simctl's own and may be broken.
    lab: bool,
    /// `ok`, `DEGRADED`, `DOWN`, `HUNG`, `REFUSED`, `starting` or `inconclusive`.
    state: String,
    /// From 0 to 100; `null` when it cannot be told.
    health: Option<u8>,
    /// When it was last asked.
    at: Option<DateTime<Utc>>,
    readings: BTreeMap<String, f64>,
}

impl TargetStatus {
    pub(super) fn of(view: &TargetView) -> Self {
        let newest = view.held.iter().chain(&view.fresh).max_by_key(|sample| sample.at);
        let read = view.held.iter().chain(&view.fresh).find(|sample| !sample.readings.is_empty());
        Self {
            id: view.target.id.to_string(),
            engine: view.target.engine.as_str(),
            lab: view.target.is_lab(),
            state: view.state.clone(),
            health: view.health.score(),
            at: newest.map(|sample| sample.at),
            readings: read.map(|sample| sample.readings.to_map()).unwrap_or_default(),
        }
    }
}

/// List the watched targets
#[utoipa::path(
    get, path = "/api/v1/targets", tag = "targets",
    responses((status = 200, description = "From the newest snapshot", body = Vec<TargetStatus>)),
)]
async fn list(State(door): State<Door>) -> Answer<Vec<TargetStatus>> {
    Answer(door.snapshot().targets.iter().map(|view| TargetStatus::of(view)).collect())
}

/// A read-only question.
#[derive(Debug, Serialize, ToSchema)]
struct Question {
    /// Under which it is asked here.
    name: &'static str,
    id: &'static str,
    title: &'static str,
    about: &'static str,
    args: Vec<QuestionArg>,
}

/// An argument of a question.
#[derive(Debug, Serialize, ToSchema)]
struct QuestionArg {
    name: &'static str,
    about: &'static str,
    default: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
}

impl From<&Arg> for QuestionArg {
    fn from(arg: &Arg) -> Self {
        let (default, min, max) = match arg.kind {
            ArgKind::Whole { default, least, most } => (Some(default), Some(least), Some(most)),
            ArgKind::Text | ArgKind::Subject => (None, None, None),
        };
        Self { name: arg.name, about: arg.about, default, min, max }
    }
}

/// List what can be asked of a target
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/inspect", tag = "targets",
    params(("id" = String, Path, description = "The target's name", example = "redis-test")),
    responses((status = 200, description = "The questions", body = Vec<Question>)),
)]
async fn questions(
    State(door): State<Door>,
    Path(id): Path<String>,
) -> Result<Answer<Vec<Question>>, Problem> {
    let engine = door.server(&id)?.target.engine;
    let question = |one: &'static Inspection| Question {
        name: one.verb,
        id: one.id,
        title: one.title,
        about: one.about,
        args: one.args.iter().map(QuestionArg::from).collect(),
    };
    Ok(Answer(inspect::of(engine).map(question).collect()))
}

/// Ask a target
///
/// Read-only, as the monitor role, with time limits on both sides. What cannot be known is part of the answer.
#[utoipa::path(
    get, path = "/api/v1/targets/{id}/inspect/{name}", tag = "targets",
    params(
        ("id" = String, Path, description = "The target's name", example = "redis-test"),
        ("name" = String, Path, description = "The question's name", example = "memory"),
    ),
    responses((status = 200, description = "Parts, checks with grades, and what to do", body = Report)),
)]
async fn ask(
    State(door): State<Door>,
    Path((id, name)): Path<(String, String)>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Result<Answer<Report>, Problem> {
    let server = door.server(&id)?.clone();
    let engine = server.target.engine;
    let inspection = inspect::find(engine, &name).ok_or_else(|| no_question(&name, &id, engine))?;
    let given = read(inspection, &asked)?;
    let Some(_turn) = door.turns.take(&server.target.id).await else {
        let detail = format!("{id} is being asked by others; try again in a moment");
        return Err(Problem::unavailable(detail));
    };
    let mut desk = desk(&door, server, inspection).await;
    let report = desk.report(inspection, &given).await;
    desk.close().await;
    Ok(Answer(report))
}

fn no_question(name: &str, id: &str, engine: Engine) -> Problem {
    let known: Vec<_> = inspect::of(engine).map(|one| one.verb).collect();
    let name = shortened(name);
    Problem::not_found(format!("{id} cannot be asked `{name}`; ask one of {}", known.join(", ")))
}

fn read(
    inspection: &'static Inspection,
    asked: &BTreeMap<String, String>,
) -> Result<Given, Problem> {
    let knows = |name: &String| inspection.args.iter().any(|arg| arg.name == *name);
    if let Some(name) = asked.keys().find(|name| !knows(name)) {
        let known: Vec<_> = inspection.args.iter().map(|arg| arg.name).collect();
        let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        let (verb, name) = (inspection.verb, shortened(name));
        return Err(Problem::invalid(format!("`{verb}` takes no `{name}`; it takes {known}")));
    }
    if let Some((name, _)) = asked.iter().find(|(_, text)| text.chars().count() > MOST_CHARS) {
        return Err(Problem::invalid(format!("`{name}` has at most {MOST_CHARS} characters")));
    }
    let subject = inspection.args.iter().find(|arg| arg.kind == ArgKind::Subject);
    if let Some(missing) = subject.filter(|arg| !asked.contains_key(arg.name)) {
        let (verb, name) = (inspection.verb, missing.name);
        return Err(Problem::invalid(format!("`{verb}` needs `{name}`: {}", missing.about)));
    }
    Given::read(inspection.args, |name| asked.get(name).map(String::as_str))
        .map_err(|bad| Problem::invalid(bad.trim_start_matches("--").to_owned()))
}

/// With what was recorded of the server while it was well, where the question is about that.
async fn desk(door: &Door, server: Server, inspection: &Inspection) -> Desk {
    let id = server.target.id.clone();
    let desk = Desk::new(server);
    if inspection.verb != "config-drift" {
        return desk;
    }
    let store = door.store.as_ref().map(Arc::clone);
    let loaded = match store {
        Some(store) => store.load().await.ok(),
        None => None,
    };
    desk.with_baseline(loaded.and_then(|mut ledger| ledger.baselines.remove(&id)))
}
