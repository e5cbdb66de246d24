//! `db restore`: beside what is there, or in its place; back again; after a crash.

use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::agree::{Agreed, agreed};
use super::backup::job;
use super::{How, answer, failed, progress};
use crate::cli::context::Context;
use crate::cli::print::time;
use crate::cli::{Done, NO};
use crate::database::Outcome;
use crate::database::backup::Job;
use crate::database::restore::kept::{self, KeptResponse, UndoResponse};
use crate::database::restore::resume::{self, ResumeResponse};
use crate::database::restore::{self, RestoreRequest, RestoreResponse, SwapPlan};
use crate::database::writes::{Change, Permit};
use crate::domain::words::bytes;
use crate::engine::clock;

/// Restore a backup beside the database, or in its place
///
/// The copy is made in a database of its own and compared with the backup's manifest; the live one is never written
/// to. With `--swap` the two then change names in one transaction, and the old one is kept. Whatever fails or is
/// killed, either the old or the new database has the name, whole.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["backup", "resume", "undo", "drop_kept", "list"]),
    after_help = "Examples:\n  simctl db restore orders-20261130T020000Z\n  simctl db restore orders-20261130T020000Z --swap\n  simctl db restore orders-20261130T020000Z --table public.customers\n  simctl db restore --undo orders\n  simctl db restore --list"
)]
pub(super) struct Restore {
    /// The backup's name
    backup: Option<String>,
    /// Put the copy in the place of the database, which is kept under another name
    #[arg(long, requires = "backup")]
    swap: bool,
    /// Only this table, into a schema of its own of the live database
    #[arg(long, value_name = "SCHEMA.TABLE", requires = "backup", conflicts_with = "swap")]
    table: Option<String>,
    /// Everything belongs to the login that restores it
    #[arg(long, requires = "backup")]
    no_owner: bool,
    /// Finish or take back what was broken off
    #[arg(long)]
    resume: bool,
    /// Give the replaced database its name back
    #[arg(long, value_name = "DATABASE")]
    undo: Option<String>,
    /// Drop a replaced database for good
    #[arg(long, value_name = "NAME")]
    drop_kept: Option<String>,
    /// Show the replaced databases that are kept
    #[arg(long)]
    list: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(context: &Context, how: &How, args: &Restore) -> Done {
    let bench = how.recording(context).await?;
    let job = match job(context, &bench, None) {
        Ok(job) => job,
        Err(failure) => return failed(context, &failure),
    };
    if args.list {
        return answer(context, &kept::list(&job).await, kept_text);
    }
    // What was broken off is settled before anything else begins.
    let settled = resume::resume(&bench, &job.catalogue, clock::now()).await;
    if args.resume {
        return answer(context, &settled, settled_text);
    }
    match &settled {
        Ok(settled) if settled.settled.is_empty() => {}
        Ok(settled) => settled_text(settled).lines().for_each(|line| context.say(line)),
        Err(failure) => return failed(context, failure),
    }
    if let Some(name) = &args.undo {
        return undo(context, &job, args, name).await;
    }
    if let Some(name) = &args.drop_kept {
        return drop_kept(context, &job, args, name).await;
    }
    let request = RestoreRequest {
        backup_file: args.backup.clone().unwrap_or_default(),
        drop_existing: args.swap,
        table: args.table.clone(),
        target_database: how.database.clone(),
        no_owner: args.no_owner,
    };
    let change = match change(context, &job, &request).await {
        Ok(change) => change,
        Err(failure) => return failed(context, &failure),
    };
    let Some(permit) = permit(context, &change, args.yes)? else { return Ok(NO) };
    let stop = CancellationToken::new();
    let restoring = Box::pin(restore::restore(&job, &request, permit.as_ref(), &stop));
    answer(context, &progress::in_order(context, &stop, restoring).await?, restored_text)
}

/// What is agreed to; on the way it is said what a swap does to whoever works in the database now.
async fn change(context: &Context, job: &Job<'_>, request: &RestoreRequest) -> Outcome<Change> {
    let change = restore::change(job, request)?;
    if request.drop_existing {
        let plan = restore::plan(job, request).await?;
        if !context.print.json {
            plan_text(&plan).lines().for_each(|line| context.say(line));
        }
    }
    Ok(change)
}

/// Who agreed; the inner `None` when nobody could be asked, the outer when a person said no.
fn permit(context: &Context, change: &Change, yes: bool) -> anyhow::Result<Option<Option<Permit>>> {
    Ok(match agreed(context, change, yes)? {
        Agreed::By(permit) => Some(Some(permit)),
        Agreed::Nobody => Some(None),
        Agreed::No => {
            context.print.line("nothing was changed")?;
            None
        }
    })
}

async fn undo(context: &Context, job: &Job<'_>, args: &Restore, name: &str) -> Done {
    let change = match kept::look(job, name).await {
        Ok(kept) => kept::change_of_undo(job.bench, &kept)?,
        Err(failure) => return failed(context, &failure),
    };
    let Some(permit) = permit(context, &change, args.yes)? else { return Ok(NO) };
    answer(context, &kept::undo(job, name, permit.as_ref()).await, |done: &UndoResponse| {
        let copy = done.restored_as.as_deref().unwrap_or_default();
        let ms = done.swap_ms.unwrap_or_default();
        let again = format!("{} is the one from before the restore again ({ms} ms)", done.database);
        with_remarks(format!("{again}; the restored one is {copy}"), &done.remarks)
    })
}

async fn drop_kept(context: &Context, job: &Job<'_>, args: &Restore, name: &str) -> Done {
    let kept = match kept::look(job, name).await {
        Ok(kept) => kept,
        Err(failure) => return failed(context, &failure),
    };
    let change = kept::change_of_drop(job.bench, &kept)?;
    let Some(permit) = permit(context, &change, args.yes)? else { return Ok(NO) };
    answer(context, &kept::drop_kept(job, name, permit.as_ref()).await, |done: &UndoResponse| {
        with_remarks(format!("{} is dropped", kept.name), &done.remarks)
    })
}

fn with_remarks(mut text: String, remarks: &[String]) -> String {
    for remark in remarks {
        text.push('\n');
        text.push_str(remark);
    }
    text
}

fn plan_text(plan: &SwapPlan) -> String {
    let live = match plan.live_bytes {
        None => format!("there is no {} now", plan.database),
        Some(live) => format!(
            "{} holds {} and has {} clients, which are cut off for a moment; it is kept under another name",
            plan.database,
            bytes(live),
            plan.clients
        ),
    };
    let taken = time(plan.taken_at);
    format!(
        "{live}\nthe backup {} is of {taken} UTC: what was written since is not in it",
        plan.backup_file
    )
}

fn restored_text(done: &RestoreResponse) -> String {
    let proven = match done.tables {
        1 => "compared with the manifest".to_owned(),
        tables => format!("{tables} tables compared with the manifest"),
    };
    if !done.swapped {
        return with_remarks(format!("restored as {}; {proven}", done.restored_as), &done.remarks);
    }
    let ms = done.swap_ms.unwrap_or_default();
    let mut text =
        format!("{} is restored; {proven}; clients were kept out for {ms} ms", done.restored_as);
    if let Some(kept) = &done.kept_as {
        text.extend([format!(
            "\nwhat was there is {kept}; back with `simctl db restore --undo`, gone for good with `--drop-kept`"
        )]);
    }
    with_remarks(text, &done.remarks)
}

fn settled_text(all: &ResumeResponse) -> String {
    if all.settled.is_empty() {
        return "nothing was broken off".to_owned();
    }
    all.settled.iter().map(|one| one.sentence.clone()).collect::<Vec<_>>().join("\n")
}

fn kept_text(all: &KeptResponse) -> String {
    if all.kept.is_empty() {
        return "no replaced database is kept".to_owned();
    }
    let line = |one: &kept::Kept| {
        format!(
            "{}: {} before the restore of {} at {} UTC\n",
            one.name,
            one.database,
            one.backup,
            time(one.replaced_at)
        )
    };
    all.kept.iter().map(line).collect()
}
