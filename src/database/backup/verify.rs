//! Proof that a backup is one: its hashes, then the whole of it read, then a copy restored from it that holds the
//! same. Every result is kept with the backup.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::super::{As, Outcome, Workbench};
use super::catalogue::{Catalogue, Entry};
use super::disk::{self, Room};
use super::manifest::{Contents, Scope};
use super::progress::{Progress, Teller};
use super::record::{Level, Verified};
use super::survey::{self, Rows};
use super::tools::{self, Call, Tools};
use super::{Job, Standing, maintenance, megabytes, scratch, settings, stopped, sums};
use crate::inspect::quoted;
use crate::targets::postgres::Session;

/// Which backup, and how thoroughly.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    pub backup_file: String,
    #[serde(default = "read_whole")]
    pub level: Level,
}

fn read_whole() -> Level {
    Level::Read
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyResponse {
    /// Whether the backup is good.
    pub success: bool,
    pub backup_file: String,
    pub verified: Verified,
    pub tables: usize,
    pub unhashed: Vec<String>,
}

/// Verifies a backup that is there.
pub async fn verify(
    job: &Job<'_>,
    request: &VerifyRequest,
    stop: &CancellationToken,
) -> Outcome<VerifyResponse> {
    let entry = job.catalogue.find(&request.backup_file)?;
    let (entry, verified) = verify_entry(job, entry, request.level, stop).await?;
    let contents = &entry.manifest.contents;
    Ok(VerifyResponse {
        success: verified.is_ok(),
        backup_file: entry.name,
        tables: contents.tables.len(),
        unhashed: if entry.manifest.scope == Scope::Full {
            contents.unhashed()
        } else {
            Vec::new()
        },
        verified,
    })
}

/// Verifies it up to that level and keeps the result; the first problem ends it.
pub(crate) async fn verify_entry(
    job: &Job<'_>,
    mut entry: Entry,
    level: Level,
    stop: &CancellationToken,
) -> Outcome<(Entry, Verified)> {
    let mut reached = Verified {
        level: Level::Hashes,
        at: (job.clock)(),
        problems: Vec::new(),
        remarks: Vec::new(),
    };
    reached.problems = hashes(&entry, &job.teller);
    if reached.is_ok() && level >= Level::Read {
        reached.level = Level::Read;
        reached.problems = tokio::select! {
            read = read(job, &entry) => read?,
            () = stop.cancelled() => return Err(stopped("the verification")),
        };
    }
    if reached.is_ok() && level == Level::Restored {
        match prove(job, &entry, stop).await? {
            Proof::Held(remarks) => (reached.level, reached.remarks) = (level, remarks),
            Proof::Failed(problems) => (reached.level, reached.problems) = (level, problems),
            Proof::NotTried(why) => reached.remarks.push(why),
        }
    }
    reached.at = (job.clock)();
    // Others may have written it since.
    entry.record = job.catalogue.find(&entry.name)?.record;
    entry.record.verifications.push(reached.clone());
    job.catalogue.write_record(&entry)?;
    Ok((entry, reached))
}

/// Level 1: every file is as it was written.
pub(crate) fn hashes(entry: &Entry, teller: &Teller) -> Vec<String> {
    teller.tell(Progress { at: Some("hashes".into()), ..Progress::of("verify") });
    sums::problems(&entry.dir, &entry.manifest.files)
}

/// Level 2: `pg_restore` reads the dump from its first byte to its last; its table of contents alone would pass a
/// dump that was cut short.
pub(crate) async fn read(job: &Job<'_>, entry: &Entry) -> Outcome<Vec<String>> {
    job.teller.tell(Progress { at: Some("the whole dump".into()), ..Progress::of("verify") });
    let login = job.bench.login(As::Fixer, None)?;
    let tools = Tools::new(&job.bench.link, login, job.bench.place.as_ref(), 0);
    let args = vec!["--file=/dev/null".to_owned()];
    match restore_call(&tools, entry, args, &|_| {}).await {
        Ok(()) => Ok(Vec::new()),
        // It ran, and stumbled over the dump.
        Err(failure) if failure.message.starts_with("pg_restore ended") => {
            Ok(vec![failure.message])
        }
        Err(failure) => Err(failure),
    }
}

/// Runs `pg_restore` on a backup, by its path where it can read that, else fed to it.
pub(crate) async fn restore_call(
    tools: &Tools,
    entry: &Entry,
    mut args: Vec<String>,
    on_line: &(dyn Fn(&str) + Send + Sync),
) -> Outcome<()> {
    let dump = entry.dump();
    let input = if tools.are_local() { None } else { Some(dump.as_path()) };
    if input.is_none() {
        args.push(dump.display().to_string());
    }
    let output = &mut |_: &[u8]| Ok(());
    tools.run(Call { program: "pg_restore", args, input, output, on_line }).await
}

/// What came of restoring a copy.
enum Proof {
    Held(Vec<String>),
    Failed(Vec<String>),
    NotTried(String),
}

/// Level 3: restored into a database of its own, compared, dropped.
async fn prove(job: &Job<'_>, entry: &Entry, stop: &CancellationToken) -> Outcome<Proof> {
    let bench = job.proof_bench();
    let session = maintenance(bench, &[]).await?;
    match disk::room(bench, &session, entry.manifest.database_bytes).await? {
        Room::TooLittle { free, needed } => {
            let (free, needed) = (megabytes(free), megabytes(needed));
            let why = format!(
                "not restored for proof: {needed} MB are needed on the server's disk and {free} MB are free; \
                 name another server in `backup.verify_on`"
            );
            return Ok(Proof::NotTried(why));
        }
        Room::Enough | Room::Unknown => {}
    }
    let at = (job.clock)();
    let name = scratch::name(&entry.name, at);
    let proven = tokio::select! {
        proven = Box::pin(async {
            scratch::create(&session, &name, &entry.manifest.settings, at).await?;
            restored_alike(job, bench, entry, &name).await
        }) => proven,
        () = stop.cancelled() => Err(stopped("the verification")),
    };
    // A new session: what was dropped midway may still be busy on the other.
    session.close().await;
    let session = maintenance(bench, &[]).await?;
    scratch::drop_database(&session, &name).await?;
    session.close().await;
    proven
}

async fn restored_alike(
    job: &Job<'_>,
    bench: &Workbench,
    entry: &Entry,
    name: &str,
) -> Outcome<Proof> {
    let is_elsewhere = job.proof_on.is_some();
    if let Err(failure) =
        restore_into(job, bench, entry, name, Ownership::Nobody { is_elsewhere }).await
    {
        return match failure.message.starts_with("pg_restore ended") {
            true => Ok(Proof::Failed(vec![failure.message])),
            false => Err(failure),
        };
    }
    let mut problems = compare(job, bench, entry, name).await?;
    let mut remarks = Vec::new();
    let unhashed = entry.manifest.contents.unhashed();
    if entry.manifest.scope == Scope::Full && !unhashed.is_empty() {
        remarks.push(format!(
            "{} tables are beyond the byte budget and were not hashed",
            unhashed.len()
        ));
    }
    problems.extend(amcheck(bench, name, &mut remarks).await?);
    Ok(if problems.is_empty() { Proof::Held(remarks) } else { Proof::Failed(problems) })
}

/// To whom what is restored will belong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// As it was, which takes every role to be there.
    AsItWas,
    /// Whoever restores it: a copy for proof. Elsewhere there may not even be the roles to grant anything to.
    Nobody { is_elsewhere: bool },
}

