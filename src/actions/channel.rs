//! How a command of an action reaches the server: run inside the container where there is one, over a direct
//! connection where there is none, over the kept connection where a Redis turns new clients away. All leave the same
//! [`Output`] behind, with an exit code that tells the truth.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::anyhow;

use super::checks::announced;
use super::{ActionError, Report};
use crate::domain::execution::Output;
use crate::ports::runtime::{Change, CpuLimit, ExecLimits, Operation, RuntimeError, Signal};
use crate::targets::{Link, Place, Server};

pub(super) mod redis;
pub(super) mod sql;

pub(super) use redis::Words;
pub(super) use sql::Vars;

/// How long a runtime may take to look at a unit or to flip its state.
const RUNTIME_DEADLINE: Duration = Duration::from_secs(20);

/// A changing call.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Commands with one-line replies, in order, over one connection.
    Redis(Vec<Words>),
    /// One statement with `:'name'` variables. It answers one text column, one line per row.
    Sql { sql: &'static str, vars: Vars },
    /// The same, in this database.
    SqlIn { database: String, sql: Cow<'static, str>, vars: Vars },
    /// One question whose rows are statements, composed and quoted by the server itself; they are run in order.
    /// For what takes no variables (ALTER, GRANT): no row means that the precondition does not hold.
    Composed { database: Option<String>, sql: &'static str, vars: Vars },
    /// Something done to what the server runs in.
    Runtime(Op),
    /// A program run inside, beside the server.
    Inside(Vec<String>),
}

/// What can be done to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Start,
    Unpause,
    Restart(Duration),
    /// To the network of this name.
    Connect(String),
    Disconnect(String),
    Cpu(CpuLimit),
    Pids(Option<u32>),
    Memory(u64),
    Files(u64),
    Signal(Signal),
    /// To the process of this number inside.
    SignalInside(i32, Signal),
}

/// The way of one action to one server.
#[derive(Clone, Copy)]
pub(super) struct Channel<'a> {
    pub(super) server: &'a Server,
    /// The action's id; its connections are named `simctl/<id>`.
    pub(super) action: &'static str,
}

impl<'a> Channel<'a> {
    pub(super) fn new(server: &'a Server, action: &'static str) -> Self {
        Self { server, action }
    }

    /// What will run, as a person would type it.
    pub(super) fn spell(&self, call: &Call) -> String {
        match (call, &self.server.place, &self.server.link) {
            (Call::Redis(commands), place, Link::Redis(link)) => {
                redis::spell(place.as_ref(), link, commands)
            }
            (Call::Sql { sql, vars }, Some(place), _) => {
                sql::spell_exec(place, None, self.action, sql, vars)
            }
            (Call::SqlIn { database, sql, vars }, Some(place), _) => {
                sql::spell_exec(place, Some(database.as_str()), self.action, sql, vars)
            }
            (Call::Sql { sql, vars }, None, Link::Postgres(link)) => {
                sql::spell_direct(link, None, sql, vars)
            }
            (Call::SqlIn { database, sql, vars }, None, Link::Postgres(link)) => {
                sql::spell_direct(link, Some(database.as_str()), sql, vars)
            }
            (Call::Composed { database, sql, vars }, Some(place), _) => {
                let place = sql::composed::place_of(place, database.as_deref());
                sql::composed::spell_exec(&place, self.action, sql, vars)
            }
            (Call::Composed { database, sql, vars }, None, Link::Postgres(link)) => {
                sql::composed::spell_direct(link, database.as_deref(), sql, vars)
            }
            (Call::Runtime(op), Some(place), _) => place.runtime.spell(&place.unit, op.operation()),
            (Call::Runtime(op), None, _) => format!("{op:?}"),
            (Call::Inside(argv), Some(place), _) => {
                place.runtime.spell(&place.unit, Operation::Exec(argv))
            }
            (Call::Inside(argv), None, _) => argv.join(" "),
            (Call::Redis(_), _, Link::Postgres(_))
            | (
                Call::Sql { .. } | Call::SqlIn { .. } | Call::Composed { .. },
                None,
                Link::Redis(_),
            ) => "a command for another kind of server".into(),
        }
    }

    /// Says what runs, and does it.
    pub(super) async fn carry_out(
        &self,
        call: &Call,
        deadline: Duration,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        report(announced(self.spell(call)));
        self.perform(call, deadline).await
    }

