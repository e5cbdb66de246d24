//! The arguments of an action as its descriptor tells of them: what CLI, API and console read from people, and what is
//! checked before anything is asked of a server.

use serde_json::{Value, json};

use super::args::wrong;
use super::{ActionError, Descriptor};
use crate::domain::proposal::Args;

/// An argument of an action.
#[derive(Debug)]
pub struct Arg {
    pub name: &'static str,
    pub about: &'static str,
    pub form: Form,
    pub required: bool,
}

/// What values of an argument look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Whole,
    Flag,
    Texts,
    Wholes,
    /// One JSON object, or a list of them, with the names that the argument tells of.
    Records,
}

impl Arg {
    /// A text that must be given, taken literally.
    pub const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, about, form: Form::Text, required: true }
    }

    /// A whole number that must be given.
    pub const fn whole(name: &'static str, about: &'static str) -> Self {
        Self { form: Form::Whole, ..Self::text(name, about) }
    }

    /// Yes or no.
    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        Self { form: Form::Flag, ..Self::text(name, about) }
    }

    /// Several texts.
    pub const fn texts(name: &'static str, about: &'static str) -> Self {
        Self { form: Form::Texts, ..Self::text(name, about) }
    }

    /// Several whole numbers.
    pub const fn wholes(name: &'static str, about: &'static str) -> Self {
        Self { form: Form::Wholes, ..Self::text(name, about) }
    }

    /// What one name does not tell, as JSON.
    pub const fn records(name: &'static str, about: &'static str) -> Self {
        Self { form: Form::Records, ..Self::text(name, about) }
    }

    /// The same, and may be left out.
    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    /// The value in what a person typed.
    pub fn read(&self, typed: &str) -> Result<Value, ActionError> {
        let value = match self.form {
            Form::Text => Some(Value::from(typed)),
            Form::Whole => typed.trim().parse::<i64>().ok().map(Value::from),
            Form::Flag => typed.trim().parse::<bool>().ok().map(Value::from),
            Form::Texts | Form::Wholes | Form::Records => {
                let json = serde_json::from_str(typed).ok().filter(|value| self.form.fits(value));
                json.or_else(|| self.form.listed(typed))
            }
        };
        value.filter(|value| self.form.fits(value)).ok_or_else(|| self.unfit(&Value::from(typed)))
    }

    fn unfit(&self, value: &Value) -> ActionError {
        wrong(self.name, format!("`{}` is not {}", shown(value), self.form.described()))
    }
}

impl Form {
    /// The word for a place-holder.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Whole => "NUMBER",
            Self::Flag => "true|false",
            Self::Texts => "TEXT,…",
            Self::Wholes => "NUMBER,…",
            Self::Records => "JSON",
        }
    }

    /// Its JSON schema.
    pub fn schema(self) -> Value {
        let object = json!({ "type": "object" });
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Whole => json!({ "type": "integer" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Wholes => json!({ "type": "array", "items": { "type": "integer" } }),
            Self::Records => json!({ "anyOf": [object, { "type": "array", "items": object }] }),
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Whole => "a whole number",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::Wholes => "a list of whole numbers",
            Self::Records => "a JSON object or a list of them",
        }
    }

    fn fits(self, value: &Value) -> bool {
        // No store and no server takes a NUL.
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.contains('\0'));
        let is_whole = |value: &Value| value.is_i64() || value.is_u64();
        let all =
            |fits: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|v| v.iter().all(fits));
        match self {
            Self::Text => is_text(value),
            Self::Whole => is_whole(value),
            Self::Flag => value.is_boolean(),
            Self::Texts => all(&is_text),
            Self::Wholes => all(&is_whole),
            Self::Records => value.is_object() || all(&Value::is_object),
        }
    }

    /// A list as people type it, between commas; names that contain one are given as JSON.
    fn listed(self, typed: &str) -> Option<Value> {
        let items = typed.split(',').map(str::trim).filter(|item| !item.is_empty());
        match self {
            Self::Texts => Some(items.collect()),
            Self::Wholes => items
                .map(|item| item.parse::<i64>().ok())
                .collect::<Option<Vec<_>>>()
                .map(Value::from),
            Self::Text | Self::Whole | Self::Flag | Self::Records => None,
        }
    }
}

