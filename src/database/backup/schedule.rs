//! Which scheduled backups ran, which come next, and which database has had no verified one for too long. What ran is
//! remembered beside the backups; what there is, the backups themselves tell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::Outcome;
use super::catalogue::{Catalogue, Entry, read_json, write_json};
use super::timetable::overdue;
use crate::config::backup::{BackupConfig, BackupJob};

/// Beside the backups; the dot keeps it from being read as one.
const FILE: &str = ".schedule.json";
/// A run that is broken off is begun once more, not for ever.
const TRIES: u32 = 2;

/// Every job with its times.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleResponse {
    pub success: bool,
    pub jobs: Vec<JobLine>,
    pub alarms: Vec<String>,
}

/// One job.
#[derive(Clone, Debug, Serialize)]
pub struct JobLine {
    pub job: String,
    pub schedule: String,
    pub time_zone: String,
    /// How the last run went, in words; none: it never ran.
    pub last: Option<String>,
    pub next: Option<DateTime<Utc>>,
    pub last_verified: Option<DateTime<Utc>>,
}

/// What is remembered of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub known_since: DateTime<Utc>,
    /// The time that was last dealt with.
    pub done: DateTime<Utc>,
    /// The time that is being dealt with, and how often that was begun.
    pub begun: Option<(DateTime<Utc>, u32)>,
    pub last: Option<Run>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub due: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub ok: bool,
    /// The backup's name, or why there is none.
    pub what: String,
}

/// The memory of all jobs.
pub struct Memories {
    path: PathBuf,
    all: BTreeMap<String, Memory>,
}

impl Memories {
    pub fn read(catalogue: &Catalogue) -> Outcome<Self> {
        let path = catalogue.location().join(FILE);
        let all = if path.exists() { read_json(&path)? } else { BTreeMap::new() };
        Ok(Self { path, all })
    }

    /// What is remembered of a job, from now on at the latest.
    pub fn of(&mut self, job: &str, now: DateTime<Utc>) -> &mut Memory {
        let fresh = Memory { known_since: now, done: now, begun: None, last: None };
        self.all.entry(job.to_owned()).or_insert(fresh)
    }

    pub fn write(&self) -> Outcome<()> {
        write_json(&self.path, &self.all)
    }
}

impl Memory {
    /// The time to run for now, noted as begun. One that was broken off twice is given up.
    pub fn begin(&mut self, job: &BackupJob, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let due = job.timetable.due(self.done, now)?;
        let times = match self.begun {
            Some((at, times)) if at == due => times,
            _ => 0,
        };
        if times >= TRIES {
            let what = format!("broken off {times} times, and given up");
            self.end(Run { due, finished_at: now, ok: false, what });
            return None;
        }
        self.begun = Some((due, times + 1));
        Some(due)
    }

    /// Notes how it went.
    pub fn end(&mut self, run: Run) {
        (self.done, self.begun, self.last) = (run.due, None, Some(run));
    }
}

/// Looks at all jobs.
pub fn show(config: &BackupConfig, now: DateTime<Utc>) -> Outcome<ScheduleResponse> {
    if config.jobs.is_empty() {
        return Ok(ScheduleResponse { success: true, jobs: Vec::new(), alarms: Vec::new() });
    }
    let catalogue = Catalogue::open(&config.location)?;
    let memories = Memories::read(&catalogue)?;
    let (backups, _) = catalogue.list()?;
    let (mut jobs, mut alarms) = (Vec::new(), Vec::new());
    for job in &config.jobs {
        let memory = memories.all.get(&job.name());
        let last_verified = last_verified(job, &backups);
        alarms.extend(alarm(job, memory, last_verified, now));
        jobs.push(JobLine {
            job: job.name(),
            schedule: job.schedule.clone(),
            time_zone: job.time_zone.clone(),
            last: memory.and_then(|memory| memory.last.as_ref()).map(sentence),
            next: job.timetable.next(now),
            last_verified,
        });
    }
    Ok(ScheduleResponse { success: true, jobs, alarms })
}

