//! Local processes as a runtime: servers that outlive the command that started them.
//!
//! What was started is on record (see [`record`]); a process counts as ours only while both its pid
//! and its start time are those on record, so a pid that was given to another program is never touched.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use rustix::process::Signal as KernelSignal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::capture::{Capture, Stream};
use super::spelling::spell;
use crate::domain::execution::Output;
use crate::ports::runtime::{
    Change, ExecLimits, Operation, Runtime, RuntimeError, RuntimeKind, Signal, Unit, UnitEvent,
    UnitState, UnitStatus,
};
use record::{Record, Records};

pub mod binaries;
mod events;
mod files;
pub mod record;
mod spawn;
pub mod table;

/// For processes to be gone after SIGKILL, and to stand still after SIGSTOP.
const SIGNALLED: Duration = Duration::from_secs(5);
/// For a dead process to be counted by its parent, which may be a slow `init`.
const COUNTED: Duration = Duration::from_secs(5);
/// Between two looks at something that is about to happen.
const LOOK: Duration = Duration::from_millis(10);

/// The servers of one lab as local processes.
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    records: Records,
}

impl ProcessRuntime {
    pub fn new(lab_id: &str, state_dir: &Path) -> Self {
        Self { records: Records::of(lab_id, state_dir) }
    }

    /// What was started here.
    pub fn records(&self) -> &Records {
        &self.records
    }

    fn record(&self, verb: &'static str, unit: &Unit) -> Result<Record, RuntimeError> {
        let found = self.records.load(&unit.name).map_err(|e| failed(verb, unit, e))?;
        found
            .filter(|record| unit.lab.as_ref().is_none_or(|lab| *lab == record.lab))
            .ok_or_else(|| RuntimeError::NoSuchUnit { unit: unit.name.clone() })
    }

    /// Signals every process of the unit's family until all are as `done` wants them.
    async fn signal_all(
        &self,
        verb: &'static str,
        unit: &Unit,
        signal: KernelSignal,
        done: fn(&table::Stat) -> bool,
    ) -> Result<(), RuntimeError> {
        let leader = self.living(verb, unit)?;
        let began = Instant::now();
        let mut family = table::family(&leader);
        // A server forks while it is being signalled, so look again until nothing is left to do.
        while !family.iter().all(|member| member.now().is_none_or(|stat| done(&stat))) {
            for member in &family {
                member.signal(signal);
            }
            if began.elapsed() > SIGNALLED {
                return Err(deadline(verb, unit, SIGNALLED));
            }
            sleep(LOOK).await;
            for member in table::family(&leader) {
                if !family.contains(&member) {
                    family.push(member);
                }
            }
        }
        Ok(())
    }

    fn living(&self, verb: &'static str, unit: &Unit) -> Result<table::Life, RuntimeError> {
        let record = self.record(verb, unit)?;
        record
            .life
            .filter(|life| life.now().is_some())
            .ok_or_else(|| failed(verb, unit, anyhow::anyhow!("it is not running")))
    }

    async fn spawn(&self, verb: &'static str, unit: &Unit) -> Result<(), RuntimeError> {
        let mut record = self.record(verb, unit)?;
        if let Some(before) = record.life {
            counted(&before).await;
        }
        let (life, at) = spawn::spawn(&record).map_err(|e| failed(verb, unit, e))?;
        record.life = Some(life);
        record.started_at = Some(at);
        self.records.save(&record).map_err(|e| failed(verb, unit, e))
    }

