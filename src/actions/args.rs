//! Reading the arguments of an action, with a sentence for each way they can be wrong.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arg::unknown;
use super::{ActionError, Descriptor};
use crate::domain::proposal::Args;

/// The arguments given to one action.
pub(super) struct Given<'a> {
    args: &'a Args,
}

impl<'a> Given<'a> {
    /// Refuses names that the action does not have: a misspelt limit must not mean no limit.
    pub(super) fn to(descriptor: &'static Descriptor, args: &'a Args) -> Result<Self, ActionError> {
        let known = |name: &String| descriptor.args.iter().any(|arg| arg.name == name.as_str());
        match args.keys().find(|name| !known(name)) {
            Some(name) => Err(unknown(descriptor, name)),
            None => Ok(Self { args }),
        }
    }

    /// An argument that may be left out.
    pub(super) fn optional<T: DeserializeOwned>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ActionError> {
        match self.args.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|_| wrong(name, format!("`{value}` is not {expected}"))),
        }
    }

    /// An argument that must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<T, ActionError> {
        self.optional(name, expected)?
            .ok_or_else(|| wrong(name, format!("is missing; give {expected}")))
    }
}

/// An argument that will not do.
pub(super) fn wrong(name: &'static str, reason: impl Into<String>) -> ActionError {
    ActionError::Argument { name, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::find;

    #[test]
    fn wrong_arguments_are_told_apart() {
        let descriptor = find("unlink_keys").unwrap().descriptor();
        let read = |args: Value| -> Result<(String, Option<u64>), String> {
            let args: Args = serde_json::from_value(args).unwrap();
            let given = Given::to(descriptor, &args).map_err(|e| e.to_string())?;
            let prefix = given.required("prefix", "a text").map_err(|e| e.to_string())?;
            let max = given.optional("max", "a whole number").map_err(|e| e.to_string())?;
            Ok((prefix, max))
        };
        assert_eq!(read(json!({"prefix": "a:"})), Ok(("a:".into(), None)));
        assert_eq!(read(json!({"prefix": "a:", "max": 7})), Ok(("a:".into(), Some(7))));
        for (args, expected) in [
            (json!({}), "argument prefix: is missing; give a text"),
            (json!({"prefix": 1}), "argument prefix: `1` is not a text"),
            (
                json!({"prefix": "a", "max": "many"}),
                "argument max: `\"many\"` is not a whole number",
            ),
            (
                json!({"prefix": "a", "mx": 1}),
                "unlink_keys takes no argument `mx`; it takes prefix, max",
            ),
        ] {
            assert_eq!(read(args), Err(expected.to_owned()));
        }
    }
}
