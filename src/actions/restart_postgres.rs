//! Restarts a PostgreSQL server, after looking whether its configuration would let it start again.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::Given;
use super::channel::sql::Vars;
use super::channel::{Call, Channel, Op, within};
use super::checks::{announced, costs, explain, kept, measured, progress, unmeasured};
use super::postgres::look;
use super::unit::inspect;
use super::{Action, ActionError, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "restart_postgres";
/// How long sessions may end before the server is killed, which means crash recovery.
const GRACE: Duration = Duration::from_secs(30);
const LOOK_DEADLINE: Duration = Duration::from_secs(15);
const CALL_DEADLINE: Duration = Duration::from_secs(60);
const READY_DEADLINE: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(50);
/// Measured: a fast shutdown with little to write, and the start after it.
const RESTART_SECONDS: u64 = 1;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &["restart"],
    engine: Some(Engine::Postgres),
    needs_runtime: true,
    risk: Risk::High,
    title: "Restart the server",
    about: "Stops and starts the server; every session is cut and its open transaction rolled back. Right when \
            nothing smaller helps.",
    args: &[],
    needs: &[Need::PgRole("pg_read_all_stats"), Need::Runtime("restart")],
    verify: "a new life of the same data accepts connections, with no error in its configuration files",
};

/// What a restart meets, and what it would do.
const STATE: &str = "select json_build_object(
  'started', pg_postmaster_start_time(),
  'system', (select system_identifier::text from pg_control_system()),
  'standby', pg_is_in_recovery(),
  'errors', (select coalesce(json_agg(e), '[]'::json) from (
    select format('%s line %s: %s', sourcefile, sourceline, error) as e from pg_file_settings
      where error is not null and name not in (select name from pg_settings where pending_restart)
    union all
    select format('pg_hba.conf line %s: %s', line_number, error) from pg_hba_file_rules
      where error is not null) found),
  'pending', (select coalesce(json_agg(name order by name), '[]'::json) from pg_settings where pending_restart),
  'sessions', (select count(*) from pg_stat_activity where backend_type = 'client backend'
    and pid <> pg_backend_pid() and coalesce(application_name, '') not like 'simctl/%'),
  'written', (select count(*) from pg_stat_activity where backend_type = 'client backend'
    and pid <> pg_backend_pid() and backend_xid is not null))::text";

#[derive(Debug, Deserialize)]
struct State {
    started: DateTime<Utc>,
    system: String,
    standby: bool,
    errors: Vec<String>,
    pending: Vec<String>,
    sessions: u64,
    written: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct RestartPostgres;

fn restart() -> Call {
    Call::Runtime(Op::Restart(GRACE))
}

async fn state(server: &Server) -> Result<State, ActionError> {
    within(LOOK_DEADLINE, "look at the server", look(server, ID, STATE, &Vars::new())).await
}

/// The state, when the server would start again with the files it has.
async fn startable(server: &Server) -> Result<State, ActionError> {
    let state = state(server).await?;
    match state.errors.first() {
        Some(error) => Err(ActionError::Precondition(format!(
            "{} would not start again: {error} ({} in all); repair the file first",
            server.target.id,
            state.errors.len()
        ))),
        None => Ok(state),
    }
}

#[async_trait]
impl Action for RestartPostgres {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        let unit = inspect(server).await?;
        let state = startable(server).await?;
        let mut notes = vec![format!(
            "when it does not obey within {} s it is killed and recovers from its log",
            GRACE.as_secs()
        )];
        if !state.pending.is_empty() {
            notes.push(format!("these settings change with it: {}", state.pending.join(", ")));
        }
        if state.standby {
            notes.push("it is a standby".into());
        }
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&restart())],
            scope: [
                ("unit".into(), unit.identity()),
                ("server start".into(), state.started.to_rfc3339()),
                ("pending settings".into(), state.pending.join(", ")),
            ]
            .into(),
            consequences: vec![
                costs(state.sessions, "sessions cut"),
                costs(state.written, "sessions losing written work"),
                costs(RESTART_SECONDS, "seconds of downtime"),
            ],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn save(&self, server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        let state = startable(server).await?;
        Ok(Saved::from([
            ("started".into(), json!(state.started)),
            ("system".into(), json!(state.system)),
            ("standby".into(), json!(state.standby)),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Given::to(&DESCRIPTOR, args)?;
        inspect(server).await?;
        let before = startable(server).await?.started;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&restart())));
        let started = tokio::time::Instant::now();
        let mut output = channel.perform(&restart(), CALL_DEADLINE).await?;
        report(progress("restarted; waiting until it answers"));
        let answers = wait_until_up(server, before).await;
        output.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = answers {
            output.exit_code = Some(1);
            output.stderr = format!("{}\n", explain(&error));
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async { judge(&state(server).await?, saved) };
        measuring.await.unwrap_or_else(|e| vec![unmeasured("server", &e)])
    }
}

/// Waits for a postmaster younger than `before`: an old one still answers on its way down.
async fn wait_until_up(server: &Server, before: DateTime<Utc>) -> Result<(), ActionError> {
    let deadline = tokio::time::Instant::now() + READY_DEADLINE;
    loop {
        let seen = state(server).await;
        if seen.as_ref().is_ok_and(|state| state.started > before) {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(seen.err().unwrap_or_else(|| {
                ActionError::Precondition("the old server still answers; it did not stop".into())
            }));
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

fn judge(state: &State, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let (started, system): (DateTime<Utc>, String) =
        (kept(saved, "started")?, kept(saved, "system")?);
    let standby: bool = kept(saved, "standby")?;
    let role = |standby| if standby { "standby" } else { "primary" };
    Ok(vec![
        measured(
            "server was restarted",
            state.started > started,
            format!("up since {}", state.started.to_rfc3339()),
        ),
        measured(
            "it has the same data",
            state.system == system,
            format!("system {}", state.system),
        ),
        measured(
            "it has the same role",
            state.standby == standby,
            format!("{}, {} before", role(state.standby), role(standby)),
        ),
        measured(
            "its configuration is sound",
            state.errors.is_empty() && state.pending.is_empty(),
            format!("{} errors, {} settings pending", state.errors.len(), state.pending.len()),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_a_bad_restart_fails_its_own_check() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let good = || State {
            started: start + chrono::TimeDelta::seconds(9),
            system: "7".into(),
            standby: false,
            errors: Vec::new(),
            pending: Vec::new(),
            sessions: 0,
            written: 0,
        };
        let saved = Saved::from([
            ("started".into(), json!(start)),
            ("system".into(), json!("7")),
            ("standby".into(), json!(false)),
        ]);
        let failing = |state: State| -> Vec<usize> {
            let checks = judge(&state, &saved).unwrap();
            (0..checks.len()).filter(|at| checks[*at].passed != Some(true)).collect()
        };
        assert_eq!(failing(good()), Vec::<usize>::new());
        assert_eq!(failing(State { started: start, ..good() }), [0]);
        assert_eq!(failing(State { system: "8".into(), ..good() }), [1]);
        assert_eq!(failing(State { standby: true, ..good() }), [2]);
        assert_eq!(failing(State { pending: vec!["shared_buffers".into()], ..good() }), [3]);
    }
}
