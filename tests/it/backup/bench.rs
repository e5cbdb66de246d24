//! A server, a home for simctl's files, and the commands of a person who uses both.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::faults::bench::Bench;

/// A function that takes its time in every database but the original, so that a test can act while a copy is made.
pub(super) const SLOW_COPY: &str = "
create table slow (n int);
insert into slow values (1);
create function slowly(n int) returns int immutable language plpgsql as $$ begin
  if current_database() not in ('app', 'Ops \"Größe\" %d') then perform pg_sleep(60); end if; return n; end $$;
create index slow_index on slow (slowly(n));";

pub(super) struct Site {
    pub(super) server: Bench,
    home: TempDir,
}

/// What a command said.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.out, self.err))
    }

    /// The message of a failure, which must be one.
    #[track_caller]
    pub(super) fn refusal(&self) -> String {
        let json = self.json();
        assert_eq!(json["success"], false, "{json:#}");
        assert_ne!(self.code, Some(0), "{json:#}");
        json["error"]["message"].as_str().unwrap_or_else(|| panic!("{json:#}")).to_owned()
    }
}

impl Site {
    pub(super) fn new() -> Self {
        Self { server: Bench::postgres(), home: TempDir::new().unwrap() }
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn backups(&self) -> PathBuf {
        self.home().join("state/backups")
    }

    /// A file of a backup.
    pub(super) fn file(&self, backup: &str, name: &str) -> PathBuf {
        self.backups().join(backup).join(name)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("SIMCTL_STATE_DIR", self.home().join("state"))
            .env("SIMCTL_LAB_ENABLED", "false")
            .env("USER", "ops1")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    fn on_server(&self, args: &[&str]) -> Command {
        let url = format!("postgres://postgres@127.0.0.1:{}/app", self.server.port);
        let mut command = self.command(&["db"]);
        command.args(args).args(["--json", "--url", &url]);
        command
    }

    /// `simctl db …`, answered as JSON.
    pub(super) fn db(&self, args: &[&str]) -> Said {
        said(&self.on_server(args).output().unwrap())
    }

    /// The same, which must be done.
    #[track_caller]
    pub(super) fn done(&self, args: &[&str]) -> Value {
        let said = self.db(args);
        assert_eq!(said.code, Some(0), "{args:?}: {} {}", said.out, said.err);
        said.json()
    }

    /// The same, left running.
    pub(super) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.on_server(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }

    pub(super) async fn session(&self, database: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.server.port).user("postgres").dbname(database);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(super) async fn run(&self, database: &str, sql: &str) {
        let session = self.session(database).await;
        session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(super) async fn one(&self, database: &str, sql: &str) -> String {
        one(&self.session(database).await, sql).await
    }

    /// The names of databases that simctl made.
    pub(super) async fn ours(&self) -> Vec<String> {
        let session = self.session("postgres").await;
        let sql = "select datname::text from pg_database where datname ~ '^simctl_|_restore_|_before_' order by 1";
        session.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Waits for a row, with a bound.
    pub(super) async fn until(&self, condition: &str) {
        let session = self.session("postgres").await;
        let began = Instant::now();
        while one(&session, condition).await != "true" {
            assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {condition}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether clients can work in it: the application's own role connects and reads.
    pub(super) async fn serves(&self, database: &str, table: &str) -> String {
        self.one(database, &format!("select count(*) from {table}")).await
    }

    /// Everything in it, in the words of the server's own program: nothing of ours has a say.
    pub(super) fn everything(&self, database: &str) -> String {
        let name = database.replace('\\', "\\\\").replace('\'', "\\'");
        let output = Command::new(crate::faults::bench::find_postgres("pg_dump"))
            .args(["--no-password", "-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.server.port.to_string())
            .arg(format!("--dbname=dbname='{name}'"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Newer programs put a word of their own into each dump.
        let own =
            |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines().filter(own).collect::<Vec<_>>().join("\n")
    }
}

pub(super) async fn one(session: &Client, sql: &str) -> String {
    let row = session.query_one(&format!("select ({sql})::text"), &[]).await;
    row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A command that runs; killed with the test.
pub(super) struct Running(Option<Child>);

impl Running {
    pub(super) fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Said {
        said(&self.0.take().unwrap().wait_with_output().unwrap())
    }

    /// SIGKILL, and gone.
    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().code, None, "it was killed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a condition of files, with a bound.
pub(super) fn until_file(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
