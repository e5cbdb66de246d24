//! `[workbench.backup]` and its jobs: where backups lie, how long they are kept, and when they are taken.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layers::Layers;
use super::{LAB_TARGETS, LabConfig, TargetConfig};
use crate::database::backup::retention::Rule;
use crate::database::backup::timetable::Timetable;
use crate::domain::ids::TargetId;
use crate::domain::target::Engine;

const SCHEDULE: &str = "0 2 * * *";
const ZONE: &str = "UTC";
const GB: u64 = 1_000_000_000;

/// The backups of all targets.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    pub location: PathBuf,
    pub keep: Rule,
    /// Rows beyond this are not hashed.
    pub hash_bytes: u64,
    /// Where copies are restored for proof; unset: on the server itself.
    pub verify_on: Option<TargetId>,
    pub jobs: Vec<BackupJob>,
}

/// One database that is backed up on schedule.
#[derive(Clone, Debug)]
pub struct BackupJob {
    pub target: TargetId,
    /// Unset: the target's own.
    pub database: Option<String>,
    pub timetable: Timetable,
    /// The timetable as it was written.
    pub schedule: String,
    pub time_zone: String,
}

impl BackupJob {
    /// How it is named in records: `orders-db`, or `orders-db/orders`.
    pub fn name(&self) -> String {
        match &self.database {
            None => self.target.to_string(),
            Some(database) => format!("{}/{database}", self.target),
        }
    }
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            location: PathBuf::new(),
            keep: Rule { days: 30, min_keep: 3 },
            hash_bytes: 100 * GB,
            verify_on: None,
            jobs: Vec::new(),
        }
    }
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackupSection {
    location: Option<PathBuf>,
    retention_days: Option<u32>,
    min_keep: Option<usize>,
    hash_gb: Option<u32>,
    verify_on: Option<String>,
    #[serde(rename = "job")]
    jobs: Vec<JobEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct JobEntry {
    target: Option<String>,
    database: Option<String>,
    schedule: Option<String>,
    time_zone: Option<String>,
}

/// What a target's name is checked against.
pub(super) struct Known<'a> {
    pub(super) targets: &'a [TargetConfig],
    pub(super) lab: &'a LabConfig,
}

impl Known<'_> {
    fn has_postgres(&self, name: &str) -> bool {
        let own =
            |target: &TargetConfig| target.id.as_str() == name && target.engine == Engine::Postgres;
        let of_lab =
            self.lab.enabled && LAB_TARGETS.contains(&name) && name.starts_with("postgres");
        of_lab || self.targets.iter().any(own)
    }
}

pub(super) fn backup(
    layers: &mut Layers<'_>,
    file: BackupSection,
    state_dir: &Path,
    known: &Known<'_>,
) -> BackupConfig {
    let d = BackupConfig::default();
    let location =
        layers.pick("workbench.backup.location", file.location, state_dir.join("backups"));
    let days = layers.pick("workbench.backup.retention_days", file.retention_days, d.keep.days);
    let min_keep = layers.pick("workbench.backup.min_keep", file.min_keep, d.keep.min_keep);
    let hash_gb = layers.pick("workbench.backup.hash_gb", file.hash_gb, 100);
    let verify_on = layers.pick_under("workbench.backup.verify_on", None, file.verify_on);
    if let Some(name) = verify_on.as_ref().filter(|name| !known.has_postgres(name)) {
        let key = "workbench.backup.verify_on";
        layers.refuse(key, format_args!("`{name}` is no PostgreSQL target"));
    }
    let jobs = file.jobs.into_iter().enumerate().filter_map(|(index, entry)| {
        job(layers, &format!("workbench.backup.job[{index}]"), entry, known)
    });
    let jobs: Vec<BackupJob> = jobs.collect();
    for (index, one) in jobs.iter().enumerate() {
        if jobs[..index].iter().any(|other| other.name() == one.name()) {
            let key = format!("workbench.backup.job[{index}]");
            layers
                .refuse(&key, format_args!("`{}` is backed up by another job already", one.name()));
        }
    }
    BackupConfig {
        location: std::path::absolute(&location).unwrap_or(location),
        keep: Rule { days, min_keep },
        hash_bytes: u64::from(hash_gb) * GB,
        verify_on: verify_on.map(TargetId::from),
        jobs,
    }
}

