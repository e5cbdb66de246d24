//! Snapshots of a Redis server, as faults spoil them: what there was before, and how saving is put right again.

use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::marks::{number, text};
use super::{FaultError, Saved, full_volume, reach, redis_state};
use crate::targets::{Server, disk};

const SAVE: &str = "save";
const DUMP: &str = "dump";
const DUMP_WAS_THERE: &str = "dump_was_there";

/// What reverting does, in words.
pub(super) const UNDO: [&str; 2] = [
    "BGSAVE, so that the last save is a good one; rm its snapshot where there was none",
    "CONFIG SET save back to the value it had, unless somebody did already",
];

/// The save points, and whether there is a snapshot already.
pub(super) async fn save(
    server: &Server,
    con: &mut MultiplexedConnection,
    saved: &mut Saved,
) -> Result<(), FaultError> {
    let dir = redis_state::setting(con, "dir").await?;
    let dump = disk::path(&dir, &redis_state::setting(con, "dbfilename").await?);
    let was_there = full_volume::exists(server, &dump).await?;
    saved.insert(SAVE.into(), json!(redis_state::setting(con, SAVE).await?));
    saved.insert(DUMP_WAS_THERE.into(), json!(u64::from(was_there)));
    saved.insert(DUMP.into(), json!(dump));
    Ok(())
}

/// Has the server save by itself.
pub(super) async fn set_points(
    con: &mut MultiplexedConnection,
    points: &str,
) -> Result<(), FaultError> {
    redis_state::set(con, SAVE, points).await
}

/// A good snapshot last, no save points of ours, and no file that was not there.
pub(super) async fn revert(
    server: &Server,
    con: &mut MultiplexedConnection,
    points: &str,
    saved: &Saved,
) -> Result<(), FaultError> {
    full_volume::wait_for_child(con).await?;
    if redis_state::info(con, "persistence", "rdb_last_bgsave_status").await? == "err" {
        let _: String = reach::ask(con, &["BGSAVE"]).await?;
        full_volume::wait_for_child(con).await?;
    }
    redis_state::set_back(con, SAVE, points, text(saved, SAVE)?).await?;
    full_volume::wait_for_child(con).await?;
    if number(saved, DUMP_WAS_THERE)? == 0 {
        full_volume::remove(server, text(saved, DUMP)?).await?;
    }
    Ok(())
}
