//! An incident as a model is told of it: what was found, measured and observed, and out of what it may choose.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::node::{Node, is_name};
use crate::actions;
use crate::config::agent::Share;
use crate::diagnose;
use crate::diagnose::facts::Facts;
use crate::domain::diagnosis::Evidence;
use crate::domain::effect::Known;
use crate::domain::ids::ActionId;
use crate::domain::incident::Incident;
use crate::domain::sample::{Origin, Sample};
use crate::domain::target::Engine;
use crate::ports::store::SimilarIncident;
use crate::targets::Server;

/// The whole case.
pub(super) fn case(
    server: &Server,
    incident: &Incident,
    known: &Known,
    facts: &Facts,
    share: Share,
) -> Node {
    Node::map([
        ("incident", about(incident, server.target.engine)),
        ("readings", readings(&facts.samples)),
        ("clients", clients(&facts.samples)),
        ("evidence", evidence(&facts.evidence)),
        ("facts", seen(facts, share)),
        ("changed_settings", changed(facts)),
        ("tried", tried(incident, known)),
        ("causes", causes(facts)),
        ("actions", choices(server)),
    ])
}

/// A server without an incident.
pub(super) fn situation(server: &Server, facts: &Facts, share: Share) -> Node {
    Node::map([
        ("target", Node::ours(server.target.id.as_str())),
        ("server", Node::ours(server.target.engine.as_str())),
        ("readings", readings(&facts.samples)),
        ("clients", clients(&facts.samples)),
        ("evidence", evidence(&facts.evidence)),
        ("facts", seen(facts, share)),
    ])
}

fn about(incident: &Incident, engine: Engine) -> Node {
    Node::map([
        ("name", Node::ours(incident.name())),
        ("target", Node::ours(incident.target.as_str())),
        ("server", Node::ours(engine.as_str())),
        ("finding", Node::ours(incident.finding.as_str())),
        ("means", Node::ours(incident.finding.about().phrase)),
        ("severity", Node::ours(incident.severity.as_str())),
        ("occurrences", Node::figure(incident.occurrences)),
        ("health_at_open", health(incident.health_at_open.score())),
        ("health_before", health(incident.health_before)),
        // Anybody may have written these: a server, a person, an alert from outside.
        ("message", Node::Text(incident.message.clone())),
        ("source", Node::Text(incident.source.clone())),
        ("error_lines", texts(incident.error_logs.iter().cloned())),
        ("notes", texts(incident.notes.iter().map(|note| note.text.clone()))),
        ("metrics_at_open", Node::observed(json!(incident.metrics))),
    ])
}

fn health(score: Option<u8>) -> Node {
    Node::Figure(score.map_or(Value::Null, Value::from))
}

fn texts(all: impl Iterator<Item = String>) -> Node {
    Node::List(all.map(Node::Text).collect())
}

/// Each reading's newest value, and how it moved over the samples at hand.
fn readings(samples: &[Sample]) -> Node {
    let mut first: BTreeMap<&str, (&Sample, f64)> = BTreeMap::new();
    let mut last: BTreeMap<&str, (&Sample, f64)> = BTreeMap::new();
    for sample in samples {
        for (name, value) in sample.readings.iter() {
            first.entry(name).or_insert((sample, value));
            last.insert(name, (sample, value));
        }
    }
    let told = last.iter().map(|(name, (at, value))| {
        let (from, before) = first.get(name).copied().unwrap_or((at, *value));
        let seconds = (at.at - from.at).num_milliseconds() as f64 / 1_000.0;
        let node = Node::map([
            ("now", Node::figure(*value)),
            ("before", Node::figure(before)),
            ("seconds_between", Node::figure(seconds)),
        ]);
        ((*name).to_owned(), node)
    });
    Node::Map(told.collect())
}

/// The newest answers over each connection.
fn clients(samples: &[Sample]) -> Node {
    let newest = |origin| samples.iter().rev().find(|sample| sample.origin == origin);
    let view = |origin| match newest(origin) {
        Some(sample) => Node::observed(json!({
            "connect": sample.connect, "read": sample.read, "write": sample.write, "took_ms": sample.took_ms,
        })),
        None => Node::ours("not asked yet"),
    };
    Node::map([("new_client", view(Origin::Fresh)), ("kept_connection", view(Origin::Held))])
}

fn evidence(all: &[Evidence]) -> Node {
    let one = |evidence: &Evidence| {
        Node::map([
            ("id", Node::ours(evidence.id.clone())),
            ("question", Node::Text(evidence.source.clone())),
            ("answer", Node::Text(evidence.text.clone())),
        ])
    };
    Node::List(all.iter().map(one).collect())
}

