//! Child processes of the comparison: started, measured, ended by their own id.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};

/// One running program.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) child: Child,
}

/// CPU time and memory of a process so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: f64,
}

impl Process {
    /// Starts a program that says nothing.
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::spawn(name, Command::new(name).args(arguments).stdout(Stdio::null()))
    }

    /// Starts a prepared command.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child })
    }

    /// What it used so far, by the kernel's account.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        /// The unit of `/proc/*/stat` on every Linux of today.
        const TICK: Duration = Duration::from_millis(10);
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let stat = read("stat")?;
        let (_, after_name) = stat.rsplit_once(')').context("read /proc/PID/stat")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u32>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("read /proc/PID/stat")?;
        let status = read("status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().strip_suffix(" kB"));
        let resident: f64 = resident.context("read /proc/PID/status")?.trim().parse()?;
        Ok(Usage { cpu: TICK * (user + system), resident_mib: resident / 1_024.0 })
    }

    /// Asks it to end, and sees to it.
    pub(crate) async fn end(mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // One that has just ended by itself is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Runs a command to its end; what it said when it failed is the error.
pub(crate) async fn command(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(())
}
