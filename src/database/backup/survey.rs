//! Reads what a database holds, all of it as of one moment: the same questions for what is backed up and for what was
//! restored from it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::super::{Failure, Outcome};
use super::manifest::{Contents, LargeObjects, SequenceSum, TableSum};
use super::progress::{Progress, Teller};
use crate::domain::proposal::hex;
use crate::inspect::quoted;
use crate::targets::postgres::PgConnection;

/// How the text of a row comes out, whatever the server is set to; and no time limit but the one for locks.
const FIXED: &str = "
SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; SET LOCAL xmloption = 'content';
SET LOCAL lc_monetary = 'C'; SET LOCAL row_security = off; SET LOCAL search_path = pg_catalog;
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '5s';
SELECT set_config(name, '2s', true) FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'";

/// Tables whose rows a dump holds: no temporary ones, none that an extension brings.
const TABLES: &str = "
SELECT c.oid, n.nspname, c.relname, coalesce(pg_table_size(c.oid), 0) AS bytes,
    coalesce(array_agg(a.attname ORDER BY a.attname COLLATE \"C\") FILTER (WHERE a.attname IS NOT NULL), '{}')::text[]
        AS columns,
    coalesce(array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attname COLLATE \"C\")
        FILTER (WHERE a.attname IS NOT NULL), '{}')::text[] AS types
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  GROUP BY c.oid, n.nspname, c.relname
  ORDER BY bytes, n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

const SEQUENCES: &str = "
SELECT n.nspname, c.relname, s.seqincrement, s.seqcycle
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// What holds no rows, by kind: invalid indexes are not dumped, and copies on partitions follow from their parents.
const OBJECTS: &str = "
WITH user_schema AS (SELECT oid FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'),
  bundled AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
  own AS (SELECT * FROM pg_class c WHERE relnamespace IN (SELECT oid FROM user_schema) AND relpersistence <> 't'
    AND NOT EXISTS (SELECT 1 FROM bundled b WHERE b.classid = 'pg_class'::regclass AND b.objid = c.oid))
SELECT kind, count(*) FROM (
  SELECT CASE relkind WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
      WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' END AS kind
    FROM own WHERE relkind IN ('p', 'v', 'm', 'f', 'c')
  UNION ALL SELECT 'index' FROM pg_index i JOIN own c ON c.oid = i.indrelid WHERE i.indisvalid
  UNION ALL SELECT 'constraint' FROM pg_constraint k JOIN own c ON c.oid = k.conrelid
    WHERE k.conparentid = 0 AND k.contype IN ('c', 'f', 'p', 'u', 'x')
  UNION ALL SELECT 'trigger' FROM pg_trigger t JOIN own c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
  UNION ALL SELECT 'rule' FROM pg_rewrite r JOIN own c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN'
  UNION ALL SELECT 'policy' FROM pg_policy p JOIN own c ON c.oid = p.polrelid
  UNION ALL SELECT 'function' FROM pg_proc p WHERE pronamespace IN (SELECT oid FROM user_schema)
    AND NOT EXISTS (SELECT 1 FROM bundled b WHERE b.classid = 'pg_proc'::regclass AND b.objid = p.oid)
  UNION ALL SELECT 'type' FROM pg_type t WHERE typtype IN ('e', 'd', 'r')
    AND typnamespace IN (SELECT oid FROM user_schema)
    AND NOT EXISTS (SELECT 1 FROM bundled b WHERE b.classid = 'pg_type'::regclass AND b.objid = t.oid)
) all_kinds GROUP BY kind";

const EXTENSIONS: &str = "SELECT extname, extversion FROM pg_extension";

/// What was there before the first object of a person's own.
const PREINSTALLED: &str = "
SELECT extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid < 16384";

/// Whom the restored objects will belong to or be granted to.
const ROLES: &str = "
SELECT DISTINCT r.rolname FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
  WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype IN ('o', 'a', 'r', 'i')
    AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

const LARGE_OBJECTS: &str =
    "SELECT oid FROM pg_largeobject_metadata WHERE oid > $1 ORDER BY oid LIMIT $2";

/// One piece of each of these objects; past its end it is empty.
const PIECES: &str = "
SELECT m.oid, octet_length(piece)::int8, encode(sha256(piece), 'hex')
  FROM unnest($1::oid[]) AS m(oid), LATERAL (SELECT lo_get(m.oid, $2, $3) AS piece) p ORDER BY m.oid";

const OBJECTS_AT_ONCE: i64 = 500;
const PIECE: i32 = 1 << 20;
const SEQUENCES_AT_ONCE: usize = 200;

/// How much of the rows is read.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// Of the smallest tables first, until so many bytes were read.
    Within(u64),
    /// Of the tables that were hashed there.
    As(&'a Contents),
    /// None: their names and columns are enough.
    No,
}

/// Begins the transaction whose snapshot everything is read in.
pub(crate) async fn begin(session: &PgConnection) -> Outcome<()> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    session.batch_execute(begin).await.map_err(|error| Failure::of_postgres(&error))?;
    fix(session).await
}

/// Fixes, for this transaction, how the text of a row comes out and goes in.
pub(crate) async fn fix(session: &PgConnection) -> Outcome<()> {
    session.batch_execute(FIXED).await.map_err(|error| Failure::of_postgres(&error))
}

/// Everything, in the transaction that [`begin`] began.
pub(crate) async fn contents(
    session: &PgConnection,
    rows: Rows<'_>,
    phase: &'static str,
    teller: &Teller,
) -> Outcome<Contents> {
    let all = |sql: &'static str| async move {
        session.query(sql, &[]).await.map_err(|error| Failure::of_postgres(&error))
    };
    let pair = |row: &Row| (row.get(0), row.get::<_, i64>(1).unsigned_abs());
    let objects: BTreeMap<String, u64> = all(OBJECTS).await?.iter().map(pair).collect();
    let extensions = all(EXTENSIONS).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let preinstalled = all(PREINSTALLED).await?;
    let preinstalled = preinstalled.iter().map(|row| (row.get(0), row.get(1))).collect();
    let roles: BTreeSet<String> = all(ROLES).await?.iter().map(|row| row.get(0)).collect();
    let sequences = sequences(session, &all(SEQUENCES).await?).await?;
    let tables = tables(session, &all(TABLES).await?, rows, phase, teller).await?;
    let large_objects = match rows {
        Rows::No => None,
        Rows::Within(_) | Rows::As(_) => large_objects(session, phase, teller).await?,
    };
    Ok(Contents { tables, sequences, large_objects, extensions, preinstalled, objects, roles })
}

async fn tables(
    session: &PgConnection,
    listed: &[Row],
    rows: Rows<'_>,
    phase: &'static str,
    teller: &Teller,
) -> Outcome<Vec<TableSum>> {
    let mut chosen = Chosen::of(rows);
    let mut tables = Vec::with_capacity(listed.len());
    for (place, row) in listed.iter().enumerate() {
        let (mut table, columns) = described(row);
        if chosen.takes(&table) {
            teller.tell(Progress::counted(phase, place, listed.len(), table.shown()));
            let (rows, hash) = sum(session, &table, &columns).await?;
            (table.rows, table.hash) = (Some(rows), Some(hash));
        }
        tables.push(table);
    }
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(tables)
}

/// Which tables' rows are read.
struct Chosen<'a> {
    rows: Rows<'a>,
    hashed: BTreeSet<(&'a str, &'a str)>,
    read: u64,
}

