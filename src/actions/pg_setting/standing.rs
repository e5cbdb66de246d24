//! How one setting stands on the live server: its value, where it comes from, and what would keep a change from it.

use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::super::channel::sql::fixer;
use super::super::checks::measured;
use super::super::postgres::link;
use super::{ActionError, Wanted, failed};
use crate::domain::execution::Check;
use crate::targets::Server;
use crate::targets::postgres::{PgConnection, Session, answer_of};

const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Read in a session that overrides nothing but the timeouts, which `reset_val` does not show.
const QUESTION: &str = "select json_build_object(
  'now', s.reset_val || coalesce(s.unit, ''), 'context', s.context, 'source', s.source,
  'pending_restart', s.pending_restart, 'boot', s.boot_val,
  'server_start', pg_postmaster_start_time(),
  'sessions', (select count(*) from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()),
  'auto', (select f.setting from pg_file_settings f where f.name = s.name
    and f.sourcefile like '%/postgresql.auto.conf' order by f.seqno desc limit 1),
  'file', (select f.setting from pg_file_settings f where f.name = s.name
    and f.sourcefile not like '%/postgresql.auto.conf' order by f.seqno desc limit 1),
  'errors', (select count(*) from pg_file_settings f where f.error is not null),
  'overrides', coalesce((select json_agg(
      coalesce('role ' || r.rolname, 'every role') || coalesce(' in database ' || d.datname, ''))
    from pg_db_role_setting o left join pg_roles r on r.oid = o.setrole
      left join pg_database d on d.oid = o.setdatabase, unnest(o.setconfig) as c
    where split_part(c, '=', 1) = s.name), '[]'::json))::text
from pg_settings s where s.name = $1";

/// The setting as an application's new session has it.
const IN_A_NEW_SESSION: &str =
    "select reset_val || coalesce(unit, '') from pg_catalog.pg_settings where name = $1";

#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    pub(super) now: String,
    context: String,
    source: String,
    pending_restart: bool,
    boot: Option<String>,
    pub(super) server_start: DateTime<Utc>,
    sessions: u64,
    /// The line of postgresql.auto.conf, where there is one.
    pub(super) auto: Option<String>,
    /// The line that counts among the other files.
    file: Option<String>,
    errors: u64,
    overrides: Vec<String>,
}

impl Standing {
    pub(super) async fn of(
        server: &Server,
        action: &'static str,
        name: &'static str,
    ) -> Result<Self, ActionError> {
        let text = ask(server, (action, true), QUESTION, name).await?.ok_or_else(|| {
            ActionError::Precondition(format!("this server has no setting {name}"))
        })?;
        serde_json::from_str(&text).map_err(|e| failed(format!("read how {name} stands"), e))
    }

    /// What the line of postgresql.auto.conf must become, or why nothing can be done so.
    pub(super) fn line_for(&self, wanted: &Wanted) -> Result<Option<String>, ActionError> {
        let refused =
            |why: String| Err(ActionError::Precondition(format!("{} {why}", wanted.name)));
        if wanted.is(&self.now) {
            return refused(format!("is {} already", shown(&self.now)));
        }
        if !matches!(self.context.as_str(), "user" | "superuser" | "sighup") {
            return refused("changes only with a restart".into());
        }
        if self.source == "command line" {
            return refused("stands on the server's command line, which beats every file".into());
        }
        if let Some(over) = self.overrides.first() {
            return refused(format!("is set for {over}, which beats the server's own value"));
        }
        if self.errors > 0 {
            return refused(format!(
                "cannot be reloaded: the configuration files have {} (pg_file_settings)",
                super::super::checks::count(self.errors, "error")
            ));
        }
        let without = self.file.as_deref().or(self.boot.as_deref()).unwrap_or_default();
        if self.auto.is_some() && wanted.is(without) {
            return Ok(None);
        }
        if wanted.only_from_file() {
            return refused("would need a command line that stands in no file".into());
        }
        Ok(Some(wanted.baseline.clone()))
    }

    pub(super) fn notes(&self, wanted: &Wanted, line: Option<&str>) -> Vec<String> {
        let mut notes = vec![
            format!("{}: {} becomes {}", wanted.name, shown(&self.now), shown(&wanted.baseline)),
            match (&self.auto, line) {
                (Some(was), None) => format!("postgresql.auto.conf sets {was:?}; that line goes"),
                (Some(was), Some(_)) => format!("postgresql.auto.conf sets {was:?} now"),
                (None, _) => "another configuration file says otherwise and stays; \
                              postgresql.auto.conf beats it"
                    .into(),
            },
        ];
        notes.push(format!(
            "{} get the value at once, except where they set it themselves",
            super::super::checks::count(self.sessions, "session")
        ));
        notes
    }
}

fn shown(value: &str) -> String {
    if value.is_empty() { "\"\"".into() } else { value.into() }
}

/// One text over a session that has the server's own settings: the fixer's, or the application's.
async fn ask(
    server: &Server,
    (action, as_fixer): (&'static str, bool),
    question: &str,
    name: &str,
) -> Result<Option<String>, ActionError> {
    let link = link(server)?;
    let login = if as_fixer { fixer(link)? } else { &link.app };
    let doing = || format!("look into {}", link.name);
    let session =
        link.connect(login, action, Session::App).await.map_err(|e| failed(doing(), e))?;
    let answered = tokio::time::timeout(ANSWER_DEADLINE, answer(&session, question, name)).await;
    session.close().await;
    match answered {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(failed(doing(), anyhow!("{}", answer_of(&error).describe()))),
        Err(elapsed) => Err(failed(doing(), elapsed)),
    }
}

async fn answer(
    session: &PgConnection,
    question: &str,
    name: &str,
) -> Result<Option<String>, tokio_postgres::Error> {
    // A statement_timeout of a millisecond would cut the question.
    session.batch_execute("SET statement_timeout = 0").await?;
    session.query_opt(question, &[&name]).await?.map_or(Ok(None), |row| row.try_get(0))
}

/// Whether a new session has the value, for good.
pub(super) async fn measure(
    server: &Server,
    action: &'static str,
    wanted: &Wanted,
) -> Result<Vec<Check>, ActionError> {
    let new =
        ask(server, (action, false), IN_A_NEW_SESSION, wanted.name).await?.unwrap_or_default();
    let standing = Standing::of(server, action, wanted.name).await?;
    Ok(vec![
        measured(
            "a new session has the value",
            wanted.is(&new),
            format!("{} is {}", wanted.name, shown(&new)),
        ),
        measured(
            "no restart is pending for it",
            !standing.pending_restart,
            if standing.pending_restart { "a restart is pending" } else { "none is pending" },
        ),
        measured(
            "the configuration files have no error",
            standing.errors == 0,
            super::super::checks::count(standing.errors, "error"),
        ),
    ])
}
