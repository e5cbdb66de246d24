//! Restoring: beside what is there, proven, and then, when that is wanted, in its place. The live database is never
//! written to, and the one that is replaced is kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::backup::catalogue::Entry;
use super::backup::manifest::{Manifest, Settings};
use super::backup::progress::Progress;
use super::backup::record::{Level, Verified};
use super::backup::verify::{self, Ownership};
use super::backup::{Job, Standing, maintenance, ms_between, name, scratch, settings, stopped};
use super::jobs::{self, Recorded};
use super::writes::{Change, Permit};
use super::{As, Failure, Outcome, Workbench};
use crate::targets::postgres::{PgConnection, Session};

mod checks;
pub mod kept;
pub mod note;
pub mod resume;
mod settle;
mod swap;
pub mod table;
#[cfg(test)]
mod testing;

use note::{Held, Note, Notes, Step};
use swap::Move;

/// What to restore, and where to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreRequest {
    /// The backup's name.
    pub backup_file: String,
    /// Put the copy in the place of the database, which is kept under another name.
    pub drop_existing: bool,
    /// Only this table, into a schema of its own of the live database.
    pub table: Option<String>,
    /// Must be the database that the backup is of.
    pub target_database: Option<String>,
    /// Everything belongs to whoever restores it.
    pub no_owner: bool,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreResponse {
    pub success: bool,
    pub backup_file: String,
    /// The database, or the schema of a single table.
    pub restored_as: String,
    pub verified: Verified,
    pub swapped: bool,
    /// What the replaced database is called now.
    pub kept_as: Option<String>,
    /// For how long clients were kept out.
    pub swap_ms: Option<u64>,
    pub tables: usize,
    pub remarks: Vec<String>,
}

/// What a swap would do, for the person who decides.
#[derive(Clone, Debug, Serialize)]
pub struct SwapPlan {
    pub backup_file: String,
    pub taken_at: DateTime<Utc>,
    pub database: String,
    /// None: there is no such database now.
    pub live_bytes: Option<u64>,
    pub clients: u64,
}

/// Looks at what a swap would do; changes nothing.
pub async fn plan(job: &Job<'_>, request: &RestoreRequest) -> Outcome<SwapPlan> {
    const LIVE: &str = "
SELECT pg_database_size(d.oid), (SELECT count(*) FROM pg_stat_activity a
    WHERE a.datid = d.oid AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid())
  FROM pg_database d WHERE d.datname = $1";
    let entry = job.catalogue.find(&request.backup_file)?;
    checks::right_database(&entry, request)?;
    let database = entry.manifest.database.clone();
    let session = maintenance(job.bench, &[&database]).await?;
    checks::can_be_swapped(&session, &entry).await?;
    let row = session.query_opt(LIVE, &[&database]).await;
    let row = row.map_err(|error| Failure::of_postgres(&error))?;
    session.close().await;
    Ok(SwapPlan {
        backup_file: entry.name,
        taken_at: entry.manifest.taken_at,
        database,
        live_bytes: row.as_ref().map(|row| row.get::<_, i64>(0).unsigned_abs()),
        clients: row.as_ref().map_or(0, |row| row.get::<_, i64>(1).unsigned_abs()),
    })
}

/// What a restore would change: what a person agrees to.
pub fn change(job: &Job<'_>, request: &RestoreRequest) -> Outcome<Change> {
    let entry = job.catalogue.find(&request.backup_file)?;
    checks::right_database(&entry, request)?;
    change_of(job.bench, &entry, request)
}

fn change_of(bench: &Workbench, entry: &Entry, request: &RestoreRequest) -> Outcome<Change> {
    let Manifest { database, taken_at, .. } = &entry.manifest;
    let name = format!("the backup {} of {}", entry.name, taken_at.format("%Y-%m-%d %H:%M:%S UTC"));
    let what = match &request.table {
        Some(_) if request.drop_existing => {
            let hint = "leave one of both out";
            return Err(Failure::invalid("a single table takes no database's place", hint));
        }
        Some(table) => {
            let table = table::meant(entry, table)?.shown();
            format!("restore {table} of {name} into a schema of its own in {database}")
        }
        None if request.drop_existing => {
            format!(
                "restore {name} and put it in the place of {database}, which is kept under another name"
            )
        }
        None => format!("restore {name} into a database of its own"),
    };
    Change::of(bench, Some(database), vec![what], request.drop_existing)
}

