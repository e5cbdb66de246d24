//! Whether a copy of a database fits on the server's disk.

use std::path::Path;

use super::super::{Failure, Outcome, Workbench};
use crate::targets::disk;
use crate::targets::postgres::PgConnection;

/// A copy needs this much of what the original takes, in tenths.
const NEEDED_TENTHS: u64 = 12;

/// What is known about the room for a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// How much is free, and how much it takes.
    TooLittle {
        free: u64,
        needed: u64,
    },
    /// Nobody here can look at that disk.
    Unknown,
}

/// Looks from inside what the server runs in, or at this machine's own disk.
pub(crate) async fn room(bench: &Workbench, session: &PgConnection, bytes: u64) -> Outcome<Room> {
    let row = session.query_opt("SELECT current_setting('data_directory', true)", &[]).await;
    let row = row.map_err(|error| Failure::of_postgres(&error))?;
    let Some(dir) = row.and_then(|row| row.get::<_, Option<String>>(0)) else {
        return Ok(Room::Unknown);
    };
    let free = match &bench.place {
        Some(place) => {
            let sizes = disk::sizes(place, std::slice::from_ref(&dir)).await;
            sizes.ok().and_then(|sizes| sizes.get(&dir).map(|(_, available)| *available))
        }
        None if is_here(bench) => here(&dir),
        None => None,
    };
    Ok(judge(free, bytes))
}

fn judge(free: Option<u64>, bytes: u64) -> Room {
    let needed = bytes / 10 * NEEDED_TENTHS;
    match free {
        None => Room::Unknown,
        Some(free) if free < needed => Room::TooLittle { free, needed },
        Some(_) => Room::Enough,
    }
}

fn is_here(bench: &Workbench) -> bool {
    ["127.0.0.1", "localhost", "::1"].contains(&bench.link.host.as_str())
}

fn here(dir: &str) -> Option<u64> {
    let stat = rustix::fs::statvfs(Path::new(dir)).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_needs_a_fifth_more_than_the_original() {
        assert_eq!(judge(Some(1_199), 1_000), Room::TooLittle { free: 1_199, needed: 1_200 });
        assert_eq!(judge(Some(1_200), 1_000), Room::Enough);
        assert_eq!(judge(None, 1_000), Room::Unknown);
    }
}