/// Restores a backup into an empty database; the first error ends it.
pub(crate) async fn restore_into(
    job: &Job<'_>,
    bench: &Workbench,
    entry: &Entry,
    name: &str,
    ownership: Ownership,
) -> Outcome<()> {
    preinstall(bench, entry, name).await?;
    let login = bench.login(As::Fixer, Some(name))?;
    let tools = Tools::new(&bench.link, login, bench.place.as_ref(), 0);
    tools.version("pg_restore").await?;
    let mut args: Vec<String> =
        ["--exit-on-error", "--verbose", "--no-password"].map(str::to_owned).to_vec();
    if let Ownership::Nobody { is_elsewhere } = ownership {
        args.extend(["--no-owner", "--no-subscriptions", "--no-publications"].map(str::to_owned));
        if is_elsewhere {
            args.push("--no-acl".to_owned());
        }
    }
    if tools.are_local() {
        args.push("--jobs=2".to_owned());
    }
    args.push(Tools::dbname(name));
    let of = entry.manifest.contents.tables.len();
    let seen = AtomicU64::new(0);
    let on_line = |line: &str| {
        let Some(table) = line.split("processing data for table ").nth(1) else { return };
        let done = usize::try_from(seen.fetch_add(1, Ordering::Relaxed)).unwrap_or(of);
        job.teller.tell(Progress::counted("restore", done, of, table));
    };
    restore_call(&tools, entry, args, &on_line).await
}

