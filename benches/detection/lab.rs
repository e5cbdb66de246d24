//! The lab both sides watch, and the simctl that watches it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::Value;
use simctl::engine::tasks::Tasks;
use simctl::lab::spec::{APP_PASSWORD, MONITOR_PASSWORD, SUPERUSER_PASSWORD};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::board::Board;
use crate::process::{self, Process};

const SIMCTL: &str = env!("CARGO_BIN_EXE_simctl");

/// One Redis and one PostgreSQL in containers, on ports of their own.
pub(crate) struct Lab {
    id: String,
    pub(crate) first_port: u16,
    dir: TempDir,
}

impl Lab {
    /// Creates it; its files live in a directory that goes with it.
    pub(crate) async fn up(first_port: u16) -> anyhow::Result<Self> {
        let id = std::env::var("SIMCTL_BENCH_LAB").unwrap_or_else(|_| "detection".to_owned());
        let lab = Self { id, first_port, dir: tempfile::tempdir()? };
        let config = format!(
            "[lab]\nid = \"{}\"\nruntime = \"docker\"\nredis_port = {}\npostgres_port = {}\nstore_port = {}\n",
            lab.id,
            first_port,
            first_port + 1,
            first_port + 2
        );
        std::fs::write(lab.file("simctl.toml"), config)?;
        lab.simctl(&["up"]).await.context("make the lab")?;
        Ok(lab)
    }

    /// Removes it with its data.
    pub(crate) async fn down(&self) -> anyhow::Result<()> {
        self.simctl(&["down", "--volumes"]).await.context("remove the lab")
    }

    /// A file next to the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A container's name.
    pub(crate) fn container(&self, server: &str) -> String {
        format!("{}-{server}", self.id)
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.first_port)
    }

    /// The application's login.
    pub(crate) fn app_url(&self) -> String {
        self.postgres_url("app", APP_PASSWORD)
    }

    /// The login of those who look at sessions.
    pub(crate) fn monitor_url(&self) -> String {
        self.postgres_url("monitor", MONITOR_PASSWORD)
    }

    /// The login of the superuser, whose slots are reserved.
    pub(crate) fn superuser_url(&self) -> String {
        self.postgres_url("postgres", SUPERUSER_PASSWORD)
    }

    fn postgres_url(&self, user: &str, password: &str) -> String {
        let port = self.first_port + 1;
        format!("postgresql://{user}:{password}@127.0.0.1:{port}/app?sslmode=disable")
    }

    async fn simctl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (config, state) = (self.file("simctl.toml"), self.file("state"));
        let globals =
            ["--config", &config.to_string_lossy(), "--state-dir", &state.to_string_lossy()];
        process::command(SIMCTL, &[&globals, arguments].concat()).await
    }

    /// Starts `simctl run --json`; what it says about incidents is noted.
    pub(crate) fn run_simctl(&self, board: &Board, tasks: &mut Tasks) -> anyhow::Result<Process> {
        let mut command = Command::new(SIMCTL);
        command.arg("--config").arg(self.file("simctl.toml"));
        command.arg("--state-dir").arg(self.file("state")).args(["run", "--json"]);
        let mut simctl = Process::spawn("simctl", command.stdout(Stdio::piped()))?;
        let stdout = simctl.child.stdout.take().context("read what simctl says")?;
        tasks.spawn("listen to simctl", listen(stdout, board.clone()));
        Ok(simctl)
    }
}

async fn listen(stdout: ChildStdout, board: Board) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let text =
            |pointer: &str| said.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let incident = text("/event/incident");
        match text("/event/body/kind") {
            "engine_started" => board.simctl_is_up(),
            "incident_opened" => {
                let at: DateTime<Utc> = text("/event/at").parse().unwrap_or_default();
                board.incident_opened(incident, text("/event/target"), at);
            }
            "incident_resolved" | "incident_failed" => board.incident_ended(incident),
            _ => {}
        }
    }
}
