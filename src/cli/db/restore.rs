//! `db restore`: beside what is there, or in its place; back again; after a crash.

use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::backup::job;
use super::{How, answer, failed, progress};
use crate::cli::context::Context;
use crate::cli::print::time;
use crate::cli::show::{Answer, ask_typed, ask_yes, can_ask};
use crate::cli::{Done, NO, bad_input};
use crate::config::workbench::Writes;
use crate::database::Failure;
use crate::database::backup::Job;
use crate::database::restore::kept::{self, KeptResponse, UndoResponse};
use crate::database::restore::resume::{self, ResumeResponse};
use crate::database::restore::{self, RestoreRequest, RestoreResponse, SwapPlan};
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
    let bench = how.workbench(context).await?;
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
        Ok(settled) => context.say(settled_text(settled)),
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
    if args.swap {
        let plan = match restore::plan(&job, &request).await {
            Ok(plan) => plan,
            Err(failure) => return failed(context, &failure),
        };
        if !agreed(context, args, &plan.database, &plan_text(&plan), "replace it")? {
            return Ok(NO);
        }
    } else if !agreed_simply(context, args, &request)? {
        return Ok(NO);
    }
    let stop = CancellationToken::new();
    let done =
        progress::in_order(context, &stop, Box::pin(restore::restore(&job, &request, &stop)))
            .await?;
    answer(context, &done, restored_text)
}

async fn undo(context: &Context, job: &Job<'_>, args: &Restore, name: &str) -> Done {
    let kept = match kept::look(job, name).await {
        Ok(kept) => kept,
        Err(failure) => return failed(context, &failure),
    };
    let text = format!(
        "{} was replaced by the backup {} at {} UTC; {} takes the name back, and clients of {} are cut off for a moment",
        kept.database,
        kept.backup,
        time(kept.replaced_at),
        kept.name,
        kept.database
    );
    if !agreed(context, args, &kept.database, &text, "put it back")? {
        return Ok(NO);
    }
    answer(context, &kept::undo(job, name).await, |done: &UndoResponse| {
        let copy = done.restored_as.as_deref().unwrap_or_default();
        let ms = done.swap_ms.unwrap_or_default();
        format!(
            "{} is the one from before the restore again ({ms} ms); the restored one is {copy}",
            done.database
        )
    })
}

async fn drop_kept(context: &Context, job: &Job<'_>, args: &Restore, name: &str) -> Done {
    let kept = match kept::look(job, name).await {
        Ok(kept) => kept,
        Err(failure) => return failed(context, &failure),
    };
    let text = format!(
        "{} is {} from before the restore of {}; it goes for good",
        kept.name, kept.database, kept.backup
    );
    if !agreed(context, args, &kept.name, &text, "drop it")? {
        return Ok(NO);
    }
    answer(context, &kept::drop_kept(job, name).await, |_: &UndoResponse| {
        format!("{} is dropped", kept.name)
    })
}

/// A person types the name, or said `--yes`, or the configuration lets nobody.
fn agreed(
    context: &Context,
    args: &Restore,
    name: &str,
    text: &str,
    to: &str,
) -> anyhow::Result<bool> {
    if context.config().workbench.writes == Writes::Forbid {
        return Err(forbidden());
    }
    if args.yes {
        return Ok(true);
    }
    if context.print.json || !can_ask() {
        return Err(bad_input(format!(
            "there is no terminal to ask on; {text}; add `--yes` if that is meant"
        )));
    }
    context.print.line(text)?;
    let question =
        format!("Type the database's name ({name}) to {to}, anything else to leave it: ");
    let is_agreed = ask_typed(context.print, name, &question)? != Answer::No;
    if !is_agreed {
        context.print.line("nothing was changed")?;
    }
    Ok(is_agreed)
}

/// A copy beside changes nothing that is there; it takes room on the server all the same.
fn agreed_simply(
    context: &Context,
    args: &Restore,
    request: &RestoreRequest,
) -> anyhow::Result<bool> {
    match context.config().workbench.writes {
        Writes::Forbid => return Err(forbidden()),
        Writes::Automatic => return Ok(true),
        Writes::Approval => {}
    }
    if args.yes {
        return Ok(true);
    }
    let what = match &request.table {
        None => format!("{} is restored into a database of its own", request.backup_file),
        Some(table) => {
            format!("{table} of {} is restored into a schema of its own", request.backup_file)
        }
    };
    if context.print.json || !can_ask() {
        return Err(bad_input(format!(
            "there is no terminal to ask on; {what}; add `--yes` if that is meant"
        )));
    }
    let is_agreed = ask_yes(context.print, &format!("{what}. Go on? [y/N] "))? != Answer::No;
    if !is_agreed {
        context.print.line("nothing was changed")?;
    }
    Ok(is_agreed)
}

fn forbidden() -> anyhow::Error {
    let hint = "`workbench.writes` is `forbid`; set it to `approval` if that is meant";
    Failure::refused(format!("the configuration says that nothing is changed here; {hint}"), hint)
        .into()
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
        return format!("restored as {}; {proven}", done.restored_as);
    }
    let ms = done.swap_ms.unwrap_or_default();
    let mut text =
        format!("{} is restored; {proven}; clients were kept out for {ms} ms", done.restored_as);
    if let Some(kept) = &done.kept_as {
        text.push_str(&format!(
            "\nwhat was there is {kept}; back with `simctl db restore --undo`, gone for good with `--drop-kept`"
        ));
    }
    text
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
