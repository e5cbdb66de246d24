//! Arguments of `reset_pg_setting`: the setting behind the cause, and its value on the healthy server.

use serde_json::json;

use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_settings::to_restore;
use crate::domain::proposal::Args;

/// Transactions may write again.
pub(in crate::agent::playbook) fn read_only(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "default_transaction_read_only")
}

/// Commits wait for whom they waited before.
pub(in crate::agent::playbook) fn standby_names(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "synchronous_standby_names")
}

fn healthy(facts: &Facts, name: &str) -> Result<Args, String> {
    let was = to_restore(facts, name)?;
    Ok(super::args([("name", json!(name)), ("value", json!(was))]))
}
