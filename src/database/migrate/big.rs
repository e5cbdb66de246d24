//! Whether a lock would hurt: how big the tables are that a migration locks.

use super::super::{As, Failure, Outcome, Workbench};
use super::lint::{Finding, Named};
use crate::domain::words::bytes;
use crate::targets::postgres::Session;

/// Below this a statement is over before anybody notices.
const BIG: i64 = 16_000_000;

/// The table of that name, or of an index of that name, and what its rows take. A partitioned one is its partitions.
const SIZE: &str = "
WITH RECURSIVE named AS (
  SELECT coalesce(i.indrelid, c.oid) AS oid FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relname = $2 AND CASE WHEN $1::text IS NULL THEN pg_table_is_visible(c.oid)
      ELSE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) END
    LIMIT 1),
  whole AS (SELECT oid FROM named UNION SELECT h.inhrelid FROM pg_inherits h JOIN whole w ON h.inhparent = w.oid)
SELECT coalesce(sum(pg_relation_size(oid)), 0)::int8 FROM whole";

/// Refuses what locks a big table.
pub(super) async fn judge(
    bench: &Workbench,
    database: Option<&str>,
    findings: &mut [Finding],
) -> Outcome<()> {
    if findings.iter().all(|finding| finding.table.is_none()) {
        return Ok(());
    }
    // As the application: a bare name means what it means to the migration.
    let session = bench.connect(As::App, database, Session::App, "migrate").await?;
    for finding in findings {
        let Some(Named { schema, name }) = &finding.table else { continue };
        let row = session.query_one(SIZE, &[&schema, &name]).await;
        let size: i64 = row.map_err(|error| Failure::of_postgres(&error))?.get(0);
        if size >= BIG {
            finding.refused =
                Some(format!("it locks {name}, which holds {}", bytes(size.unsigned_abs())));
        }
    }
    session.close().await;
    Ok(())
}
