//! What a table is made of: columns, constraints, indexes, triggers, references, size.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::failure::{Failure, Outcome};
use super::workbench::{As, Workbench};
use crate::inspect::as_json;
use crate::targets::postgres::{PgConnection, Session};

const COLUMNS: &str = include_str!("sql/20_table_schema.sql");
const OBJECTS: &str = include_str!("sql/20_table_objects.sql");
const SIZE: &str = include_str!("sql/20_table_size.sql");
const FIND: &str = include_str!("sql/20_table_find.sql");

/// Longer than the session's own time limits, so that the server's word comes first.
const DEADLINE: Duration = Duration::from_secs(6);

/// Which table.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRequest {
    /// `table`, `schema.table` or `"Quoted"."Names"`, as SQL writes it; a bare name is looked for in all schemas.
    pub table: String,
    #[serde(default)]
    pub database: Option<String>,
}

/// What the table is made of.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaResponse {
    pub success: bool,
    /// As SQL writes it, with its schema.
    pub table: String,
    pub columns: Vec<Column>,
    pub objects: Objects,
    /// Bytes with indexes and TOAST; absent when somebody holds the table.
    pub size: Option<i64>,
    /// Absent: never analysed.
    pub rows_estimate: Option<i64>,
}

/// One column.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[schema(as = TableColumn)]
pub struct Column {
    pub column_name: String,
    pub data_type: String,
    /// `YES` or `NO`.
    pub is_nullable: String,
    pub column_default: Option<String>,
    /// The type with its length or precision.
    #[serde(rename = "type")]
    pub full_type: String,
    /// `a` always, `d` by default.
    pub identity: Option<String>,
    pub generated: Option<String>,
    pub comment: Option<String>,
}

/// What hangs on the table, or why that is not known now.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Objects {
    Known(Vec<Object>),
    Unknown { why: String, hint: Option<String> },
}

/// A constraint, index, trigger, policy, reference or partition.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[schema(as = TableObject)]
pub struct Object {
    pub kind: String,
    pub name: String,
    pub definition: Option<String>,
    pub valid: bool,
}

#[derive(Deserialize)]
struct Size {
    size: Option<i64>,
    rows_estimate: Option<i64>,
}

/// A relation that a name means.
#[derive(Clone, Deserialize)]
pub(super) struct Found {
    /// As SQL writes it, with its schema.
    pub(super) name: String,
    /// Its number: unlike a name it can be looked up without a right to the schema.
    pub(super) oid: String,
    kind: String,
}

/// Describes one table.
pub async fn schema(bench: &Workbench, request: &SchemaRequest) -> Outcome<SchemaResponse> {
    let database = request.database.as_deref();
    let connection = bench.connect(As::Monitor, database, Session::Inspect, "schema").await?;
    let answered = tokio::time::timeout(DEADLINE, described(&connection, &request.table)).await;
    let answered =
        answered.unwrap_or_else(|_| Err(Failure::timed_out(DEADLINE.as_millis() as u64)));
    connection.close().await;
    answered
}

async fn described(connection: &PgConnection, name: &str) -> Outcome<SchemaResponse> {
    let table = find(connection, name).await?;
    let columns = rows(connection, COLUMNS, &table.oid).await?;
    let objects = match rows(connection, OBJECTS, &table.oid).await {
        Ok(objects) => Objects::Known(objects),
        Err(failure) => Objects::Unknown { why: why(&failure), hint: failure.hint },
    };
    // The size waits behind whoever holds the table alone; the rest is known without it.
    let size: Vec<Size> = rows(connection, SIZE, &table.oid).await.unwrap_or_default();
    let size = size.into_iter().next();
    Ok(SchemaResponse {
        success: true,
        table: table.name,
        columns,
        objects,
        size: size.as_ref().and_then(|size| size.size),
        rows_estimate: size.and_then(|size| size.rows_estimate),
    })
}

fn why(failure: &Failure) -> String {
    let locked = failure.sqlstate_is(&["55P03"]);
    if locked { format!("locked: {}", failure.message) } else { failure.message.clone() }
}

/// The table that is meant.
pub(super) async fn find(connection: &PgConnection, name: &str) -> Outcome<Found> {
    let found: Vec<Found> = rows(connection, FIND, name).await?;
    match found.as_slice() {
        [] => Err(Failure::invalid(
            format!("there is no table `{name}`"),
            "write it as SQL would, with its schema; a name with upper case is quoted: public.\"Orders\"",
        )),
        [one]
            if ["table", "partitioned table", "materialized view", "view", "foreign table"]
                .contains(&one.kind.as_str()) =>
        {
            Ok(one.clone())
        }
        [other] => Err(Failure::invalid(
            format!("`{name}` is a {}, no table", other.kind),
            "name the table it belongs to",
        )),
        many => {
            let names: Vec<&str> = many.iter().map(|one| one.name.as_str()).collect();
            Err(Failure::invalid(
                format!("`{name}` may be {}", names.join(" or ")),
                "write the one that is meant, with its schema",
            ))
        }
    }
}

/// The rows of a question about a table, whose name is bound.
pub(super) async fn rows<T: serde::de::DeserializeOwned>(
    connection: &PgConnection,
    sql: &str,
    table: &str,
) -> Outcome<Vec<T>> {
    let answered = connection.query_typed(&as_json(sql, None), &[(&table, Type::TEXT)]).await;
    let answered = answered.map_err(|error| Failure::of_postgres(&error))?;
    answered
        .iter()
        .map(|row| {
            let text: String = row.try_get(0).map_err(|error| Failure::of_postgres(&error))?;
            serde_json::from_str(&text).map_err(|error| {
                Failure::invalid(
                    format!("an answer is not as expected: {error}"),
                    "report it with the server's version",
                )
            })
        })
        .collect()
}
