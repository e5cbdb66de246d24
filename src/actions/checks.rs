//! Small words for what actions measure afterwards, save and count.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ActionError, Saved};
use crate::domain::execution::{Check, Phase, PhaseLine};
use crate::domain::proposal::Consequence;
pub(super) use crate::domain::words::{bytes, count as grouped, counted as count};

/// Something that was measured.
pub(super) fn measured(name: &str, passed: bool, detail: impl Into<String>) -> Check {
    Check { name: name.into(), passed: Some(passed), detail: detail.into() }
}

/// Whether what was to go is gone, as far as that could be looked at.
pub(super) fn gone(what: &str, is_there: Result<bool, ActionError>) -> Check {
    let name = format!("{what} is gone");
    match is_there {
        Ok(is_there) => {
            measured(&name, !is_there, if is_there { "it is still there" } else { "it is" })
        }
        Err(error) => unmeasured(&name, &error),
    }
}

/// Something that could not be measured, which proves nothing.
pub(super) fn unmeasured(name: &str, error: &ActionError) -> Check {
    Check { name: name.into(), passed: None, detail: explain(error) }
}

/// An error with everything behind it, in one line.
pub(super) fn explain(error: &ActionError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A consequence, as `count what`.
pub(super) fn costs(count: u64, what: &str) -> Consequence {
    Consequence { what: what.into(), count }
}

/// A value out of what was saved before acting.
pub(super) fn kept<T: DeserializeOwned>(saved: &Saved, name: &str) -> Result<T, ActionError> {
    saved.get(name).and_then(|value: &Value| serde_json::from_value(value.clone()).ok()).ok_or_else(
        || ActionError::Precondition(format!("`{name}` was not saved before the action ran")),
    )
}

/// A line about how far an action is.
pub(super) fn progress(text: impl Into<String>) -> PhaseLine {
    PhaseLine::say(Phase::Executing, text)
}

/// The line that announces a command.
pub(super) fn announced(command: String) -> PhaseLine {
    PhaseLine { command: Some(command.clone()), ..PhaseLine::say(Phase::Command, command) }
}
