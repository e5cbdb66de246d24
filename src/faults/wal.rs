//! Filling WAL for a fault: little, and only where there is room for it.

use super::reach;
use super::{FaultError, Progress};
use crate::targets::Server;

/// A server that has more than this already may have none to spare.
const MOST_BYTES: i64 = 64 << 20;

/// Refuses where WAL lies that was not expected: on the lab its volume is small.
pub(super) async fn has_room(server: &Server) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select sum(size)::bigint from pg_ls_waldir()";
    let row = session.client.query_one(sql, &[]).await;
    let bytes: i64 = row.map_err(|e| reach::sql_failed("measure the WAL", e))?.get(0);
    if bytes > MOST_BYTES {
        return Err(FaultError::Precondition(format!(
            "{} holds {} MB of WAL already, so no more is written",
            server.target.id,
            bytes >> 20
        )));
    }
    Ok(())
}

/// Ends so many segments, each after one record: otherwise there would be nothing to end.
pub(super) async fn fill(
    server: &Server,
    segments: u32,
    progress: Progress<'_>,
) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    for n in 1..=segments {
        let end = "select pg_logical_emit_message(true, 'look', ''); select pg_switch_wal()";
        let ended = session.client.batch_execute(end).await;
        ended.map_err(|e| reach::sql_failed("end a segment of WAL", e))?;
        progress(format!("{n} of {segments} segments filled"));
    }
    Ok(())
}

/// Lets the server remove what nobody needs any more.
pub(super) async fn checkpoint(server: &Server) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    let done = session.client.batch_execute("checkpoint").await;
    done.map_err(|e| reach::sql_failed("make a checkpoint", e))
}
