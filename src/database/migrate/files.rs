//! The user's directory of migrations: `0001_name.sql`, or `0001_name.up.sql` with its `.down.sql`; what was applied
//! against what is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sqlx::migrate::{AppliedMigration, Migration, MigrationType, Migrator};

use super::super::{Failure, Outcome};

/// One migration that was found.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) up: Migration,
    pub(crate) up_file: PathBuf,
    pub(crate) down: Option<(Migration, PathBuf)>,
}

/// A line of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    pub version: i64,
    pub migration_file: String,
    pub reversible: bool,
}

/// All of them, by version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripts {
    pub(crate) dir: PathBuf,
    pub(crate) all: BTreeMap<i64, Script>,
}

impl Script {
    pub(crate) fn version(&self) -> i64 {
        self.up.version
    }

    pub(crate) fn shown(&self) -> Version {
        Version {
            version: self.version(),
            migration_file: self.up_file.display().to_string(),
            reversible: self.down.is_some(),
        }
    }
}

impl Scripts {
    /// Reads the directory.
    pub(crate) async fn read(dir: &Path) -> Outcome<Self> {
        let unreadable = |reason: String| {
            let hint = "name the directory with `--dir`, with files like 0001_name.up.sql and 0001_name.down.sql";
            Failure::invalid(format!("read the migrations in {}: {reason}", dir.display()), hint)
        };
        let paths = paths(dir).map_err(|error| unreadable(error.to_string()))?;
        let migrator = Migrator::new(dir).await.map_err(|error| unreadable(error.to_string()))?;
        let mut scripts = Self { dir: dir.to_owned(), all: BTreeMap::new() };
        let mut downs = Vec::new();
        for migration in migrator.iter() {
            let is_down = migration.migration_type == MigrationType::ReversibleDown;
            let path = paths.get(&(migration.version, is_down)).cloned().unwrap_or_default();
            match path.as_slice() {
                [file] if is_down => downs.push((migration.clone(), file.clone())),
                [file] => {
                    let script =
                        Script { up: migration.clone(), up_file: file.clone(), down: None };
                    scripts.all.insert(migration.version, script);
                }
                several => return Err(twice(migration.version, several)),
            }
        }
        for (down, file) in downs {
            match scripts.all.get_mut(&down.version) {
                Some(script) => script.down = Some((down, file)),
                None => {
                    let message = format!("{} has no migration that it takes back", file.display());
                    return Err(Failure::invalid(message, "add its `.up.sql`, or remove it"));
                }
            }
        }
        Ok(scripts)
    }

    /// Checks what was applied against the files; every problem names its file.
    pub(crate) fn check(&self, applied: &[AppliedMigration]) -> Outcome<()> {
        for one in applied {
            let version = one.version;
            let Some(script) = self.all.get(&version) else {
                let message = format!(
                    "version {version} was applied and its file is not in {}",
                    self.dir.display()
                );
                return Err(Failure::refused(message, "bring the file back; nothing was run"));
            };
            if script.up.checksum != one.checksum {
                let message =
                    format!("{} was changed after it was applied", script.up_file.display());
                let hint = "bring back the text that was applied, and put the change into a new file; nothing was run";
                return Err(Failure::refused(message, hint));
            }
        }
        Ok(())
    }

    /// What is there and was not applied.
    pub(crate) fn pending(&self, applied: &[AppliedMigration]) -> Vec<&Script> {
        let is_applied = |version: i64| applied.iter().any(|one| one.version == version);
        self.all.values().filter(|script| !is_applied(script.version())).collect()
    }

    /// What an upgrade to that target runs, in order.
    pub(crate) fn upgrade(
        &self,
        applied: &[AppliedMigration],
        target: Target,
    ) -> Outcome<Vec<&Script>> {
        let pending = self.pending(applied);
        let up_to = match target {
            Target::Head => return Ok(pending),
            Target::Steps(steps) => return Ok(pending.into_iter().take(steps).collect()),
            Target::Version(version) => version,
        };
        self.known(up_to)?;
        Ok(pending.into_iter().filter(|script| script.version() <= up_to).collect())
    }

    /// What a downgrade takes back, newest first.
    pub(crate) fn downgrade(
        &self,
        applied: &[AppliedMigration],
        target: Target,
    ) -> Outcome<Vec<&Script>> {
        let mut newest_first: Vec<i64> = applied.iter().map(|one| one.version).collect();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let goes: Vec<i64> = match target {
            Target::Head => newest_first.into_iter().take(1).collect(),
            Target::Steps(steps) => newest_first.into_iter().take(steps).collect(),
            Target::Version(0) => newest_first,
            Target::Version(version) => {
                self.known(version)?;
                newest_first.into_iter().filter(|applied| *applied > version).collect()
            }
        };
        goes.into_iter()
            .map(|version| {
                let script = self.all.get(&version).filter(|script| script.down.is_some());
                script.ok_or_else(|| self.no_way_back(version))
            })
            .collect()
    }

    fn known(&self, version: i64) -> Outcome<()> {
        if self.all.contains_key(&version) {
            return Ok(());
        }
        let message = format!("there is no migration {version} in {}", self.dir.display());
        Err(Failure::invalid(message, "`simctl db migrate status` lists the versions"))
    }

    fn no_way_back(&self, version: i64) -> Failure {
        let file = self.all.get(&version).map_or_else(
            || self.dir.join(format!("{version}_….down.sql")),
            |script| {
                let up = script.up_file.to_string_lossy();
                let stem =
                    up.strip_suffix(".up.sql").or_else(|| up.strip_suffix(".sql")).unwrap_or(&up);
                PathBuf::from(format!("{stem}.down.sql"))
            },
        );
        let message =
            format!("version {version} cannot be taken back: {} is missing", file.display());
        Failure::invalid(
            message,
            "write it, or restore the backup that was taken before it; nothing was run",
        )
    }
}

