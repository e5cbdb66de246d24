//! A lab in containers for one test, and engines that are child processes, so that they can be killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A place with a configuration and a state directory of its own.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("simctl.toml"), config).expect("write the configuration");
        Self(dir)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command
            .args(["--config", "simctl.toml"])
            .args(args)
            .current_dir(self.path())
            .env("SIMCTL_STATE_DIR", self.state_dir())
            .env("SIMCTL_OPERATOR", "ops1")
            .env_remove("SIMCTL_STORE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// As [`Self::run`], for what must work.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "simctl {args:?}: {said:?}");
        said.out
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::of(self.command(&["run", "--json"]))
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("no signal ended it");
    Said { code, out: text(&output.stdout), err: text(&output.stderr) }
}

/// Asks until the answer is there.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A running `simctl run --json`. Dropped, it is killed.
pub(crate) struct Engine {
    child: Child,
    lines: Receiver<Value>,
    words: Receiver<String>,
    /// Every event so far, with what it is about.
    pub(crate) seen: Vec<Value>,
}

impl Engine {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the engine starts");
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (told, lines) = channel();
        let out = BufReader::new(out.expect("piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let sealed: Value = serde_json::from_str(&line).expect("every line is JSON");
                let _ = told.send(sealed["event"].clone());
            }
        });
        let (told, words) = channel();
        let err = BufReader::new(err.expect("piped"));
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        Self { child, lines, words, seen: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event of this kind that fits.
    pub(crate) fn event(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.any(&format!("the event {kind}"), |event| event["body"]["kind"] == kind && fits(event))
    }

    pub(crate) fn any(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if fits(&event) {
                        return event;
                    }
                }
                Err(why) => {
                    let words: Vec<_> = self.words.try_iter().collect();
                    let kinds: Vec<_> =
                        self.seen.iter().map(|e| e["body"]["kind"].to_string()).collect();
                    panic!("{what}: {why}; it said {words:?} and told {kinds:?}");
                }
            }
        }
    }

    /// The next line on standard error that contains this.
    pub(crate) fn word(&self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            match self.words.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => all.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never said `{part}`: {all:?}")
                }
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn terminate(mut self) -> i32 {
        kill(self.pid(), Signal::TERM);
        eventually("the engine ends", || self.child.try_wait().expect("it can be asked"))
            .code()
            .expect("no signal ended it")
    }

    /// Waits until it ends by itself, and returns its exit code.
    pub(crate) fn ended(mut self) -> (i32, Vec<String>) {
        let status =
            eventually("the engine ends", || self.child.try_wait().expect("it can be asked"));
        (status.code().expect("no signal ended it"), self.words.iter().collect())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}

/// Three real servers in containers. Dropped, they are removed with everything they left.
pub(crate) struct Lab {
    pub(crate) home: Home,
    pub(crate) id: String,
}

impl Lab {
    pub(crate) fn up() -> Self {
        Self::with("")
    }

    /// With more configuration than the lab's.
    pub(crate) fn with(more: &str) -> Self {
        static LABS: AtomicU16 = AtomicU16::new(0);
        let lab = LABS.fetch_add(1, Ordering::Relaxed);
        let id = format!("crash{}n{lab}", std::process::id());
        let [redis, postgres, store] = free_ports(lab);
        let config = format!(
            "[lab]\nid = \"{id}\"\nruntime = \"docker\"\nredis_port = {redis}\n\
             postgres_port = {postgres}\nstore_port = {store}\nverify_hold = \"2s\"\n{more}"
        );
        let lab = Self { home: Home::with(&config), id };
        lab.home.ok(&["up"]);
        lab
    }

    pub(crate) fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.id)
    }

    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let said = said(Command::new("docker").args(args));
        assert_eq!(said.code, 0, "docker {args:?}: {said:?}");
        said.out.trim().to_owned()
    }

    pub(crate) fn redis(&self, args: &[&str]) -> String {
        let name = self.name("redis-test");
        self.docker(&[&["exec", &name, "redis-cli"], args].concat())
    }

    /// Rows of the store.
    pub(crate) fn store(&self, sql: &str) -> String {
        let name = self.name("simctl-store");
        let psql = ["exec", &name, "psql", "-X", "-U", "postgres", "-d", "simctl", "-Atc", sql];
        self.docker(&psql)
    }

    pub(crate) fn status(&self, base: &str) -> String {
        self.docker(&["inspect", "-f", "{{.State.Status}}", &self.name(base)])
    }

    /// Both targets are in order.
    pub(crate) fn wait_until_well(&self) {
        eventually("both targets are ok", || (self.home.run(&["status"]).code == 0).then_some(()));
    }

    /// Approves what was proposed.
    pub(crate) fn approve(&self, proposed: &Value) {
        let said = self.try_approve(proposed);
        assert_eq!(said.code, 0, "{said:?}");
    }

    pub(crate) fn try_approve(&self, proposed: &Value) -> Said {
        let proposal = &proposed["body"]["proposal"];
        let fingerprint = proposal["fingerprint"].as_str().expect("a fingerprint");
        let target = proposal["target"].as_str().expect("a target");
        let number = self.newest_open();
        self.home.run(&["approve", &number, "--fingerprint", fingerprint, "--type", target])
    }

    /// From the engine: the store may be away.
    fn newest_open(&self) -> String {
        let said = self.home.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&said.out).expect("JSON");
        let open = status["open_incidents"].as_array().and_then(|open| open.last().cloned());
        open.and_then(|name| Some(name.as_str()?.to_owned())).expect("an open incident")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in ["redis-test", "postgres-test", "simctl-store"] {
            // Paused ones are not removed in time; most are not paused.
            let _ = Command::new("docker").args(["unpause", &self.name(name)]).output();
        }
        let down = self.home.run(&["down", "--volumes"]);
        if down.code != 0 {
            eprintln!("the lab {} may not be removed entirely: {down:?}", self.id);
        }
    }
}

/// Three ports that nobody uses, below those the system hands out by itself.
pub(crate) fn free_ports(lab: u16) -> [u16; 3] {
    let offset = (u16::try_from(std::process::id() % 500).expect("fits") + lab) * 9;
    let mut free =
        (22_380 + offset..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [(); 3].map(|()| free.next().expect("a free port"))
}
