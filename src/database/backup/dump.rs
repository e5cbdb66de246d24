//! Taking a backup: one transaction holds a snapshot still, `pg_dump` reads in it, and so does what is written down
//! about every table.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::{As, Code, Failure, Outcome, Workbench};
use super::catalogue::{Entry, broken};
use super::manifest::{Contents, Manifest, Scope};
use super::progress::Progress;
use super::record::Record;
use super::survey::{self, Rows};
use super::tools::{Call, Tools};
use super::{
    BackupRequest, DUMP, DUMP_FOLDER, GLOBALS, Job, Standing, ms_between, name, settings, stopped,
};
use crate::domain::proposal::hex;
use crate::targets::postgres::{PgConnection, Session};

/// Beyond this several processes dump at once, where they can write our files.
const SEVERAL_ABOVE: u64 = 5_000_000_000;
/// Bytes between two words about the progress.
const TELL_EVERY: u64 = 4 << 20;

/// One at a time for each database, on whichever machine: the lock is the server's, and ends with our session.
const LOCK: &str =
    "SELECT pg_try_advisory_lock(hashtext('simctl backup'), hashtext(current_database()))";

const SNAPSHOT: &str = "
SELECT pg_export_snapshot(),
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text";

const END_SESSIONS: &str =
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";

/// Takes it. Told to stop, it ends the program it started and removes what was written.
pub(super) async fn take(
    job: &Job<'_>,
    request: &BackupRequest,
    stop: &CancellationToken,
) -> Outcome<Entry> {
    job.catalogue.sweep()?;
    let began = (job.clock)();
    let database = request.database.as_deref().unwrap_or(&job.bench.link.app.database).to_owned();
    let name = request.backup_name.clone().unwrap_or_else(|| name::of(&database, began));
    let unique = hex(&Sha256::digest(format!("{name} {began}")));
    let programs = format!("simctl/dump {}", &unique[..16]);
    let made = tokio::select! {
        made = Box::pin(make(job, request, &database, &name, &programs)) => made,
        () = stop.cancelled() => Err(stopped("the backup")),
    };
    if made.is_err() {
        end_sessions(job.bench, &programs).await;
    }
    made
}

async fn make(
    job: &Job<'_>,
    request: &BackupRequest,
    database: &str,
    name: &str,
    programs: &str,
) -> Outcome<Entry> {
    let began = (job.clock)();
    let bench = job.bench;
    let session = bench.connect(As::Fixer, Some(database), Session::Fixer, "backup").await?;
    let standing = Standing::of(&session).await?;
    lock(&session).await?;
    keep_off_its_disk(job, &session).await?;
    let login = bench.login(As::Fixer, Some(database))?;
    let tools = Tools::new(&bench.link, login, bench.place.as_ref(), standing.major());
    let tools = tools.calling_itself(programs.to_owned());
    let program = tools.version("pg_dump").await?;
    let draft = job.catalogue.begin(name)?;
    survey::begin(&session).await?;
    let row = session.query_one(SNAPSHOT, &[]).await;
    let row = row.map_err(|error| Failure::of_postgres(&error))?;
    let (snapshot, lsn): (String, Option<String>) = (row.get(0), row.get(1));
    let found = settings::read(&session, database).await?.unwrap_or_default();
    let run = Run {
        job,
        request,
        tools: &tools,
        standing: &standing,
        dir: &draft.dir,
        tables: AtomicUsize::new(0),
    };
    let rows = match request.scope {
        Scope::Full => Rows::Within(job.hash_budget()),
        Scope::Schema => Rows::No,
    };
    let survey = async {
        let contents = survey::contents(&session, rows, "hash", &job.teller).await?;
        run.tables.store(contents.tables.len(), Ordering::Relaxed);
        Ok::<Contents, Failure>(contents)
    };
    let (contents, ()) = tokio::try_join!(survey, run.dump(&snapshot))?;
    settings::run(&session, "COMMIT").await?;
    run.globals(&session).await?;
    session.close().await;
    let finished = (job.clock)();
    let manifest = Manifest {
        name: name.to_owned(),
        target: bench.target.id.to_string(),
        database: standing.database.clone(),
        system: standing.system.clone(),
        server_version: standing.version.clone(),
        server_version_num: standing.version_num,
        program,
        scope: request.scope,
        taken_at: began,
        lsn,
        database_bytes: standing.bytes,
        settings: found,
        contents,
        files: draft.sums()?,
    };
    let record = Record {
        finished_at: finished,
        duration_ms: ms_between(began, finished),
        pinned: request.pin,
        manifest_sha256: String::new(),
        verifications: Vec::new(),
    };
    draft.finish(&manifest, record)?;
    job.catalogue.find(name)
}

async fn lock(session: &PgConnection) -> Outcome<()> {
    let row = session.query_one(LOCK, &[]).await.map_err(|error| Failure::of_postgres(&error))?;
    if row.get(0) {
        return Ok(());
    }
    let message = "another backup of this database is running";
    Err(Failure::new(
        Code::Conflict,
        message,
        "wait for it; `simctl pg performance` shows its session",
    ))
}

