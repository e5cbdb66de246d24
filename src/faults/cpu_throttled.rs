//! Somebody takes the container's processor time away: nothing fails, and every answer takes long.
//!
//! An idle server would not feel it, so a client of the application works on it all the while, modestly.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    reach, sessions, standing, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::ports::runtime::{Change, CpuLimit, Operation, UnitState};
use crate::targets::{Link, Server};

pub(super) struct CpuThrottled;

const ORIGINAL: &str = "cpu";
const LOWERED: &str = "lowered_to";
/// A client that waits so long for one answer feels it.
const SLOW: Duration = Duration::from_millis(40);
/// How many clients work, and how long each rests between two pieces of work.
const CLIENTS: usize = 3;
const REST: Duration = Duration::from_millis(20);
/// Twice the usual one: the longer it is, the longer the waits at the same share of a core.
const PERIOD_US: i64 = 200_000;
/// A piece of work: so many reads of a key that is not there, so many rows counted.
const READS: usize = 500;
const ROWS: &str = "select count(*) from generate_series(1, 10000)";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "cpu-throttled",
    aliases: &[],
    tier: Tier::First,
    runtimes: IN_CONTAINERS,
    engine: None,
    class: Class::Persists,
    title: "Container short of processor time",
    about: "Sets the container's CPU quota to a few percent of a core while a client works on it. Nothing fails; \
            answers take many times as long.",
    finding: FindingKind::Slow,
    cause: "cpu-throttled",
    fixed_by: &["reset_cpu_quota"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data and memory", "the server's settings"],
    undo: &[
        "set the quota and the period back to what they were, unless somebody did already",
        "close the connections the fault holds",
    ],
    takes_within: Duration::from_secs(8),
};

/// The least that leaves the server able to answer within the deadlines of its clients.
fn lowered(engine: Engine) -> CpuLimit {
    let quota = match engine {
        Engine::Redis => 2_000,
        Engine::Postgres => 10_000,
    };
    CpuLimit::of(Some(quota), Some(PERIOD_US))
}

#[async_trait]
impl Fault for CpuThrottled {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let unit = standing::unit(server).await.map_err(|error| error.in_words())?;
        limit_of(server, &unit).map(|_| ()).map_err(|error| error.to_string())?;
        let place = standing::place(server).map_err(|error| error.to_string())?;
        match place.runtime.usage(&place.unit).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the engine does not count throttled periods".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let engine = server.map_or(Engine::Redis, |server| server.target.engine);
        let update = Operation::Adjust(Change::Cpu(lowered(engine)));
        let work = match engine {
            Engine::Redis => format!("GET a key that is not there, {READS} times"),
            Engine::Postgres => format!("run `{ROWS}`"),
        };
        vec![
            format!(
                "connect {CLIENTS} times and, over and over with {} ms rest: {work}",
                REST.as_millis()
            ),
            standing::spelled(server, update, "lower the CPU quota of"),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        standing::must_run(server).await?;
        let unit = standing::unit(server).await?;
        Ok(Saved::from([
            (entry::SESSION.into(), json!(words::program(seed))),
            (ORIGINAL.into(), json!(limit_of(server, &unit)?)),
            (LOWERED.into(), json!(lowered(server.target.engine))),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let mut work = Tasks::default();
        for _ in 0..CLIENTS {
            match &server.link {
                Link::Redis(_) => {
                    let con = reach::redis(server, name).await?;
                    work.spawn("faults: work", read_keys(con));
                }
                Link::Postgres(link) => {
                    let session = reach::postgres(link, &link.app, name).await?;
                    work.spawn("faults: work", count_rows(session));
                }
            }
        }
        progress(format!("{CLIENTS} clients work"));
        let limit = limit(saved, LOWERED)?;
        standing::adjust(server, Change::Cpu(limit)).await?;
        progress(format!("{} left", limit.words()));
        Ok(Box::new(work))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        standing::is_slow(server, SLOW).await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let unit = standing::unit(server).await?;
        // Only our own value is taken back: after a fix it is somebody else's.
        if unit.limits.is_some_and(|now| Ok(now.cpu) == limit(saved, LOWERED).map_err(drop)) {
            standing::adjust(server, Change::Cpu(limit(saved, ORIGINAL)?)).await?;
        }
        match &server.link {
            Link::Redis(_) => Ok(()),
            Link::Postgres(_) => sessions::end(server, text(saved, entry::SESSION)?).await,
        }
    }
}

fn limit_of(server: &Server, unit: &UnitState) -> Result<CpuLimit, FaultError> {
    let name = &server.target.id;
    let limits = unit.limits.ok_or_else(|| {
        FaultError::Precondition(format!("the CPU limit of {name} cannot be read"))
    })?;
    if !lowered(server.target.engine).is_below(limits.cpu) {
        return Err(FaultError::Precondition(format!(
            "{name} has only {} already",
            limits.cpu.words()
        )));
    }
    Ok(limits.cpu)
}

fn limit(saved: &Saved, name: &str) -> Result<CpuLimit, FaultError> {
    saved.get(name).and_then(|value| serde_json::from_value(value.clone()).ok()).ok_or_else(|| {
        FaultError::Precondition(format!("what was saved before the fault lacks `{name}`"))
    })
}

/// Until its connection ends.
async fn read_keys(mut con: redis::aio::MultiplexedConnection) {
    let mut reads = redis::pipe();
    for n in 0..READS {
        reads.cmd("GET").arg(format!("visit:{n}:seen"));
    }
    loop {
        match reads.query_async::<Vec<Option<String>>>(&mut con).await {
            Err(error) if error.is_io_error() && !error.is_timeout() => return,
            Ok(_) | Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn count_rows(session: reach::Session) {
    while session.client.simple_query(ROWS).await.is_ok() {
        tokio::time::sleep(REST).await;
    }
}
