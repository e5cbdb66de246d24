//! A runtime in memory, for tests: units whose states and answers a test decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

use super::spelling::spell;
use crate::domain::execution::Output;
use crate::domain::sample::RuntimeEventKind;
use crate::domain::unit::{FileLimit, pids_text};
use crate::engine::clock;
use crate::ports::runtime::{
    Attachment, Change, CpuLimit, ExecLimits, Operation, Runtime, RuntimeError, RuntimeKind, Unit,
    UnitEvent, UnitLimits, UnitState, UnitStatus,
};

/// What an `exec` answers next.
pub type Answer = Result<Output, RuntimeError>;

/// Units in memory.
#[derive(Debug)]
pub struct SimulatedRuntime {
    inner: Mutex<Inner>,
    events: broadcast::Sender<UnitEvent>,
}

#[derive(Debug, Default)]
struct Inner {
    units: BTreeMap<String, UnitState>,
    answers: BTreeMap<String, VecDeque<Answer>>,
    done: Vec<String>,
    reachable: bool,
}

impl Default for SimulatedRuntime {
    fn default() -> Self {
        let inner = Inner { reachable: true, ..Default::default() };
        Self { inner: Mutex::new(inner), events: broadcast::channel(256).0 }
    }
}

impl SimulatedRuntime {
    /// Adds a running unit, or replaces the one of that name.
    pub fn add(&self, name: &str, lab: Option<&str>, started_at: DateTime<Utc>) {
        let state = UnitState {
            status: UnitStatus::Running,
            id: format!("simulated-{name}"),
            lab: lab.map(str::to_owned),
            exit_code: None,
            started_at: Some(started_at),
            ..UnitState::default()
        };
        self.lock().units.insert(name.to_owned(), state);
    }

    /// Lets the next `exec` in that unit answer so; without an answer it ends well and prints nothing.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.lock().answers.entry(name.to_owned()).or_default().push_back(answer);
    }

    /// Whether the engine answers at all.
    pub fn set_reachable(&self, reachable: bool) {
        self.lock().reachable = reachable;
    }

    /// Every operation that was carried out, as it is spelled.
    pub fn done(&self) -> Vec<String> {
        self.lock().done.clone()
    }

    /// An event as if the unit had sent it.
    pub fn emit(&self, unit: &str, kind: RuntimeEventKind, detail: &str) {
        let (unit, detail) = (unit.to_owned(), detail.to_owned());
        // Nobody listening is no error.
        let _ = self.events.send(UnitEvent { unit, at: clock::now(), kind, detail });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        verb: &'static str,
        unit: &Unit,
        operation: Operation<'_>,
        change: impl FnOnce(&mut UnitState) -> Result<RuntimeEventKind, &'static str>,
    ) -> Result<(), RuntimeError> {
        let spelled = self.spell(unit, operation);
        let kind = {
            let mut inner = self.lock();
            let state = inner.find(unit)?;
            let kind = change(state).map_err(|reason| RuntimeError::Failed {
                verb,
                unit: unit.name.clone(),
                source: anyhow::anyhow!(reason),
            })?;
            inner.done.push(spelled);
            kind
        };
        self.emit(&unit.name, kind, "");
        Ok(())
    }
}

impl Inner {
    fn find(&mut self, unit: &Unit) -> Result<&mut UnitState, RuntimeError> {
        if !self.reachable {
            return Err(RuntimeError::Unreachable {
                engine: "the simulated engine".into(),
                reason: "it was switched off; switch it on".into(),
            });
        }
        self.units
            .get_mut(&unit.name)
            .filter(|state| unit.lab.is_none() || unit.lab == state.lab)
            .ok_or_else(|| RuntimeError::NoSuchUnit { unit: unit.name.clone() })
    }
}

