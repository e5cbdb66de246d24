//! Ends idle PostgreSQL sessions, so that clients get in again. Who is ended is chosen first and signalled then, by
//! (pid, backend_start), in one statement; who is protected never is, whatever the arguments say.

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::costs;
use super::postgres::look;
use super::sessions::proof::{self, Like};
use super::sessions::{self, Candidates, LOOK_DEADLINE, Session};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

mod statements;

const ID: &str = "kill_idle_connections";
const DEFAULT_MIN_IDLE_S: u64 = 30;
const MAX_SESSIONS: u64 = 1_000;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &["kill-connections"],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "End idle sessions",
    about: "Ends sessions that are idle outside a transaction: those named, or the oldest of some roles or \
            applications. Right when connections were leaked; no running work is lost.",
    args: &[
        Arg::records("sessions", "which ones: a list of {pid, backend_start}").optional(),
        Arg::flag("cancelled", "with sessions: true where the step before cancels their queries, so that they are idle then").optional(),
        Arg::texts("roles", "instead of sessions: only sessions of these roles").optional(),
        Arg::texts("apps", "instead of sessions: only of these application names").optional(),
        Arg::whole("min_idle_s", "with roles or apps: idle for at least this (30)").optional(),
        Arg::whole("max", "with roles or apps: end at most so many, the oldest first").optional(),
    ],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "the sessions are gone, their clients did not fill the slots again, ordinary roles find a free slot",
};

/// See the module.
#[derive(Debug)]
pub(super) struct KillIdleConnections;

/// Whom to end.
enum Wanted {
    /// With `cancelled`, those at work count too when it is shown who would go; only idle ones are ended.
    These {
        sessions: Vec<Session>,
        cancelled: bool,
    },
    Oldest {
        roles: Vec<String>,
        apps: Vec<String>,
        min_idle_s: u64,
        max: u64,
    },
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let sessions: Option<Vec<Session>> = given.optional("sessions", sessions::LIST)?;
        let cancelled = given.optional("cancelled", "true or false")?.unwrap_or(false);
        let roles: Option<Vec<String>> = given.optional("roles", "a list of role names")?;
        let apps: Option<Vec<String>> = given.optional("apps", "a list of application names")?;
        let min_idle_s = given.optional("min_idle_s", "a number of seconds")?;
        let max = given.optional("max", "a whole number")?;
        if let Some(sessions) = sessions {
            if roles.is_some() || apps.is_some() || min_idle_s.is_some() || max.is_some() {
                return Err(wrong("sessions", "goes with no other argument"));
            }
            if sessions.is_empty() {
                return Err(wrong("sessions", "names no session"));
            }
            return Ok(Self::These { sessions, cancelled });
        }
        let (roles, apps) = (roles.unwrap_or_default(), apps.unwrap_or_default());
        if roles.is_empty() && apps.is_empty() {
            return Err(wrong("sessions", "is missing, and neither roles nor apps are given"));
        }
        Ok(Self::Oldest {
            roles,
            apps,
            min_idle_s: min_idle_s.unwrap_or(DEFAULT_MIN_IDLE_S),
            max: max.unwrap_or(MAX_SESSIONS).min(MAX_SESSIONS),
        })
    }

    fn vars(&self) -> Vars {
        let empty = || "[]".to_owned();
        match self {
            Self::These { sessions, .. } => vec![
                ("sessions", json!(sessions).to_string()),
                ("roles", empty()),
                ("apps", empty()),
                ("min_idle_s", "0".into()),
                ("max", sessions.len().to_string()),
                ("states", "idle".into()),
            ],
            Self::Oldest { roles, apps, min_idle_s, max } => vec![
                ("sessions", empty()),
                ("roles", json!(roles).to_string()),
                ("apps", json!(apps).to_string()),
                ("min_idle_s", min_idle_s.to_string()),
                ("max", max.to_string()),
                ("states", "idle".into()),
            ],
        }
    }

    /// The same, where sessions whose query is cancelled before count as idle already.
    fn foreseen(&self) -> Vars {
        let mut vars = self.vars();
        if let Self::These { cancelled: true, .. } = self
            && let Some((_, states)) = vars.iter_mut().find(|(name, _)| *name == "states")
        {
            states.push_str(",active");
        }
        vars
    }

    fn call(&self) -> Call {
        Call::Sql { sql: statements::SIGNAL, vars: self.vars() }
    }

    /// How many were named.
    fn asked(&self) -> Option<usize> {
        match self {
            Self::These { sessions, .. } => Some(sessions.len()),
            Self::Oldest { .. } => None,
        }
    }

    /// What an approval is bound to besides the count.
    fn describe(&self) -> String {
        match self {
            Self::These { sessions, .. } => sessions::pids(sessions),
            Self::Oldest { roles, apps, min_idle_s, max } => format!(
                "at most {max}, idle for {min_idle_s} s, of roles [{}], applications [{}]",
                roles.join(", "),
                apps.join(", ")
            ),
        }
    }

    /// Who would be ended, or why nobody is.
    async fn candidates(&self, server: &Server, vars: &Vars) -> Result<Candidates, ActionError> {
        let asking =
            async { look::<Candidates>(server, ID, statements::CANDIDATES, vars).await?.some() };
        within(LOOK_DEADLINE, "look at the sessions", asking).await
    }
}

#[async_trait]
impl Action for KillIdleConnections {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found = wanted.candidates(server, &wanted.foreseen()).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call())],
            scope: [
                ("sessions".into(), wanted.describe()),
                ("server start".into(), found.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(found.sessions.len() as u64, "sessions cut"),
                costs(found.written(), "of them losing written work"),
            ],
            notes: found.notes(wanted.asked()),
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        Ok(proof::remember(&wanted.candidates(server, &wanted.vars()).await?))
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
        proof::checks(server, ID, Some(Like { state: "idle", still_s: 0 }), saved).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(args: Value) -> Result<Wanted, String> {
        Wanted::read(&serde_json::from_value(args).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn whom_to_end_is_said_in_one_way_or_the_other() {
        let session = json!({"pid": 7, "backend_start": "2026-11-20T10:00:00.000001Z"});
        assert!(matches!(
            read(json!({"sessions": [session]})),
            Ok(Wanted::These { cancelled: false, .. })
        ));
        assert!(matches!(
            read(json!({"apps": ["web"], "max": 3})),
            Ok(Wanted::Oldest { max: 3, min_idle_s: 30, .. })
        ));
        for args in [
            json!({}),
            json!({"sessions": []}),
            json!({"sessions": [7]}),
            json!({"sessions": [session], "roles": ["app"]}),
            json!({"roles": []}),
            json!({"roles": "app"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }

    #[test]
    fn the_start_of_a_session_keeps_its_microseconds() {
        let start = "2026-11-20T10:00:00.000001Z";
        let Ok(wanted) = read(json!({"sessions": [{"pid": 7, "backend_start": start}]})) else {
            panic!("it is a proper list");
        };
        assert!(wanted.vars()[0].1.contains(start), "{:?}", wanted.vars());
    }
}
