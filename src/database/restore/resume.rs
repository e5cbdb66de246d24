//! After a crash: every restore that was broken off is finished or taken back, and told about.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::super::backup::catalogue::Catalogue;
use super::super::backup::{Standing, maintenance, scratch};
use super::super::{Failure, Outcome, Workbench};
use super::note::{Held, Note, Notes, Step};
use super::settle::{Names, Settle, settle};
use super::swap::{self, Move};
use crate::targets::postgres::PgConnection;

/// What became of one restore that was broken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    pub database: String,
    pub backup: String,
    /// Whether the restored copy has the name now.
    pub swapped: bool,
    pub sentence: String,
}

/// What became of all of them.
#[derive(Clone, Debug, Serialize)]
pub struct ResumeResponse {
    pub success: bool,
    pub settled: Vec<Settled>,
}

/// Settles what was broken off on this server. One that another process works on is left to it.
pub async fn resume(
    bench: &Workbench,
    catalogue: &Catalogue,
    now: DateTime<Utc>,
) -> Outcome<ResumeResponse> {
    let waiting = Notes::of(catalogue)?.waiting()?;
    let mut waiting: Vec<Held> =
        waiting.into_iter().filter(|held| held.note.step != Step::Swapped).collect();
    let mut settled = Vec::new();
    if !waiting.is_empty() {
        let session = maintenance(bench, &[]).await?;
        let system = Standing::of(&session).await?.system;
        session.close().await;
        waiting.retain(|held| held.note.system == system);
        for mut held in waiting {
            let done = settle_one(bench, &mut held, now).await?;
            tracing::warn!(sentence = done.sentence, "settled a restore that was broken off");
            if held.note.step != Step::Swapped && !done.sentence.contains("by hand") {
                held.forget()?;
            }
            settled.push(done);
        }
    }
    Ok(ResumeResponse { success: true, settled })
}

/// Looks at the databases of a note, and finishes or takes back. The note tells the new step afterwards.
pub(crate) async fn settle_one(
    bench: &Workbench,
    held: &mut Held,
    now: DateTime<Utc>,
) -> Outcome<Settled> {
    let note = held.note.clone();
    let session = maintenance(bench, &[&note.database, &note.copy_name, &note.kept_name]).await?;
    let names = Names {
        live: name_of(&session, note.live).await?,
        copy: name_of(&session, note.copy).await?,
        is_taken: super::oid(&session, &note.database).await?.is_some(),
    };
    let what = settle(&note, &names);
    tracing::info!(?what, %now, database = note.database, "a restore was broken off");
    carry_out(&session, &note, &names, &what).await?;
    session.close().await;
    let swapped = names.copy.as_deref() == Some(&note.database)
        || matches!(&what, Settle::Rename { from } if *from == note.copy_name);
    let went_back =
        note.step == Step::SwappingBack && matches!(what, Settle::Rename { .. } | Settle::Opened);
    if swapped && !went_back && note.live.is_some() {
        held.step(Step::Swapped)?;
    }
    let sentence = sentence(&note, &what, held);
    Ok(Settled {
        database: note.database,
        backup: note.backup,
        swapped: swapped && !went_back,
        sentence,
    })
}

async fn carry_out(
    session: &PgConnection,
    note: &Note,
    names: &Names,
    what: &Settle,
) -> Outcome<()> {
    match what {
        Settle::DropCopy => scratch::drop_database(session, &note.copy_name).await?,
        Settle::Rename { from } => {
            let takes = Move { from, to: &note.database, comment: None };
            swap::exchange(session, None, &takes).await?;
        }
        Settle::Reopen | Settle::Opened | Settle::Nothing | Settle::CannotTell => {}
    }
    if matches!(what, Settle::DropCopy | Settle::CannotTell) {
        return Ok(());
    }
    for name in [&names.live, &names.copy].into_iter().flatten() {
        // What was just renamed was let in already.
        if super::oid(session, name).await?.is_some() {
            swap::open(session, name, true).await?;
        }
    }
    Ok(())
}

async fn name_of(session: &PgConnection, oid: Option<u32>) -> Outcome<Option<String>> {
    let Some(oid) = oid else { return Ok(None) };
    let row =
        session.query_opt("SELECT datname::text FROM pg_database WHERE oid = $1", &[&oid]).await;
    Ok(row.map_err(|error| Failure::of_postgres(&error))?.map(|row| row.get(0)))
}

fn sentence(note: &Note, what: &Settle, held: &Held) -> String {
    let Note { backup, database, copy_name, kept_name, .. } = note;
    let back = note.step == Step::SwappingBack;
    match what {
        Settle::DropCopy => {
            format!(
                "the restore of {backup} was broken off while it was copied; the copy is gone, {database} was not touched"
            )
        }
        Settle::Reopen if back => {
            format!("the undo had not begun: {database} is the restored one, open to clients")
        }
        Settle::Reopen => {
            format!(
                "the names were not exchanged yet: {database} is as it was, open to clients; the copy is {copy_name}"
            )
        }
        Settle::Rename { .. } | Settle::Opened if back => {
            format!(
                "the undo was finished: {database} is the one from before the restore; the restored one is {copy_name}"
            )
        }
        Settle::Rename { .. } | Settle::Opened => {
            format!(
                "the restore of {backup} was finished: {database} is the restored one; what was there is {kept_name}"
            )
        }
        Settle::Nothing => format!("nothing was left to do; the copy is {copy_name}"),
        Settle::CannotTell => format!(
            "the databases of the restore of {backup} were renamed or dropped by somebody else; put {database}, \
             {copy_name} and {kept_name} right by hand, then remove {}",
            held.path().display()
        ),
    }
}
