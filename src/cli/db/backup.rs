//! `db backup`, `db backups`, `db schedule`: take backups, prove them, list them, let the old ones go.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::{How, agree, answer, failed, progress};
use crate::cli::context::Context;
use crate::cli::print::{or_dash, table, time};
use crate::cli::show::{Answer, ask_yes, can_ask};
use crate::cli::{Done, NO, bad_input};
use crate::database::backup::catalogue::Catalogue;
use crate::database::backup::listing::{self, BackupLine, BackupsResponse};
use crate::database::backup::manifest::Scope;
use crate::database::backup::prune::{self, PruneResponse};
use crate::database::backup::record::{Level, Verified};
use crate::database::backup::schedule::{self, ScheduleResponse};
use crate::database::backup::verify::{self, VerifyRequest, VerifyResponse};
use crate::database::backup::{self, BackupRequest, BackupResponse, Job};
use crate::database::{Failure, Workbench};
use crate::domain::words::bytes;
use crate::engine::clock;

/// Take a backup with the real pg_dump, and prove it
///
/// Finished or not there at all, with the hash of every table as of the same moment. It is read whole at once, and the
/// first of a database and one a week are restored into a scratch database and compared. Ctrl-c leaves nothing behind.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  simctl db backup now --database orders\n  simctl db backup now --name before-release --pin --verify 3\n  simctl db backup list\n  simctl db backup verify before-release --level 3\n  simctl db backup prune --dry-run"
)]
pub(super) struct Backup {
    #[command(flatten)]
    now: Now,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Now(Now),
    List(List),
    Verify(Verify),
    Prune(Prune),
    Schedule(Schedule),
    /// Keep a backup whatever its age
    Pin(Named),
    /// Let retention have it again
    Unpin(Named),
}

/// Take a backup now
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  simctl db backup now --database orders --name before-release --pin"
)]
struct Now {
    /// Letters, digits, `_` and `-` [default: database and time]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How thoroughly: 1 hashes, 2 read whole, 3 restored and compared [default: 2, and 3 weekly and for the first]
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    verify: Option<Level>,
    /// Keep it whatever its age
    #[arg(long)]
    pin: bool,
    /// Larger and faster
    #[arg(long)]
    no_compress: bool,
    /// Definitions without rows
    #[arg(long)]
    schema_only: bool,
}

/// List the backups, newest first
///
/// With what each is worth, what lies among them and is none, and which scheduled database has none that counts.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db backups\n  simctl db backup list --database orders --json"
)]
pub(super) struct List {}

/// Prove a backup again; exit code 1 when it is not sound
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl db backup verify orders-20261130T020000Z --level 3")]
struct Verify {
    /// Its name
    backup: String,
    /// 1 hashes, 2 read whole, 3 restored into a scratch database and compared
    #[arg(long, value_name = "LEVEL", default_value = "2", value_parser = level)]
    level: Level,
}

