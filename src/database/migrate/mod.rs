//! Migrations from the user's own directory, in sqlx's format: what they would lock is looked at first, a backup is
//! taken, each file runs with a short patience for locks, and an index that came out invalid is a failure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::migrate::AppliedMigration;
use tokio_util::sync::CancellationToken;

use super::backup::manifest::Scope;
use super::backup::progress::Progress;
use super::backup::record::Level;
use super::backup::{self, BackupRequest, Job};
use super::jobs::{self, Recorded};
use super::writes::{Change, Permit};
use super::{Code, Failure, Outcome, Workbench};
use crate::domain::proposal::hex;

mod big;
mod files;
mod lint;
mod lock;
mod run;

pub use files::{Target, Version};
pub use lint::{Finding, is_rule};

use files::{Script, Scripts};
use run::Runner;

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Upgrade,
    Downgrade,
    #[default]
    Status,
    /// Only what the pending ones would lock.
    Lint,
}

/// What is backed up before anything runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    #[default]
    Full,
    Schema,
    None,
}

/// What to run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MigrateRequest {
    pub direction: Direction,
    /// `head`, a version, or `-N`.
    pub target: Option<String>,
    pub dry_run: bool,
    pub backup: Before,
    /// Rules of the lint that may be broken.
    pub accept: Vec<String>,
    pub database: Option<String>,
    /// Unset: the configured directory.
    pub dir: Option<PathBuf>,
    /// For how long another migration is waited for.
    pub wait_ms: Option<u64>,
}

/// What was run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MigrateResponse {
    pub success: bool,
    /// The last file that was run.
    pub migration_file: Option<String>,
    /// The newest version that is applied now.
    pub version: Option<i64>,
    /// Seconds.
    pub execution_time: f64,
    /// What this run applied or took back, in order.
    pub applied: Vec<Version>,
    pub pending: Vec<Version>,
    pub backup_file: Option<String>,
    pub lint: Vec<Finding>,
    /// Where it stopped; what is in `applied` stays applied.
    pub failed_at: Option<FailedAt>,
    pub dry_run: bool,
    pub remarks: Vec<String>,
}

/// The file that failed, and why.
#[derive(Clone, Debug, Serialize)]
pub struct FailedAt {
    pub migration_file: String,
    pub version: i64,
    #[serde(flatten)]
    pub failure: Failure,
}

/// What would run: what a person agrees to.
pub async fn change(job: &Job<'_>, request: &MigrateRequest) -> Outcome<Change> {
    let target = target(request)?;
    let scripts = Scripts::read(&dir(job, request)).await?;
    let mut runner = Runner::connect(job.bench, request.database.as_deref()).await?;
    let applied = runner.applied(false).await?;
    scripts.check(&applied)?;
    let (is_up, chosen) = chosen(request, &scripts, &applied, target)?;
    change_of(job.bench, request, &chosen, is_up)
}

fn dir(job: &Job<'_>, request: &MigrateRequest) -> PathBuf {
    request.dir.clone().unwrap_or_else(|| job.bench.settings.migrations.clone())
}

/// Which way, and which files in their order.
fn chosen<'a>(
    request: &MigrateRequest,
    scripts: &'a Scripts,
    applied: &[AppliedMigration],
    target: Target,
) -> Outcome<(bool, Vec<&'a Script>)> {
    let is_up = request.direction == Direction::Upgrade;
    let chosen = if is_up {
        scripts.upgrade(applied, target)?
    } else {
        scripts.downgrade(applied, target)?
    };
    Ok((is_up, chosen))
}

/// Files that change after somebody agreed to them are other files.
fn change_of(
    bench: &Workbench,
    request: &MigrateRequest,
    chosen: &[&Script],
    is_up: bool,
) -> Outcome<Change> {
    let verb = if is_up { "apply" } else { "take back with" };
    let line = |script: &&Script| {
        let sum = hex(&script.migration(is_up).checksum);
        format!("{verb} {} ({})", script.file(is_up), &sum[..12.min(sum.len())])
    };
    Change::of(bench, request.database.as_deref(), chosen.iter().map(line).collect(), !is_up)
}