fn job(
    layers: &mut Layers<'_>,
    key: &str,
    entry: JobEntry,
    known: &Known<'_>,
) -> Option<BackupJob> {
    let Some(target) = entry.target.filter(|name| known.has_postgres(name)) else {
        let at = format!("{key}.target");
        layers.refuse(&at, "a job needs the `target` that it backs up, a PostgreSQL");
        return None;
    };
    let schedule = entry.schedule.unwrap_or_else(|| SCHEDULE.to_owned());
    let time_zone = entry.time_zone.unwrap_or_else(|| ZONE.to_owned());
    let timetable = match Timetable::parse(&schedule, &time_zone) {
        Ok(timetable) => timetable,
        Err(problem) => {
            let field = if problem.contains("time zone") { "time_zone" } else { "schedule" };
            layers.refuse(&format!("{key}.{field}"), problem);
            return None;
        }
    };
    let job = BackupJob {
        target: TargetId::from(target),
        database: entry.database,
        timetable,
        schedule,
        time_zone,
    };
    let source = layers.source(key);
    let value = format!("{} ({})", job.schedule, job.time_zone);
    layers.remember(&format!("workbench.backup.job.{}", job.name()), value, source);
    Some(job)
}

#[cfg(test)]
mod tests {
    use crate::config::load::{ConfigError, Flags, Loaded, load};

    fn loaded(text: &str) -> Result<Loaded, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("simctl.toml");
        std::fs::write(&path, text).unwrap();
        let state_dir = Some("/state".into());
        load(&Flags { config: Some(path), state_dir, ..Flags::default() }, &|_| None)
    }

    #[test]
    fn unset_it_is_in_the_state_directory_with_the_documented_bounds() {
        let backup = loaded("").unwrap().config.workbench.backup;
        assert_eq!(backup.location, std::path::Path::new("/state/backups"));
        assert_eq!((backup.keep.days, backup.keep.min_keep, backup.jobs.len()), (30, 3, 0));
    }

    #[test]
    fn a_job_is_read_with_its_defaults() {
        let text = "[[workbench.backup.job]]\ntarget = \"postgres-test\"\n\
                    [[workbench.backup.job]]\ntarget = \"postgres-test\"\ndatabase = \"app\"\n\
                    schedule = \"30 3 * * 1-5\"\ntime_zone = \"Europe/Berlin\"\n";
        let jobs = loaded(text).unwrap().config.workbench.backup.jobs;
        let told: Vec<_> = jobs.iter().map(|job| (job.name(), job.schedule.as_str())).collect();
        assert_eq!(
            told,
            [("postgres-test".into(), "0 2 * * *"), ("postgres-test/app".into(), "30 3 * * 1-5")]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_its_line() {
        for (text, said) in [
            ("[[workbench.backup.job]]\ntarget = \"redis-test\"\n", ":2: a job needs the `target`"),
            ("[[workbench.backup.job]]\n", "a job needs the `target`"),
            (
                "[[workbench.backup.job]]\ntarget = \"postgres-test\"\nschedule = \"daily\"\n",
                ":3: `daily` is no schedule",
            ),
            (
                "[[workbench.backup.job]]\ntarget = \"postgres-test\"\ntime_zone = \"Mars\"\n",
                ":3: `Mars` is no time zone",
            ),
            (
                "[[workbench.backup.job]]\ntarget = \"postgres-test\"\n\
                 [[workbench.backup.job]]\ntarget = \"postgres-test\"\n",
                "by another job already",
            ),
            (
                "[workbench.backup]\nverify_on = \"nobody\"\n",
                ":2: `nobody` is no PostgreSQL target",
            ),
            ("[workbench.backup]\nmin_keep = 0\n", "write 1 or more"),
            ("[workbench.backup]\ncron = \"x\"\n", "unknown key `workbench.backup.cron`"),
        ] {
            let problems = loaded(text).expect_err(text).to_string();
            assert!(problems.contains(said), "{text}: {problems}");
        }
    }
}