/// Let go what the retention allows
///
/// What is younger than `retention_days`, pinned, among the newest `min_keep` verified ones, or the newest beyond the
/// window, always stays. The list is shown first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db backup prune --dry-run\n  simctl db backup prune --yes"
)]
struct Prune {
    /// Only name them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Show when backups are taken: the last run, the next, and alarms
///
/// `simctl run` and `simctl tui` keep the schedule. Jobs are [[workbench.backup.job]] of the configuration; exit code 1
/// when a database has had no verified backup for one and a half periods.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl db schedule --json")]
pub(super) struct Schedule {}

/// One backup.
#[derive(Debug, Args)]
struct Named {
    /// Its name
    backup: String,
}

fn level(text: &str) -> Result<Level, String> {
    let wrong = || "write 1, 2 or 3".to_owned();
    text.parse::<u8>().map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

pub(super) async fn run(context: &Context, how: &How, args: &Backup) -> Done {
    match &args.verb {
        None => now(context, how, &args.now).await,
        Some(Verb::Now(now_args)) => now(context, how, now_args).await,
        Some(Verb::List(_)) => list(context, how),
        Some(Verb::Verify(args)) => verify(context, how, args).await,
        Some(Verb::Prune(args)) => prune(context, args),
        Some(Verb::Schedule(_)) => schedule(context),
        Some(Verb::Pin(named)) => pin(context, named, true),
        Some(Verb::Unpin(named)) => pin(context, named, false),
    }
}

async fn now(context: &Context, how: &How, args: &Now) -> Done {
    let bench = how.workbench(context).await?;
    let proof = proof_bench(context).await?;
    let request = BackupRequest {
        backup_name: args.name.clone(),
        database: how.database.clone(),
        compress: !args.no_compress,
        verify: args.verify,
        pin: args.pin,
        scope: if args.schema_only { Scope::Schema } else { Scope::Full },
    };
    let job = match job(context, &bench, proof.as_ref()) {
        Ok(job) => job,
        Err(failure) => return failed(context, &failure),
    };
    let stop = CancellationToken::new();
    let made = progress::in_order(context, &stop, backup::now(&job, &request, &stop)).await?;
    let is_good = made.as_ref().is_ok_and(|made| made.success);
    let done = answer(context, &made, taken)?;
    Ok(if is_good { done } else { NO })
}

async fn verify(context: &Context, how: &How, args: &Verify) -> Done {
    let bench = how.workbench(context).await?;
    let proof = proof_bench(context).await?;
    let job = match job(context, &bench, proof.as_ref()) {
        Ok(job) => job,
        Err(failure) => return failed(context, &failure),
    };
    let request = VerifyRequest { backup_file: args.backup.clone(), level: args.level };
    let stop = CancellationToken::new();
    let verified =
        progress::in_order(context, &stop, verify::verify(&job, &request, &stop)).await?;
    let is_good = verified.as_ref().is_ok_and(|one| one.success);
    let done = answer(context, &verified, |one: &VerifyResponse| {
        format!("{}: {}", one.backup_file, judged(&one.verified, one.tables, &one.unhashed))
    })?;
    Ok(if is_good || verified.is_err() { done } else { NO })
}

/// A job of this command, with its progress shown.
pub(super) fn job<'a>(
    context: &Context,
    bench: &'a Workbench,
    proof: Option<&'a Workbench>,
) -> Result<Job<'a>, Failure> {
    let job = Job::new(bench, progress::teller(context), clock::now)?;
    Ok(Job { proof_on: proof, ..job })
}

/// The server that `backup.verify_on` names.
pub(super) async fn proof_bench(context: &Context) -> anyhow::Result<Option<Workbench>> {
    let settings = &context.config().workbench;
    let Some(name) = &settings.backup.verify_on else { return Ok(None) };
    let lab = context.lab().await?;
    let servers = context.servers(lab.as_ref()).await;
    let server = servers.iter().find(|server| server.target.id == *name);
    let server =
        server.ok_or_else(|| anyhow!("`backup.verify_on` names {name}, which is not there now"))?;
    Ok(Some(Workbench::new(server, settings, agree::seed())?))
}

fn catalogue(context: &Context) -> Result<Catalogue, Failure> {
    Catalogue::open(&context.config().workbench.backup.location)
}

pub(super) fn list(context: &Context, how: &How) -> Done {
    let listed = catalogue(context).and_then(|catalogue| {
        let alarms = schedule::show(&context.config().workbench.backup, clock::now())?.alarms;
        listing::list(&catalogue, how.database.as_deref(), alarms)
    });
    answer(context, &listed, listed_text)
}

pub(super) fn schedule(context: &Context) -> Done {
    let shown = schedule::show(&context.config().workbench.backup, clock::now());
    let is_quiet = shown.as_ref().is_ok_and(|shown| shown.alarms.is_empty());
    let done = answer(context, &shown, schedule_text)?;
    Ok(if is_quiet || shown.is_err() { done } else { NO })
}

fn prune(context: &Context, args: &Prune) -> Done {
    let (rule, now) = (context.config().workbench.backup.keep, clock::now());
    let catalogue = match catalogue(context) {
        Ok(catalogue) => catalogue,
        Err(failure) => return failed(context, &failure),
    };
    let named = prune::candidates(&catalogue, rule, now);
    let Ok(goes) = &named else { return answer(context, &named, pruned_text) };
    if args.dry_run || goes.removed.is_empty() {
        return answer(context, &named, pruned_text);
    }
    if !args.yes {
        if context.print.json || !can_ask() {
            return Err(bad_input(
                "there is no terminal to ask on; look with `--dry-run`, then add `--yes`",
            ));
        }
        context.print.line(pruned_text(goes))?;
        if ask_yes(context.print, "Remove them for good? [y/N] ")? == Answer::No {
            context.print.line("nothing was removed")?;
            return Ok(NO);
        }
    }
    answer(context, &prune::remove(&catalogue, goes, rule, now), pruned_text)
}

