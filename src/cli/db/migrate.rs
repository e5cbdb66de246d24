//! `db migrate`: the user's own migrations, up and down, looked at first and backed up before.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::agree::{Agreed, agreed};
use super::backup::{job, proof_bench};
use super::{How, answer, failed, progress};
use crate::cli::context::Context;
use crate::cli::print::table;
use crate::cli::{Done, NO, parse};
use crate::database::Failure;
use crate::database::backup::Job;
use crate::database::migrate::{
    self, Before, Direction, Finding, MigrateRequest, MigrateResponse, Version,
};
use crate::database::writes::Permit;

/// Run the migrations of a directory, up or down
///
/// Files as sqlx has them: 0001_name.sql, or 0001_name.up.sql with 0001_name.down.sql. What locks a big table is
/// refused unless its rule is accepted, a backup comes first, and an index that comes out invalid is a failure.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db migrate status\n  simctl db migrate lint\n  simctl db migrate up --dry-run\n  simctl db migrate up --to 20261130 --accept changing-column-type\n  simctl db migrate down --backup schema",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Migrate {
    /// Where the files are [default: `workbench.migrations`, ./migrations]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Apply what is pending
    Up(Way),
    /// Take the newest one back, or more with --to
    Down(Way),
    /// What is applied and what is pending
    Status,
    /// What the pending ones would lock; exit code 1 when something is refused
    Lint(Rules),
}

#[derive(Debug, Args)]
struct Way {
    /// `head`, a version, or -N for so many; 0 with `down` takes everything back
    #[arg(long, value_name = "TARGET", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only say what would run
    #[arg(long)]
    dry_run: bool,
    /// What is backed up first
    #[arg(long, value_enum, default_value = "full", value_name = "SCOPE")]
    backup: Scope,
    /// How long another migration is waited for
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse::ttl)]
    wait: Duration,
    #[command(flatten)]
    rules: Rules,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Rules {
    /// Let a rule of the lint be broken; may be given several times
    #[arg(long, value_name = "RULE")]
    accept: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Full,
    Schema,
    None,
}

impl From<Scope> for Before {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Full => Self::Full,
            Scope::Schema => Self::Schema,
            Scope::None => Self::None,
        }
    }
}

pub(super) async fn run(context: &Context, how: &How, args: &Migrate) -> Done {
    let request = request(how, args);
    let bench = how.recording(context).await?;
    let proof = proof_bench(context).await?;
    let job = match job(context, &bench, proof.as_ref()) {
        Ok(job) => job,
        Err(failure) => return failed(context, &failure),
    };
    let permit = match &args.verb {
        Verb::Up(way) | Verb::Down(way) if !way.dry_run => {
            match asked(context, &job, &request, way.yes).await {
                Ok(permit) => permit,
                Err(Refusal::No) => return Ok(NO),
                Err(Refusal::Failed(failure)) => return failed(context, &failure),
                Err(Refusal::Other(error)) => return Err(error),
            }
        }
        _ => None,
    };
    let stop = CancellationToken::new();
    let running = Box::pin(migrate::migrate(&job, &request, permit.as_ref(), &stop));
    let done = progress::in_order(context, &stop, running).await?;
    let is_good = done.as_ref().is_ok_and(|done| done.success);
    let code = answer(context, &done, |done| text(done, &request))?;
    Ok(if is_good || done.is_err() { code } else { NO })
}

/// Why nothing is run.
enum Refusal {
    No,
    Failed(Failure),
    Other(anyhow::Error),
}

