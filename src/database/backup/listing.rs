//! What backups there are, and which database has none that counts.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::super::Outcome;
use super::catalogue::{Catalogue, Entry, Spoilt};
use super::megabytes;
use super::record::Level;

/// Every backup, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct BackupsResponse {
    pub success: bool,
    pub location: String,
    pub backups: Vec<BackupLine>,
    /// What lies among them and is none.
    pub not_backups: Vec<Spoilt>,
    pub alarms: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct BackupLine {
    pub backup_file: String,
    pub target: String,
    pub database: String,
    pub taken_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub size_mb: f64,
    pub tables: usize,
    /// 1, 2 or 3; none: it was never verified, or failed.
    pub verified: Option<Level>,
    pub verified_at: Option<DateTime<Utc>>,
    /// Why its last verification failed.
    pub broken: Vec<String>,
    pub pinned: bool,
}

impl BackupLine {
    fn of(entry: &Entry) -> Self {
        let (manifest, record) = (&entry.manifest, &entry.record);
        let verified = record.verified();
        Self {
            backup_file: entry.name.clone(),
            target: manifest.target.clone(),
            database: manifest.database.clone(),
            taken_at: manifest.taken_at,
            finished_at: record.finished_at,
            size_mb: megabytes(manifest.bytes()),
            tables: manifest.contents.tables.len(),
            verified: verified.map(|one| one.level),
            verified_at: verified.map(|one| one.at),
            broken: record.broken().map(|one| one.problems.clone()).unwrap_or_default(),
            pinned: record.pinned,
        }
    }
}

/// Lists them; of one database, or of all.
pub fn list(
    catalogue: &Catalogue,
    database: Option<&str>,
    alarms: Vec<String>,
) -> Outcome<BackupsResponse> {
    let (all, not_backups) = catalogue.list()?;
    let asked = |entry: &&Entry| database.is_none_or(|name| entry.manifest.database == name);
    Ok(BackupsResponse {
        success: true,
        location: catalogue.location().display().to_string(),
        backups: all.iter().filter(asked).map(BackupLine::of).collect(),
        not_backups,
        alarms,
    })
}