/// Restores a backup. Whatever fails, the live database is untouched and nothing of the copy is left.
pub async fn restore(
    job: &Job<'_>,
    request: &RestoreRequest,
    permit: Option<&Permit>,
    stop: &CancellationToken,
) -> Outcome<RestoreResponse> {
    let entry = job.catalogue.find(&request.backup_file)?;
    checks::right_database(&entry, request)?;
    let change = change_of(job.bench, &entry, request)?;
    let permit = change.permitted(job.bench, permit)?;
    let (entry, verified) = sound(job, entry, stop).await?;
    let words = change.statements.clone();
    let record = Recorded::begin(job.bench, "restore", &change, words, &permit).await?;
    let mut done = match &request.table {
        Some(_) => table::restore(job, request, entry, verified, stop).await,
        None => database(job, request, entry, verified, stop).await,
    };
    let remark = record.end(jobs::ended(&done)).await;
    if let Ok(done) = &mut done {
        done.remarks.extend(remark);
    }
    done
}

async fn database(
    job: &Job<'_>,
    request: &RestoreRequest,
    entry: Entry,
    verified: Verified,
    stop: &CancellationToken,
) -> Outcome<RestoreResponse> {
    let session = maintenance(job.bench, &[&entry.manifest.database]).await?;
    checks::can_be_restored(job.bench, &session, &entry, request).await?;
    if request.drop_existing {
        checks::can_be_swapped(&session, &entry).await?;
    }
    let mut held = Notes::of(&job.catalogue)?.begin(first_note(job, &session, &entry).await?)?;
    let copied = tokio::select! {
        copied = Box::pin(copy(job, &session, &entry, request, &mut held)) => copied,
        () = stop.cancelled() => Err(stopped("the restore")),
    };
    session.close().await;
    if let Err(failure) = copied {
        give_up(job.bench, held).await?;
        return Err(failure);
    }
    let verified = Verified { level: Level::Restored, at: (job.clock)(), ..verified };
    let mut response = RestoreResponse::of(&entry, held.note.copy_name.clone(), verified);
    if !request.drop_existing {
        held.forget()?;
        return Ok(response);
    }
    job.teller.tell(Progress::of("swap"));
    response.swap_ms = Some(take_the_name(job, &entry, &mut held).await?);
    response.swapped = true;
    response.restored_as.clone_from(&held.note.database);
    response.kept_as = held.note.live.map(|_| held.note.kept_name.clone());
    if held.note.live.is_none() {
        held.forget()?;
    }
    Ok(response)
}

impl RestoreResponse {
    fn of(entry: &Entry, restored_as: String, verified: Verified) -> Self {
        Self {
            success: true,
            backup_file: entry.name.clone(),
            restored_as,
            verified,
            swapped: false,
            kept_as: None,
            swap_ms: None,
            tables: entry.manifest.contents.tables.len(),
            remarks: Vec::new(),
        }
    }
}

/// A backup that is not sound is refused with the reason before anything is made.
async fn sound(
    job: &Job<'_>,
    entry: Entry,
    stop: &CancellationToken,
) -> Outcome<(Entry, Verified)> {
    let (entry, verified) = verify::verify_entry(job, entry, Level::Read, stop).await?;
    if verified.is_ok() {
        return Ok((entry, verified));
    }
    let message = format!("the backup {} is broken: {}", entry.name, verified.problems.join("; "));
    Err(Failure::refused(message, "restore another one; nothing was changed"))
}

async fn first_note(job: &Job<'_>, session: &PgConnection, entry: &Entry) -> Outcome<Note> {
    let (database, now) = (entry.manifest.database.clone(), (job.clock)());
    Ok(Note {
        backup: entry.name.clone(),
        target: job.bench.target.id.to_string(),
        system: Standing::of(session).await?.system,
        live: oid(session, &database).await?,
        copy: None,
        copy_name: name::beside(&database, "restore", now),
        kept_name: name::beside(&database, "before", now),
        database,
        step: Step::Copying,
        began_at: now,
    })
}

