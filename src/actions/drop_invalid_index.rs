//! Drops an index that is not valid: no query may use it, so none gets slower. Its definition is kept, so that it can
//! be built again once what made it fail is mended.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::Given;
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{bytes, costs, gone};
use super::postgres::{database, look_in};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "drop_invalid_index";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// It waits for every transaction that may still know the index.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// The index when it is invalid and nobody is at work on it.
macro_rules! left_over {
    () => {
        "from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :'schema' and c.relname = :'index' and c.relkind = 'i' and not i.indisvalid
  and not exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid)
  and not exists (select from pg_locks l where l.relation = c.oid and l.granted
    and l.mode = 'ShareUpdateExclusiveLock')"
    };
}

const LOOK: &str = concat!(
    "select json_build_object('server_start', pg_postmaster_start_time(),
  'is_there', exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :'schema' and c.relname = :'index' and c.relkind = 'i'),
  'left_over', (select json_build_object('table', i.indrelid::regclass::text,
    'definition', pg_get_indexdef(c.oid), 'bytes', pg_relation_size(c.oid)) ",
    left_over!(),
    "))::text"
);

const DROP: &str = concat!(
    "select statement from (select format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) as it ",
    left_over!(),
    ") as x, lateral (values (1, it), (2, 'SELECT true::text')) as both_of_them (n, statement) order by n"
);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Drop an invalid index",
    about: "DROP INDEX CONCURRENTLY of one index that is not valid and that nobody is building. Right when a build \
            failed and left it: no query may use it, and nobody is locked out.",
    args: &[Arg::text("schema", "where the index is"), Arg::text("index", "the index to drop")],
    needs: &[Need::PgSuperuser("DROP INDEX of an index it does not own")],
    verify: "the index is gone",
};

/// See the module.
#[derive(Debug)]
pub(super) struct DropInvalidIndex;

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    is_there: bool,
    left_over: Option<Index>,
}

#[derive(Debug, Deserialize)]
struct Index {
    table: String,
    definition: String,
    bytes: u64,
}

struct Wanted {
    schema: String,
    index: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        Ok(Self {
            schema: given.required("schema", "the name of a schema")?,
            index: given.required("index", "the name of an index")?,
        })
    }

    fn vars(&self) -> Vars {
        vec![("schema", self.schema.clone()), ("index", self.index.clone())]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        Ok(Call::Composed { database: Some(database(server)?), sql: DROP, vars: self.vars() })
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the index", looking).await
    }

    async fn left_over(&self, server: &Server) -> Result<(DateTime<Utc>, Index), ActionError> {
        let seen = self.look(server).await?;
        let why = if seen.is_there {
            "is valid, or somebody is at work on its table"
        } else {
            "is not there"
        };
        let index = seen.left_over.ok_or_else(|| {
            ActionError::Precondition(format!("index {}.{} {why}", self.schema, self.index))
        })?;
        Ok((seen.server_start, index))
    }
}

#[async_trait]
impl Action for DropInvalidIndex {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (server_start, index) = wanted.left_over(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("index".into(), format!("{}.{}", wanted.schema, wanted.index)),
                ("table".into(), index.table),
                ("server start".into(), server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "queries that could use it"), costs(0, "sessions cut")],
            notes: vec![
                format!("frees {}", bytes(index.bytes)),
                format!("its definition: {}", index.definition),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (_, index) = Wanted::read(args)?.left_over(server).await?;
        Ok(Saved::from([("definition".into(), json!(index.definition))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let call = Wanted::read(args)?.call(server)?;
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let looking = async { Ok(Wanted::read(args)?.look(server).await?.is_there) };
        vec![gone("the index", looking.await)]
    }
}