/// What was observed, without what is told elsewhere.
pub(super) fn seen(facts: &Facts, share: Share) -> Node {
    let mut value = serde_json::to_value(facts).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        for told_elsewhere in ["finding", "samples", "baseline", "evidence"] {
            map.remove(told_elsewhere);
        }
    }
    for part in ["redis", "postgres"] {
        if let Some(map) = value.get_mut(part).and_then(Value::as_object_mut) {
            map.remove("settings");
        }
    }
    if share != Share::Full {
        // What a client asked for is a literal of its query.
        for command in value["slow_commands"].as_array_mut().into_iter().flatten() {
            command["argument"] = Value::Null;
        }
    }
    Node::observed(value)
}

/// The settings that are not as they were on the healthy server.
pub(super) fn changed(facts: &Facts) -> Node {
    let now = settings(facts);
    let differs = now.iter().filter_map(|(name, now)| {
        let was = facts.baseline.get(name)?;
        (was != now).then(|| setting(name, Some(now), Some(was)))
    });
    Node::List(differs.collect())
}

/// A setting as it is and as it was.
pub(super) fn setting(name: &str, now: Option<&String>, was: Option<&String>) -> Node {
    let is_secret = ["pass", "auth", "secret", "token"].iter().any(|part| name.contains(part));
    let value = |value: Option<&String>| match value {
        None => Node::Figure(Value::Null),
        // Whether it changed may be told, and nothing else.
        Some(text) if is_secret => Node::ours(if text.is_empty() { "not set" } else { "set" }),
        Some(text) => Node::observed(json!(text)),
    };
    // A name that the healthy server had too was not made up for the occasion.
    let is_known = was.is_some() && is_name(name);
    let named = if is_known { Node::ours(name) } else { Node::observed(json!(name)) };
    Node::map([("name", named), ("now", value(now)), ("was", value(was))])
}

/// The settings as they are now.
pub(super) fn settings(facts: &Facts) -> BTreeMap<String, String> {
    let of_redis = facts.redis.as_ref().map(|redis| redis.settings.clone());
    let of_postgres = facts.postgres.as_ref().and_then(|postgres| postgres.settings.clone());
    of_redis.or(of_postgres).unwrap_or_default()
}

fn tried(incident: &Incident, known: &Known) -> Node {
    let tried = incident.tried.iter().map(|tried| {
        let actions = tried.actions.iter().map(|id| Node::ours(id.as_str())).collect();
        Node::map([
            ("cause", Node::ours(tried.cause.as_str())),
            ("actions", Node::List(actions)),
            ("outcome", Node::Text(tried.outcome.clone())),
        ])
    });
    let barred = known.barred.iter().map(|(action, reason): &(ActionId, String)| {
        Node::map([("barred", Node::ours(action.as_str())), ("reason", Node::ours(reason.clone()))])
    });
    Node::List(tried.chain(barred).collect())
}

/// The closed list of what can be behind such a finding.
fn causes(facts: &Facts) -> Node {
    let fitting = diagnose::ALL.iter().filter(|judge| judge.findings.contains(&facts.finding));
    let one = |judge: &diagnose::Judge| {
        Node::map([("cause", Node::ours(judge.cause)), ("about", Node::ours(judge.about))])
    };
    Node::List(fitting.map(one).collect())
}

/// The closed set of what can be done on such a server.
fn choices(server: &Server) -> Node {
    let one = |descriptor: &actions::Descriptor| {
        let args = descriptor.args.iter().map(|arg| (arg.name.to_owned(), Node::ours(arg.about)));
        Node::map([
            ("action", Node::ours(descriptor.id)),
            ("risk", Node::ours(descriptor.risk.as_str())),
            ("about", Node::ours(descriptor.about)),
            ("arguments", Node::Map(args.collect())),
        ])
    };
    Node::List(possible(server).map(one).collect())
}

/// The actions that fit a server.
pub(super) fn possible(server: &Server) -> impl Iterator<Item = &'static actions::Descriptor> {
    let (engine, has_place) = (server.target.engine, server.place.is_some());
    let all = actions::ALL.iter().map(|action| action.descriptor());
    all.filter(move |d| d.engine.is_none_or(|own| own == engine) && (has_place || !d.needs_runtime))
}

/// What was done about similar incidents, and whether it worked.
pub(super) fn memory(similar: &[SimilarIncident]) -> Node {
    let one = |before: &SimilarIncident| {
        let done = before.actions.iter().map(|(action, result)| {
            Node::map([
                ("action", Node::ours(action.clone())),
                ("result", Node::ours(result.clone())),
            ])
        });
        Node::map([
            ("incident", Node::ours(crate::domain::ids::incident_name(before.number))),
            ("cause", before.cause.clone().map_or(Node::Figure(Value::Null), Node::ours)),
            ("done", Node::List(done.collect())),
            ("resolved", Node::figure(before.resolved)),
        ])
    };
    Node::List(similar.iter().map(one).collect())
}
