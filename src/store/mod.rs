//! Where events and the rows derived from them are kept: PostgreSQL, or SQLite as its embedded twin.
//!
//! [`open`] picks by URL and migrates. [`rows`] says which rows follow from an event, [`journal`] keeps events
//! while the store is away, [`audit`] proves that nobody changed the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use sqlx::Connection as _;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use tokio::time::timeout;

use crate::config::secret::Secret;
use crate::ports::store::{Store, StoreError};
use database::Database;
use postgres::Pg;
use sql::Dialect as _;
use sqlite::Lite;

pub mod audit;
mod database;
mod failure;
mod filter;
pub mod journal;
mod merge;
mod past;
mod postgres;
mod read;
mod record;
pub mod rows;
mod sql;
mod sqlite;
mod times;
mod words;
mod write;

/// How long opening may take, with a first migration on a slow disk.
const OPEN_BOUND: Duration = Duration::from_secs(20);
const CONNECT_BOUND: Duration = Duration::from_secs(3);
/// The file of a SQLite store whose URL names none.
const DEFAULT_FILE: &str = "store.db";

/// Opens the store that `url` names and brings its tables up to date. `sqlite:` alone is a file in `state_dir`.
pub async fn open(url: &Secret, state_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let url = url.reveal();
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => open_postgres(url).await,
        Some("sqlite") => open_sqlite(&sqlite_file(url, state_dir)).await,
        Some(scheme) => Err(bad_url(&format!("`{scheme}:` is no store"))),
        None => Err(bad_url("it has no scheme")),
    }
}

fn bad_url(reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: "the store's URL".into(),
        reason: format!("{reason}; give postgres://USER@HOST:PORT/DATABASE or sqlite:FILE"),
    }
}

/// Forgets what this machine remembers of a PostgreSQL store that was removed on purpose.
pub fn forget(url: &Secret, state_dir: &Path) -> anyhow::Result<()> {
    let pg = Pg::new(url.reveal()).map_err(|_| bad_url("it cannot be read"))?;
    let dir = audit::anchor_dir_at(state_dir, &pg.masked());
    audit::forget(&dir).with_context(|| format!("remove {}", dir.display()))
}

async fn open_postgres(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    // The parser's own words may quote the URL, password and all.
    let pg = Pg::new(url).map_err(|_| bad_url("it cannot be read"))?;
    let masked = pg.masked();
    let connecting = timeout(CONNECT_BOUND, pg.unhurried()).await;
    let mut conn = connecting
        .map_err(|_| failure::too_late(&masked, CONNECT_BOUND))
        .and_then(|connected| connected.map_err(|error| database::open_error(error, &masked)))
        .map_err(with_remedy)?;
    let migrating =
        timeout(OPEN_BOUND, migrations(POSTGRES).run_direct(None, &mut conn, false)).await;
    migrating
        .map_err(|_| failure::too_late(&masked, OPEN_BOUND))?
        .map_err(|error| migration_error(error, &masked))?;
    // Nothing is lost with this connection when it does not close in order.
    let _ = timeout(CONNECT_BOUND, conn.close()).await;
    Ok(Arc::new(Database::new(pg, masked)))
}

async fn open_sqlite(file: &Path) -> Result<Arc<dyn Store>, StoreError> {
    let shown = format!("sqlite:{}", file.display());
    let unreachable =
        |source: anyhow::Error| StoreError::Unreachable { url: shown.clone(), source };
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("create the directory {}", dir.display()))
            .map_err(|error| with_remedy(unreachable(error)))?;
    }
    let lite = Lite::new(file);
    let mut conn =
        lite.connect().await.map_err(|error| with_remedy(database::open_error(error, &shown)))?;
    let mut migrated = migrations(SQLITE).run_direct(None, &mut conn, false).await;
    for _ in SQLITE {
        if migrated.is_ok() {
            break;
        }
        // Another process may have been creating the same tables: then they are there now, and it is at the next.
        migrated = migrations(SQLITE).run_direct(None, &mut conn, false).await;
    }
    migrated.map_err(|error| migration_error(error, &shown))?;
    let _ = conn.close().await;
    Ok(Arc::new(Database::new(lite, shown)))
}

/// `sqlite:FILE`, `sqlite://FILE`, or nothing but the scheme.
fn sqlite_file(url: &str, state_dir: &Path) -> PathBuf {
    let rest = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split('?').next().unwrap_or_default();
    if path.is_empty() { state_dir.join(DEFAULT_FILE) } else { PathBuf::from(path) }
}

/// Adds what to do next to an error of opening.
fn with_remedy(error: StoreError) -> StoreError {
    const REMEDY: &str = "start it, or name another store with --store";
    match error {
        StoreError::Unreachable { url, source } => {
            StoreError::Unreachable { url, source: anyhow!("{source:#}; {REMEDY}") }
        }
        StoreError::Failed { verb, source } => StoreError::Failed {
            verb,
            source: anyhow!("{source:#}; check user, password and database, or {REMEDY}"),
        },
        other => other,
    }
}

fn migration_error(error: MigrateError, url: &str) -> StoreError {
    let verb = "open the tables";
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => StoreError::Failed {
            verb,
            source: anyhow!(
                "{url} was written by another version of simctl ({error}); use that version, or name another \
                 store with --store"
            ),
        },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            failure::store_error(error, verb, url)
        }
        other => StoreError::Failed { verb, source: other.into() },
    }
}

/// Version, name and text of each migration, in order.
type Migrations = &'static [(i64, &'static str, &'static str)];

const POSTGRES: Migrations = &[
    (1, "store", include_str!("../../migrations/postgres/0001_store.sql")),
    (2, "alike", include_str!("../../migrations/postgres/0002_alike.sql")),
];
const SQLITE: Migrations = &[
    (1, "store", include_str!("../../migrations/sqlite/0001_store.sql")),
    (2, "alike", include_str!("../../migrations/sqlite/0002_alike.sql")),
];

/// Run with `run_direct`: the future of `run` cannot be seen to be `Send`.
fn migrations(list: Migrations) -> Migrator {
    let migrations = list.iter().map(|(version, name, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(*version, (*name).into(), kind, (*sql).into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_sqlite_url_names_a_file() {
        let state = Path::new("/state");
        for (url, file) in [
            ("sqlite:", "/state/store.db"),
            ("sqlite://", "/state/store.db"),
            ("sqlite:/a/b.db", "/a/b.db"),
            ("sqlite:///a/b.db?mode=rwc", "/a/b.db"),
            ("sqlite:b.db", "b.db"),
        ] {
            assert_eq!(sqlite_file(url, state), Path::new(file), "{url}");
        }
    }

    #[tokio::test]
    async fn a_url_that_names_no_store_is_refused_with_what_to_write_instead() {
        for url in ["mysql://root:hunter2@x/y", "hunter2", "", "postgres://u:hunter2@h:notaport/d"]
        {
            let Err(error) = open(&Secret::new(url), Path::new("/nowhere")).await else {
                panic!("{url} was opened");
            };
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("postgres://USER@HOST"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