/// Extensions that came with the server's template are in no dump, and the copy is made without that template.
pub(crate) async fn preinstall(bench: &Workbench, entry: &Entry, name: &str) -> Outcome<()> {
    let session = bench.connect(As::Fixer, Some(name), Session::Fixer, "restore").await?;
    for (extension, schema) in &entry.manifest.contents.preinstalled {
        let (extension, schema) = (quoted(extension), quoted(schema));
        let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA {schema}");
        settings::run(&session, &sql).await?;
    }
    session.close().await;
    Ok(())
}

/// What the copy holds otherwise than the backup's manifest says.
pub(crate) async fn compare(
    job: &Job<'_>,
    bench: &Workbench,
    entry: &Entry,
    name: &str,
) -> Outcome<Vec<String>> {
    let session = bench.connect(As::Fixer, Some(name), Session::Fixer, "verify").await?;
    survey::begin(&session).await?;
    let wanted: &Contents = &entry.manifest.contents;
    let rows = match entry.manifest.scope {
        Scope::Full => Rows::As(wanted),
        Scope::Schema => Rows::No,
    };
    let found = survey::contents(&session, rows, "compare", &job.teller).await?;
    session.close().await;
    let mut problems = wanted.differences(&found);
    if entry.manifest.scope == Scope::Schema {
        // Without rows sequences begin anew.
        problems.retain(|problem| !problem.starts_with("sequence"));
    }
    Ok(problems)
}

/// Indexes and heaps looked through by `pg_amcheck`, where the program and its extension are there.
async fn amcheck(bench: &Workbench, name: &str, remarks: &mut Vec<String>) -> Outcome<Vec<String>> {
    let session = bench.connect(As::Fixer, Some(name), Session::Fixer, "verify").await?;
    let standing = Standing::of(&session).await?;
    let offered = "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'";
    let offered = session.query_one(offered, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) > 0);
    if !offered || bench.is_inside() || standing.major() < 14 || !tools::is_installed("pg_amcheck")
    {
        remarks.push("pg_amcheck is not there and was left out".into());
        return Ok(Vec::new());
    }
    let made = settings::run(&session, "CREATE EXTENSION IF NOT EXISTS amcheck").await;
    session.close().await;
    if let Err(failure) = made {
        remarks.push(format!("pg_amcheck was left out: {}", failure.message));
        return Ok(Vec::new());
    }
    let tools = Tools::new(&bench.link, bench.login(As::Fixer, Some(name))?, None, 0);
    let args = vec!["--no-password".to_owned(), name.to_owned()];
    let output = &mut |_: &[u8]| Ok(());
    let call = Call { program: "pg_amcheck", args, input: None, output, on_line: &|_| {} };
    Ok(tools.run(call).await.err().map(|failure| failure.message).into_iter().collect())
}

/// Keeps a backup whatever its age, or no longer.
pub fn pin(catalogue: &Catalogue, name: &str, pinned: bool) -> Outcome<Entry> {
    let mut entry = catalogue.find(name)?;
    entry.record.pinned = pinned;
    catalogue.write_record(&entry)?;
    Ok(entry)
}
