//! What a whole engine costs: from its start to the first health of every target, CPU and memory at rest.
//!
//! Without `TARGETS` it watches what the configuration names (the lab, by default); with `TARGETS=1000` it
//! watches that many addresses of a few local `redis-server`s, held and fresh every second. `STARTS` sets how
//! often it is started (default 10), `SECONDS` how long it is watched (default 60), `PORT` the first port of
//! the servers (default 24480).
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use simctl::api::client::Client;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

#[path = "detection/process.rs"]
#[expect(dead_code, reason = "shared with another benchmark, which uses all of it")]
mod process;

use process::Process;

const SIMCTL: &str = env!("CARGO_BIN_EXE_simctl");
/// One address each.
const TARGETS_PER_SERVER: usize = 250;
const WARM_UP: Duration = Duration::from_secs(65);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let targets = number("TARGETS", 0)?;
    let servers = if targets > 0 { many(dir.path(), targets).await? } else { Vec::new() };
    let engine = Engine { dir: dir.path().to_owned(), is_own: targets > 0 };
    let mut starts = Vec::new();
    for _ in 0..number("STARTS", 10)? {
        let (simctl, took) = engine.start().await?;
        starts.push(took);
        simctl.end().await;
    }
    starts.sort();
    let (median, worst) = (starts.get(starts.len() / 2), starts.last());
    if let Some((median, worst)) = median.zip(worst) {
        println!("start to first health: median {median:?}, worst {worst:?}");
    }
    let (simctl, _) = engine.start().await?;
    // Every window is full after a minute.
    sleep(WARM_UP).await;
    let (before, began) = (simctl.usage()?, Instant::now());
    sleep(Duration::from_secs(number("SECONDS", 60)?.try_into()?)).await;
    let after = simctl.usage()?;
    let share = (after.cpu - before.cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("at rest: {:.2} % of a core, {:.1} MiB", 100.0 * share, after.resident_mib);
    simctl.end().await;
    for server in servers {
        server.end().await;
    }
    Ok(())
}

fn number(name: &str, default: usize) -> anyhow::Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is {text}")),
        Err(_) => Ok(default),
    }
}

/// How to start simctl: on what the environment configures, or on servers of our own.
struct Engine {
    dir: PathBuf,
    is_own: bool,
}

impl Engine {
    /// Starts it and waits until every target has a health; how long that took.
    async fn start(&self) -> anyhow::Result<(Process, Duration)> {
        let state = self.dir.join("state");
        let mut command = Command::new(SIMCTL);
        command.args(["run", "--json", "--state-dir"]).arg(&state).stdout(Stdio::null());
        if self.is_own {
            let store = format!("sqlite:{}", self.dir.join("store.db").display());
            command.arg("--config").arg(self.dir.join("simctl.toml")).args(["--store", &store]);
        }
        let began = Instant::now();
        let simctl = Process::spawn("simctl", &mut command)?;
        while !is_healthy(&state).await {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "no health after 30 s");
            sleep(Duration::from_millis(2)).await;
        }
        Ok((simctl, began.elapsed()))
    }
}

async fn is_healthy(state: &Path) -> bool {
    let Ok(Some(client)) = Client::connect(state).await else { return false };
    let Ok(snapshot) = client.snapshot().await else { return false };
    snapshot.targets.iter().all(|view| view.health.score().is_some())
}

/// Local servers, and a configuration that names many addresses of them.
async fn many(dir: &Path, targets: usize) -> anyhow::Result<Vec<Process>> {
    let first_port = number("PORT", 24_480)?;
    let mut servers = Vec::new();
    for server in 0..targets.div_ceil(TARGETS_PER_SERVER) {
        let (port, files) = ((first_port + server).to_string(), dir.to_string_lossy());
        // Binding everything is the only way to get all of 127.0.0.0/8; protected mode keeps others out.
        let listen = ["--port", &port, "--bind", "0.0.0.0", "--protected-mode", "yes"];
        let keep = ["--save", "", "--dir", &files, "--maxmemory", "100mb"];
        servers.push(Process::start("redis-server", &[&listen[..], &keep[..]].concat())?);
    }
    let mut config = "[lab]\nenabled = false\n".to_owned();
    for target in 0..targets {
        let (server, host) = (target / TARGETS_PER_SERVER, target % TARGETS_PER_SERVER + 1);
        let port = first_port + server;
        writeln!(
            config,
            "[[target]]\nname = \"r{target:04}\"\nurl = \"redis://127.1.{server}.{host}:{port}\"\n\
             probe = {{ held = \"1s\", fresh = \"1s\" }}"
        )?;
    }
    std::fs::write(dir.join("simctl.toml"), config)?;
    sleep(Duration::from_secs(1)).await;
    Ok(servers)
}