impl<'a> Chosen<'a> {
    fn of(rows: Rows<'a>) -> Self {
        let hashed = match rows {
            Rows::As(contents) => contents
                .tables
                .iter()
                .filter(|table| table.hash.is_some())
                .map(|table| (table.schema.as_str(), table.name.as_str()))
                .collect(),
            Rows::Within(_) | Rows::No => BTreeSet::new(),
        };
        Self { rows, hashed, read: 0 }
    }

    fn takes(&mut self, table: &TableSum) -> bool {
        match self.rows {
            Rows::No => false,
            Rows::As(_) => self.hashed.contains(&(table.schema.as_str(), table.name.as_str())),
            Rows::Within(budget) => {
                self.read = self.read.saturating_add(table.bytes);
                self.read <= budget
            }
        }
    }
}

/// A table as it is listed, and its columns in the order in which they are hashed: by name, because a child of another
/// table gets its columns in another order when it is restored.
fn described(row: &Row) -> (TableSum, Vec<String>) {
    let (columns, types): (Vec<String>, Vec<String>) = (row.get("columns"), row.get("types"));
    let mut shape = Sha256::new();
    for text in columns.iter().chain(&types) {
        shape.update(text);
        shape.update([0]);
    }
    let table = TableSum {
        schema: row.get("nspname"),
        name: row.get("relname"),
        shape: hex(&shape.finalize())[..16].to_owned(),
        bytes: row.get::<_, i64>("bytes").unsigned_abs(),
        rows: None,
        hash: None,
    };
    (table, columns)
}

