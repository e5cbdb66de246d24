//! simctl as a person uses it: the built binary, real servers, a home, an id and ports of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

mod docker;
mod own;
mod process;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A home with a configuration. What was made in it is removed at the end, also when the test fails.
struct Trial {
    home: tempfile::TempDir,
    id: String,
    ports: [u16; 4],
    has_lab: bool,
    children: Vec<Child>,
}

impl Trial {
    /// `runtime` is where its lab may be made; `None`: it has none.
    fn new(runtime: Option<&str>, more: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (id, ports) = (format!("trial{}", std::process::id()), free_ports());
        let [redis, postgres, store, _] = ports;
        let lab = format!(
            "[lab]\nenabled = {}\nid = \"{id}\"\nruntime = \"{}\"\nverify_hold = \"2s\"\n\
             redis_port = {redis}\npostgres_port = {postgres}\nstore_port = {store}\n",
            runtime.is_some(),
            runtime.unwrap_or("auto")
        );
        std::fs::write(home.path().join("simctl.toml"), lab + more).expect("write the file");
        Self { home, id, ports, has_lab: runtime.is_some(), children: Vec::new() }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.id)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command
            .args(args)
            .env("SIMCTL_CONFIG", self.home.path().join("simctl.toml"))
            .env("SIMCTL_STATE_DIR", self.state())
            .env("SIMCTL_OPERATOR", "ops1")
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().expect("the binary runs"))
    }

    /// Runs it and wants exit code 0.
    fn must(&self, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        said
    }

    /// What it prints as JSON; nothing while there is no such thing.
    fn json(&self, args: &[&str]) -> Value {
        let said = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    /// Starts something that is ended with the test.
    fn start(&mut self, command: &mut Command) {
        let child = command.stdin(Stdio::null()).spawn();
        self.children.push(child.expect("the program starts"));
    }

    /// Starts the engine and waits until it answers.
    fn engine(&mut self) {
        let log = std::fs::File::create(self.home.path().join("told")).expect("a file");
        let mut command = self.command(&["run", "--json"]);
        self.start(command.stdout(log).stderr(Stdio::null()));
        self.wait_for("the engine", |trial| {
            trial.json(&["status"])["engine"].is_object().then_some(())
        });
    }

    fn wait_for<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The newest incident, once there is one in this status.
    fn incident(&self, status: &str) -> Value {
        self.wait_for(&format!("an incident that is {status}"), |trial| {
            let newest = trial.json(&["incidents"]).get(0)?.clone();
            (newest["status"] == status).then_some(newest)
        })
    }

    /// The first child is the engine.
    fn end_children_but_the_engine(&mut self) {
        let others = self.children.split_off(1);
        end(others);
    }

    fn end_children(&mut self) {
        end(std::mem::take(&mut self.children));
    }
}

/// Politely, the last one first.
fn end(children: Vec<Child>) {
    for mut child in children.into_iter().rev() {
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = child.wait();
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.end_children();
        if self.has_lab {
            let said = self.run(&["down", "--volumes"]);
            if said.code != Some(0) {
                eprintln!("the lab {} may not be removed entirely: {}", self.id, said.err);
            }
        }
    }
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code();
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The one sentence of a refusal.
    fn refusal(&self) -> &str {
        assert_ne!(self.code, Some(0), "{}", self.out);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        &self.err
    }
}

/// Ports that nobody uses, below those the system hands out by itself.
fn free_ports() -> [u16; 4] {
    let offset = u16::try_from(std::process::id() % 8_000).expect("fits");
    let mut free = (20_000 + offset..32_000)
        .filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [(); 4].map(|()| free.next().expect("a free port"))
}

/// Whether any file below `dir` holds these bytes.
fn is_written(dir: &Path, secret: &str) -> bool {
    std::fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_written(&path, secret);
        }
        let mut bytes = Vec::new();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file
            && std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).is_ok()
            && bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
    })
}