/// Looks at what would run, says what it locks, and asks. Nothing to run needs nobody.
async fn asked(
    context: &Context,
    job: &Job<'_>,
    request: &MigrateRequest,
    yes: bool,
) -> Result<Option<Permit>, Refusal> {
    let (dry, never) =
        (MigrateRequest { dry_run: true, ..request.clone() }, CancellationToken::new());
    let preview = Box::pin(migrate::migrate(job, &dry, None, &never)).await;
    let preview = preview.map_err(Refusal::Failed)?;
    if preview.applied.is_empty() {
        return Ok(None);
    }
    let change = Box::pin(migrate::change(job, request)).await.map_err(Refusal::Failed)?;
    if !context.print.json && !preview.lint.is_empty() {
        lint_text(&preview.lint).lines().for_each(|line| context.say(line));
    }
    match agreed(context, &change, yes).map_err(Refusal::Other)? {
        Agreed::By(permit) => Ok(Some(permit)),
        Agreed::Nobody => Ok(None),
        Agreed::No => {
            context.print.line("nothing was run").map_err(Refusal::Other)?;
            Err(Refusal::No)
        }
    }
}

fn request(how: &How, args: &Migrate) -> MigrateRequest {
    let base = MigrateRequest {
        database: how.database.clone(),
        dir: args.dir.clone(),
        ..MigrateRequest::default()
    };
    let way = |direction, way: &Way| MigrateRequest {
        direction,
        target: way.to.clone(),
        dry_run: way.dry_run,
        backup: way.backup.into(),
        accept: way.rules.accept.clone(),
        wait_ms: u64::try_from(way.wait.as_millis()).ok(),
        ..base.clone()
    };
    match &args.verb {
        Verb::Up(up) => way(Direction::Upgrade, up),
        Verb::Down(down) => way(Direction::Downgrade, down),
        Verb::Status => MigrateRequest { direction: Direction::Status, ..base },
        Verb::Lint(rules) => {
            MigrateRequest { direction: Direction::Lint, accept: rules.accept.clone(), ..base }
        }
    }
}

fn text(done: &MigrateResponse, request: &MigrateRequest) -> String {
    let mut text = lint_text(&done.lint);
    let verb = match (request.direction, done.dry_run) {
        (Direction::Upgrade, true) => "would apply",
        (Direction::Upgrade, false) => "applied",
        (Direction::Downgrade, true) => "would take back",
        (Direction::Downgrade, false) => "took back",
        (Direction::Status | Direction::Lint, _) => "",
    };
    for one in &done.applied {
        text.extend([format!("{verb} {}\n", one.migration_file)]);
    }
    if let Some(failed) = &done.failed_at {
        let failure = &failed.failure;
        text.extend([format!("FAILED {}: {}\n", failed.migration_file, failure.message)]);
        text.push_str(
            &failure.hint.as_ref().map_or_else(String::new, |hint| format!("  {hint}\n")),
        );
    }
    if let Some(backup) = &done.backup_file {
        text.extend([format!("backed up before as {backup}\n")]);
    }
    let version = done
        .version
        .map_or_else(|| "nothing is applied".into(), |version| format!("at version {version}"));
    let pending = match done.pending.as_slice() {
        [] => "nothing is pending".to_owned(),
        some => format!("{} pending", some.len()),
    };
    text.extend([format!("{version}, {pending}\n")]);
    for remark in &done.remarks {
        text.push_str(remark);
        text.push('\n');
    }
    if request.direction == Direction::Status && !done.pending.is_empty() {
        let row = |one: &Version| {
            let back = if one.reversible { "yes" } else { "no" };
            vec![one.version.to_string(), one.migration_file.clone(), back.to_owned()]
        };
        let rows: Vec<Vec<String>> = done.pending.iter().map(row).collect();
        text.push_str(&table(&["PENDING", "FILE", "REVERSIBLE"], &rows));
    }
    text
}

fn lint_text(findings: &[Finding]) -> String {
    let line = |one: &Finding| {
        let refused =
            one.refused.as_ref().map_or_else(String::new, |why| format!("\n  REFUSED: {why}"));
        let help = one.help.as_ref().map_or_else(String::new, |help| format!("\n  {help}"));
        format!(
            "{}:{}: {}: {}{refused}{help}\n",
            one.migration_file, one.line, one.rule, one.message
        )
    };
    findings.iter().map(line).collect()
}
