//! Filling the lab's bounded volume below a Redis server with one file that holds nothing, and removing it again.

use redis::aio::MultiplexedConnection;

use super::{FaultError, reach, redis_state, standing};
use crate::diagnose::facts::Disk;
use crate::domain::execution::Output;
use crate::ports::runtime::ExecLimits;
use crate::targets::{Server, disk};

/// A volume larger than this is not the lab's, and is not filled.
const LARGEST: u64 = 64 << 20;
/// One block of the ballast; what is left after the last one is less than that.
const BLOCK: u64 = 4_096;

/// The data volume, when it may be filled.
pub(super) async fn fillable(
    server: &Server,
    con: &mut MultiplexedConnection,
) -> Result<Disk, FaultError> {
    let refused = |why: String| Err(FaultError::Precondition(why));
    let dir = redis_state::setting(con, "dir").await?;
    let disk = look(server, &dir).await?;
    if disk.total > LARGEST {
        return refused(format!(
            "the volume below {dir} is not a bounded one of the lab ({} MB)",
            disk.total >> 20
        ));
    }
    let there = |name: &str| disk.spare.iter().any(|file| file.path == disk::path(&dir, name));
    if !there(disk::RESERVE) {
        return refused(format!(
            "there is no reserve below {dir}, so a full volume could not be repaired"
        ));
    }
    if there(disk::BALLAST) {
        return refused(format!("there is ballast below {dir} already"));
    }
    Ok(disk)
}

async fn look(server: &Server, dir: &str) -> Result<Disk, FaultError> {
    disk::look(standing::place(server)?, dir).await.map_err(|answer| {
        FaultError::Precondition(format!("look at the volume below {dir}: {}", answer.describe()))
    })
}

/// Fills the volume to the last block. Returns how large the ballast is.
pub(super) async fn fill(server: &Server, dir: &str) -> Result<u64, FaultError> {
    let ballast = disk::path(dir, disk::BALLAST);
    let (to, size) = (format!("of={ballast}"), format!("bs={BLOCK}"));
    let count = format!("count={}", LARGEST / BLOCK);
    // It ends with "no space left", which is what it is for.
    run(server, &["dd", "if=/dev/zero", &to, &size, &count]).await?;
    let disk = look(server, dir).await?;
    match disk.spare.iter().find(|file| file.path == ballast) {
        Some(file) if disk.available < BLOCK => Ok(file.bytes),
        _ => Err(FaultError::Precondition(format!("{dir} could not be filled"))),
    }
}

/// Removes the ballast, and lays a reserve by again when somebody used it up.
pub(super) async fn empty(server: &Server, dir: &str, reserve: u64) -> Result<(), FaultError> {
    run(server, &["rm", "-f", &disk::path(dir, disk::BALLAST)]).await?;
    let path = disk::path(dir, disk::RESERVE);
    if look(server, dir).await?.spare.iter().all(|file| file.path != path) {
        let (to, size) = (format!("of={path}"), format!("bs={reserve}"));
        must(&run(server, &["dd", "if=/dev/zero", &to, &size, "count=1"]).await?)?;
    }
    Ok(())
}

/// How large the reserve is.
pub(super) fn reserve(disk: &Disk) -> u64 {
    let path = disk::path(&disk.dir, disk::RESERVE);
    disk.spare.iter().find(|file| file.path == path).map_or(0, |file| file.bytes)
}

/// Whether a file or directory of the volume is there.
pub(super) async fn exists(server: &Server, path: &str) -> Result<bool, FaultError> {
    Ok(run(server, &["test", "-e", path]).await?.exit_code == Some(0))
}

/// Removes what an injection made there, and only that.
pub(super) async fn remove(server: &Server, path: &str) -> Result<(), FaultError> {
    must(&run(server, &["rm", "-rf", "--", path]).await?)
}

fn must(output: &Output) -> Result<(), FaultError> {
    if output.exit_code == Some(0) {
        return Ok(());
    }
    Err(FaultError::Precondition(output.stderr.trim().to_owned()))
}

async fn run(server: &Server, argv: &[&str]) -> Result<Output, FaultError> {
    let place = standing::place(server)?;
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let ran = place.runtime.exec(&place.unit, &argv, None, ExecLimits::default()).await;
    ran.map_err(|error| FaultError::failed(format!("run {}", argv.join(" ")), error))
}

/// Waits until no child of the server writes to its disk.
pub(super) async fn wait_for_child(con: &mut MultiplexedConnection) -> Result<(), FaultError> {
    const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);
    loop {
        let info: String = reach::ask(con, &["INFO", "persistence"]).await?;
        let works = |field: &str| info.lines().any(|line| line.trim_end() == format!("{field}:1"));
        let fields = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
        if !fields.into_iter().any(works) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
