//! The statements that the server counted, most time first, as far as they touch a table.

use serde::Deserialize;

use crate::database::failure::Outcome;
use crate::database::optimize::explain::without_odd_places;
use crate::database::schema::rows;
use crate::database::statement::{Kind, Statement};
use crate::inspect::quoted;
use crate::targets::postgres::PgConnection;

/// Statements of one workload.
const MOST: usize = 50;
/// Counted statements that are looked through for them.
const LOOKED_THROUGH: usize = 1_000;

/// A statement and how often it ran.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) statement: Statement,
    pub(super) calls: f64,
}

#[derive(Deserialize)]
struct Counted {
    query: String,
    calls: f64,
}

#[derive(Deserialize)]
struct Place {
    schema: String,
    new: bool,
}

/// What was counted and names the table. Nothing, where nothing counts.
pub(super) async fn of_table(monitor: &PgConnection, table: &str) -> Outcome<Vec<Work>> {
    const PLACE: &str = "select n.nspname as schema, \
         current_setting('server_version_num')::int >= 130000 as new \
         from pg_extension e join pg_namespace n on n.oid = e.extnamespace \
         where e.extname = 'pg_stat_statements' and $1::text is not null";
    let places: Vec<Place> = rows(monitor, PLACE, table).await?;
    let Some(place) = places.first() else { return Ok(Vec::new()) };
    let time = if place.new { "total_exec_time" } else { "total_time" };
    let ask = format!(
        "select s.query, s.calls::float8 as calls from {}.pg_stat_statements s \
         join pg_database d on d.oid = s.dbid \
         where d.datname = current_database() and $1::text is not null \
           and s.query ~* '^\\s*(select|with|update|delete|values|table|\\()' \
         order by s.{time} desc limit {LOOKED_THROUGH}",
        quoted(&place.schema)
    );
    // Not preloaded, or not permitted: there is no workload, and that is said.
    let counted: Vec<Counted> = rows(monitor, &ask, table).await.unwrap_or_default();
    let (schema, name) = split(table);
    let touching = counted.into_iter().filter_map(|one| {
        let statement = Statement::one(&without_odd_places(&one.query)).ok()?;
        let plannable = matches!(statement.kind, Kind::Select | Kind::Change);
        let names = statement.tables.iter().any(|named| {
            named.name == name && named.schema.as_ref().is_none_or(|named| *named == schema)
        });
        (plannable && names && statement.word != "INSERT")
            .then_some(Work { statement, calls: one.calls })
    });
    Ok(touching.take(MOST).collect())
}

/// The bare names of a table as SQL writes it.
pub(super) fn split(table: &str) -> (String, String) {
    let statement = Statement::one(&format!("table {table}"));
    let name = statement.ok().and_then(|one| one.tables.into_iter().next());
    name.map_or_else(
        || (String::new(), table.to_owned()),
        |name| (name.schema.unwrap_or_default(), name.name),
    )
}
