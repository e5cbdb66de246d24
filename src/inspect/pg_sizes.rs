//! `pg sizes`: how big every database is, and its biggest tables, without waiting behind anybody's lock.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::postgres::PgDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::subject::Subject;
use super::unknown::Unknown;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_database_sizes",
    verb: "sizes",
    title: "Sizes of databases and tables",
    about: "Every database exactly, and the biggest tables of each that can be connected to: heap, indexes, total. \
            A table somebody holds is estimated and said to be held.",
    args: &[
        Arg {
            name: "top",
            about: "show at most so many tables of a database",
            kind: ArgKind::Whole { default: 10, least: 1, most: 1_000 },
        },
        Arg { name: "database", about: "look into this database only", kind: ArgKind::Text },
    ],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &["vacuum_table", "analyze_table"],
    budget: Duration::from_secs(30),
    example: "simctl pg sizes --database orders --top 20",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

/// Into more databases than this nobody looks at once.
const MOST_DATABASES: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Database {
    datname: String,
    /// `None`: the role may not measure it.
    bytes: Option<i64>,
    connectable: bool,
    xid_age: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Relation {
    schema: String,
    name: String,
    relation: String,
    locked: bool,
    heap_estimate: i64,
    heap_bytes: Option<i64>,
    index_bytes: Option<i64>,
    total_bytes: Option<i64>,
    rows_estimate: Option<i64>,
}

pub(super) const RELATIONS: &[Column] = &[
    ("relation", Unit::None),
    ("total_bytes", Unit::Bytes),
    ("heap_bytes", Unit::Bytes),
    ("index_bytes", Unit::Bytes),
    ("heap_estimate", Unit::Bytes),
    ("rows_estimate", Unit::Count),
    ("locked", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let databases = desk.rows::<Database>(questions::SIZES, &[]).await;
    let columns = &[
        ("datname", Unit::None),
        ("bytes", Unit::Bytes),
        ("connectable", Unit::None),
        ("xid_age", Unit::Count),
    ];
    draft.table("databases", "Databases", &databases, columns);
    let mut names: Vec<String> = match given.text("database") {
        Some(one) => vec![one.to_owned()],
        None => databases
            .unwrap_or_default()
            .into_iter()
            .filter(|database| database.connectable)
            .map(|database| database.datname)
            .collect(),
    };
    let all = names.len();
    names.truncate(MOST_DATABASES);
    if all > names.len() {
        let said = format!("looked into the {} biggest of {all} databases", names.len());
        draft.judge([Check::graded("databases_seen", Grade::Inconclusive).because(said)]);
    }
    for name in names {
        biggest(desk, &name, given.int4("top"), &mut draft).await;
    }
    draft
}

async fn biggest(desk: &mut PgDesk, database: &str, top: i32, draft: &mut Draft) {
    let relations = if desk.capabilities.database == database {
        top_relations(desk, top).await
    } else {
        match desk.elsewhere(database).await {
            Ok(mut other) => {
                let relations = top_relations(&mut other, top).await;
                other.close().await;
                relations
            }
            Err(unknown) => Err(unknown),
        }
    };
    if let Ok(relations) = &relations {
        draft.judge(judge(relations));
    }
    // An action looks into the application's database; tables of another one are only shown.
    let is_own = desk.capabilities.database == database;
    let title = format!("Biggest tables of {database}");
    draft.table_about("relations", title, &relations, RELATIONS, |one| {
        is_own.then(|| one.subject())
    });
}

impl Relation {
    pub(super) fn subject(&self) -> Subject {
        Subject::Table { schema: self.schema.clone(), table: self.name.clone() }
    }
}

pub(super) async fn top_relations(desk: &mut PgDesk, top: i32) -> Result<Vec<Relation>, Unknown> {
    desk.rows(questions::TOP_RELATIONS, &[(&top, Type::INT4)]).await
}

pub(super) fn judge(relations: &[Relation]) -> Option<Check> {
    let held: Vec<&str> =
        relations.iter().filter(|one| one.locked).map(|one| one.relation.as_str()).collect();
    let locked =
        Unknown::Locked { what: format!("{}; their sizes are estimates", held.join(", ")) };
    (!held.is_empty()).then(|| Check::inconclusive("locked_relations", &locked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_table_makes_the_list_inconclusive_and_is_named() {
        let relation = |relation: &str, locked| Relation {
            schema: "public".into(),
            name: relation.into(),
            relation: relation.into(),
            locked,
            heap_estimate: 1,
            heap_bytes: None,
            index_bytes: None,
            total_bytes: None,
            rows_estimate: None,
        };
        assert_eq!(judge(&[relation("a", false)]), None);
        let check = judge(&[relation("a", false), relation("b", true)]).unwrap();
        assert_eq!(check.grade, Grade::Inconclusive);
        assert!(check.evidence.contains("locked: b;"), "{}", check.evidence);
    }
}
