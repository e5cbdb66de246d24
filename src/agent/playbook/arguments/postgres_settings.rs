//! Arguments of `reset_pg_setting`: the setting behind the cause, and its value on the healthy server.

use serde_json::json;

use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_settings::{cutting, to_restore};
use crate::domain::proposal::Args;

/// Transactions may write again.
pub(in crate::agent::playbook) fn read_only(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "default_transaction_read_only")
}

/// Commits wait for whom they waited before.
pub(in crate::agent::playbook) fn standby_names(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "synchronous_standby_names")
}

/// The timeout that cuts clients off.
pub(in crate::agent::playbook) fn timeout(facts: &Facts) -> Result<Args, String> {
    healthy(facts, cutting(facts).ok_or("which timeout cuts clients off is not known")?)
}

/// Tables are vacuumed again.
pub(in crate::agent::playbook) fn autovacuum(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "autovacuum")
}

/// The archive works as it did.
pub(in crate::agent::playbook) fn archive(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "archive_command")
}

fn healthy(facts: &Facts, name: &str) -> Result<Args, String> {
    let was = to_restore(facts, name)?;
    Ok(super::args([("name", json!(name)), ("value", json!(was))]))
}