    /// Asks the unit to stop, waits `grace`, then kills what is left of its family.
    pub async fn stop(&self, unit: &Unit, grace: Duration) -> Result<(), RuntimeError> {
        let verb = "stop";
        let record = self.record(verb, unit)?;
        let Some(leader) = record.life.filter(|life| life.now().is_some()) else {
            return Ok(());
        };
        let family = table::family(&leader);
        leader.signal(record.stop_signal.signal());
        let began = Instant::now();
        while began.elapsed() < grace && family.iter().any(|member| member.now().is_some()) {
            sleep(LOOK).await;
        }
        if leader.now().is_some() {
            return self.signal_all(verb, unit, KernelSignal::KILL, |_| false).await;
        }
        for member in &family {
            member.signal(KernelSignal::KILL);
        }
        Ok(())
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn inspect(&self, unit: &Unit) -> Result<UnitState, RuntimeError> {
        match self.record("inspect", unit) {
            Ok(record) => Ok(record.state()),
            Err(RuntimeError::NoSuchUnit { .. }) => Ok(UnitState::default()),
            Err(error) => Err(error),
        }
    }

    async fn exec(
        &self,
        unit: &Unit,
        argv: &[String],
        stdin: Option<&[u8]>,
        limits: ExecLimits,
    ) -> Result<Output, RuntimeError> {
        const VERB: &str = "run a command for";
        let record = self.record(VERB, unit)?;
        let began = Instant::now();
        let mut child = match command(&record, argv, stdin.is_some()).spawn() {
            Ok(child) => child,
            Err(error) => return Ok(not_started(argv, &error, limits, began)),
        };
        let run = async {
            let mut capture = Capture::new(limits.output_bytes);
            let status = converse(&mut child, stdin, &mut capture).await?;
            Ok(capture.finish(status.code().map(i64::from), began.elapsed()))
        };
        match timeout(limits.deadline, run).await {
            Ok(done) => done.map_err(|error: std::io::Error| failed(VERB, unit, error)),
            Err(_) => {
                child.kill().await.map_err(|error| failed(VERB, unit, error))?;
                Err(deadline(VERB, unit, limits.deadline))
            }
        }
    }

    async fn start(&self, unit: &Unit) -> Result<(), RuntimeError> {
        match self.record("start", unit)?.state().status {
            UnitStatus::Running => Ok(()),
            UnitStatus::Paused => {
                Err(failed("start", unit, anyhow::anyhow!("it is paused; unpause it instead")))
            }
            UnitStatus::Restarting | UnitStatus::Exited | UnitStatus::Absent => {
                self.spawn("start", unit).await
            }
        }
    }

    async fn restart(&self, unit: &Unit, grace: Duration) -> Result<(), RuntimeError> {
        self.stop(unit, grace).await?;
        self.spawn("restart", unit).await
    }

    async fn pause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.signal_all("pause", unit, KernelSignal::STOP, table::Stat::is_stopped).await
    }

    async fn unpause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.signal_all("unpause", unit, KernelSignal::CONT, |stat| !stat.is_stopped()).await
    }

    async fn signal(&self, unit: &Unit, signal: Signal) -> Result<(), RuntimeError> {
        self.living("signal", unit)?.signal(kernels(signal));
        Ok(())
    }

    async fn signal_inside(
        &self,
        unit: &Unit,
        pid: i32,
        signal: Signal,
    ) -> Result<(), RuntimeError> {
        const VERB: &str = "signal a process of";
        let leader = self.living(VERB, unit)?;
        let member = table::family(&leader).into_iter().find(|member| member.pid == pid);
        let member = member.ok_or_else(|| {
            failed(VERB, unit, anyhow::anyhow!("process {pid} is none of its processes"))
        })?;
        member.signal(kernels(signal));
        Ok(())
    }

    async fn kill(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.signal_all("kill", unit, KernelSignal::KILL, |_| false).await
    }

    async fn adjust(&self, unit: &Unit, change: Change<'_>) -> Result<(), RuntimeError> {
        const VERB: &str = "change the limits of";
        match change {
            Change::Files(soft) => {
                let (user, life) = (self.record(VERB, unit)?.user, self.living(VERB, unit)?);
                let set = files::set_soft(&life, user, soft).await;
                set.map_err(|error| failed(VERB, unit, error))
            }
            Change::Connect { .. }
            | Change::Disconnect { .. }
            | Change::Cpu(_)
            | Change::Pids(_)
            | Change::Memory(_) => Err(failed(
                VERB,
                unit,
                anyhow::anyhow!("only a container has such a limit or network"),
            )),
        }
    }

    async fn logs(&self, unit: &Unit, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let record = self.record("read the log of", unit)?;
        record.last_lines(lines).map_err(|error| failed("read the log of", unit, error))
    }

    fn events(&self, units: &[Unit]) -> BoxStream<'static, UnitEvent> {
        events::watch(self.records.clone(), units)
    }

    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String {
        let record = self.records.load(&unit.name).ok().flatten();
        let Some(record) = record else {
            return format!("(nothing to do: there is no process {})", unit.name);
        };
        let pid = record.life.map_or_else(|| "PID".to_owned(), |life| life.pid.to_string());
        let start = || spell(record.argv.iter().map(String::as_str));
        match operation {
            Operation::Exec(argv) => {
                let assigned = record
                    .client_env
                    .iter()
                    .map(|(name, value)| format!("{name}={} ", spell([value.as_str()])));
                assigned.collect::<String>() + &spell(argv.iter().map(String::as_str))
            }
            Operation::Start => start(),
            Operation::Restart(grace) => {
                let signal = record.stop_signal.word();
                format!("kill -{signal} {pid}, after {} s kill -KILL; {}", grace.as_secs(), start())
            }
            Operation::Pause => format!("kill -STOP {pid} and its children"),
            Operation::Unpause => format!("kill -CONT {pid} and its children"),
            Operation::Kill => format!("kill -KILL {pid} and its children"),
            Operation::Signal(signal) => format!("kill -{} {pid}", signal.as_str()),
            Operation::SignalInside(pid, signal) => format!("kill -{} {pid}", signal.as_str()),
            Operation::Adjust(Change::Files(soft)) => {
                format!("prlimit --pid {pid} --nofile={soft}:")
            }
            Operation::Adjust(_) => {
                format!("(not possible: process {pid} has no network and no limits of its own)")
            }
        }
    }
}