/// How many rows a table has, and the sum of their hashes.
pub(crate) async fn sum(
    session: &PgConnection,
    table: &TableSum,
    columns: &[String],
) -> Outcome<(u64, String)> {
    let sql = sum_sql(&table.schema, &table.name, columns);
    let row = session.query_one(&sql, &[]).await.map_err(|error| {
        let failure = Failure::of_postgres(&error);
        Failure { message: format!("count {}: {}", table.shown(), failure.message), ..failure }
    })?;
    Ok((row.get::<_, i64>(0).unsigned_abs(), row.get(1)))
}

fn sum_sql(schema: &str, name: &str, columns: &[String]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("t.{}", quoted(column))).collect();
    format!(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text COLLATE \"C\", 0)), 0)::text FROM ONLY {}.{} t",
        columns.join(", "),
        quoted(schema),
        quoted(name)
    )
}

async fn sequences(session: &PgConnection, listed: &[Row]) -> Outcome<Vec<SequenceSum>> {
    let mut sequences = Vec::with_capacity(listed.len());
    for some in listed.chunks(SEQUENCES_AT_ONCE) {
        let values: Vec<String> = some
            .iter()
            .enumerate()
            .map(|(place, row)| {
                let (schema, name) = (quoted(row.get(0)), quoted(row.get(1)));
                format!("SELECT {place} AS place, last_value FROM {schema}.{name}")
            })
            .collect();
        let sql = format!("{} ORDER BY place", values.join(" UNION ALL "));
        let values =
            session.query(&sql, &[]).await.map_err(|error| Failure::of_postgres(&error))?;
        sequences.extend(some.iter().zip(&values).map(|(row, value)| SequenceSum {
            schema: row.get(0),
            name: row.get(1),
            increment: row.get(2),
            cycles: row.get(3),
            last_value: value.get(1),
        }));
    }
    Ok(sequences)
}

async fn large_objects(
    session: &PgConnection,
    phase: &'static str,
    teller: &Teller,
) -> Outcome<Option<LargeObjects>> {
    let failed = |error| Failure::of_postgres(&error);
    let (mut sum, mut count, mut bytes, mut after) = (Sha256::new(), 0, 0, 0u32);
    loop {
        let page =
            session.query(LARGE_OBJECTS, &[&after, &OBJECTS_AT_ONCE]).await.map_err(failed)?;
        let mut left: Vec<u32> = page.iter().map(|row| row.get(0)).collect();
        let Some(&last) = left.last() else { break };
        count += u64::try_from(left.len()).unwrap_or_default();
        let mut offset = 0i64;
        while !left.is_empty() {
            let pieces = session.query(PIECES, &[&left, &offset, &PIECE]).await.map_err(failed)?;
            left.clear();
            for piece in &pieces {
                let (oid, length): (u32, i64) = (piece.get(0), piece.get(1));
                sum.update(format!("{oid} {offset} {length} {}\n", piece.get::<_, &str>(2)));
                bytes += length.unsigned_abs();
                if length == i64::from(PIECE) {
                    left.push(oid);
                }
            }
            offset += i64::from(PIECE);
            let told = Progress::sized(phase, bytes, None);
            teller.tell(Progress { at: Some("large objects".into()), done: Some(count), ..told });
        }
        after = last;
    }
    let all = LargeObjects { count, bytes, sha256: hex(&sum.finalize()) };
    Ok((count > 0).then_some(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_table_is_called_it_stays_a_name() {
        let sql = sum_sql("a\"; drop", "b%s\nc", &["x\" y".to_owned(), "-z".to_owned()]);
        assert!(sql.ends_with("FROM ONLY \"a\"\"; drop\".\"b%s\nc\" t"), "{sql}");
        assert!(sql.contains("ROW(t.\"x\"\" y\", t.\"-z\")"), "{sql}");
    }

    #[test]
    fn the_smallest_tables_come_first_until_the_budget_is_read() {
        let table = |bytes| TableSum {
            schema: "s".into(),
            name: "t".into(),
            shape: String::new(),
            bytes,
            rows: None,
            hash: None,
        };
        let mut chosen = Chosen::of(Rows::Within(100));
        assert!(chosen.takes(&table(40)) && chosen.takes(&table(60)) && !chosen.takes(&table(1)));
        assert!(!Chosen::of(Rows::No).takes(&table(0)));
    }
}
