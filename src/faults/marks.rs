//! How an injection's own things are known again: key prefixes and the name of its sessions.

use serde_json::Value;

use super::Saved;

/// Entries of [`Saved`] that every fault writes and reads the same way.
pub(super) mod saved {
    pub(in crate::faults) const PREFIX: &str = "prefix";
    pub(in crate::faults) const STAYS: &str = "stays";
    pub(in crate::faults) const SESSION: &str = "session";
    pub(in crate::faults) const TABLE: &str = "table";
}

/// What in a server belongs to one injection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its keys begin with this; gone after the revert.
    pub prefix: Option<String>,
    /// Ordinary data it put there to stay.
    pub stays: Vec<String>,
    /// The name its sessions carry.
    pub session: Option<String>,
    /// The table it made for itself.
    pub table: Option<String>,
}

impl Marks {
    /// The marks that were chosen when the originals were saved.
    pub fn of(saved: &Saved) -> Self {
        let text = |name: &str| saved.get(name).and_then(Value::as_str).map(str::to_owned);
        let stays = saved.get(saved::STAYS).and_then(Value::as_array);
        Self {
            prefix: text(saved::PREFIX),
            stays: stays
                .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            session: text(saved::SESSION),
            table: text(saved::TABLE),
        }
    }
}

/// An entry that `save` always writes.
pub(super) fn text<'a>(saved: &'a Saved, name: &str) -> Result<&'a str, super::FaultError> {
    saved.get(name).and_then(Value::as_str).ok_or_else(|| missing(name))
}

/// A number that `save` always writes.
pub(super) fn number(saved: &Saved, name: &str) -> Result<u64, super::FaultError> {
    saved.get(name).and_then(Value::as_u64).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> super::FaultError {
    super::FaultError::Precondition(format!("what was saved before the fault lacks `{name}`"))
}