/// Runs them, or looks at them.
pub async fn migrate(
    job: &Job<'_>,
    request: &MigrateRequest,
    permit: Option<&Permit>,
    stop: &CancellationToken,
) -> Outcome<MigrateResponse> {
    let target = target(request)?;
    if let Some(unknown) = request.accept.iter().find(|rule| !is_rule(rule)) {
        let hint = "`simctl db migrate lint` names the rules that apply";
        return Err(Failure::invalid(format!("there is no rule `{unknown}` to accept"), hint));
    }
    let scripts = Scripts::read(&dir(job, request)).await?;
    let mut runner = Runner::connect(job.bench, request.database.as_deref()).await?;
    if matches!(request.direction, Direction::Status | Direction::Lint) {
        return look(job, request, &scripts, &mut runner, target).await;
    }
    let wait = Duration::from_millis(request.wait_ms.unwrap_or(60_000));
    let held = lock::take(job.bench, request.database.as_deref(), wait, &job.teller).await?;
    let done = tokio::select! {
        done = Box::pin(carry_out(job, request, permit, &scripts, &mut runner, target, stop)) => done,
        () = stop.cancelled() => Err(backup::stopped("the migration")),
    };
    held.close().await;
    done
}

fn target(request: &MigrateRequest) -> Outcome<Target> {
    let text = request.target.as_deref().unwrap_or("head");
    text.parse().map_err(|problem: String| Failure::invalid(problem, "leave it out for `head`"))
}

/// Status and lint: nothing runs, and problems of the files are errors all the same.
async fn look(
    job: &Job<'_>,
    request: &MigrateRequest,
    scripts: &Scripts,
    runner: &mut Runner<'_>,
    target: Target,
) -> Outcome<MigrateResponse> {
    let applied = runner.applied(false).await?;
    scripts.check(&applied)?;
    let mut response = MigrateResponse { success: true, ..standing(scripts, &applied) };
    if request.direction == Direction::Lint {
        let chosen = scripts.upgrade(&applied, target)?;
        response.lint = linted(job, request, &chosen, true).await?;
        response.success = response.lint.iter().all(|finding| finding.refused.is_none());
    }
    Ok(response)
}

fn standing(scripts: &Scripts, applied: &[AppliedMigration]) -> MigrateResponse {
    MigrateResponse {
        version: applied.iter().map(|one| one.version).max(),
        pending: scripts.pending(applied).into_iter().map(Script::shown).collect(),
        ..MigrateResponse::default()
    }
}

async fn carry_out(
    job: &Job<'_>,
    request: &MigrateRequest,
    permit: Option<&Permit>,
    scripts: &Scripts,
    runner: &mut Runner<'_>,
    target: Target,
    stop: &CancellationToken,
) -> Outcome<MigrateResponse> {
    let began = (job.clock)();
    let applied = runner.applied(!request.dry_run).await?;
    scripts.check(&applied)?;
    let (is_up, chosen) = chosen(request, scripts, &applied, target)?;
    let lint = linted(job, request, &chosen, is_up).await?;
    let mut response = MigrateResponse {
        success: true,
        lint,
        dry_run: request.dry_run,
        ..standing(scripts, &applied)
    };
    if request.dry_run {
        response.applied = chosen.iter().map(|script| script.shown()).collect();
        response.success = response.lint.iter().all(|finding| finding.refused.is_none());
        return Ok(response);
    }
    refuse(&response.lint)?;
    if chosen.is_empty() {
        return Ok(response);
    }
    let change = change_of(job.bench, request, &chosen, is_up)?;
    let permit = change.permitted(job.bench, permit)?;
    let words = change.statements.clone();
    let record = Recorded::begin(job.bench, "migrate", &change, words, &permit).await?;
    let done = run_all(job, request, &chosen, runner, &mut response, stop).await;
    let failed = response.failed_at.as_ref().map(|failed| failed.failure.clone());
    let outcome = done.and(failed.map_or(Ok(()), Err));
    response.remarks.extend(record.end(jobs::ended(&outcome)).await);
    // A file that failed is part of the answer; whatever kept all of them from running is none.
    if response.failed_at.is_none() {
        outcome?;
    }
    let now = standing(scripts, &runner.applied(false).await?);
    (response.version, response.pending) = (now.version, now.pending);
    response.execution_time =
        Duration::from_millis(backup::ms_between(began, (job.clock)())).as_secs_f64();
    Ok(response)
}

