//! Arguments of what lets a PostgreSQL go of what nobody needs.

use serde_json::json;

use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_upkeep;
use crate::domain::proposal::Args;

/// The slot that nobody reads, where it stands.
pub(in crate::agent::playbook) fn dead_slot(facts: &Facts) -> Result<Args, String> {
    let slot = postgres_upkeep::dead_slot(facts)?;
    Ok(super::args([("name", json!(slot.name)), ("position", json!(slot.position))]))
}

/// An index that no query may use.
pub(in crate::agent::playbook) fn invalid_index(facts: &Facts) -> Result<Args, String> {
    let index = postgres_upkeep::invalid_index(facts)?;
    Ok(super::args([("schema", json!(index.schema)), ("index", json!(index.name))]))
}
