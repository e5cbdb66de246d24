//! Every tool there is: those for incidents, and one for each inspection, made from its descriptor.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use super::request::Method;
use super::tool::{Kind, Param, Place, Tool};
use crate::actions::{self, Descriptor};
use crate::api::client::PATIENCE;
use crate::inspect::{self, Arg, ArgKind, Inspection};

const STATUSES: &[&str] = &["triage", "investigating", "fixing", "resolved", "failed"];
const SEVERITIES: &[&str] = &["low", "medium", "high", "critical"];
const NAME: Kind = Kind::Text { most: 64 };
/// On top of what a question itself may take.
const SLACK: Duration = Duration::from_secs(10);

static ACTIONS: LazyLock<Vec<&str>> = LazyLock::new(|| descriptors().map(|one| one.id).collect());

fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
    actions::ALL.iter().map(|action| action.descriptor())
}

/// In the order in which a client lists them.
pub(super) fn all() -> Vec<Tool> {
    let mut tools = vec![targets(), incidents()];
    tools.extend(about_one());
    tools.extend([action(), notice(), note()]);
    tools.extend(inspect::ALL.iter().map(|inspection| question(inspection)));
    tools
}

fn param(name: &'static str, about: &'static str, place: Place, kind: Kind) -> Param {
    Param { name, about: about.into(), place, kind, is_needed: false }
}

fn needed(name: &'static str, about: &'static str, place: Place, kind: Kind) -> Param {
    Param { is_needed: true, ..param(name, about, place, kind) }
}

fn incident() -> Param {
    needed("incident", "Its name, like `INC-0042`", Place::Path, NAME)
}

fn targets() -> Tool {
    Tool {
        name: "list_targets",
        title: "Targets",
        about: "The watched servers with their state, health from 0 to 100 and newest readings.",
        method: Method::Get,
        pattern: "/api/v1/targets".into(),
        patience: PATIENCE,
        params: Vec::new(),
    }
}

fn incidents() -> Tool {
    let limit = Kind::Whole { default: 50, least: 1, most: 500 };
    Tool {
        name: "list_incidents",
        title: "Incidents",
        about: "Incidents, newest first. `failed` ones wait for a person.",
        method: Method::Get,
        pattern: "/api/v1/incidents".into(),
        patience: PATIENCE,
        params: vec![
            param("status", "Only those that stand there", Place::Query, Kind::Words(STATUSES)),
            param("target", "Only those of this target", Place::Query, NAME),
            param("text", "Words in message, cause or notes", Place::Query, NAME),
            param("limit", "At most so many", Place::Query, limit),
        ],
    }
}

/// A tool that takes an incident and nothing else.
fn one(
    name: &'static str,
    title: &'static str,
    about: &'static str,
    method: Method,
    of: &str,
) -> Tool {
    let pattern = format!("/api/v1/incidents/{{incident}}{of}");
    Tool { name, title, about, method, pattern, patience: PATIENCE, params: vec![incident()] }
}

fn about_one() -> [Tool; 5] {
    let (get, post) = (Method::Get, Method::Post);
    [
        one(
            "read_incident",
            "One incident",
            "Everything about one incident: diagnosis with evidence, what waits for a decision, what was tried.",
            get,
            "",
        ),
        one(
            "read_report",
            "Post-mortem",
            "What happened in one incident, as Markdown from the records.",
            get,
            "/report",
        ),
        one(
            "list_actions",
            "Executed actions",
            "The commands that ran for one incident, with their output and the health before and after.",
            get,
            "/actions",
        ),
        one(
            "diagnose_incident",
            "Find the cause",
            "Has the cause of one incident looked for; changes nothing on the server.",
            post,
            "/diagnose",
        ),
        one(
            "propose_fix",
            "Have a fix proposed",
            "Has a fix of one incident proposed. It runs only once a person has approved it elsewhere; that person \
             needs the proposal's fingerprint.",
            post,
            "/suggest-fix",
        ),
    ]
}

fn action() -> Tool {
    let reason = param("reason", "Why, for who decides", Place::Body, Kind::Text { most: 500 });
    let args = param("args", "", Place::Body, Kind::Object);
    let action = Kind::Words(ACTIONS.as_slice());
    Tool {
        name: "propose_action",
        title: "Propose an action",
        about: "Proposes one action on a target. It is previewed there, and runs only once a person has approved it.",
        method: Method::Post,
        pattern: "/propose-fix".into(),
        patience: PATIENCE,
        params: vec![
            needed("target", "The target's name", Place::Body, Kind::Text { most: 63 }),
            needed("action", "Which", Place::Body, action),
            Param { about: what_actions_take().into(), ..args },
            reason,
        ],
    }
}

/// The names of every action's arguments; `?` may be left out.
fn what_actions_take() -> String {
    let mut text = String::from("What the action takes:");
    for one in descriptors() {
        let args: Vec<_> = one
            .args
            .iter()
            .map(|arg| format!("{}{}", arg.name, if arg.required { "" } else { "?" }))
            .collect();
        let _ = write!(text, " {}({})", one.id, args.join(", "));
    }
    text
}

fn notice() -> Tool {
    Tool {
        name: "open_incident",
        title: "Report trouble",
        about: "Opens an incident for trouble that was noticed elsewhere, or adds to the one that is open.",
        method: Method::Post,
        pattern: "/api/v1/incidents".into(),
        patience: PATIENCE,
        params: vec![
            needed("affected_system", "The target's name", Place::Body, Kind::Text { most: 63 }),
            needed("severity", "How bad it is", Place::Body, Kind::Words(SEVERITIES)),
            needed("message", "What is wrong", Place::Body, Kind::Text { most: 500 }),
        ],
    }
}

fn note() -> Tool {
    Tool {
        name: "add_note",
        title: "Add a note",
        about: "Adds a remark to one incident.",
        method: Method::Patch,
        pattern: "/api/v1/incidents/{incident}".into(),
        patience: PATIENCE,
        params: vec![
            incident(),
            needed("notes", "The remark", Place::Body, Kind::Text { most: 4_000 }),
        ],
    }
}

/// The tool that asks an inspection's question.
fn question(inspection: &'static Inspection) -> Tool {
    let target = needed("target", "The target's name", Place::Path, Kind::Text { most: 63 });
    let args = inspection.args.iter().map(argument);
    Tool {
        name: inspection.id,
        title: inspection.title,
        about: inspection.about,
        method: Method::Get,
        pattern: format!("/api/v1/targets/{{target}}/inspect/{}", inspection.verb),
        patience: inspection.budget + SLACK,
        params: std::iter::once(target).chain(args).collect(),
    }
}

fn argument(arg: &'static Arg) -> Param {
    let kind = match arg.kind {
        ArgKind::Whole { default, least, most } => Kind::Whole { default, least, most },
        ArgKind::Text | ArgKind::Subject => Kind::Text { most: 256 },
    };
    let is_needed = arg.kind == ArgKind::Subject;
    Param { is_needed, ..param(arg.name, arg.about, Place::Query, kind) }
}