/// Whether `args` are what the action takes: nothing unknown, nothing missing, each in its form.
pub(super) fn check(descriptor: &Descriptor, args: &Args) -> Result<(), ActionError> {
    let of = |name: &str| descriptor.args.iter().find(|arg| arg.name == name);
    for (name, value) in args {
        let Some(arg) = of(name) else { return Err(unknown(descriptor, name)) };
        let is_left_out = value.is_null() && !arg.required;
        if !is_left_out && !arg.form.fits(value) {
            return Err(arg.unfit(value));
        }
    }
    match descriptor.args.iter().find(|arg| arg.required && !args.contains_key(arg.name)) {
        Some(arg) => {
            let (form, about) = (arg.form.described(), arg.about);
            Err(wrong(arg.name, format!("is missing; give {form}: {about}")))
        }
        None => Ok(()),
    }
}

/// The error about an argument that the action does not have.
pub(super) fn unknown(descriptor: &Descriptor, name: &str) -> ActionError {
    let names: Vec<&str> = descriptor.args.iter().map(|arg| arg.name).collect();
    let known = if names.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("it takes {}", names.join(", "))
    };
    let id = descriptor.id;
    ActionError::Precondition(format!("{id} takes no argument `{name}`; {known}"))
}

/// A value as it was given, without what would flood a line.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::fitting;
    use crate::domain::target::Engine;

    fn fits(name: &str, engine: Engine, args: Value) -> Result<&'static str, String> {
        let args: Args = serde_json::from_value(args).unwrap();
        let found = fitting(name, engine, &args);
        found.map(|action| action.descriptor().id).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_person_types_becomes_the_argument_it_is_meant_as() {
        let read = |arg: Arg, typed: &str| arg.read(typed).map_err(|error| error.to_string());
        for (arg, typed, value) in [
            (Arg::text("table", "a"), "123", json!("123")),
            (Arg::text("table", "a"), " \"x\"; drop ", json!(" \"x\"; drop ")),
            (Arg::text("table", "a"), "", json!("")),
            (Arg::whole("max", "a"), "-1", json!(-1)),
            (Arg::flag("full", "a"), "true", json!(true)),
            (Arg::texts("roles", "a"), "app, web", json!(["app", "web"])),
            (Arg::texts("roles", "a"), "[\"a,b\"]", json!(["a,b"])),
            (Arg::wholes("ids", "a"), "1,2", json!([1, 2])),
            (Arg::wholes("ids", "a"), "7", json!([7])),
            (Arg::records("session", "a"), "{\"pid\": 1}", json!({"pid": 1})),
        ] {
            assert_eq!(read(arg, typed), Ok(value), "{typed}");
        }
        for (arg, typed, said) in [
            (Arg::whole("max", "a"), "many", "argument max: `many` is not a whole number"),
            (Arg::text("t", "a"), "a\0b", "argument t: `a\0b` is not a text"),
            (Arg::whole("max", "a"), "", "argument max: `` is not a whole number"),
            (Arg::flag("full", "a"), "yes", "argument full: `yes` is not true or false"),
            (Arg::wholes("ids", "a"), "1,x", "argument ids: `1,x` is not a list of whole numbers"),
            (
                Arg::records("s", "a"),
                "[1]",
                "argument s: `[1]` is not a JSON object or a list of them",
            ),
        ] {
            assert_eq!(read(arg, typed), Err(said.to_owned()));
        }
        let huge = read(Arg::whole("max", "a"), &"9".repeat(5_000)).unwrap_err();
        assert!(huge.len() < 200, "{huge}");
    }

    #[test]
    fn only_an_action_that_fits_with_arguments_that_fit_is_found() {
        let good = json!({"schema": "public", "table": "t"});
        assert_eq!(fits("vacuum_table", Engine::Postgres, good.clone()), Ok("vacuum_table"));
        assert_eq!(fits("restart", Engine::Redis, json!({})), Ok("restart_redis"));
        for (name, engine, args, said) in [
            ("vacuum_table", Engine::Redis, good, "is for postgres targets"),
            ("vacuum", Engine::Postgres, json!({}), "there is no action `vacuum`"),
            ("vacuum_table", Engine::Postgres, json!({}), "argument schema: is missing"),
            (
                "vacuum_table",
                Engine::Postgres,
                json!({"schema": "a", "table": 7}),
                "argument table: `7` is not a text",
            ),
            (
                "vacuum_table",
                Engine::Postgres,
                json!({"schema": "a", "table": "t", "full": true}),
                "takes no argument `full`; it takes schema, table, after",
            ),
        ] {
            let refused = fits(name, engine, args).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