#[async_trait]
impl Runtime for SimulatedRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Simulated
    }

    async fn inspect(&self, unit: &Unit) -> Result<UnitState, RuntimeError> {
        match self.lock().find(unit) {
            Ok(state) => Ok(state.clone()),
            Err(RuntimeError::NoSuchUnit { .. }) => Ok(UnitState::default()),
            Err(error) => Err(error),
        }
    }

    async fn exec(
        &self,
        unit: &Unit,
        argv: &[String],
        _stdin: Option<&[u8]>,
        _limits: ExecLimits,
    ) -> Result<Output, RuntimeError> {
        let spelled = self.spell(unit, Operation::Exec(argv));
        let mut inner = self.lock();
        if inner.find(unit)?.status != UnitStatus::Running {
            return Err(RuntimeError::Failed {
                verb: "run a command in",
                unit: unit.name.clone(),
                source: anyhow::anyhow!("it is not running"),
            });
        }
        inner.done.push(spelled);
        let scripted = inner.answers.get_mut(&unit.name).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| Ok(Output { exit_code: Some(0), ..Default::default() }))
    }

    async fn start(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.change("start", unit, Operation::Start, |state| {
            if state.status == UnitStatus::Paused {
                return Err("it is paused; unpause it instead");
            }
            state.begin();
            Ok(RuntimeEventKind::Started)
        })
    }

    async fn restart(&self, unit: &Unit, grace: Duration) -> Result<(), RuntimeError> {
        self.change("restart", unit, Operation::Restart(grace), |state| {
            state.begin();
            Ok(RuntimeEventKind::Started)
        })
    }

    async fn pause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.change("pause", unit, Operation::Pause, |state| {
            state.turn(UnitStatus::Running, UnitStatus::Paused, "it is not running")?;
            Ok(RuntimeEventKind::Paused)
        })
    }

    async fn unpause(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.change("unpause", unit, Operation::Unpause, |state| {
            state.turn(UnitStatus::Paused, UnitStatus::Running, "it is not paused")?;
            Ok(RuntimeEventKind::Unpaused)
        })
    }

    async fn kill(&self, unit: &Unit) -> Result<(), RuntimeError> {
        self.change("kill", unit, Operation::Kill, |state| {
            state.status = UnitStatus::Exited;
            state.exit_code = Some(137);
            Ok(RuntimeEventKind::Died)
        })
    }

    async fn adjust(&self, unit: &Unit, change: Change<'_>) -> Result<(), RuntimeError> {
        let spelled = self.spell(unit, Operation::Adjust(change));
        let mut inner = self.lock();
        inner.find(unit)?.adjust(change);
        inner.done.push(spelled);
        Ok(())
    }

    async fn logs(&self, unit: &Unit, _lines: usize) -> Result<Vec<String>, RuntimeError> {
        self.lock().find(unit).map(|_| Vec::new())
    }

    fn events(&self, units: &[Unit]) -> BoxStream<'static, UnitEvent> {
        let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
        stream::unfold((self.events.subscribe(), names), |(mut events, names)| async move {
            loop {
                match events.recv().await {
                    Ok(event) if names.contains(&event.unit) => {
                        return Some((event, (events, names)));
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String {
        let name = unit.name.as_str();
        match operation {
            Operation::Exec(argv) => {
                let words = ["simulated", "exec", name].into_iter();
                spell(words.chain(argv.iter().map(String::as_str)))
            }
            Operation::Start => spell(["simulated", "start", name]),
            Operation::Restart(_) => spell(["simulated", "restart", name]),
            Operation::Pause => spell(["simulated", "pause", name]),
            Operation::Unpause => spell(["simulated", "unpause", name]),
            Operation::Kill => spell(["simulated", "kill", name]),
            Operation::SignalInside(pid, signal) => {
                spell(["simulated", "signal", signal.as_str(), name, &pid.to_string()])
            }
            Operation::Signal(signal) => spell(["simulated", "signal", signal.as_str(), name]),
            Operation::Adjust(change) => match change {
                Change::Connect { network, .. } => spell(["simulated", "connect", network, name]),
                Change::Disconnect { network } => spell(["simulated", "disconnect", network, name]),
                Change::Cpu(limit) => spell(["simulated", "cpu", &limit.to_string(), name]),
                Change::Pids(limit) => spell(["simulated", "pids", &pids_text(limit), name]),
                Change::Memory(bytes) => spell(["simulated", "memory", &bytes.to_string(), name]),
                Change::Files(soft) => spell(["simulated", "files", &soft.to_string(), name]),
            },
        }
    }
}

/// What the simulation does to a state.
trait Lives {
    fn begin(&mut self);
    fn turn(
        &mut self,
        from: UnitStatus,
        to: UnitStatus,
        otherwise: &'static str,
    ) -> Result<(), &'static str>;
    fn adjust(&mut self, change: Change<'_>);
}

impl Lives for UnitState {
    fn begin(&mut self) {
        self.status = UnitStatus::Running;
        self.exit_code = None;
        self.started_at = Some(clock::now());
    }

    fn turn(
        &mut self,
        from: UnitStatus,
        to: UnitStatus,
        otherwise: &'static str,
    ) -> Result<(), &'static str> {
        if self.status != from {
            return Err(otherwise);
        }
        self.status = to;
        Ok(())
    }

    fn adjust(&mut self, change: Change<'_>) {
        let networks = self.networks.get_or_insert_default();
        let limits =
            self.limits.get_or_insert(UnitLimits { cpu: CpuLimit::of(None, None), pids: None });
        match change {
            Change::Connect { network, aliases } => {
                networks.push(Attachment { network: network.into(), aliases: aliases.to_vec() });
            }
            Change::Disconnect { network } => networks.retain(|on| on.network != network),
            Change::Cpu(limit) => limits.cpu = limit,
            Change::Pids(limit) => limits.pids = limit,
            Change::Memory(bytes) => self.memory_limit = Some(bytes),
            Change::Files(soft) => {
                let hard = soft.max(1_024);
                self.files = Some(FileLimit { open: 0, next: 0, soft, hard });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_simulated_unit_behaves_like_a_real_one() {
        let runtime = SimulatedRuntime::default();
        runtime.add("redis-test", Some("lab"), DateTime::UNIX_EPOCH);
        let unit = Unit { name: "redis-test".into(), lab: Some("lab".into()), client: Vec::new() };
        let mut events = runtime.events(std::slice::from_ref(&unit));
        let argv = ["redis-cli".to_owned(), "PING".to_owned()];
        runtime.answer(
            "redis-test",
            Ok(Output { stdout: "PONG".into(), exit_code: Some(0), ..Default::default() }),
        );
        let limits = ExecLimits::default();
        assert_eq!(runtime.exec(&unit, &argv, None, limits).await.unwrap().stdout, "PONG");
        runtime.pause(&unit).await.unwrap();
        assert!(
            runtime.exec(&unit, &argv, None, limits).await.is_err(),
            "no command in a paused one"
        );
        assert!(runtime.start(&unit).await.is_err(), "unpause is for that");
        runtime.unpause(&unit).await.unwrap();
        let before = runtime.inspect(&unit).await.unwrap();
        runtime.restart(&unit, Duration::ZERO).await.unwrap();
        assert_ne!(runtime.inspect(&unit).await.unwrap().identity(), before.identity());
        for kind in
            [RuntimeEventKind::Paused, RuntimeEventKind::Unpaused, RuntimeEventKind::Started]
        {
            assert_eq!(events.next().await.unwrap().kind, kind);
        }
        assert_eq!(
            runtime.done(),
            [
                "simulated exec redis-test redis-cli PING",
                "simulated pause redis-test",
                "simulated unpause redis-test",
                "simulated restart redis-test",
            ]
        );
        let foreign = Unit { lab: Some("other".into()), ..unit.clone() };
        assert_eq!(runtime.inspect(&foreign).await.unwrap().status, UnitStatus::Absent);
        runtime.set_reachable(false);
        assert!(runtime.inspect(&unit).await.is_err());
    }
}
