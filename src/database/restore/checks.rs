//! What must hold before a backup is restored, and before the copy may take the place of what is there.

use std::collections::BTreeSet;

use super::super::backup::catalogue::Entry;
use super::super::backup::disk::{self, Room};
use super::super::backup::manifest::Scope;
use super::super::backup::{Standing, megabytes};
use super::super::{Code, Failure, Outcome, Workbench};
use super::RestoreRequest;
use crate::targets::postgres::PgConnection;

const STANDING: &str = "SELECT pg_is_in_recovery()";
const ROLES: &str = "SELECT rolname::text FROM pg_roles";
const EXTENSIONS: &str = "SELECT name::text FROM pg_available_extensions";

/// What holds the database to its name.
const HOLDERS: &str = "
SELECT 'replication slot ' || slot_name FROM pg_replication_slots WHERE database = $1
UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = $1
UNION ALL SELECT 'subscription ' || subname FROM pg_subscription s
  WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = $1)";

/// The backup is of the database that was named, and can become one here.
pub(crate) async fn can_be_restored(
    bench: &Workbench,
    session: &PgConnection,
    entry: &Entry,
    request: &RestoreRequest,
) -> Outcome<()> {
    let manifest = &entry.manifest;
    right_database(entry, request)?;
    let ask = |sql: &'static str| session.query(sql, &[]);
    let failed = |error| Failure::of_postgres(&error);
    if ask(STANDING).await.map_err(failed)?.first().is_some_and(|row| row.get(0)) {
        let hint = "name the primary as the target";
        return Err(Failure::refused("this server is a standby and cannot be restored into", hint));
    }
    let standing = Standing::of(session).await?;
    if standing.major() < manifest.server_version_num / 10_000 {
        let (is, was) = (&standing.version, &manifest.server_version);
        let message = format!("the backup is of a PostgreSQL {was}, and this server is a {is}");
        return Err(Failure::refused(message, "restore it on a server at least as new"));
    }
    let names = |rows: Vec<tokio_postgres::Row>| -> BTreeSet<String> {
        rows.iter().map(|row| row.get(0)).collect()
    };
    let extensions = names(ask(EXTENSIONS).await.map_err(failed)?);
    let lacking = manifest.contents.extensions.keys().filter(|name| !extensions.contains(*name));
    lacks("extension", lacking, "install it on the server; nothing was changed")?;
    if !request.no_owner {
        let roles = names(ask(ROLES).await.map_err(failed)?);
        let owner = std::iter::once(&manifest.settings.owner);
        let lacking =
            manifest.contents.roles.iter().chain(owner).filter(|name| !roles.contains(*name));
        let hint = "create it (globals.sql of the backup says how), or give `--no-owner`; nothing was changed";
        lacks("role", lacking, hint)?;
    }
    match disk::room(bench, session, manifest.database_bytes).await? {
        Room::TooLittle { free, needed } => {
            let (free, needed) = (megabytes(free), megabytes(needed));
            let message =
                format!("a copy needs {needed} MB on the server's disk and {free} MB are free");
            Err(Failure::new(Code::Unavailable, message, "free disk space; nothing was changed"))
        }
        Room::Enough | Room::Unknown => Ok(()),
    }
}

/// A backup of one database does not become another.
pub(crate) fn right_database(entry: &Entry, request: &RestoreRequest) -> Outcome<()> {
    let (is, name) = (&entry.manifest.database, &entry.name);
    match &request.target_database {
        Some(wanted) if wanted != is => Err(Failure::refused(
            format!("the backup {name} is of database {is}, not of {wanted}"),
            format!("leave the database out to restore {is}, or choose a backup of {wanted}"),
        )),
        _ => Ok(()),
    }
}

/// The copy may take the name.
pub(crate) async fn can_be_swapped(session: &PgConnection, entry: &Entry) -> Outcome<()> {
    let manifest = &entry.manifest;
    if manifest.scope == Scope::Schema {
        let message = format!("the backup {} holds no rows", entry.name);
        return Err(Failure::refused(message, "restore it beside, without `--swap`"));
    }
    let standing = Standing::of(session).await?;
    if standing.system != manifest.system {
        let message =
            format!("the backup {} is of another server's {}", entry.name, manifest.database);
        let hint = "restore it beside, without `--swap`, and rename it yourself if that is meant";
        return Err(Failure::refused(message, hint));
    }
    let rows = session.query(HOLDERS, &[&manifest.database]).await;
    let rows = rows.map_err(|error| Failure::of_postgres(&error))?;
    let holders: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if holders.is_empty() {
        return Ok(());
    }
    let message = format!("{} holds on to {}", holders.join(", "), manifest.database);
    Err(Failure::refused(message, "drop it, or end it, first; nothing was changed"))
}

fn lacks<'a>(
    what: &str,
    names: impl Iterator<Item = &'a String>,
    hint: &'static str,
) -> Outcome<()> {
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        return Ok(());
    }
    let listed: Vec<&str> = names.into_iter().collect();
    Err(Failure::refused(format!("this server has no {what} {}", listed.join(", ")), hint))
}
