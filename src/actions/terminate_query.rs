//! Ends one PostgreSQL session, whatever it does. Where cancelling its query is not enough: it rests in a transaction,
//! or it takes a slot that is needed.

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::costs;
use super::postgres::look;
use super::sessions::statements::{columns, guarded, named, told};
use super::sessions::{self, Candidates, LOOK_DEADLINE, Session, proof};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "terminate_query";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &["terminate_session"],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "End a session",
    about: "Ends one named session with the query it runs; what it has not committed is rolled back. Right when \
            cancelling the query is not enough: its client may connect again at once.",
    args: &[Arg::records("session", "which one: {pid, backend_start}")],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "the session is gone, the server went on",
};

/// The session, when it may be ended at all. `'[]'` would name nobody, and so everybody.
macro_rules! chosen {
    () => {
        concat!(
            "with chosen as materialized (
  select ",
            columns!(),
            "
  ",
            guarded!(),
            "    and :'sessions' <> '[]'
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

/// See the module.
#[derive(Debug)]
pub(super) struct TerminateQuery;

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

    async fn there(&self, server: &Server) -> Result<Candidates, ActionError> {
        let vars = self.vars();
        let looking = look(server, ID, CANDIDATE, &vars);
        let found: Candidates = within(LOOK_DEADLINE, "look at the sessions", looking).await?;
        if found.sessions.is_empty() {
            return Err(ActionError::Precondition(format!(
                "pid {} is gone or protected (a superuser's, a replica's, or simctl's own)",
                self.0.pid
            )));
        }
        Ok(found)
    }
}

#[async_trait]
impl Action for TerminateQuery {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found = wanted.there(server).await?;
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
            notes: found.notes(None),
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        Ok(proof::remember(&Wanted::read(args)?.there(server).await?))
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
        proof::checks(server, ID, None, saved).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_session_is_named_by_what_names_it_for_good() {
        let session = json!({"pid": 7, "backend_start": "2026-11-20T10:00:00.000001Z"});
        let read = |args: serde_json::Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|wanted| wanted.0.pid).ok()
        };
        assert_eq!(read(json!({"session": session})), Some(7));
        for args in [json!({}), json!({"session": {"pid": 7}}), json!({"session": [session]})] {
            assert_eq!(read(args.clone()), None, "{args}");
        }
    }
}
