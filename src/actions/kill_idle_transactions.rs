//! Ends PostgreSQL sessions that began a transaction and stopped, so that what they hold is free again: slots, locks,
//! and old row versions. What they wrote is rolled back. Cancelling would say yes and change nothing.

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

const ID: &str = "kill_idle_transactions";
/// A transaction younger than this may be one at work between two statements.
const LEAST_AGE_S: u64 = 60;
const MAX_SESSIONS: u64 = 1_000;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "End idle transactions",
    about: "Ends sessions that are idle inside a transaction: those named, or the oldest ones. Right when open \
            transactions hold slots, locks or old rows; what they have not committed is rolled back.",
    args: &[
        Arg::records("sessions", "which ones: a list of {pid, backend_start}").optional(),
        Arg::whole(
            "min_age_s",
            "instead of sessions: transactions open for at least this (60 or more)",
        )
        .optional(),
        Arg::whole("max", "with min_age_s: end at most so many, the oldest first").optional(),
    ],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "the sessions are gone, their clients did not come back with open transactions, ordinary roles find a \
             free slot",
};

/// See the module.
#[derive(Debug)]
pub(super) struct KillIdleTransactions;

/// Whom to end.
enum Wanted {
    These(Vec<Session>),
    Oldest { min_age_s: u64, max: u64 },
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let sessions: Option<Vec<Session>> = given.optional("sessions", sessions::LIST)?;
        let min_age_s: Option<u64> = given.optional("min_age_s", "a whole number of seconds")?;
        let max: Option<u64> = given.optional("max", "a whole number")?;
        match (sessions, min_age_s) {
            (Some(_), Some(_)) => Err(wrong("sessions", "goes with no other argument")),
            (Some(_), None) if max.is_some() => {
                Err(wrong("sessions", "goes with no other argument"))
            }
            (Some(sessions), None) if sessions.is_empty() => {
                Err(wrong("sessions", "names no session"))
            }
            (Some(sessions), None) => Ok(Self::These(sessions)),
            (None, Some(age)) if age < LEAST_AGE_S => {
                Err(wrong("min_age_s", format!("must be {LEAST_AGE_S} or more")))
            }
            (None, Some(min_age_s)) => {
                Ok(Self::Oldest { min_age_s, max: max.unwrap_or(MAX_SESSIONS).min(MAX_SESSIONS) })
            }
            (None, None) => Err(wrong("sessions", "is missing, and min_age_s is not given")),
        }
    }

    fn vars(&self) -> Vars {
        match self {
            Self::These(sessions) => vec![
                ("sessions", json!(sessions).to_string()),
                ("min_age_s", "0".into()),
                ("max", sessions.len().to_string()),
            ],
            Self::Oldest { min_age_s, max } => vec![
                ("sessions", "[]".into()),
                ("min_age_s", min_age_s.to_string()),
                ("max", max.to_string()),
            ],
        }
    }

    fn call(&self) -> Call {
        Call::Sql { sql: statements::SIGNAL, vars: self.vars() }
    }

    /// What an approval is bound to besides the counts.
    fn describe(&self) -> String {
        match self {
            Self::These(sessions) => sessions::pids(sessions),
            Self::Oldest { min_age_s, max } => format!("at most {max}, open for {min_age_s} s"),
        }
    }

    fn asked(&self) -> Option<usize> {
        match self {
            Self::These(sessions) => Some(sessions.len()),
            Self::Oldest { .. } => None,
        }
    }

    /// Who would be ended now, or why nobody is.
    async fn candidates(&self, server: &Server) -> Result<Candidates, ActionError> {
        let vars = self.vars();
        let asking =
            async { look::<Candidates>(server, ID, statements::CANDIDATES, &vars).await?.some() };
        within(LOOK_DEADLINE, "look at the sessions", asking).await
    }
}

#[async_trait]
impl Action for KillIdleTransactions {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found = wanted.candidates(server).await?;
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
        Undo::Impossible
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        Ok(proof::remember(&Wanted::read(args)?.candidates(server).await?))
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
        let like = Like { state: "idle in transaction%", still_s: 1 };
        proof::checks(server, ID, Some(like), saved).await
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
    fn whom_to_end_is_said_in_one_way_and_young_transactions_are_not_taken_wholesale() {
        let session = json!({"pid": 7, "backend_start": "2026-11-20T10:00:00.000001Z"});
        assert!(matches!(read(json!({"sessions": [session]})), Ok(Wanted::These(_))));
        assert!(matches!(
            read(json!({"min_age_s": 60, "max": 3})),
            Ok(Wanted::Oldest { min_age_s: 60, max: 3 })
        ));
        for args in [
            json!({}),
            json!({"max": 3}),
            json!({"sessions": []}),
            json!({"sessions": [session], "min_age_s": 60}),
            json!({"sessions": [session], "max": 1}),
            json!({"min_age_s": 59}),
            json!({"min_age_s": "long"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
