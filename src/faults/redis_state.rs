//! What of a Redis server a fault can change beside its settings: users, what became of saving, files.

use redis::aio::MultiplexedConnection;

use super::{FaultError, reach};
use crate::ports::runtime::RuntimeKind;
use crate::targets::redis::{HEARTBEAT_KEY, acl};
use crate::targets::{Server, disk};

/// The rule of every user, without passwords.
pub(super) async fn users(
    con: &mut MultiplexedConnection,
) -> Result<Vec<(String, String)>, FaultError> {
    let lines: Vec<String> = reach::ask(con, &["ACL", "LIST"]).await?;
    Ok(acl::rules(&lines))
}

/// Whether the last attempts to save worked.
pub(super) async fn saving(
    con: &mut MultiplexedConnection,
) -> Result<Vec<(String, String)>, FaultError> {
    let info: String = reach::ask(con, &["INFO", "persistence"]).await?;
    let fields = ["rdb_last_bgsave_status", "aof_last_write_status"];
    let told = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    let wanted = told.filter(|(name, _)| fields.contains(name));
    Ok(wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The spare files on the data volume, where that is the lab's.
pub(super) async fn files(
    server: &Server,
    con: &mut MultiplexedConnection,
) -> Result<Vec<(String, String)>, FaultError> {
    let Some(place) = &server.place else { return Ok(Vec::new()) };
    if place.runtime.kind() != RuntimeKind::Docker {
        return Ok(Vec::new());
    }
    let dir = setting(con, "dir").await?;
    let files = disk::spare_files(place, &dir).await.map_err(|answer| {
        FaultError::Precondition(format!("the files of {dir}: {}", answer.describe()))
    })?;
    Ok(files.into_iter().map(|file| (file.path, format!("{} bytes", file.bytes))).collect())
}

/// One setting.
pub(super) async fn setting(
    con: &mut MultiplexedConnection,
    name: &str,
) -> Result<String, FaultError> {
    let pair: Vec<String> = reach::ask(con, &["CONFIG", "GET", name]).await?;
    pair.into_iter()
        .nth(1)
        .ok_or_else(|| FaultError::Precondition(format!("the server has no setting `{name}`")))
}

/// Sets one.
pub(super) async fn set(
    con: &mut MultiplexedConnection,
    name: &str,
    value: &str,
) -> Result<(), FaultError> {
    reach::ask(con, &["CONFIG", "SET", name, value]).await
}

/// Sets one back, unless somebody did already or it is somebody else's by now.
pub(super) async fn set_back(
    con: &mut MultiplexedConnection,
    name: &str,
    ours: &str,
    original: &str,
) -> Result<(), FaultError> {
    if setting(con, name).await? == ours && ours != original {
        set(con, name, original).await?;
    }
    Ok(())
}

/// A field of one section of INFO; empty where it is not told.
pub(super) async fn info(
    con: &mut MultiplexedConnection,
    section: &str,
    field: &str,
) -> Result<String, FaultError> {
    let text: String = reach::ask(con, &["INFO", section]).await?;
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(found.map(|value| value.trim().to_owned()).unwrap_or_default())
}

/// Tries to write the key every probe writes: the server's words when it refuses with this prefix.
pub(super) async fn write_refused(
    con: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<String, FaultError> {
    let written: redis::RedisResult<()> =
        redis::cmd("SET").arg(HEARTBEAT_KEY).arg("0").arg("EX").arg(60).query_async(con).await;
    match written {
        Ok(()) => Err(FaultError::Precondition("a write still works".into())),
        Err(error) if error.code() == Some(prefix) => {
            Ok(format!("{prefix} {}", error.detail().unwrap_or_default()))
        }
        Err(error) => Err(FaultError::failed("write a key", error)),
    }
}
