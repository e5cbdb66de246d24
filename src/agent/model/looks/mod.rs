//! What a model may look at besides the inspections, read-only: one file per question that no inspection answers;
//! [`ALL`] is the list.
//!
//! A look is a view on facts that were gathered for it a moment before. It cannot ask a server anything else.

use serde_json::{Map, Value, json};

use super::node::Node;
use super::tools;
use crate::diagnose::facts::Facts;
use crate::domain::effect::Known;

mod place;
mod readings;
mod server_log;
mod settings;

/// Every look there is.
pub(super) const ALL: &[Look] =
    &[place::PLACE, readings::READINGS, server_log::SERVER_LOG, settings::SETTINGS];

/// One read-only question.
pub(super) struct Look {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) args: &'static [LookArg],
    /// An error says in words why there is nothing to see.
    pub(super) see: fn(&Scene<'_>, &Given) -> Result<Node, String>,
}

/// An argument of a look; each may be null.
pub(super) struct LookArg {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Count,
    Names,
}

/// What looks see.
pub(super) struct Scene<'a> {
    pub(super) facts: &'a Facts,
    pub(super) known: &'a Known,
}

/// The arguments of one call, checked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Given(Map<String, Value>);

impl Given {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(super) fn names(&self, name: &str) -> Vec<&str> {
        let names = self.0.get(name).and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Look {
    /// The JSON schema of its arguments.
    pub(super) fn schema(&self) -> Value {
        tools::schema(self.args.iter().map(|arg| {
            let mut of = arg.kind.schema();
            of["description"] = json!(arg.about);
            (arg.name, of)
        }))
    }

    /// Reads the arguments of a call. `resolve` gives a text that the model named as it was read.
    pub(super) fn read(
        &self,
        text: &str,
        resolve: &dyn Fn(&str) -> String,
    ) -> Result<Given, String> {
        let mut checked = Map::new();
        for (name, value) in tools::arguments(text)? {
            let known = self.args.iter().find(|arg| arg.name == name);
            let arg = known.ok_or_else(|| format!("{} has no argument `{name}`", self.name))?;
            let fits = arg.kind.read(&value, resolve);
            checked.insert(
                name,
                fits.ok_or_else(|| format!("`{}` is no {}", arg.name, arg.kind.word()))?,
            );
        }
        Ok(Given(checked))
    }
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": ["string", "null"]}),
            Self::Count => json!({"type": ["integer", "null"]}),
            Self::Names => json!({"type": ["array", "null"], "items": {"type": "string"}}),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Count => "whole number",
            Self::Names => "list of names",
        }
    }

    fn read(self, value: &Value, resolve: &dyn Fn(&str) -> String) -> Option<Value> {
        match self {
            Self::Text => Some(json!(resolve(value.as_str()?))),
            Self::Count => Some(json!(value.as_u64()?)),
            Self::Names => {
                let names: Option<Vec<String>> =
                    value.as_array()?.iter().map(|name| Some(resolve(name.as_str()?))).collect();
                Some(json!(names?))
            }
        }
    }
}

/// The first entries of a list, with how many there are in all.
fn first(entries: Vec<Value>, most: Option<u64>) -> Node {
    const MOST: usize = 40;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST).clamp(1, MOST);
    let all = entries.len();
    let shown: Vec<Node> = entries.into_iter().take(most).map(Node::observed).collect();
    Node::map([
        ("all", Node::figure(all)),
        ("shown", Node::figure(shown.len())),
        ("entries", Node::List(shown)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_before_anything_is_looked_at() {
        let read = |text: &str| {
            let given = server_log::SERVER_LOG.read(text, &str::to_owned);
            given.map(|given| (given.text("contains").map(str::to_owned), given.count("most")))
        };
        assert_eq!(read(r#"{"contains": "idle", "most": 3}"#), Ok((Some("idle".into()), Some(3))));
        assert_eq!(read(""), Ok((None, None)));
        assert_eq!(read(r#"{"contains": null}"#), Ok((None, None)));
        assert!(read("{\"contains\": ").unwrap_err().starts_with("no JSON"));
        assert_eq!(read(r#"{"sql": "drop"}"#), Err("server_log has no argument `sql`".into()));
        assert_eq!(read(r#"{"most": -1}"#), Err("`most` is no whole number".into()));
        assert_eq!(read("[]"), Err("the arguments are no object".into()));
    }
}
