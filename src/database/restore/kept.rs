//! After a swap: the database that was replaced takes its name back, or goes for good.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::super::backup::{Job, Standing, maintenance, ms_between, scratch};
use super::super::jobs::{self, Recorded};
use super::super::writes::{Change, Permit};
use super::super::{Failure, Outcome, Workbench};
use super::note::{Held, Note, Notes, Step};
use super::resume;
use super::swap::{self, Move};

const LIST: &str = "`simctl db restore --list` shows what is kept";

/// A database that was replaced and is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    pub name: String,
    pub database: String,
    pub backup: String,
    pub replaced_at: DateTime<Utc>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct KeptResponse {
    pub success: bool,
    pub kept: Vec<Kept>,
}

/// What became of a database that was kept.
#[derive(Clone, Debug, Serialize)]
pub struct UndoResponse {
    pub success: bool,
    pub database: String,
    /// What the restored copy is called now; none: the kept one was dropped.
    pub restored_as: Option<String>,
    pub swap_ms: Option<u64>,
    pub remarks: Vec<String>,
}

/// What is kept on this server.
pub async fn list(job: &Job<'_>) -> Outcome<KeptResponse> {
    let kept = swapped(job).await?.iter().map(|held| shown(&held.note)).collect();
    Ok(KeptResponse { success: true, kept })
}

fn shown(note: &Note) -> Kept {
    Kept {
        name: note.kept_name.clone(),
        database: note.database.clone(),
        backup: note.backup.clone(),
        replaced_at: note.began_at,
    }
}

async fn swapped(job: &Job<'_>) -> Outcome<Vec<Held>> {
    let session = maintenance(job.bench, &[]).await?;
    let system = Standing::of(&session).await?.system;
    session.close().await;
    let waiting = Notes::of(&job.catalogue)?.waiting()?;
    let ours = |held: &Held| held.note.step == Step::Swapped && held.note.system == system;
    Ok(waiting.into_iter().filter(ours).collect())
}

/// The one of that name, kept or of the database that was replaced; of several the newest.
async fn find(job: &Job<'_>, name: &str) -> Outcome<Held> {
    let all = swapped(job).await?;
    let is_meant = |held: &Held| held.note.kept_name == name || held.note.database == name;
    all.into_iter().rev().find(is_meant).ok_or_else(|| {
        Failure::invalid(
            format!("nothing is kept that is called {name} or was replaced under that name"),
            LIST,
        )
    })
}

/// What would be acted on, for the person who decides.
pub async fn look(job: &Job<'_>, name: &str) -> Outcome<Kept> {
    Ok(shown(&find(job, name).await?.note))
}

/// What giving the name back would change.
pub fn change_of_undo(bench: &Workbench, kept: &Kept) -> Outcome<Change> {
    let Kept { name, database, backup, .. } = kept;
    let what = format!(
        "give {name} the name {database} back; what was restored from {backup} is put aside"
    );
    Change::of(bench, Some(database), vec![what], true)
}

/// What dropping it would change.
pub fn change_of_drop(bench: &Workbench, kept: &Kept) -> Outcome<Change> {
    let Kept { name, database, backup, .. } = kept;
    let what =
        format!("drop {name} for good: it is {database} from before the restore of {backup}");
    Change::of(bench, Some(name), vec![what], true)
}

/// The replaced database takes its name back; the copy gets its own again.
pub async fn undo(job: &Job<'_>, name: &str, permit: Option<&Permit>) -> Outcome<UndoResponse> {
    let held = find(job, name).await?;
    let change = change_of_undo(job.bench, &shown(&held.note))?;
    let permit = change.permitted(job.bench, permit)?;
    let words = change.statements.clone();
    let record = Recorded::begin(job.bench, "undo restore", &change, words, &permit).await?;
    let done = change_back(job, held).await;
    recorded(record, done).await
}

async fn recorded(record: Recorded, mut done: Outcome<UndoResponse>) -> Outcome<UndoResponse> {
    let remark = record.end(jobs::ended(&done)).await;
    if let Ok(done) = &mut done {
        done.remarks.extend(remark);
    }
    done
}

async fn change_back(job: &Job<'_>, mut held: Held) -> Outcome<UndoResponse> {
    held.step(Step::SwappingBack)?;
    let note = held.note.clone();
    let session =
        maintenance(job.bench, &[&note.database, &note.copy_name, &note.kept_name]).await?;
    let began = (job.clock)();
    let comment = format!("simctl: restored from the backup {}, and put aside again", note.backup);
    let leaves = Move { from: &note.database, to: &note.copy_name, comment: Some(&comment) };
    let takes = Move { from: &note.kept_name, to: &note.database, comment: None };
    let exchanged = swap::exchange(&session, Some(&leaves), &takes).await;
    session.close().await;
    if let Err(failure) = exchanged {
        let settled = resume::settle_one(job.bench, &mut held, (job.clock)()).await?;
        if settled.swapped {
            return Err(Failure { hint: Some(settled.sentence), ..failure });
        }
    }
    let swap_ms = Some(ms_between(began, (job.clock)()));
    held.forget()?;
    Ok(UndoResponse {
        success: true,
        database: note.database,
        restored_as: Some(note.copy_name),
        swap_ms,
        remarks: Vec::new(),
    })
}

/// Drops what was kept; there is no undo after that.
pub async fn drop_kept(
    job: &Job<'_>,
    name: &str,
    permit: Option<&Permit>,
) -> Outcome<UndoResponse> {
    let held = find(job, name).await?;
    let change = change_of_drop(job.bench, &shown(&held.note))?;
    let permit = change.permitted(job.bench, permit)?;
    let words = change.statements.clone();
    let record = Recorded::begin(job.bench, "drop kept database", &change, words, &permit).await?;
    let done = drop_it(job, held).await;
    recorded(record, done).await
}

async fn drop_it(job: &Job<'_>, held: Held) -> Outcome<UndoResponse> {
    let session = maintenance(job.bench, &[&held.note.kept_name]).await?;
    if super::oid(&session, &held.note.kept_name).await? != held.note.live {
        let message = format!("{} is not the database that was kept", held.note.kept_name);
        return Err(Failure::refused(message, "somebody renamed it; look, and drop it yourself"));
    }
    scratch::drop_database(&session, &held.note.kept_name).await?;
    session.close().await;
    let database = held.note.database.clone();
    held.forget()?;
    Ok(UndoResponse {
        success: true,
        database,
        restored_as: None,
        swap_ms: None,
        remarks: Vec::new(),
    })
}
