//! The process table as `/proc` shows it: who lives, who stands still, who descends from whom.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// One life of a process: a pid alone names another process later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub pid: i32,
    /// In clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start: u64,
}

/// What we read of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub life: Life,
    pub parent: i32,
    /// `R S D Z T t X` and so on.
    pub state: char,
}

impl Stat {
    /// Stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        self.state == 'T' || self.state == 't'
    }

    /// Dead, and only waiting to be counted by its parent.
    fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

impl Life {
    /// The life that this pid has now.
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| stat.life)
    }

    /// How this very process is; `None` once it is over.
    pub fn now(&self) -> Option<Stat> {
        stat(self.pid).filter(|stat| stat.life == *self && !stat.is_over())
    }

    /// Whether it is still in the table, be it dead and not yet counted by its parent.
    pub(super) fn is_listed(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.life == *self)
    }

    /// Signals this very process, if it still lives.
    pub(super) fn signal(&self, signal: Signal) {
        // Pid 0 would be our own process group.
        if self.now().is_some()
            && let Some(pid) = Pid::from_raw(self.pid)
            && self.pid > 1
        {
            // It may end between the look and the signal: gone is what the caller will see next.
            let _ = kill_process(pid, signal);
        }
    }
}

/// A process and everything that descends from it, ancestors first. Process groups would not do:
/// PostgreSQL gives each backend a session of its own.
pub(super) fn family(leader: &Life) -> Vec<Life> {
    let all: Vec<Stat> = pids().filter_map(stat).collect();
    let mut family = vec![*leader];
    let mut next = 0;
    while let Some(member) = family.get(next).copied() {
        next += 1;
        let children = all.iter().filter(|stat| stat.parent == member.pid && !stat.is_over());
        family.extend(children.map(|stat| stat.life).filter(|life| life.start >= leader.start));
    }
    family
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: i32) -> Option<Stat> {
    if pid <= 0 {
        return None;
    }
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in brackets may hold blanks and brackets, so everything is counted from the last one.
fn parse(line: &str) -> Option<Stat> {
    let pid = line.split(' ').next()?.parse().ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { life: Life { pid, start }, parent, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let line = "4711 (a) b (c) T 17 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 9 9";
        let stat = parse(line).unwrap();
        assert_eq!(stat, Stat { life: Life { pid: 4711, start: 98765 }, parent: 17, state: 'T' });
        assert!(stat.is_stopped());
        assert_eq!(parse("4711 (cut"), None);
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = Life::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.now().is_some());
        assert!(Life { start: own.start + 1, ..own }.now().is_none());
        assert!(Life { pid: 0, start: 0 }.now().is_none());
    }
}
