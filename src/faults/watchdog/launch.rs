//! Starting the injector as a process of its own, and hearing what it reports.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{Report, Spec, process};
use crate::faults::FaultError;

/// An injector that was started from here. Dropping this does not stop it.
#[derive(Debug)]
pub struct Running {
    pub pid: u32,
    reports: Lines<BufReader<ChildStdout>>,
    /// Collected when it ends, so that it does not stay as a zombie.
    child: Child,
}

impl Running {
    /// The next report; `None` when it has ended, or never again because it was killed: its journal says more.
    pub async fn next(&mut self) -> Option<Report> {
        loop {
            let line = self.reports.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(report) => return Some(report),
                Err(error) => tracing::warn!(%error, "the injector said what is no report"),
            }
        }
    }

    /// Asks it to undo now, also when it has not written its journal yet.
    pub fn stop(&self) {
        // `id` is `None` once it was collected, so this never reaches another process.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(%error, "the injector had ended already");
        }
    }
}

/// Starts this program again as the injector.
pub async fn spawn(spec: &Spec) -> Result<Running, FaultError> {
    spawn_from(&own_program()?, spec).await
}

/// Starts the given simctl as the injector.
pub async fn spawn_from(program: &Path, spec: &Spec) -> Result<Running, FaultError> {
    let doing = "start the detached injector";
    let mut line = serde_json::to_vec(spec).map_err(|e| FaultError::failed(doing, e))?;
    line.push(b'\n');
    let mut child = Command::new(program)
        .arg0(process::NAME)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()
        .map_err(|e| FaultError::failed(doing, e))?;
    let pid = child.id().unwrap_or_default();
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(FaultError::Precondition(format!("could not {doing}: no pipes")));
    };
    stdin.write_all(&line).await.map_err(|e| FaultError::failed(doing, e))?;
    drop(stdin);
    Ok(Running { pid, reports: BufReader::new(stdout).lines(), child })
}

/// On Linux the running program itself, also after its file was replaced by an upgrade.
fn own_program() -> Result<PathBuf, FaultError> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().map_err(|e| FaultError::failed("find this program", e))
}
