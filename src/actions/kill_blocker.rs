//! Ends the one PostgreSQL session that others wait for. One at a time: who waits for whom is another question once
//! it is gone. Ending those who wait would free nobody.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::Given;
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{costs, count, kept, measured, unmeasured};
use super::postgres::look;
use super::sessions::statements::{columns, guarded, named, told};
use super::sessions::{self, Candidates, LOOK_DEADLINE, Session, proof};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "kill_blocker";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "End the blocking session",
    about: "Ends one session that others wait for and that waits for nobody. Right when it stands at the head of a \
            queue; what it has not committed is rolled back.",
    args: &[Arg::records("session", "which one: {pid, backend_start}")],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "the session is gone, everyone who waited has gone on",
};

/// The session, when it blocks somebody at this moment and waits for no lock itself.
macro_rules! chosen {
    () => {
        concat!(
            "with chosen as materialized (
  select ",
            columns!(),
            "
  ",
            guarded!(),
            "    and s.wait_event_type is distinct from 'Lock'
    and exists (select from pg_stat_activity q
      where q.wait_event_type = 'Lock' and s.pid = any(pg_blocking_pids(q.pid)))
    and :'sessions' <> '[]'
",
            named!(),
            ")
"
        )
    };
}

const CANDIDATE: &str = concat!(chosen!(), told!());

const SIGNAL: &str = concat!(
    chosen!(),
    "select json_build_object('pid', a.pid, 'backend_start', a.backend_start,
  'signalled', pg_terminate_backend(a.pid))::text
from chosen c join pg_stat_activity a on a.pid = c.pid and a.backend_start = c.backend_start"
);

/// Who waits for a lock now; with sessions named, only those of them that are still in the same query.
const WAITING: &str = "select coalesce(json_agg(json_build_object(
  'pid', s.pid, 'backend_start', s.backend_start, 'query_start', s.query_start)), '[]'::json)::text
from pg_stat_activity s
where s.backend_type = 'client backend' and s.wait_event_type = 'Lock'
  and (:'waiting' = '[]' or exists (
    select from json_to_recordset(:'waiting'::json) as w(pid int, backend_start timestamptz, query_start timestamptz)
    where w.pid = s.pid and w.backend_start = s.backend_start and w.query_start = s.query_start))";

/// Who waits, in which query.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    pid: i32,
    backend_start: DateTime<Utc>,
    query_start: DateTime<Utc>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct KillBlocker;

struct Wanted(Session);

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        Ok(Self(given.required("session", "{\"pid\": 1, \"backend_start\": \"…\"}")?))
    }

    fn vars(&self) -> Vars {
        vec![("sessions", json!([self.0]).to_string())]
    }

    fn call(&self) -> Call {
        Call::Sql { sql: SIGNAL, vars: self.vars() }
    }

    async fn blocking(&self, server: &Server) -> Result<Candidates, ActionError> {
        let vars = self.vars();
        let found: Candidates =
            within(LOOK_DEADLINE, "look at the sessions", look(server, ID, CANDIDATE, &vars))
                .await?;
        if found.sessions.is_empty() {
            return Err(ActionError::Precondition(format!(
                "pid {} is gone, protected, waits itself, or blocks nobody",
                self.0.pid
            )));
        }
        Ok(found)
    }
}

/// Everybody who waits for a lock, or who of these still waits in the same query.
async fn waiting(server: &Server, of: &[Waiting]) -> Result<Vec<Waiting>, ActionError> {
    let vars: Vars = vec![("waiting", json!(of).to_string())];
    within(LOOK_DEADLINE, "look at who waits", look(server, ID, WAITING, &vars)).await
}

#[async_trait]
impl Action for KillBlocker {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found = wanted.blocking(server).await?;
        let mut notes = found.notes(None);
        let waiting = waiting(server, &[]).await?.len() as u64;
        let verb = if waiting == 1 { "waits" } else { "wait" };
        notes.push(format!("{} {verb} for locks now", count(waiting, "session")));
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call())],
            scope: [
                ("session".into(), wanted.0.pid.to_string()),
                ("server start".into(), found.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(found.sessions.len() as u64, "sessions cut"),
                costs(found.written(), "of them losing written work"),
            ],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let found = Wanted::read(args)?.blocking(server).await?;
        let mut saved = proof::remember(&found);
        saved.insert("waiting".into(), json!(waiting(server, &[]).await?));
        Ok(saved)
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        sessions::end(server, ID, &Wanted::read(args)?.call(), report).await
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let mut checks = proof::checks(server, ID, None, saved).await;
        checks.push(progressed(server, saved).await.unwrap_or_else(|e| unmeasured("queue", &e)));
        checks
    }
}

async fn progressed(server: &Server, saved: &Saved) -> Result<Check, ActionError> {
    let before: Vec<Waiting> = kept(saved, "waiting")?;
    let left = if before.is_empty() { 0 } else { waiting(server, &before).await?.len() };
    Ok(measured(
        "everyone who waited has gone on",
        left == 0,
        format!("{left} of {} wait in the same query", before.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_session_is_named() {
        let session = json!({"pid": 7, "backend_start": "2026-11-20T10:00:00.000001Z"});
        let read = |args: serde_json::Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|wanted| wanted.0.pid)
        };
        assert_eq!(read(json!({"session": session})).unwrap(), 7);
        for args in [
            json!({}),
            json!({"session": [session]}),
            json!({"session": 7}),
            json!({"sessions": [session]}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