fn pin(context: &Context, named: &Named, pinned: bool) -> Done {
    let done =
        catalogue(context).and_then(|catalogue| verify::pin(&catalogue, &named.backup, pinned));
    match done {
        Err(failure) => failed(context, &failure),
        Ok(entry) => {
            let word = if pinned { "pinned" } else { "not pinned any more" };
            if context.print.json {
                context.print.json(&serde_json::json!({ "success": true, "backup_file": entry.name, "pinned": pinned }))?;
            } else {
                context.print.line(format!("{} is {word}", entry.name))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn taken(made: &BackupResponse) -> String {
    let size = bytes(made.manifest.bytes());
    let mut text = format!(
        "{}  {size}, {} tables, {:.1} s, at {}\n{}",
        made.backup_file,
        made.tables,
        made.duration,
        made.path.display(),
        judged(&made.verified, made.tables, &made.unhashed)
    );
    if let Some(lsn) = &made.lsn {
        text.extend([format!("\nas of {lsn}")]);
    }
    text
}

/// What a verification came to, in a sentence or several.
fn judged(verified: &Verified, tables: usize, unhashed: &[String]) -> String {
    let mut text = if verified.is_ok() {
        match verified.level {
            Level::Hashes => "verified (1): every file is as it was written".to_owned(),
            Level::Read => {
                "verified (2): every file is as it was written, and the dump was read whole"
                    .to_owned()
            }
            Level::Restored => {
                format!(
                    "verified (3): restored into a scratch database; {} tables hold the same rows",
                    tables - unhashed.len()
                )
            }
        }
    } else {
        format!("NOT SOUND ({}): {}", u8::from(verified.level), verified.problems.join("; "))
    };
    for remark in &verified.remarks {
        text.extend([format!("\n{remark}")]);
    }
    if !unhashed.is_empty() {
        text.extend([format!("\nnot hashed, beyond the byte budget: {}", unhashed.join(", "))]);
    }
    text
}

fn listed_text(all: &BackupsResponse) -> String {
    let row = |one: &BackupLine| {
        let worth = match (&one.verified, one.broken.first()) {
            (_, Some(problem)) => format!("NOT SOUND: {problem}"),
            (Some(level), None) => u8::from(*level).to_string(),
            (None, None) => "never".to_owned(),
        };
        let pin = if one.pinned { "pinned" } else { "" };
        vec![
            one.backup_file.clone(),
            one.target.clone(),
            one.database.clone(),
            time(one.finished_at),
            format!("{:.2} MB", one.size_mb),
            worth,
            pin.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = all.backups.iter().map(row).collect();
    let head = ["BACKUP", "TARGET", "DATABASE", "FINISHED (UTC)", "SIZE", "VERIFIED", ""];
    let mut text = if rows.is_empty() {
        format!("no backups in {}\n", all.location)
    } else {
        table(&head, &rows)
    };
    for other in &all.not_backups {
        text.extend([format!("{} is no backup: it {}\n", other.name, other.reason)]);
    }
    text + &alarms_text(&all.alarms)
}

fn alarms_text(alarms: &[String]) -> String {
    alarms.iter().map(|alarm| format!("ALARM: {alarm}\n")).collect()
}

fn schedule_text(all: &ScheduleResponse) -> String {
    let rows: Vec<Vec<String>> = all
        .jobs
        .iter()
        .map(|job| {
            let zone = format!("{} ({})", job.schedule, job.time_zone);
            vec![job.job.clone(), zone, or_dash(job.last.clone()), or_dash(job.next.map(time))]
        })
        .collect();
    if rows.is_empty() {
        return "nothing is backed up on schedule; add a [[workbench.backup.job]] with its `target`".to_owned();
    }
    table(&["JOB", "SCHEDULE", "LAST", "NEXT (UTC)"], &rows) + &alarms_text(&all.alarms)
}

fn pruned_text(done: &PruneResponse) -> String {
    if done.removed.is_empty() {
        return format!("nothing may go; {} backups stay", done.kept);
    }
    let verb = if done.dry_run { "may go" } else { "removed" };
    let names: String = done.removed.iter().map(|name| format!("  {name}\n")).collect();
    format!("{verb}, oldest first:\n{names}{} backups stay", done.kept)
}
