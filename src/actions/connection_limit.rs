//! The connection limit of one PostgreSQL role or database, set to a value. Sessions that are there stay.

use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{costs, count, kept, measured, unmeasured};
use super::postgres::{database, look};
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Descriptor, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Undo};
use crate::targets::Server;

const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// What PostgreSQL calls "no limit".
pub(super) const NONE: i32 = -1;

const LOOK: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(),
  'limit', case :'kind' when 'role' then (select rolconnlimit from pg_roles where rolname = :'name')
    else (select datconnlimit from pg_database where datname = :'name') end,
  'is_superuser', :'kind' = 'role' and coalesce((select rolsuper from pg_roles where rolname = :'name'), false),
  'sessions', (select count(*) from pg_stat_activity
    where backend_type = 'client backend' and :'name' = case :'kind' when 'role' then usename else datname end))::text";

#[derive(Debug, Deserialize)]
struct State {
    server_start: DateTime<Utc>,
    limit: Option<i32>,
    sessions: u64,
    is_superuser: bool,
}

/// An action that sets one, and what must hold before.
pub(super) struct Limiting {
    pub(super) descriptor: &'static Descriptor,
    /// Why it is not set, if so.
    pub(super) refuses: fn(&Server, &Wanted, &Seen) -> Option<String>,
}

/// How it stands with one that is about to be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) limit: i32,
    pub(super) is_superuser: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Role,
    Database,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Database => "database",
        }
    }
}

/// Whose limit, and what it becomes.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) limit: i32,
}

impl Wanted {
    fn read(descriptor: &'static Descriptor, args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(descriptor, args)?;
        let role: Option<String> = given.optional("role", "the name of a role")?;
        let database: Option<String> = given.optional("database", "the name of a database")?;
        let limit: i32 = given.required("limit", "a whole number, -1 for none")?;
        if limit < NONE {
            return Err(wrong("limit", "is less than -1, which is none"));
        }
        match (role, database) {
            (Some(name), None) => Ok(Self { kind: Kind::Role, name, limit }),
            (None, Some(name)) => Ok(Self { kind: Kind::Database, name, limit }),
            (None, None) => Err(wrong("role", "is missing, and database is not given")),
            (Some(_), Some(_)) => Err(wrong("role", "goes with no database")),
        }
    }

    pub(super) fn described(&self) -> String {
        format!("{} {}", self.kind.word(), self.name)
    }

    /// The limit is a number by its type; the name is quoted by whoever sends it.
    fn call(&self, server: &Server, limit: i32) -> Result<Call, ActionError> {
        let kind = self.kind.word().to_uppercase();
        let sql = format!("ALTER {kind} :\"name\" CONNECTION LIMIT {limit}");
        let vars: Vars = vec![("name", self.name.clone())];
        Ok(Call::SqlIn { database: database(server)?, sql: sql.into(), vars })
    }

    async fn look(
        &self,
        server: &Server,
        action: &'static str,
    ) -> Result<(State, i32), ActionError> {
        let vars = vec![("kind", self.kind.word().to_owned()), ("name", self.name.clone())];
        let state: State =
            within(LOOK_DEADLINE, "look at the limit", look(server, action, LOOK, &vars)).await?;
        match state.limit {
            Some(limit) => Ok((state, limit)),
            None => Err(ActionError::Precondition(format!("there is no {}", self.described()))),
        }
    }
}

pub(super) fn shown(limit: i32) -> String {
    if limit == NONE { "none".into() } else { limit.to_string() }
}

#[async_trait]
impl Action for Limiting {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = self.wanted(args)?;
        let (state, limit) = self.changed(server, &wanted).await?;
        Ok(Preview {
            commands: vec![self.channel(server).spell(&wanted.call(server, wanted.limit)?)],
            scope: [
                ("limit of".into(), wanted.described()),
                ("old".into(), shown(limit)),
                ("new".into(), shown(wanted.limit)),
                ("server start".into(), state.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![format!("{} under it now", count(state.sessions, "session"))],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("sets the limit to what it was before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (_, limit) = self.changed(server, &self.wanted(args)?).await?;
        Ok(Saved::from([("limit".into(), json!(limit))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = self.wanted(args)?;
        // ALTER takes no condition of its own.
        self.changed(server, &wanted).await?;
        let call = wanted.call(server, wanted.limit)?;
        self.channel(server).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let wanted = self.wanted(args)?;
            let (_, limit) = wanted.look(server, self.descriptor.id).await?;
            let detail = format!("{} for {}", shown(limit), wanted.described());
            Ok::<_, ActionError>(measured("the limit is set", limit == wanted.limit, detail))
        };
        vec![measuring.await.unwrap_or_else(|e| unmeasured("limit", &e))]
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let call = || {
            let limit = kept(saved, "limit")?;
            self.wanted(args)?.call(server, limit)
        };
        call().map(|call| vec![self.channel(server).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = self.wanted(args)?;
        let before: i32 = kept(saved, "limit")?;
        let (what, looked) = (wanted.described(), wanted.look(server, self.descriptor.id).await?);
        let limit = looked.1;
        if limit == before {
            return Ok(format!("the limit of {what} is {} already", shown(before)));
        }
        if limit != wanted.limit {
            return Err(ActionError::Precondition(format!(
                "the limit of {what} was changed to {} by somebody else and stays",
                shown(limit)
            )));
        }
        let call = wanted.call(server, before)?;
        let output = self.channel(server).perform(&call, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let doing = format!("set the limit of {what} back to {}", shown(before));
            return Err(failed(doing, anyhow!("{}", output.stderr.trim().to_owned())));
        }
        Ok(format!("the limit of {what} is {} again", shown(before)))
    }
}

impl Limiting {
    fn wanted(&self, args: &Args) -> Result<Wanted, ActionError> {
        Wanted::read(self.descriptor, args)
    }

    fn channel<'a>(&self, server: &'a Server) -> Channel<'a> {
        Channel::new(server, self.descriptor.id)
    }

    /// The present state, when there is something to set.
    async fn changed(&self, server: &Server, wanted: &Wanted) -> Result<(State, i32), ActionError> {
        let (state, limit) = wanted.look(server, self.descriptor.id).await?;
        if limit == wanted.limit {
            return Err(ActionError::Precondition(format!(
                "the limit of {} is {} already",
                wanted.described(),
                shown(limit)
            )));
        }
        let seen = Seen { limit, is_superuser: state.is_superuser };
        match (self.refuses)(server, wanted, &seen) {
            Some(why) => Err(ActionError::Precondition(why)),
            None => Ok((state, limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_role_or_one_database_is_named_with_a_proper_limit() {
        let read = |args: serde_json::Value| {
            let descriptor = crate::actions::find("reset_connection_limit").unwrap().descriptor();
            Wanted::read(descriptor, &serde_json::from_value(args).unwrap())
                .map(|wanted| wanted.described())
        };
        assert_eq!(read(json!({"role": "app", "limit": -1})).unwrap(), "role app");
        assert_eq!(read(json!({"database": "d", "limit": 7})).unwrap(), "database d");
        for args in [
            json!({"limit": -1}),
            json!({"role": "app"}),
            json!({"role": "app", "database": "d", "limit": 7}),
            json!({"role": "app", "limit": -2}),
            json!({"role": "app", "limit": "none"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