/// How far to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Up: everything that is pending; down: the newest one.
    #[default]
    Head,
    Version(i64),
    Steps(usize),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no target; write `head`, a version, or `-N` for so many steps");
        if text == "head" {
            return Ok(Self::Head);
        }
        match text.strip_prefix('-').or_else(|| text.strip_prefix('+')) {
            Some(steps) => {
                steps.parse().ok().filter(|steps| *steps > 0).map(Self::Steps).ok_or_else(wrong)
            }
            None => text
                .parse()
                .ok()
                .filter(|version| *version >= 0)
                .map(Self::Version)
                .ok_or_else(wrong),
        }
    }
}

type Paths = BTreeMap<(i64, bool), Vec<PathBuf>>;

/// Which file a version is, and whether it takes back.
fn paths(dir: &Path) -> std::io::Result<Paths> {
    let mut paths = Paths::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((version, rest)) = name.split_once('_') else { continue };
        if let Ok(version) = version.parse::<i64>()
            && rest.ends_with(".sql")
        {
            paths.entry((version, rest.ends_with(".down.sql"))).or_default().push(path);
        }
    }
    Ok(paths)
}

fn twice(version: i64, files: &[PathBuf]) -> Failure {
    let mut names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.sort();
    let message = format!("several files are version {version}: {}", names.join(", "));
    Failure::invalid(message, "give each a version of its own; nothing was run")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn scripts(files: &[&str]) -> Outcome<Scripts> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), format!("-- {file}")).unwrap();
        }
        Scripts::read(dir.path()).await
    }

    fn applied(scripts: &Scripts, versions: &[i64]) -> Vec<AppliedMigration> {
        let of = |version: &i64| AppliedMigration {
            version: *version,
            checksum: scripts
                .all
                .get(version)
                .map_or_else(|| vec![0].into(), |one| one.up.checksum.clone()),
        };
        versions.iter().map(of).collect()
    }

    fn versions(scripts: &[&Script]) -> Vec<i64> {
        scripts.iter().map(|script| script.version()).collect()
    }

    const THREE: [&str; 5] =
        ["1_a.up.sql", "1_a.down.sql", "2_b.up.sql", "2_b.down.sql", "10_c.sql"];

    #[tokio::test]
    async fn what_is_pending_goes_up_to_the_target_in_the_order_of_versions() {
        let all = scripts(&THREE).await.unwrap();
        let up = |done: &[i64], target| {
            all.upgrade(&applied(&all, done), target).map(|list| versions(&list))
        };
        assert_eq!(up(&[], Target::Head), Ok(vec![1, 2, 10]));
        assert_eq!(up(&[1], Target::Version(2)), Ok(vec![2]));
        assert_eq!(up(&[1], Target::Steps(1)), Ok(vec![2]));
        // One that was added late is not forgotten.
        assert_eq!(up(&[2], Target::Head), Ok(vec![1, 10]));
        let unknown = up(&[], Target::Version(7)).unwrap_err();
        assert!(unknown.message.starts_with("there is no migration 7 in "), "{}", unknown.message);
    }

    #[tokio::test]
    async fn what_was_applied_goes_back_newest_first_where_there_is_a_way_back() {
        let all = scripts(&THREE).await.unwrap();
        let down = |done: &[i64], target| {
            all.downgrade(&applied(&all, done), target).map(|list| versions(&list))
        };
        assert_eq!(down(&[1, 2], Target::Head), Ok(vec![2]));
        assert_eq!(down(&[1, 2], Target::Version(0)), Ok(vec![2, 1]));
        assert_eq!(down(&[1, 2], Target::Version(1)), Ok(vec![2]));
        assert_eq!(down(&[], Target::Head), Ok(vec![]));
        let missing = down(&[1, 2, 10], Target::Head).unwrap_err().message;
        assert!(missing.contains("10_c.down.sql is missing"), "{missing}");
    }

    #[tokio::test]
    async fn a_changed_and_a_lost_file_are_named() {
        let all = scripts(&THREE).await.unwrap();
        assert_eq!(all.check(&applied(&all, &[1, 2, 10])), Ok(()));
        let mut changed = applied(&all, &[1, 2]);
        changed[1].checksum = vec![1].into();
        assert!(all.check(&changed).unwrap_err().message.contains("2_b.up.sql was changed after"));
        let lost = all.check(&applied(&all, &[1, 5])).unwrap_err().message;
        assert!(lost.starts_with("version 5 was applied and its file is not in"), "{lost}");
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_refused_before_anything_runs() {
        for (files, said) in [
            (&["1_a.sql", "1_b.sql"][..], "several files are version 1"),
            (&["1_a.down.sql"], "has no migration that it takes back"),
            (&["x_a.sql"], "x_a.sql"),
        ] {
            let message = scripts(files).await.map(|_| ()).unwrap_err().message;
            assert!(message.contains(said), "{message}");
        }
        let nowhere = Scripts::read(Path::new("/nowhere")).await.map(|_| ()).unwrap_err();
        assert!(nowhere.message.contains("/nowhere"));
        assert!(scripts(&[]).await.unwrap().all.is_empty());
    }

    #[test]
    fn a_target_is_head_a_version_or_steps() {
        assert_eq!("head".parse(), Ok(Target::Head));
        assert_eq!("20260101".parse(), Ok(Target::Version(20_260_101)));
        assert_eq!("-2".parse(), Ok(Target::Steps(2)));
        for bad in ["", "-0", "-", "tail", "1.5", "--1"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
