//! A server that refuses writes because it could not save: a full disk or a process that cannot fork.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Disk, Facts, RedisFacts, SpareFile};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::{unit_processes, words};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, said};

pub(crate) const RDB_ENOSPC: Judge = Judge {
    cause: "rdb-enospc",
    title: "no room to save a snapshot",
    about: "The disk is full, so the last snapshot could not be written, and Redis refuses writes until one can.",
    findings: FINDINGS,
    judge: rdb,
};

pub(crate) const AOF_ENOSPC: Judge = Judge {
    cause: "aof-enospc",
    title: "no room for the append-only file",
    about: "The disk is full, so a write could not be appended to the file, and Redis refuses further ones until it \
            can.",
    findings: FINDINGS,
    judge: aof,
};

pub(crate) const FORK_FAILS: Judge = Judge {
    cause: "fork-fails",
    title: "no process can be forked to save",
    about: "A snapshot needs a child process and the system refuses one (pids or memory), so Redis refuses writes; \
            the disk has room.",
    findings: FINDINGS,
    judge: fork,
};

const SOURCES: [&str; 4] = [source::CLIENT_VIEW, source::REDIS_INFO, source::LOG, source::DISK];
const FORK_SOURCES: [&str; 5] =
    [source::CLIENT_VIEW, source::LOG, source::DISK, source::UNIT, source::BASELINE];
/// A disk that is as full as this takes no snapshot, however small.
const ROOM_LEFT: u64 = 65_536;

/// Which of the two ways to save the refusal is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Snapshot,
    AppendOnlyFile,
}

/// What the log says of the last attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logged {
    NoRoom,
    NoFork,
    Nothing,
}

fn refused(facts: &Facts) -> Option<Way> {
    let told = said(facts, "MISCONF")?;
    Some(if told.contains("AOF") { Way::AppendOnlyFile } else { Way::Snapshot })
}

fn logged(facts: &Facts) -> Logged {
    let kind = |line: &String| {
        if line.contains("No space left on device") {
            Some(Logged::NoRoom)
        } else if line.contains("fork: ") {
            Some(Logged::NoFork)
        } else {
            None
        }
    };
    let lines = facts.log.iter().flatten().rev();
    lines.filter_map(kind).next().unwrap_or(Logged::Nothing)
}

/// Whether a disk is full, as far as anybody looked.
fn is_full(disk: &Disk) -> bool {
    disk.available < ROOM_LEFT
}

fn room(disk: &Disk) -> String {
    format!(
        "{} of {} free below {}",
        words::bytes(disk.available),
        words::bytes(disk.total),
        disk.dir
    )
}

fn rdb(facts: &Facts) -> Option<JudgedCause> {
    let failed = |redis: &RedisFacts| redis.last_save == "err";
    full_disk(facts, Way::Snapshot, &RDB_ENOSPC, "the last snapshot failed", failed)
}

fn aof(facts: &Facts) -> Option<JudgedCause> {
    let failed = |redis: &RedisFacts| redis.last_append == "err";
    let what = "the last write to the append-only file failed";
    full_disk(facts, Way::AppendOnlyFile, &AOF_ENOSPC, what, failed)
}

fn full_disk(
    facts: &Facts,
    way: Way,
    judge: &Judge,
    what: &str,
    failed: fn(&RedisFacts) -> bool,
) -> Option<JudgedCause> {
    if refused(facts)? != way {
        return None;
    }
    let log = logged(facts);
    if way == Way::Snapshot && log == Logged::NoFork {
        return None;
    }
    let verdict = Verdict::on(facts, judge.cause, &SOURCES);
    let said_so = facts.redis.as_ref().is_some_and(failed);
    let because = format!("{what}, so writes are refused (MISCONF)");
    Some(match (&facts.disk, log) {
        (Some(disk), Logged::NoRoom) if is_full(disk) && said_so => {
            verdict.confirmed(format!("{because}; {}, and the log says: no space left", room(disk)))
        }
        // The append-only file's refusal names the reason itself, and the log repeats it only now and then.
        (Some(disk), Logged::Nothing) if is_full(disk) && said_so && way == Way::AppendOnlyFile => {
            verdict.confirmed(format!("{because}; {}", room(disk)))
        }
        (Some(disk), _) if is_full(disk) => verdict.likely(
            format!("{because}; {}", room(disk)),
            "the reason in the server's log and in INFO persistence",
        ),
        (Some(disk), Logged::NoRoom) => verdict.likely(
            format!(
                "{because}; the log says: no space left, but now there is room ({})",
                room(disk)
            ),
            "whether another attempt to save works",
        ),
        (None, Logged::NoRoom) => verdict
            .likely(format!("{because}; the log says: no space left"), "how full the disk is (df)"),
        (_, Logged::Nothing | Logged::NoFork) => {
            verdict.inconclusive(because, "the server's log at the moment of saving, and df")
        }
    })
}

fn fork(facts: &Facts) -> Option<JudgedCause> {
    if refused(facts)? != Way::Snapshot || logged(facts) != Logged::NoFork {
        return None;
    }
    let verdict = Verdict::on(facts, FORK_FAILS.cause, &FORK_SOURCES);
    let limit = unit_processes::lowered(facts).map(|limit| format!("; {limit}"));
    let because = format!(
        "no child process could be made to save a snapshot (fork failed, by the log), so writes are refused \
         (MISCONF){}",
        limit.unwrap_or_default()
    );
    Some(match &facts.disk {
        Some(disk) if is_full(disk) => verdict
            .likely(format!("{because}; and {}", room(disk)), "a fork once the disk has room"),
        Some(disk) => verdict.confirmed(format!("{because}; the disk has room: {}", room(disk))),
        None => verdict.likely(because, "how full the disk is (df)"),
    })
}

/// Whether the disk has room for a snapshot; `None` when nobody looked.
pub(crate) fn has_room(facts: &Facts) -> Option<bool> {
    facts.disk.as_ref().map(|disk| !is_full(disk))
}

/// The lab's own file whose removal makes room: the ballast if there is one, else the reserve.
pub(crate) fn spare_file(facts: &Facts) -> Option<&SpareFile> {
    let disk = facts.disk.as_ref().filter(|disk| is_full(disk))?;
    disk.spare.iter().max_by_key(|file| file.bytes)
}