fn kernels(signal: Signal) -> KernelSignal {
    match signal {
        Signal::Stop => KernelSignal::STOP,
        Signal::Continue => KernelSignal::CONT,
        Signal::Terminate => KernelSignal::TERM,
        Signal::SegmentationFault => KernelSignal::SEGV,
    }
}

fn command(record: &Record, argv: &[String], has_stdin: bool) -> Command {
    let program = argv.first().map_or("", String::as_str);
    let found = binaries::find(program).unwrap_or_else(|| program.into());
    let mut command = Command::new(found);
    command
        .args(argv.iter().skip(1))
        .envs(&record.client_env)
        .current_dir("/")
        .stdin(if has_stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// As a shell says it: 127 for what is not there, 126 for what cannot be run.
fn not_started(
    argv: &[String],
    error: &std::io::Error,
    limits: ExecLimits,
    began: Instant,
) -> Output {
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    let program = argv.first().map_or("", String::as_str);
    let mut capture = Capture::new(limits.output_bytes);
    capture.stderr.push(format!("{program}: {error}").as_bytes());
    capture.finish(Some(code), began.elapsed())
}

async fn converse(
    child: &mut Child,
    stdin: Option<&[u8]>,
    capture: &mut Capture,
) -> std::io::Result<std::process::ExitStatus> {
    let (input, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut input), Some(bytes)) = (input, stdin) {
            // A command may end without reading all its input; its exit code tells the story.
            let _ = input.write_all(bytes).await;
        }
        Ok(())
    };
    let out = drain(stdout, &mut capture.stdout);
    let err = drain(stderr, &mut capture.stderr);
    futures::try_join!(feed, out, err)?;
    child.wait().await
}

async fn drain(from: Option<impl AsyncRead + Unpin>, to: &mut Stream) -> std::io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut chunk = vec![0; 8192];
    loop {
        match from.read(&mut chunk).await? {
            0 => return Ok(()),
            length => to.push(&chunk[..length]),
        }
    }
}

/// Waits until a dead process has left the table. While it is there its pid seems to be in use, and PostgreSQL
/// takes that for another server on its data and refuses to start.
async fn counted(life: &table::Life) {
    let began = Instant::now();
    while life.now().is_none() && life.is_listed() && began.elapsed() < COUNTED {
        sleep(LOOK).await;
    }
}

fn failed(verb: &'static str, unit: &Unit, source: impl Into<anyhow::Error>) -> RuntimeError {
    RuntimeError::Failed { verb, unit: unit.name.clone(), source: source.into() }
}

fn deadline(verb: &'static str, unit: &Unit, after: Duration) -> RuntimeError {
    RuntimeError::Deadline { verb, unit: unit.name.clone(), after }
}

#[cfg(test)]
mod tests;