async fn run_all(
    job: &Job<'_>,
    request: &MigrateRequest,
    chosen: &[&Script],
    runner: &mut Runner<'_>,
    response: &mut MigrateResponse,
    stop: &CancellationToken,
) -> Outcome<()> {
    let is_up = request.direction == Direction::Upgrade;
    runner.wait_for_nobody(chosen, is_up).await?;
    response.backup_file = before(job, request, stop).await?;
    for (place, script) in chosen.iter().enumerate() {
        let file = script.file(is_up);
        job.teller.tell(Progress::counted("migrate", place, chosen.len(), file.clone()));
        response.migration_file = Some(file.clone());
        if let Err(failure) = runner.run(script, is_up).await {
            response.success = false;
            response.failed_at =
                Some(FailedAt { migration_file: file, version: script.version(), failure });
            break;
        }
        response.applied.push(script.shown());
    }
    Ok(())
}

/// What the files do, with what is refused of it.
async fn linted(
    job: &Job<'_>,
    request: &MigrateRequest,
    chosen: &[&Script],
    is_up: bool,
) -> Outcome<Vec<Finding>> {
    let mut findings: Vec<Finding> =
        chosen.iter().flat_map(|script| script.read(is_up).findings).collect();
    big::judge(job.bench, request.database.as_deref(), &mut findings).await?;
    for finding in &mut findings {
        if request.accept.contains(&finding.rule) {
            finding.refused = None;
        }
    }
    Ok(findings)
}

fn refuse(findings: &[Finding]) -> Outcome<()> {
    let refused: Vec<&Finding> =
        findings.iter().filter(|finding| finding.refused.is_some()).collect();
    let Some(first) = refused.first() else { return Ok(()) };
    let say = |one: &&Finding| {
        let why = one.refused.as_deref().unwrap_or_default();
        format!("{}:{}: {} ({why})", one.migration_file, one.line, one.rule)
    };
    let all: Vec<String> = refused.iter().map(say).collect();
    let help = first.help.clone().map_or_else(String::new, |help| format!("{help} "));
    let hint = format!(
        "{help}Change the file, or accept it with `--accept {}`; nothing was run",
        first.rule
    );
    Err(Failure::refused(all.join("; "), hint))
}

/// Backed up and read whole before anything runs, or nothing runs.
async fn before(
    job: &Job<'_>,
    request: &MigrateRequest,
    stop: &CancellationToken,
) -> Outcome<Option<String>> {
    let scope = match request.backup {
        Before::Full => Scope::Full,
        Before::Schema => Scope::Schema,
        Before::None => return Ok(None),
    };
    let wanted = BackupRequest {
        database: request.database.clone(),
        verify: Some(Level::Read),
        scope,
        ..BackupRequest::default()
    };
    let made = backup::now(job, &wanted, stop).await.map_err(|failure| Failure {
        message: format!("the backup before the migration failed: {}", failure.message),
        ..failure
    })?;
    if made.success {
        return Ok(Some(made.backup_file));
    }
    let message = format!(
        "the backup before the migration is not sound: {}",
        made.verified.problems.join("; ")
    );
    Err(Failure::new(Code::Unavailable, message, "nothing was run; look at the disk"))
}
