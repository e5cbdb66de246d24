//! Opens a PostgreSQL database that was closed to new connections.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::access::{beside, must};
use super::args::{Given, wrong};
use super::channel::{Call, Channel, within};
use super::checks::{count, measured, unmeasured};
use super::postgres::look_in;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "open_database";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Only the database that is still as it was looked at.
const TURN: &str = "select statement from (values
  (1, format('ALTER DATABASE %I ALLOW_CONNECTIONS %s', :'database', :'open')),
  (2, 'SELECT true::text')) as both_of_them (n, statement)
where exists (select from pg_database
  where datname = :'database' and datallowconn = not :'open'::bool)
order by n";

const QUESTION: &str =
    "select json_build_object('is_open', d.datallowconn, 'is_template', d.datistemplate,
  'owner', pg_get_userbyid(d.datdba), 'sessions', (select count(*) from pg_stat_activity a
    where a.datid = d.oid and a.backend_type = 'client backend'))::text
from pg_database d where d.datname = :'database'";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Open a database",
    about: "ALTER DATABASE ... ALLOW_CONNECTIONS true, from another database. Right when a database was closed to \
            new connections; sessions that are there are not touched.",
    args: &[Arg::text("database", "the database to open")],
    needs: &[Need::PgSuperuser("ALTER DATABASE of a database it does not own")],
    verify: "the database takes connections",
};

/// See the module.
#[derive(Debug)]
pub(super) struct OpenDatabase;

#[derive(Debug, Deserialize)]
struct Seen {
    is_open: bool,
    is_template: bool,
    owner: String,
    sessions: u64,
}

struct Wanted {
    database: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let database: String =
            Given::to(&DESCRIPTOR, args)?.required("database", "the name of a database")?;
        if database.is_empty() {
            return Err(wrong("database", "names none"));
        }
        Ok(Self { database })
    }

    fn turn(&self, open: bool) -> Call {
        Call::Composed {
            database: Some(beside(&self.database).to_owned()),
            sql: TURN,
            vars: vec![("database", self.database.clone()), ("open", open.to_string())],
        }
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let vars = vec![("database", self.database.clone())];
        look_in(server, Some(beside(&self.database)), ID, QUESTION, &vars).await
    }

    async fn closed(&self, server: &Server) -> Result<Seen, ActionError> {
        let seen = self.look(server).await?;
        let refused =
            |why: &str| Err(ActionError::Precondition(format!("database {} {why}", self.database)));
        if seen.is_open {
            return refused("takes connections already");
        }
        if seen.is_template {
            return refused("is a template, which is closed for good reason");
        }
        Ok(seen)
    }
}

#[async_trait]
impl Action for OpenDatabase {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let doing = format!("look at {}", server.target.id);
        let seen = within(LOOK_DEADLINE, doing, wanted.closed(server)).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.turn(true))],
            scope: [
                ("database".into(), wanted.database.clone()),
                ("owner".into(), seen.owner),
                ("takes connections".into(), "no".into()),
            ]
            .into(),
            consequences: Vec::new(),
            notes: vec![format!("{} in it went on and goes on", count(seen.sessions, "session"))],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("closes the database to new connections again".into())
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let call = Wanted::read(args)?.turn(true);
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async { Wanted::read(args)?.look(server).await };
        match within(LOOK_DEADLINE, "look at the database", measuring).await {
            Ok(seen) => {
                let detail = if seen.is_open { "it does" } else { "it does not" };
                vec![measured("the database takes connections", seen.is_open, detail)]
            }
            Err(error) => vec![unmeasured("the database takes connections", &error)],
        }
    }

    fn undo_commands(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<String> {
        let spell = |wanted: Wanted| Channel::new(server, ID).spell(&wanted.turn(false));
        Wanted::read(args).map(|wanted| vec![spell(wanted)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        if !wanted.look(server).await?.is_open {
            return Ok(format!("database {} is closed already", wanted.database));
        }
        let doing = format!("close database {}", wanted.database);
        must(server, ID, &wanted.turn(false), doing).await?;
        Ok(format!("database {} takes no connections again", wanted.database))
    }
}
