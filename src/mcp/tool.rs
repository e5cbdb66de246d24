//! One tool: its name and schema as a client sees them, and how a call of it becomes a request.

use std::borrow::Cow;
use std::time::Duration;

use rmcp::model::{JsonObject, ToolAnnotations};
use serde_json::{Value, json};

use super::request::{Method, Request};

/// Where an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Body,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text { most: usize },
    Whole { default: u64, least: u64, most: u64 },
    Words(&'static [&'static str]),
    Object,
}

/// An argument of a tool.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) about: Cow<'static, str>,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) is_needed: bool,
}

/// Something an agent can ask for.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) method: Method,
    pub(super) pattern: String,
    /// How long an answer may take.
    pub(super) patience: Duration,
    pub(super) params: Vec<Param>,
}

impl Tool {
    /// As a client sees it.
    pub(super) fn described(&self) -> rmcp::model::Tool {
        let properties: JsonObject =
            self.params.iter().map(|param| (param.name.to_owned(), param.schema())).collect();
        let needed: Vec<_> =
            self.params.iter().filter(|param| param.is_needed).map(|param| param.name).collect();
        let mut schema = JsonObject::new();
        schema.insert("type".into(), json!("object"));
        schema.insert("properties".into(), Value::Object(properties));
        schema.insert("required".into(), json!(needed));
        schema.insert("additionalProperties".into(), json!(false));
        let hints = ToolAnnotations::with_title(self.title)
            .read_only(self.method == Method::Get)
            .destructive(false)
            .open_world(false);
        rmcp::model::Tool::new(self.name, self.about, schema).with_annotations(hints)
    }

    /// The request that a call is; else what is wrong with its arguments.
    pub(super) fn request(&self, given: &JsonObject) -> Result<Request, String> {
        let knows = |name: &String| self.params.iter().any(|param| param.name == name);
        if let Some(unknown) = given.keys().find(|name| !knows(name)) {
            let known: Vec<_> = self.params.iter().map(|param| param.name).collect();
            let unknown = crate::narrate::clean(unknown);
            return Err(format!(
                "there is no argument `{unknown}`; there are: {}",
                known.join(", ")
            ));
        }
        let mut request = Request::new(self.method, &self.pattern).within(self.patience);
        for param in &self.params {
            match given.get(param.name) {
                None | Some(Value::Null) if param.is_needed => {
                    return Err(format!("`{}` is missing: {}", param.name, param.about));
                }
                None | Some(Value::Null) => {}
                Some(value) => param.put(value, &mut request)?,
            }
        }
        Ok(request)
    }
}

impl Param {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text { most } => json!({ "type": "string", "minLength": 1, "maxLength": most }),
            Kind::Whole { default, least, most } => {
                json!({ "type": "integer", "default": default, "minimum": least, "maximum": most })
            }
            Kind::Words(words) => json!({ "type": "string", "enum": words }),
            Kind::Object => json!({ "type": "object" }),
        };
        schema["description"] = json!(self.about);
        schema
    }

    fn put(&self, value: &Value, request: &mut Request) -> Result<(), String> {
        let text = self.read(value).ok_or_else(|| self.wrong())?;
        match self.place {
            Place::Path => request.place(self.name, &text),
            Place::Query => request.query(self.name, &text),
            Place::Body => request.field(self.name, value.clone()),
        }
        Ok(())
    }

    fn read(&self, value: &Value) -> Option<String> {
        match self.kind {
            Kind::Text { most } => {
                let text = value.as_str()?;
                (!text.is_empty() && text.chars().count() <= most).then(|| text.to_owned())
            }
            Kind::Whole { least, most, .. } => {
                let number = value.as_u64()?;
                (least..=most).contains(&number).then(|| number.to_string())
            }
            Kind::Words(words) => {
                let word = value.as_str()?;
                words.contains(&word).then(|| word.to_owned())
            }
            Kind::Object => value.is_object().then(|| value.to_string()),
        }
    }

    fn wrong(&self) -> String {
        let name = self.name;
        match self.kind {
            Kind::Text { most } => format!("`{name}` is a text of 1 to {most} characters"),
            Kind::Whole { least, most, .. } => {
                format!("`{name}` is a whole number from {least} to {most}")
            }
            Kind::Words(words) => format!("`{name}` is one of {}", words.join(", ")),
            Kind::Object => format!("`{name}` is an object"),
        }
    }
}
