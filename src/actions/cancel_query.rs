//! Cancels PostgreSQL queries that run for too long, each named by (pid, backend_start, query_start): a later query of
//! the same session is another one. The sessions stay, and so do their slots.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{announced, costs, count, kept, measured, progress, unmeasured};
use super::postgres::look;
use super::sessions::statements::{columns, guarded, told};
use super::sessions::{Candidates, LOOK_DEADLINE, proof};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "cancel_query";
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// A cancelled query has ended within this, or it is said not to have.
const ENDED_DEADLINE: Duration = Duration::from_secs(5);
const ENDED_POLL: Duration = Duration::from_millis(50);
const LIST: &str = "a list of {\"pid\": 1, \"backend_start\": \"…\", \"query_start\": \"…\"}";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Cancel queries",
    about: "Cancels the named queries while they run; their clients get error 57014 and may ask again. Right when a \
            few long queries hold up others. Sessions and slots stay.",
    args: &[Arg::records("queries", "which ones: a list of {pid, backend_start, query_start}")],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "none of the queries runs any more",
};

/// The queries that run at this moment, before anything is signalled.
macro_rules! chosen {
    () => {
        concat!(
            "with chosen as materialized (
  select ",
            columns!(),
            "
  ",
            guarded!(),
            "    and s.state = 'active' and exists (
      select from json_to_recordset(:'queries'::json)
        as w(pid int, backend_start timestamptz, query_start timestamptz)
      where w.pid = s.pid and w.backend_start = s.backend_start and w.query_start = s.query_start))
"
        )
    };
}

const CANDIDATES: &str = concat!(chosen!(), told!());

const SIGNAL: &str = concat!(
    chosen!(),
    "select json_build_object('pid', a.pid, 'backend_start', a.backend_start,
  'signalled', pg_cancel_backend(a.pid))::text
from chosen c join pg_stat_activity a
  on a.pid = c.pid and a.backend_start = c.backend_start and a.query_start = c.query_start
where a.state = 'active'"
);

/// One query, by what names it for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Query {
    pid: i32,
    backend_start: DateTime<Utc>,
    query_start: DateTime<Utc>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct CancelQuery;

struct Wanted(Vec<Query>);

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let queries: Vec<Query> = given.required("queries", LIST)?;
        if queries.is_empty() {
            return Err(wrong("queries", "names no query"));
        }
        Ok(Self(queries))
    }

    fn vars(&self) -> Vars {
        vec![("queries", json!(self.0).to_string())]
    }

    fn call(&self) -> Call {
        Call::Sql { sql: SIGNAL, vars: self.vars() }
    }

    /// Those that run now.
    async fn running(&self, server: &Server) -> Result<Candidates, ActionError> {
        let vars = self.vars();
        within(LOOK_DEADLINE, "look at the queries", look(server, ID, CANDIDATES, &vars)).await
    }

    async fn some_running(&self, server: &Server) -> Result<Candidates, ActionError> {
        let found = self.running(server).await?;
        if found.sessions.is_empty() {
            return Err(ActionError::Precondition(
                "none of these queries runs any more, or they are protected".into(),
            ));
        }
        Ok(found)
    }

    /// Cancelled is not ended: looks until they are, or the deadline. How many are left.
    async fn wait(&self, server: &Server) -> Result<usize, ActionError> {
        let deadline = tokio::time::Instant::now() + ENDED_DEADLINE;
        loop {
            let left = self.running(server).await?.sessions.len();
            if left == 0 || tokio::time::Instant::now() >= deadline {
                return Ok(left);
            }
            tokio::time::sleep(ENDED_POLL).await;
        }
    }
}

#[async_trait]
impl Action for CancelQuery {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found = wanted.some_running(server).await?;
        let pids: Vec<String> = wanted.0.iter().map(|query| query.pid.to_string()).collect();
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call())],
            scope: [
                ("queries".into(), pids.join(", ")),
                ("server start".into(), found.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(found.sessions.len() as u64, "queries cancelled"),
                costs(found.written(), "of them in transactions that have written"),
            ],
            notes: found.notes(Some(wanted.0.len())),
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        Ok(proof::remember(&Wanted::read(args)?.some_running(server).await?))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let (channel, call) = (Channel::new(server, ID), wanted.call());
        report(announced(channel.spell(&call)));
        let mut output = channel.perform(&call, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            return Ok(output);
        }
        let left = wanted.wait(server).await? as u64;
        if left == 0 {
            report(progress("none of the queries runs any more"));
        } else {
            output.exit_code = Some(1);
            output.stderr = format!("cancelled, and {} still running\n", count(left, "query"));
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        measure(server, args, saved).await.unwrap_or_else(|e| vec![unmeasured("queries", &e)])
    }
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let found = Wanted::read(args)?.running(server).await?;
    let server_start: DateTime<Utc> = kept(saved, "server_start")?;
    Ok(vec![
        measured(
            "the queries ended",
            found.sessions.is_empty(),
            format!("{} still running", found.sessions.len()),
        ),
        measured(
            "the server was not restarted",
            found.server_start == server_start,
            format!("up since {}", found.server_start.to_rfc3339()),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_named_with_its_start() {
        let start = "2026-11-20T10:00:00.000001Z";
        let query = json!({"pid": 7, "backend_start": start, "query_start": start});
        let read = |args: serde_json::Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|wanted| wanted.0.len())
        };
        assert_eq!(read(json!({"queries": [query]})).unwrap(), 1);
        for args in [
            json!({}),
            json!({"queries": []}),
            json!({"queries": [7]}),
            json!({"queries": [{"pid": 7, "backend_start": start}]}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
