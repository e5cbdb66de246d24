//! Small words for what actions measure afterwards, save and count.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ActionError, Saved};
use crate::domain::execution::{Check, Phase, PhaseLine};
use crate::domain::proposal::Consequence;

/// Something that was measured.
pub(super) fn measured(name: &str, passed: bool, detail: impl Into<String>) -> Check {
    Check { name: name.into(), passed: Some(passed), detail: detail.into() }
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

/// A count and its noun: `1 key`, `2 keys`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Thousands apart: `46,201`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them: `41.9 MB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(46_201), "46,201");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(count(1, "key"), "1 key");
        assert_eq!(count(1_200, "key"), "1,200 keys");
        assert_eq!(bytes(900), "900 B");
        assert_eq!(bytes(52_428_800), "50.0 MB");
    }
}
