//! Starts a server so that it outlives us: a session of its own, no terminal, its output in a file.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::process::Command;

use super::binaries;
use super::record::Record;
use super::table::Life;
use crate::engine::clock;

/// Starts what is on record. Needs a tokio runtime, which also counts the dead child.
pub(super) fn spawn(record: &Record) -> anyhow::Result<(Life, DateTime<Utc>)> {
    let (program, arguments) = record.argv.split_first().context("the record names no command")?;
    let program = binaries::find(program).unwrap_or_else(|| program.into());
    let mut command = apart(&program);
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&record.log);
    let log = log.with_context(|| format!("open {}", record.log.display()))?;
    command
        .args(arguments)
        .env_clear()
        .envs(&record.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false);
    if let Some(user) = record.user {
        command.uid(user.uid).gid(user.gid);
    }
    let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let life = pid.and_then(Life::of).context("it ended at once")?;
    Ok((life, clock::now()))
}

/// A session of its own keeps the terminal's signals away, and keeps the kernel from waking a stopped
/// server when we end. Without the `setsid` command, a process group of its own has to do.
fn apart(program: &Path) -> Command {
    if let Some(setsid) = binaries::find("setsid") {
        let mut command = Command::new(setsid);
        command.arg(program);
        command
    } else {
        let mut command = Command::new(program);
        command.process_group(0);
        command
    }
}
