//! A signal stops the process of a session that holds locks: it cannot go on, and it cannot be ended.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, standing, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::ports::runtime::{Operation, RuntimeKind, Signal};
use crate::targets::{Server, processes};

pub(super) struct FrozenBackend;

const ROWS: u64 = 100;
const WAITERS: u64 = 3;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "frozen-backend",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A session's process stopped by a signal",
    about: "A session updates rows of the fault's own table, its process gets SIGSTOP, and then its client commits. Others \
            wait for these rows. The server takes an order to end the session, and nothing happens.",
    finding: FindingKind::LockQueue,
    cause: "frozen-backend",
    fixed_by: &["continue_process"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["tables of others", "sessions of others", "the server's other processes"],
    undo: &[
        "SIGCONT to the processes of the fault's own sessions that stand still",
        "close the connections the fault holds, and end those that the server still runs",
        "DROP TABLE of the fault's own table",
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for FrozenBackend {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let place = standing::place(server).map_err(|error| error.in_words())?;
        if place.runtime.kind() != RuntimeKind::Docker {
            return Ok(());
        }
        // Whoever goes on takes no notice of it.
        let sent = place.runtime.signal_inside(&place.unit, 1, Signal::Continue).await;
        sent.map_err(|error| FaultError::failed("signal a process inside", error).in_words())
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let who = reach::who(server);
        let stop = standing::spelled(server, Operation::SignalInside(0, Signal::Stop), "stop in");
        vec![
            format!("as {who}: CREATE TABLE with an ordinary name and {ROWS} rows"),
            format!("BEGIN; UPDATE {WAITERS} of its rows"),
            stop.replace(" 0", " <the process of that session>"),
            "COMMIT, which is not answered".into(),
            format!("connect {WAITERS} times as {who}, and UPDATE one of these rows in each"),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        tables::names(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (name, table) = (text(saved, entry::SESSION)?, text(saved, entry::TABLE)?);
        let holder = sessions::open(server, name).await?;
        tables::make(&holder, table, ROWS).await?;
        let write = format!("begin; update public.{table} set amount = 1 where id <= {WAITERS}");
        tables::run(&holder.client, &write).await?;
        let pid = holder.client.query_one("select pg_backend_pid()", &[]).await;
        let pid: i32 = pid.map_err(|e| reach::sql_failed("ask for its process", e))?.get(0);
        signal(server, pid, Signal::Stop).await?;
        progress(format!("process {pid} stands still and holds {WAITERS} rows of {table}"));
        let queries =
            (1..=WAITERS).map(|id| format!("update public.{table} set amount = 2 where id = {id}"));
        let mut members = sessions::each_at_work(server, name, queries).await?;
        let leaves = sessions::Afterwards::Leaves;
        sessions::put_to_work(&mut members, holder, "commit".into(), leaves);
        Ok(Box::new(members))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let name = text(saved, entry::SESSION)?;
        let waiting = sessions::all_wait(server, name, WAITERS).await?;
        match stopped(server, name).await?.as_slice() {
            [] => Err(FaultError::Precondition("no session stands still".into())),
            [pid, ..] => {
                Ok(format!("{waiting} sessions wait behind process {pid}, which stands still"))
            }
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        for pid in stopped(server, text(saved, entry::SESSION)?).await? {
            signal(server, pid, Signal::Continue).await?;
        }
        tables::take_back(server, saved).await
    }
}

async fn signal(server: &Server, pid: i32, signal: Signal) -> Result<(), FaultError> {
    let place = standing::place(server)?;
    let sent = place.runtime.signal_inside(&place.unit, pid, signal).await;
    sent.map_err(|e| FaultError::failed(format!("send SIG{} to {pid}", signal.as_str()), e))
}

/// The processes of the fault's own sessions that stand still.
async fn stopped(server: &Server, name: &str) -> Result<Vec<i32>, FaultError> {
    let place = standing::place(server)?;
    let states = sessions::pids(server, name).await?.into_iter().map(async |pid| {
        let state = processes::state(place, pid).await.ok().flatten()?;
        processes::is_stopped(state).then_some(pid)
    });
    Ok(join_all(states).await.into_iter().flatten().collect())
}
