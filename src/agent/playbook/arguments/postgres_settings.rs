//! Arguments of what resets settings: the setting behind the cause, and its value on the healthy server.

use serde_json::json;

use crate::diagnose::facts::{Facts, PgOverride};
use crate::diagnose::postgres_settings::{cutting, to_restore};
use crate::diagnose::{PLANNER_WAYS, planner_overrides};
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

/// Queries may write as much to temporary files as before.
pub(in crate::agent::playbook) fn temp_files(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "temp_file_limit")
}

/// The planner may use indexes as before: the first of the settings that keep it from that.
pub(in crate::agent::playbook) fn planners(facts: &Facts) -> Result<Args, String> {
    let mut ways = PLANNER_WAYS.into_iter().map(|way| healthy(facts, way));
    let first = ways.next().ok_or("there is no such setting")?;
    first.or_else(|why| ways.find_map(Result::ok).ok_or(why))
}

/// What a role or a database has for itself that keeps the planner from indexes.
pub(in crate::agent::playbook) fn planners_own(facts: &Facts) -> Result<Args, String> {
    let own = planner_overrides(facts);
    let first = own.first().ok_or("it is no setting of a role or a database")?;
    let same = |other: &&&PgOverride| other.role == first.role && other.database == first.database;
    let names: Vec<&str> = own.iter().filter(same).map(|own| own.name.as_str()).collect();
    let mut args = super::args([("names", json!(names))]);
    for (kind, name) in [("role", &first.role), ("database", &first.database)] {
        if !name.is_empty() {
            args.insert(kind.into(), json!(name));
        }
    }
    Ok(args)
}

fn healthy(facts: &Facts, name: &str) -> Result<Args, String> {
    let was = to_restore(facts, name)?;
    Ok(super::args([("name", json!(name)), ("value", json!(was))]))
}
