//! Ends idle PostgreSQL sessions, so that clients get in again. Who is ended is chosen first and signalled then, by
//! (pid, backend_start), in one statement; who is protected never is, whatever the arguments say.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{announced, costs, count, kept, progress, unmeasured};
use super::postgres::look;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

mod proof;
mod statements;

const ID: &str = "kill_idle_connections";
const LOOK_DEADLINE: Duration = Duration::from_secs(15);
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// A signalled session is gone within this, or it is said not to be.
const GONE_DEADLINE: Duration = Duration::from_secs(5);
const GONE_POLL: Duration = Duration::from_millis(50);
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
        Arg { name: "sessions", about: "which ones: a list of {pid, backend_start}" },
        Arg { name: "roles", about: "instead of sessions: only sessions of these roles" },
        Arg { name: "apps", about: "instead of sessions: only of these application names" },
        Arg { name: "min_idle_s", about: "with roles or apps: idle for at least this (30)" },
        Arg { name: "max", about: "with roles or apps: end at most so many, the oldest first" },
    ],
    needs: &[Need::PgRole("pg_signal_backend"), Need::PgRole("pg_read_all_stats")],
    verify: "the sessions are gone, their clients did not fill the slots again, ordinary roles find a free slot",
};

/// See the module.
#[derive(Debug)]
pub(super) struct KillIdleConnections;

/// One session, by what names it for good: a pid alone comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    pid: i32,
    backend_start: DateTime<Utc>,
}

/// A session that may be ended, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Candidate {
    #[serde(flatten)]
    session: Session,
    user: String,
    app: String,
    client: String,
    state: String,
    idle_s: f64,
    has_written: bool,
}

/// What the server answers when it is asked for candidates.
#[derive(Debug, Deserialize)]
struct Candidates {
    sessions: Vec<Candidate>,
    server_start: DateTime<Utc>,
    /// By the server's clock, which is also that of `backend_start`.
    now: DateTime<Utc>,
}

/// Whom to end.
enum Wanted {
    These(Vec<Session>),
    Oldest { roles: Vec<String>, apps: Vec<String>, min_idle_s: u64, max: u64 },
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let list = "a list of {\"pid\": 1, \"backend_start\": \"…\"}";
        let sessions: Option<Vec<Session>> = given.optional("sessions", list)?;
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
            return Ok(Self::These(sessions));
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
            Self::These(sessions) => vec![
                ("sessions", json!(sessions).to_string()),
                ("roles", empty()),
                ("apps", empty()),
                ("min_idle_s", "0".into()),
                ("max", sessions.len().to_string()),
            ],
            Self::Oldest { roles, apps, min_idle_s, max } => vec![
                ("sessions", empty()),
                ("roles", json!(roles).to_string()),
                ("apps", json!(apps).to_string()),
                ("min_idle_s", min_idle_s.to_string()),
                ("max", max.to_string()),
            ],
        }
    }

    fn call(&self) -> Call {
        Call::Sql { sql: statements::SIGNAL, vars: self.vars() }
    }

    /// What an approval is bound to besides the count.
    fn describe(&self) -> String {
        match self {
            Self::These(sessions) => {
                let pids: Vec<_> = sessions.iter().map(|session| session.pid.to_string()).collect();
                pids.join(", ")
            }
            Self::Oldest { roles, apps, min_idle_s, max } => format!(
                "at most {max}, idle for {min_idle_s} s, of roles [{}], applications [{}]",
                roles.join(", "),
                apps.join(", ")
            ),
        }
    }

    /// Who would be ended now, or why nobody is.
    async fn candidates(&self, server: &Server) -> Result<Candidates, ActionError> {
        let found: Candidates = look(server, ID, statements::CANDIDATES, &self.vars()).await?;
        if found.sessions.is_empty() {
            return Err(ActionError::Precondition(
                "no session that may be ended matches: they are gone, busy or protected".into(),
            ));
        }
        Ok(found)
    }
}

#[async_trait]
impl Action for KillIdleConnections {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let found =
            within(LOOK_DEADLINE, "look at the sessions", wanted.candidates(server)).await?;
        let ended = found.sessions.len() as u64;
        let mut notes: Vec<String> = found.sessions.iter().map(describe).collect();
        if let Wanted::These(sessions) = &wanted {
            let spared = (sessions.len() as u64).saturating_sub(ended);
            if spared > 0 {
                notes.push(format!("{} gone, busy or protected by now", count(spared, "session")));
            }
        }
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call())],
            scope: [
                ("sessions".into(), wanted.describe()),
                ("server start".into(), found.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(ended, "sessions cut"),
                costs(written(&found.sessions), "of them losing written work"),
            ],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        let found =
            within(LOOK_DEADLINE, "look at the sessions", wanted.candidates(server)).await?;
        Ok(Saved::from([
            ("sessions".into(), json!(found.sessions)),
            ("server_start".into(), json!(found.server_start)),
            ("since".into(), json!(found.now)),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let call = Wanted::read(args)?.call();
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&call)));
        let mut output = channel.perform(&call, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            return Ok(output);
        }
        let signalled = signalled(&output.stdout)?;
        report(progress(format!("{} signalled", count(signalled.len() as u64, "session"))));
        let left = wait_until_gone(server, &signalled).await?;
        if left.is_empty() {
            report(progress("all of them are gone"));
        } else {
            output.exit_code = Some(1);
            let _ = writeln!(
                output.stderr,
                "signalled, and still there after {}: {}",
                humantime::format_duration(GONE_DEADLINE),
                pids(&left)
            );
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the sessions", async {
            let ended: Vec<Candidate> = kept(saved, "sessions")?;
            let server_start: DateTime<Utc> = kept(saved, "server_start")?;
            proof::measure(server, &ended, kept(saved, "since")?, server_start).await
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("sessions", &e)])
    }
}

fn written(sessions: &[Candidate]) -> u64 {
    sessions.iter().filter(|session| session.has_written).count() as u64
}

/// The sessions that the statement says it signalled, one JSON object a line.
fn signalled(stdout: &str) -> Result<Vec<Session>, ActionError> {
    stdout
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|e| super::failed(format!("read psql's answer `{line}`"), e))
        })
        .collect()
}

/// Signalled is not gone: looks until they are, or the deadline. Returns who is left.
async fn wait_until_gone(
    server: &Server,
    signalled: &[Session],
) -> Result<Vec<Session>, ActionError> {
    let vars: Vars = vec![("sessions", json!(signalled).to_string())];
    let deadline = tokio::time::Instant::now() + GONE_DEADLINE;
    loop {
        let left: Vec<Session> = look(server, ID, statements::STILL_THERE, &vars).await?;
        if left.is_empty() || tokio::time::Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(GONE_POLL).await;
    }
}

fn pids(sessions: &[Session]) -> String {
    let pids: Vec<_> = sessions.iter().map(|session| session.pid.to_string()).collect();
    pids.join(", ")
}

fn describe(candidate: &Candidate) -> String {
    let work = if candidate.has_written { ", HAS WRITTEN" } else { "" };
    format!(
        "pid {} {} ({}) from {}, {} for {:.0} s{work}",
        candidate.session.pid,
        candidate.user,
        if candidate.app.is_empty() { "no application name" } else { &candidate.app },
        candidate.client,
        candidate.state,
        candidate.idle_s
    )
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
        assert!(matches!(read(json!({"sessions": [session]})), Ok(Wanted::These(_))));
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
