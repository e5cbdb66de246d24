//! The deadline and the parameters of a fault, as text that a person edits.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::faults::{Fault, FaultError, LONGEST_TTL_S, Params, complete_params};

/// No number is longer.
const DIGITS: usize = 9;

/// One number to edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// All of them; the deadline is first.
#[derive(Clone, Debug)]
pub(super) struct Fields(Vec<Field>);

/// What is ordered once every field holds what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) params: Params,
    pub(super) ttl_s: u64,
}

const DEADLINE: &str = "deadline s";

impl Fields {
    /// Every field with its default.
    pub(super) fn of(fault: &dyn Fault, ttl_s: u64) -> Self {
        let deadline = Field { name: DEADLINE, value: ttl_s.to_string() };
        let params = fault
            .descriptor()
            .params
            .iter()
            .map(|param| Field { name: param.name, value: param.default.to_string() });
        Self(std::iter::once(deadline).chain(params).collect())
    }

    pub(super) fn all(&self) -> &[Field] {
        &self.0
    }

    /// Takes a digit into a field; whether it changed.
    pub(super) fn push(&mut self, at: usize, c: char) -> bool {
        let field = self.0.get_mut(at).filter(|field| field.value.len() < DIGITS);
        let takes = field.filter(|_| c.is_ascii_digit());
        takes.map(|field| field.value.push(c)).is_some()
    }

    /// Takes the last digit of a field away, or all of them; whether it changed.
    pub(super) fn erase(&mut self, at: usize, all: bool) -> bool {
        let Some(field) = self.0.get_mut(at).filter(|field| !field.value.is_empty()) else {
            return false;
        };
        let left = if all { 0 } else { field.value.len() - 1 };
        field.value.truncate(left);
        true
    }

    /// What the fields hold, or the first that is wrong and why.
    pub(super) fn filled(&self, fault: &dyn Fault) -> Result<Filled, String> {
        let (mut given, mut ttl_s) = (BTreeMap::new(), None);
        for field in &self.0 {
            let number = field.value.parse::<u64>().ok();
            if field.name == DEADLINE {
                ttl_s = number.filter(|seconds| (1..=LONGEST_TTL_S).contains(seconds));
            } else {
                let value = number.map_or_else(|| field.value.as_str().into(), Value::from);
                given.insert(field.name.to_owned(), value);
            }
        }
        let Some(ttl_s) = ttl_s else {
            return Err(format!("{DEADLINE}: a whole number from 1 to {LONGEST_TTL_S}"));
        };
        let params = complete_params(fault, &given).map_err(|error| match error {
            FaultError::Param { name, reason } => format!("{name}: {reason}"),
            error => error.to_string(),
        })?;
        Ok(Filled { params, ttl_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::find;

    fn with(at: usize, value: &str) -> Result<Filled, String> {
        let fault = find("idle-leak").unwrap();
        let mut fields = Fields::of(fault, 120);
        fields.erase(at, true);
        for c in value.chars() {
            fields.push(at, c);
        }
        fields.filled(fault)
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (at, value, said) in [
            (0, "0", "deadline s: a whole number from 1 to 3600"),
            (0, "", "deadline s: a whole number from 1 to 3600"),
            (0, "3601", "deadline s: a whole number from 1 to 3600"),
            (1, "16", "connections: 16 is no whole number from 1 to 15"),
            (1, "", "connections: \"\" is no whole number from 1 to 15"),
        ] {
            assert_eq!(with(at, value).unwrap_err(), said, "{at} {value}");
        }
    }

    #[test]
    fn defaults_are_kept_and_letters_are_not_taken() {
        let filled = with(1, "7x").unwrap();
        assert_eq!(filled.ttl_s, 120);
        assert_eq!(filled.params["connections"], 7);
        assert_eq!(with(0, "60").unwrap().params["connections"], 12);
    }
}
