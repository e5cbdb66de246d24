//! `pg database NAME`: what is special about one database, asked from inside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pg_connections::{GROUPS, groups};
use super::pg_sizes::{RELATIONS, top_relations};
use super::postgres::PgDesk;
use super::report::{Check, Draft, Grade, Unit};
use super::{Arg, ArgKind, Ask, Given, Inspection, pg_sizes, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_specific_database",
    verb: "database",
    title: "One database",
    about: "Settings of roles and of the database that override the server's, extensions, tables without a primary \
            key, unlogged tables, constraints never validated, invalid indexes, biggest tables, sessions.",
    args: &[Arg { name: "name", about: "the database to look into", kind: ArgKind::Subject }],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &[],
    budget: Duration::from_secs(15),
    example: "simctl pg database orders",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Facts {
    datname: String,
    owner: String,
    encoding: String,
    collation: String,
    datconnlimit: i64,
    role_and_database_settings: Value,
    extensions: Value,
    tables: i64,
    tables_without_primary_key: Option<Vec<String>>,
    unlogged_tables: Option<Vec<String>>,
    unvalidated_constraints: Option<Vec<Value>>,
    invalid_indexes: Option<Vec<String>>,
}

const FACTS: &[(&str, Unit)] = &[
    ("datname", Unit::None),
    ("owner", Unit::None),
    ("encoding", Unit::None),
    ("collation", Unit::None),
    ("datconnlimit", Unit::None),
    ("extensions", Unit::None),
    ("role_and_database_settings", Unit::None),
    ("tables", Unit::Count),
    ("tables_without_primary_key", Unit::None),
    ("unlogged_tables", Unit::None),
    ("unvalidated_constraints", Unit::None),
    ("invalid_indexes", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    match given.text("name") {
        Some(name) if name != desk.capabilities.database => match desk.elsewhere(name).await {
            Ok(mut other) => {
                let draft = inside(&mut other).await;
                other.close().await;
                draft
            }
            Err(unknown) => {
                let mut draft = Draft::default();
                draft.part("facts", "Facts", Err(unknown));
                draft
            }
        },
        _ => inside(desk).await,
    }
}

async fn inside(desk: &mut PgDesk) -> Draft {
    let mut draft = Draft::default();
    let facts = desk.row::<Facts>(questions::DATABASE_FACTS, &[]).await;
    draft.figures("facts", "Facts", &facts, FACTS);
    if let Ok(facts) = &facts {
        draft.judge(judge(facts));
    }
    let relations = top_relations(desk, 10).await;
    if let Ok(relations) = &relations {
        draft.judge(pg_sizes::judge(relations));
    }
    draft.table("relations", "Biggest tables", &relations, RELATIONS);
    let name = desk.capabilities.database.clone();
    let sessions = groups(desk, Some(&name)).await;
    draft.table("sessions", "Sessions", &sessions, GROUPS);
    draft
}

fn judge(facts: &Facts) -> Vec<Check> {
    let named = |id, names: &[String], grade, advice: &str| {
        let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let check = Check::graded(id, if names.is_empty() { Grade::Ok } else { grade });
        check
            .because(if names.is_empty() {
                "none".to_owned()
            } else {
                format!("{}: {shown}", names.len())
            })
            .advise(advice)
    };
    let unvalidated: Vec<String> = facts
        .unvalidated_constraints
        .iter()
        .flatten()
        .map(|one| format!("{} of {}", word(one, "constraint"), word(one, "table")))
        .collect();
    vec![
        named(
            "invalid_indexes",
            facts.invalid_indexes.as_deref().unwrap_or_default(),
            Grade::Warn,
            "each is written on every change and serves no query: `simctl pg indexes` tells which to drop",
        ),
        named(
            "unvalidated_constraints",
            &unvalidated,
            Grade::Warn,
            "ALTER TABLE … VALIDATE CONSTRAINT … when writes may wait a little",
        ),
    ]
}

fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_invalid_is_named() {
        let facts = Facts {
            invalid_indexes: Some(vec!["t_ccnew".into()]),
            unvalidated_constraints: Some(vec![json!({"table": "t", "constraint": "c"})]),
            ..Facts::default()
        };
        let checks = judge(&facts);
        assert!(checks.iter().all(|check| check.grade == Grade::Warn));
        assert_eq!(checks[1].evidence, "1: c of t");
        assert!(judge(&Facts::default()).iter().all(|check| check.grade == Grade::Ok));
    }
}
