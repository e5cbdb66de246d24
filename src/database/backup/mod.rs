//! Backups: taken by the real `pg_dump` together with what the database holds at that same moment, finished or not
//! there at all, and proven by restoring them.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Code, Failure, Outcome, Workbench};
use crate::targets::postgres::{PgConnection, Session};

pub mod catalogue;
pub(crate) mod disk;
mod dump;
pub mod job;
pub mod keeper;
pub mod listing;
pub mod manifest;
pub mod name;
pub mod progress;
pub mod prune;
pub mod record;
pub mod retention;
pub mod schedule;
pub(crate) mod scratch;
pub(crate) mod settings;
pub(crate) mod sums;
pub(crate) mod survey;
pub mod timetable;
pub(crate) mod tools;
pub mod verify;

pub use job::Job;
pub use verify::{VerifyRequest, VerifyResponse};

use catalogue::Entry;
use manifest::{Manifest, Scope};
use record::{Level, Verified};

pub(crate) const DUMP: &str = "dump";
/// A database that is dumped by several processes at once becomes a folder.
pub(crate) const DUMP_FOLDER: &str = "dump.d";
pub(crate) const GLOBALS: &str = "globals.sql";

/// What to back up, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupRequest {
    /// `[A-Za-z0-9_-]{1,64}`; unset: database and time.
    pub backup_name: Option<String>,
    /// Unset: the target's own.
    pub database: Option<String>,
    pub compress: bool,
    /// Unset: read whole, and restored when it is the first or the week's.
    pub verify: Option<Level>,
    /// Kept until somebody takes the pin away.
    pub pin: bool,
    pub scope: Scope,
}

impl Default for BackupRequest {
    fn default() -> Self {
        let (backup_name, database, verify) = (None, None, None);
        Self { backup_name, database, compress: true, verify, pin: false, scope: Scope::Full }
    }
}

/// A backup that was made.
#[derive(Clone, Debug, Serialize)]
pub struct BackupResponse {
    pub success: bool,
    /// Its name, as every other command takes it.
    pub backup_file: String,
    pub path: PathBuf,
    pub size_mb: f64,
    /// Seconds, without the verification.
    pub duration: f64,
    pub verified: Verified,
    pub lsn: Option<String>,
    pub tables: usize,
    /// Tables whose rows were not hashed, beyond the byte budget.
    pub unhashed: Vec<String>,
    pub manifest: Manifest,
}

/// Takes a backup and verifies it. Told to stop, it leaves nothing behind: no file, no database, no session.
pub async fn now(
    job: &Job<'_>,
    request: &BackupRequest,
    stop: &CancellationToken,
) -> Outcome<BackupResponse> {
    let taken = dump::take(job, request, stop).await?;
    let level = match request.verify {
        Some(level) => level,
        None if request.scope == Scope::Schema => Level::Read,
        None => job.next_level(&taken)?,
    };
    let (entry, verified) = verify::verify_entry(job, taken, level, stop).await?;
    Ok(response(entry, verified))
}

fn response(entry: Entry, verified: Verified) -> BackupResponse {
    let Entry { name, dir, manifest, record } = entry;
    BackupResponse {
        success: verified.is_ok(),
        backup_file: name,
        path: dir,
        size_mb: megabytes(manifest.bytes()),
        duration: Duration::from_millis(record.duration_ms).as_secs_f64(),
        verified,
        lsn: manifest.lsn.clone(),
        tables: manifest.contents.tables.len(),
        unhashed: if manifest.scope == Scope::Full {
            manifest.contents.unhashed()
        } else {
            Vec::new()
        },
        manifest,
    }
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e4).round() / 100.0
}

/// The job was told to stop.
pub(crate) fn stopped(what: &str) -> Failure {
    Failure::new(
        Code::Conflict,
        format!("{what} was stopped; nothing is left of it"),
        "start it again",
    )
}

/// What a server says about itself.
pub(crate) struct Standing {
    pub(crate) version: String,
    pub(crate) version_num: i32,
    pub(crate) system: String,
    pub(crate) database: String,
    pub(crate) bytes: u64,
}

impl Standing {
    const SQL: &str = "
SELECT current_setting('server_version'), current_setting('server_version_num')::int4,
    (SELECT system_identifier::text FROM pg_control_system()), current_database()::text,
    pg_database_size(current_database())";

    pub(crate) async fn of(session: &PgConnection) -> Outcome<Self> {
        let row = session.query_one(Self::SQL, &[]).await;
        let row = row.map_err(|error| Failure::of_postgres(&error))?;
        Ok(Self {
            version: row.get(0),
            version_num: row.get(1),
            system: row.get(2),
            database: row.get(3),
            bytes: row.get::<_, i64>(4).unsigned_abs(),
        })
    }

    pub(crate) fn major(&self) -> i32 {
        self.version_num / 10_000
    }
}

/// A session that is in none of these databases, to make and rename them.
pub(crate) async fn maintenance(bench: &Workbench, not_in: &[&str]) -> Outcome<PgConnection> {
    let mut last = None;
    for database in ["postgres", "template1"] {
        if not_in.contains(&database) {
            continue;
        }
        match bench.connect(super::As::Fixer, Some(database), Session::Fixer, "databases").await {
            Ok(session) => return Ok(session),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::refused("there is no database to do this from", "create `postgres`")
    }))
}

/// Milliseconds between two times.
pub(crate) fn ms_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or_default()
}
