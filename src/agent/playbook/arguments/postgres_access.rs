//! Arguments that give access back: what the application had when the server was healthy, and lacks now.

use serde_json::{Value, json};

use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_access::{self, missing_rights, seen};
use crate::domain::proposal::Args;

const UNSEEN: &str = "the application's role and database could not be looked at";

/// The closed database.
pub(in crate::agent::playbook) fn database(facts: &Facts) -> Result<Args, String> {
    let (_, database, _) = seen(facts).ok_or(UNSEEN)?;
    Ok(super::args([("database", json!(database.name))]))
}

/// The line that rejects, by its number and its text.
pub(in crate::agent::playbook) fn rejecting_line(facts: &Facts) -> Result<Args, String> {
    let (line, text) = postgres_access::rejecting_line(facts)?;
    Ok(super::args([("line", json!(line)), ("text", json!(text))]))
}

pub(in crate::agent::playbook) fn login(facts: &Facts) -> Result<Args, String> {
    grant(facts, "login", [])
}

/// The time of the healthy server, if it is not over itself.
pub(in crate::agent::playbook) fn valid_until(facts: &Facts) -> Result<Args, String> {
    let (role, _, _) = seen(facts).ok_or(UNSEEN)?;
    let was = healthy(facts, &format!("role.{}.valid_until", role.name))?;
    if role.valid_until.as_deref() == Some(was) {
        return Err("it expired at the time that was always set: somebody has to prolong it".into());
    }
    grant(facts, "valid-until", [("value", json!(was))])
}

/// Everybody's CONNECT where the role had it that way, else its own.
pub(in crate::agent::playbook) fn connect(facts: &Facts) -> Result<Args, String> {
    let (_, database, _) = seen(facts).ok_or(UNSEEN)?;
    let was = healthy(facts, &format!("database.{}.connect_by_everybody", database.name))?;
    let mut args = grant(facts, "connect", [])?;
    if was == "true" && !database.everybody_may_connect {
        args.insert("role".into(), json!("public"));
    }
    Ok(args)
}

/// Only the rights it had and lacks.
pub(in crate::agent::playbook) fn table(facts: &Facts) -> Result<Args, String> {
    let (_, _, table) = seen(facts).ok_or(UNSEEN)?;
    let table = table.ok_or("the table could not be looked at")?;
    let had = healthy(facts, &format!("table.{}.rights", table.name))?;
    let had: Vec<&str> = had.split(", ").collect();
    let lost: Vec<&str> =
        missing_rights(table).into_iter().filter(|right| had.contains(right)).collect();
    if lost.is_empty() {
        return Err(format!("the role never had more on {} than it has", table.name));
    }
    grant(facts, "table", [("table", json!(table.name)), ("rights", json!(lost))])
}

fn grant<const N: usize>(
    facts: &Facts,
    grant: &str,
    more: [(&str, Value); N],
) -> Result<Args, String> {
    let (role, database, _) = seen(facts).ok_or(UNSEEN)?;
    let mut args = super::args([
        ("role", json!(role.name)),
        ("database", json!(database.name)),
        ("grant", json!(grant)),
    ]);
    args.extend(super::args(more));
    Ok(args)
}

fn healthy<'a>(facts: &'a Facts, name: &str) -> Result<&'a str, String> {
    let known = facts.baseline.get(name).map(String::as_str);
    known.ok_or_else(|| format!("{name} of the healthy server is not known"))
}
