//! What a model may call: every inspection of its target's kind, and the looks that no inspection answers.

use serde_json::{Map, Value, json};

use super::explore::Ground;
use super::looks::{self, Look, Scene};
use super::node::Node;
use super::{inspected, looks::Given as LookGiven};
use crate::config::agent::Share;
use crate::domain::target::Engine;
use crate::inspect::{self, Desk, Given, Inspection};
use crate::ports::model;

/// One read-only question.
#[derive(Clone, Copy)]
pub(super) enum Tool {
    Inspection(&'static Inspection),
    Look(&'static Look),
}

/// A question with its arguments, checked.
pub(super) enum Call {
    Inspection(&'static Inspection, Given),
    Look(&'static Look, LookGiven),
}

/// Those that fit a kind of server.
pub(super) fn of(engine: Engine) -> impl Iterator<Item = Tool> {
    inspect::of(engine).map(Tool::Inspection).chain(looks::ALL.iter().map(Tool::Look))
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Inspection(inspection) => inspection.id,
            Self::Look(look) => look.name,
        }
    }

    /// As it is offered.
    pub(super) fn offer(self) -> model::Tool {
        let (about, arguments) = match self {
            Self::Inspection(one) => (one.about, inspected::schema(one)),
            Self::Look(look) => (look.about, look.schema()),
        };
        model::Tool { name: self.name().into(), about: about.into(), arguments }
    }

    /// Reads the arguments of a call. `resolve` gives a text that the model named as it was read.
    pub(super) fn read(self, text: &str, resolve: &dyn Fn(&str) -> String) -> Result<Call, String> {
        Ok(match self {
            Self::Inspection(one) => Call::Inspection(one, inspected::read(one, text, resolve)?),
            Self::Look(look) => Call::Look(look, look.read(text, resolve)?),
        })
    }
}

impl Call {
    /// Asks the server anew, so that it never tells of the past.
    pub(super) async fn ask(
        &self,
        on: Ground<'_>,
        desk: &mut Desk,
        share: Share,
    ) -> Result<Node, String> {
        match self {
            Self::Inspection(one, given) => {
                Ok(inspected::node(&desk.report(one, given).await, share))
            }
            Self::Look(look, given) => {
                let facts = on.server.facts(on.finding, on.known, &|_| ()).await;
                (look.see)(&Scene { facts: &facts, known: on.known }, given)
            }
        }
    }
}

/// A strict schema of these arguments: each is required, and none is free.
pub(super) fn schema(args: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let properties: Map<String, Value> = args.map(|(name, of)| (name.to_owned(), of)).collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object", "required": required, "properties": properties, "additionalProperties": false,
    })
}

/// The arguments of a call as they were written; what is null was not given.
pub(super) fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let read: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(given) = read else { return Err("the arguments are no object".into()) };
    Ok(given.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tool_is_offered_with_a_strict_schema_and_none_changes_anything() {
        for engine in [Engine::Redis, Engine::Postgres] {
            let mut names = BTreeSet::new();
            for tool in of(engine) {
                let offer = tool.offer();
                assert!(names.insert(tool.name()) && offer.about.ends_with('.'), "{}", tool.name());
                let properties = offer.arguments["properties"].as_object().unwrap();
                let required = offer.arguments["required"].as_array().unwrap();
                assert_eq!(properties.len(), required.len(), "{}", tool.name());
                assert_eq!(offer.arguments["additionalProperties"], false);
                let changing = ["approve", "run_", "kill", "set_", "delete", "execute", "reset"];
                assert!(!changing.iter().any(|word| tool.name().contains(word)), "{}", tool.name());
            }
            let all = inspect::of(engine).count() + looks::ALL.len();
            assert_eq!(names.len(), all, "no inspection is forgotten");
        }
    }
}