fn last_verified(job: &BackupJob, backups: &[Entry]) -> Option<DateTime<Utc>> {
    let is_of = |entry: &&Entry| {
        let manifest = &entry.manifest;
        manifest.target == job.target.as_str()
            && job.database.as_ref().is_none_or(|database| *database == manifest.database)
    };
    let counts = backups.iter().filter(is_of).filter(|entry| entry.record.counts());
    counts.map(|entry| entry.record.finished_at).max()
}

fn alarm(
    job: &BackupJob,
    memory: Option<&Memory>,
    last_verified: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<String> {
    let name = job.name();
    let since = match (memory, last_verified) {
        (None, None) => {
            return Some(format!(
                "{name} has no verified backup yet; `simctl run` keeps its schedule"
            ));
        }
        (Some(memory), _) => memory.known_since,
        (None, Some(last)) => last,
    };
    let since = overdue(&job.timetable, last_verified, since, now)?;
    let time = since.format("%Y-%m-%d %H:%M");
    let why = memory.and_then(|memory| memory.last.as_ref()).filter(|run| !run.ok);
    let why = why.map_or_else(String::new, |run| format!("; the last run failed: {}", run.what));
    Some(format!(
        "{name} has had no verified backup since {time} UTC, one and a half periods of its schedule{why}"
    ))
}

fn sentence(run: &Run) -> String {
    let time = run.finished_at.format("%Y-%m-%d %H:%M");
    if run.ok { format!("{time} {}", run.what) } else { format!("{time} FAILED: {}", run.what) }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::database::backup::timetable::Timetable;

    fn job() -> BackupJob {
        BackupJob {
            target: "orders-db".into(),
            database: None,
            timetable: Timetable::parse("0 2 * * *", "UTC").unwrap(),
            schedule: "0 2 * * *".into(),
            time_zone: "UTC".into(),
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn memory() -> Memory {
        let now = at("2026-11-28T12:00:00Z");
        Memory { known_since: now, done: now, begun: None, last: None }
    }

    #[test]
    fn a_run_that_was_broken_off_is_begun_once_more() {
        let (job, mut memory) = (job(), memory());
        assert_eq!(memory.begin(&job, at("2026-11-29T01:00:00Z")), None);
        let now = at("2026-11-29T02:00:05Z");
        let due = memory.begin(&job, now).unwrap();
        assert_eq!(memory.begin(&job, now), Some(due), "the process was killed meanwhile");
        assert_eq!(memory.begin(&job, now), None);
        assert!(memory.last.as_ref().is_some_and(|run| !run.ok && run.what.contains("given up")));
        let tomorrow = now + TimeDelta::days(1);
        let due = memory.begin(&job, tomorrow).unwrap();
        memory.end(Run { due, finished_at: tomorrow, ok: true, what: "b".into() });
        assert_eq!(memory.begin(&job, tomorrow), None);
    }

    #[test]
    fn the_alarm_comes_from_the_backups_and_tells_why() {
        let (job, now) = (job(), at("2026-12-01T12:00:00Z"));
        assert!(alarm(&job, None, None, now).unwrap().contains("`simctl run` keeps"));
        assert_eq!(alarm(&job, Some(&memory()), Some(now - TimeDelta::hours(10)), now), None);
        let mut failing = memory();
        failing.end(Run { due: now, finished_at: now, ok: false, what: "no disk".into() });
        let told = alarm(&job, Some(&failing), None, now).unwrap();
        assert!(told.contains("since 2026-11-28 12:00 UTC") && told.contains("no disk"), "{told}");
    }

    #[test]
    fn the_memory_survives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        let now = at("2026-11-28T12:00:00Z");
        let mut memories = Memories::read(&catalogue).unwrap();
        memories.of("a", now).begun = Some((now, 1));
        memories.write().unwrap();
        let again = Memories::read(&catalogue).unwrap().of("a", now + TimeDelta::days(9)).clone();
        assert_eq!((again.known_since, again.begun), (now, Some((now, 1))));
    }
}
