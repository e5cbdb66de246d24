//! Arguments of what makes room on a full volume.

use serde_json::json;

use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_volumes::filling_table;
use crate::domain::proposal::Args;

/// The one table that fills the volume, and the tablespace that every server has.
pub(in crate::agent::playbook) fn table(facts: &Facts) -> Result<Args, String> {
    let table = filling_table(facts).ok_or(
        "no single table takes more than half of the volume, so which one to move is a choice",
    )?;
    Ok(super::args([
        ("schema", json!(table.schema)),
        ("table", json!(table.name)),
        ("to", json!("pg_default")),
    ]))
}
