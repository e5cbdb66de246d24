//! A runtime over the one process of a test's server. It counts calls, and can be told to do nothing.

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use rustix::process::{Pid, Signal, kill_process};
use simctl::domain::execution::Output;
use simctl::ports::runtime::{
    ExecLimits, Operation, Runtime, RuntimeError, RuntimeKind, Unit, UnitEvent, UnitState,
    UnitStatus,
};
use simctl::targets::Place;

use super::bench::{Bench, LAB, Launch};

pub(crate) struct Local {
    child: Mutex<Child>,
    launch: Launch,
    port: u16,
    pub(crate) calls: AtomicUsize,
    /// Answers "done" and does nothing, as some engines do.
    pub(crate) deaf: AtomicBool,
    pub(crate) label: Mutex<Option<String>>,
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut child = self.child.lock().expect("no test panics while it holds this");
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Local {
    /// Takes over the server's process.
    pub(crate) fn over(bench: &mut Bench) -> Arc<Self> {
        Arc::new(Self {
            child: Mutex::new(bench.child.take().expect("the server was started")),
            launch: bench.launch.clone(),
            port: bench.port,
            calls: AtomicUsize::new(0),
            deaf: AtomicBool::new(false),
            label: Mutex::new(Some(LAB.into())),
        })
    }

    pub(crate) fn place(self: &Arc<Self>, bench: &Bench) -> Place {
        let runtime: Arc<dyn Runtime> = Arc::<Self>::clone(self);
        Place { runtime, unit: bench.unit() }
    }

    fn signal(&self, signal: Signal) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.deaf.load(Ordering::SeqCst) {
            return;
        }
        let mut child = self.child.lock().expect("no test panics while it holds this");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the test's own child takes signals");
        if signal == Signal::KILL {
            child.wait().expect("the test's own child");
        }
    }
}

fn unused<T>(verb: &'static str, unit: &Unit) -> Result<T, RuntimeError> {
    Err(RuntimeError::NoSuchUnit { unit: format!("{verb} {}", unit.name) })
}

#[async_trait]
impl Runtime for Local {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn inspect(&self, _unit: &Unit) -> Result<UnitState, RuntimeError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut child = self.child.lock().expect("no test panics while it holds this");
        let exit_code = child.try_wait().ok().flatten().map(|s| i64::from(s.code().unwrap_or(137)));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
        let stopped = stat.is_ok_and(|text| text.contains(") T "));
        let status = match (exit_code, stopped) {
            (Some(_), _) => UnitStatus::Exited,
            (None, true) => UnitStatus::Paused,
            (None, false) => UnitStatus::Running,
        };
        Ok(UnitState {
            status,
            id: child.id().to_string(),
            lab: self.label.lock().expect("no test panics while it holds this").clone(),
            exit_code,
            published: Some(vec![self.port]),
            ..UnitState::default()
        })
    }

    async fn exec(
        &self,
        unit: &Unit,
        _argv: &[String],
        _stdin: Option<&[u8]>,
        _limits: ExecLimits,
    ) -> Result<Output, RuntimeError> {
        unused("exec", unit)
    }

    async fn start(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        *self.child.lock().expect("no test panics while it holds this") = self.launch.start();
        Ok(())
    }

    async fn restart(&self, unit: &Unit, _grace: Duration) -> Result<(), RuntimeError> {
        unused("restart", unit)
    }

    async fn pause(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.signal(Signal::STOP);
        Ok(())
    }

    async fn unpause(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.signal(Signal::CONT);
        Ok(())
    }

    async fn kill(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.signal(Signal::KILL);
        Ok(())
    }

    async fn logs(&self, unit: &Unit, _lines: usize) -> Result<Vec<String>, RuntimeError> {
        unused("logs", unit)
    }

    fn events(&self, _units: &[Unit]) -> BoxStream<'static, UnitEvent> {
        Box::pin(futures::stream::pending())
    }

    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String {
        format!("{operation:?} {}", unit.name)
    }
}