/// A backup on the disk of what it is a backup of dies with it.
async fn keep_off_its_disk(job: &Job<'_>, session: &PgConnection) -> Outcome<()> {
    let row = session.query_opt("SELECT current_setting('data_directory', true)", &[]).await;
    let Ok(Some(row)) = row else { return Ok(()) };
    let Some(data) = row.get::<_, Option<String>>(0).filter(|dir| !dir.is_empty()) else {
        return Ok(());
    };
    let here = std::fs::canonicalize(job.catalogue.location());
    let is_inside = here.is_ok_and(|here| here.starts_with(&data)) && Path::new(&data).is_dir();
    if !is_inside {
        return Ok(());
    }
    let place = job.catalogue.location().display();
    let hint = "set `backup.location` under [workbench] to a directory on another disk";
    Err(Failure::refused(format!("{place} lies among the server's own files in {data}"), hint))
}

/// Ends what our programs still do on the server; a program in a container does not end with us.
async fn end_sessions(bench: &Workbench, programs: &str) {
    let Ok(session) = super::maintenance(bench, &[]).await else { return };
    if let Err(error) = session.query(END_SESSIONS, &[&programs]).await {
        tracing::warn!(%error, programs, "the sessions of a stopped backup were not ended");
    }
    session.close().await;
}

/// One dump that is being made.
struct Run<'a> {
    job: &'a Job<'a>,
    request: &'a BackupRequest,
    tools: &'a Tools,
    standing: &'a Standing,
    dir: &'a Path,
    /// How many tables there are, once that is known.
    tables: AtomicUsize,
}

impl Run<'_> {
    async fn dump(&self, snapshot: &str) -> Outcome<()> {
        let is_large = self.standing.bytes > SEVERAL_ABOVE && self.request.scope == Scope::Full;
        let several = is_large && self.tools.are_local();
        let mut args = vec![
            if several { "-Fd" } else { "-Fc" }.to_owned(),
            "--lock-wait-timeout=5s".to_owned(),
            format!("--snapshot={snapshot}"),
            "--verbose".to_owned(),
            "--no-password".to_owned(),
        ];
        if !self.request.compress {
            args.push("--compress=0".to_owned());
        }
        if self.request.scope == Scope::Schema {
            args.push("--schema-only".to_owned());
        }
        if several {
            args.push("--jobs=2".to_owned());
            args.push(format!("--file={}", self.dir.join(DUMP_FOLDER).display()));
        }
        args.push(Tools::dbname(&self.standing.database));
        let path = self.dir.join(DUMP);
        if several {
            return self.call("pg_dump", args, &mut |_| Ok(())).await;
        }
        let mut file = self.create(&path)?;
        let (mut written, mut told) = (0u64, 0u64);
        let teller = &self.job.teller;
        let mut keep = |bytes: &[u8]| {
            file.write_all(bytes)?;
            written += u64::try_from(bytes.len()).unwrap_or_default();
            if written >= told + TELL_EVERY {
                told = written;
                teller.tell(Progress::sized("dump", written, Some(self.standing.bytes)));
            }
            Ok(())
        };
        self.call("pg_dump", args, &mut keep).await
    }

    /// Roles and tablespaces: they belong to no database. Without the right to read passwords, without them.
    async fn globals(&self, session: &PgConnection) -> Outcome<()> {
        let row = session.query_one("SELECT current_setting('is_superuser') = 'on'", &[]).await;
        let reads_passwords: bool = row.map_err(|error| Failure::of_postgres(&error))?.get(0);
        let mut args = vec!["--globals-only".to_owned(), "--no-password".to_owned()];
        if !reads_passwords {
            args.push("--no-role-passwords".to_owned());
        }
        args.push(Tools::dbname(&self.standing.database));
        self.job.teller.tell(Progress::of("globals"));
        let mut file = self.create(&self.dir.join(GLOBALS))?;
        self.call("pg_dumpall", args, &mut |bytes| file.write_all(bytes)).await
    }

    fn create(&self, path: &Path) -> Outcome<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map_err(|error| broken("create", path, &error))
    }

    async fn call(
        &self,
        program: &'static str,
        args: Vec<String>,
        output: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Outcome<()> {
        let seen = AtomicU64::new(0);
        let on_line = |line: &str| {
            let Some(table) = line.split("dumping contents of table ").nth(1) else { return };
            let done = seen.fetch_add(1, Ordering::Relaxed);
            let of = u64::try_from(self.tables.load(Ordering::Relaxed)).ok().filter(|of| *of > 0);
            let at = Some(table.to_owned());
            self.job.teller.tell(Progress { at, done: Some(done), of, ..Progress::of("dump") });
        };
        self.tools.run(Call { program, args, input: None, output, on_line: &on_line }).await
    }
}