    /// Does it. A command that the server refused is an [`Output`] with its exit code; an error means it is not
    /// known to have run.
    pub(super) async fn perform(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<Output, ActionError> {
        match (call, &self.server.place, &self.server.link) {
            (Call::Redis(commands), place, Link::Redis(link)) => {
                redis::perform(place.as_ref(), link, self.action, commands, deadline).await
            }
            (Call::Sql { sql, vars }, Some(place), _) => {
                sql::exec(place, None, self.action, (sql, vars), deadline).await
            }
            (Call::SqlIn { database, sql, vars }, Some(place), _) => {
                sql::exec(place, Some(database.as_str()), self.action, (sql, vars), deadline).await
            }
            (Call::Sql { sql, vars }, None, Link::Postgres(link)) => {
                sql::direct(link, None, self.action, (sql, vars), deadline).await
            }
            (Call::SqlIn { database, sql, vars }, None, Link::Postgres(link)) => {
                sql::direct(link, Some(database.as_str()), self.action, (sql, vars), deadline).await
            }
            (Call::Runtime(op), place, _) => {
                let place = place.as_ref().ok_or_else(|| no_place(self.server))?;
                operate(place, op, deadline).await
            }
            (Call::Inside(argv), place, _) => {
                let place = place.as_ref().ok_or_else(|| no_place(self.server))?;
                run_inside(place, argv, None, deadline).await
            }
            (Call::Composed { database, sql, vars }, Some(place), _) => {
                let place = sql::composed::place_of(place, database.as_deref());
                sql::composed::exec(&place, self.action, sql, vars, deadline).await
            }
            (Call::Composed { database, sql, vars }, None, Link::Postgres(link)) => {
                let database = database.as_deref();
                sql::composed::direct(link, database, self.action, (sql, vars), deadline).await
            }
            (Call::Redis(_), _, Link::Postgres(_))
            | (
                Call::Sql { .. } | Call::SqlIn { .. } | Call::Composed { .. },
                None,
                Link::Redis(_),
            ) => Err(ActionError::Precondition(format!(
                "{} is not meant for {}",
                self.action, self.server.target.id
            ))),
        }
    }
}

impl Op {
    fn operation(&self) -> Operation<'_> {
        match self {
            Self::Start => Operation::Start,
            Self::Unpause => Operation::Unpause,
            Self::Restart(grace) => Operation::Restart(*grace),
            Self::Connect(network) => Operation::Adjust(Change::Connect { network, aliases: &[] }),
            Self::Disconnect(network) => Operation::Adjust(Change::Disconnect { network }),
            Self::Cpu(limit) => Operation::Adjust(Change::Cpu(*limit)),
            Self::Pids(limit) => Operation::Adjust(Change::Pids(*limit)),
            Self::Memory(bytes) => Operation::Adjust(Change::Memory(*bytes)),
            Self::Files(most) => Operation::Adjust(Change::Files(*most)),
            Self::Signal(signal) => Operation::Signal(*signal),
            Self::SignalInside(pid, signal) => Operation::SignalInside(*pid, *signal),
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Unpause => "unpause",
            Self::Restart(_) => "restart",
            Self::Connect(_) => "connect the network of",
            Self::Disconnect(_) => "disconnect the network of",
            Self::Cpu(_) => "change the CPU limit of",
            Self::Pids(_) => "change the process limit of",
            Self::Memory(_) => "change the memory limit of",
            Self::Files(_) => "change the limit of open files of",
            Self::Signal(_) => "signal the first process of",
            Self::SignalInside(..) => "signal a process of",
        }
    }
}

/// Whether the command did what it said.
pub(super) fn succeeded(output: &Output) -> bool {
    output.exit_code == Some(0)
}

/// Puts `next` behind what ran before; the first failure's exit code stays.
pub(super) fn append(whole: &mut Output, next: &Output) {
    whole.stdout.push_str(&next.stdout);
    whole.stderr.push_str(&next.stderr);
    whole.duration_ms += next.duration_ms;
    if whole.exit_code.is_none_or(|code| code == 0) {
        whole.exit_code = next.exit_code;
    }
}

/// Why nothing can be done to what the server runs in.
pub(super) fn no_place(server: &Server) -> ActionError {
    ActionError::Precondition(format!(
        "what {} runs in is not known; name its `container` in the config",
        server.target.id
    ))
}

/// Bounds any piece of an action's work.
pub(super) async fn within<T>(
    deadline: Duration,
    doing: impl Into<String>,
    work: impl Future<Output = Result<T, ActionError>>,
) -> Result<T, ActionError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(ActionError::Failed {
            doing: doing.into(),
            source: anyhow!("not done within {}", humantime::format_duration(deadline)),
        })
    })
}

async fn operate(place: &Place, op: &Op, deadline: Duration) -> Result<Output, ActionError> {
    let started = tokio::time::Instant::now();
    let doing = format!("{} {}", op.doing(), place.unit.name);
    let work = async {
        let (runtime, unit) = (&place.runtime, &place.unit);
        let done = match op.operation() {
            Operation::Start => runtime.start(unit).await,
            Operation::Unpause => runtime.unpause(unit).await,
            Operation::Restart(grace) => runtime.restart(unit, grace).await,
            Operation::Adjust(change) => runtime.adjust(unit, change).await,
            Operation::Signal(signal) => runtime.signal(unit, signal).await,
            Operation::SignalInside(pid, signal) => runtime.signal_inside(unit, pid, signal).await,
            Operation::Exec(_) | Operation::Pause | Operation::Kill => Ok(()),
        };
        done.map_err(|source| ActionError::Failed { doing: doing.clone(), source: source.into() })
    };
    within(deadline.max(RUNTIME_DEADLINE), doing.clone(), work).await?;
    let stdout = format!("{}\n", place.unit.name);
    Ok(Output { exit_code: Some(0), stdout, stderr: String::new(), duration_ms: since(started) })
}

/// Runs an argv inside, with a second deadline of our own around the runtime's.
async fn run_inside(
    place: &Place,
    argv: &[String],
    stdin: Option<&[u8]>,
    deadline: Duration,
) -> Result<Output, ActionError> {
    let limits = ExecLimits { deadline, ..ExecLimits::default() };
    let program = argv.first().map_or("a program", String::as_str);
    let doing = format!("run {program} in {}", place.unit.name);
    let work = async {
        place.runtime.exec(&place.unit, argv, stdin, limits).await.map_err(
            |source: RuntimeError| ActionError::Failed {
                doing: doing.clone(),
                source: source.into(),
            },
        )
    };
    within(deadline + Duration::from_secs(2), doing.clone(), work).await
}

fn since(started: tokio::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