pub(crate) async fn oid(session: &PgConnection, database: &str) -> Outcome<Option<u32>> {
    let row =
        session.query_opt("SELECT oid FROM pg_database WHERE datname = $1", &[&database]).await;
    Ok(row.map_err(|error| Failure::of_postgres(&error))?.map(|row| row.get(0)))
}

/// What a copy says about itself while it has a name of its own.
fn comment(entry: &Entry) -> String {
    format!(
        "simctl: restored from the backup {} of {}",
        entry.name,
        entry.manifest.taken_at.to_rfc3339()
    )
}

/// Makes the copy and proves it.
async fn copy(
    job: &Job<'_>,
    session: &PgConnection,
    entry: &Entry,
    request: &RestoreRequest,
    held: &mut Held,
) -> Outcome<()> {
    let (bench, name) = (job.bench, held.note.copy_name.clone());
    let wanted = &entry.manifest.settings;
    settings::create(session, &name, wanted, &comment(entry)).await?;
    held.note.copy = oid(session, &name).await?;
    held.write()?;
    let ownership = if request.no_owner {
        Ownership::Nobody { is_elsewhere: false }
    } else {
        Ownership::AsItWas
    };
    verify::restore_into(job, bench, entry, &name, ownership).await?;
    let problems = verify::compare(job, bench, entry, &name).await?;
    if !problems.is_empty() {
        let message = format!(
            "the copy does not hold what the backup's manifest says: {}",
            problems.join("; ")
        );
        return Err(Failure::refused(
            message,
            "the live database was not touched; restore another backup",
        ));
    }
    let login_owns =
        Settings { owner: bench.login(As::Fixer, None)?.user, grants: None, ..wanted.clone() };
    settings::apply(session, &name, if request.no_owner { &login_owns } else { wanted }).await?;
    job.teller.tell(Progress { at: Some("statistics".into()), ..Progress::of("restore") });
    let inside = bench.connect(As::Fixer, Some(&name), Session::Fixer, "restore").await?;
    settings::run(&inside, "ANALYZE").await?;
    inside.close().await;
    Ok(())
}

/// Takes back a copy that came to nothing.
async fn give_up(bench: &Workbench, held: Held) -> Outcome<()> {
    let session = maintenance(bench, &[&held.note.copy_name]).await?;
    scratch::drop_database(&session, &held.note.copy_name).await?;
    session.close().await;
    held.forget()
}

/// The copy takes the name. For how many milliseconds clients were kept out.
async fn take_the_name(job: &Job<'_>, entry: &Entry, held: &mut Held) -> Outcome<u64> {
    let session = maintenance(job.bench, &[&held.note.database, &held.note.copy_name]).await?;
    held.note.live = oid(&session, &held.note.database).await?;
    held.step(Step::Swapping)?;
    let began = (job.clock)();
    let note = &held.note;
    let leaves = Move { from: &note.database, to: &note.kept_name, comment: None };
    let comment = entry.manifest.settings.comment.as_deref().or(Some(""));
    let takes = Move { from: &note.copy_name, to: &note.database, comment };
    let exchanged = swap::exchange(&session, note.live.map(|_| &leaves), &takes).await;
    let took = ms_between(began, (job.clock)());
    session.close().await;
    if let Err(failure) = exchanged {
        // Whether it was done is not known when the answer was lost: the databases themselves tell.
        let told = resume::settle_one(job.bench, held, (job.clock)()).await;
        return match told {
            Ok(settled) if settled.swapped => Ok(took),
            Ok(settled) => Err(Failure {
                hint: Some(settled.sentence),
                message: format!("the names were not exchanged: {}", failure.message),
                ..failure
            }),
            Err(_) => Err(Failure {
                hint: Some("`simctl db restore --resume` finishes it or takes it back".into()),
                ..failure
            }),
        };
    }
    held.step(Step::Swapped)?;
    Ok(took)
}
