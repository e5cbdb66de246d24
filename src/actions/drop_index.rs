//! Drops an index that nobody uses or that another one makes superfluous. Its definition is saved, and undo builds it
//! again. What keeps values unique, backs a constraint or was scanned is not dropped.

use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::Given;
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{bytes, costs, gone, grouped, kept};
use super::postgres::{database, look_in};
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "drop_index";
/// It waits for every transaction that uses the table.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
const BUILD_DEADLINE: Duration = Duration::from_secs(80);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::High,
    title: "Drop an unused index",
    about: "DROP INDEX CONCURRENTLY of one index that was never scanned since statistics began, or whose columns \
            another one begins with. Right when it only costs writes and room; undo builds it again.",
    args: &[Arg::text("schema", "where the index is"), Arg::text("index", "the index to drop")],
    needs: &[
        Need::PgSuperuser("DROP INDEX of an index it does not own"),
        Need::PgRole("pg_read_all_stats"),
    ],
    verify: "the index is gone",
};

/// The index while it may go: valid, without a duty, and not scanned unless another one serves in its place.
macro_rules! idle {
    () => {
        "from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  left join lateral (select min(kc.oid::regclass::text) as it from pg_index k join pg_class kc on kc.oid = k.indexrelid
    where k.indrelid = i.indrelid and k.indexrelid <> i.indexrelid and k.indisvalid and kc.relam = c.relam
      and k.indkey::text || ' ' like i.indkey::text || ' %' and k.indclass::text || ' ' like i.indclass::text || ' %'
      and k.indcollation::text || ' ' like i.indcollation::text || ' %'
      and k.indoption::text || ' ' like i.indoption::text || ' %'
      and pg_get_expr(k.indexprs, k.indrelid) is not distinct from pg_get_expr(i.indexprs, i.indrelid)
      and pg_get_expr(k.indpred, k.indrelid) is not distinct from pg_get_expr(i.indpred, i.indrelid)) as keeper on true
where n.nspname = :'schema' and c.relname = :'index' and c.relkind = 'i' and i.indisvalid
  and not (i.indisunique or i.indisprimary or i.indisexclusion or i.indisreplident or i.indisclustered)
  and not exists (select from pg_constraint q where q.conindid = i.indexrelid)
  and not exists (select from pg_inherits h where h.inhrelid = i.indexrelid)
  and (keeper.it is not null or pg_stat_get_numscans(i.indexrelid) = 0)"
    };
}

const LOOK: &str = concat!(
    "select json_build_object('server_start', pg_postmaster_start_time(),
  'since', coalesce((select stats_reset from pg_stat_database where datname = current_database()),
    pg_postmaster_start_time()),
  'standbys', (select count(*) from pg_stat_replication),
  'there', (select json_build_object('valid', i.indisvalid, 'scans', pg_stat_get_numscans(c.oid),
      'duty', i.indisunique or i.indisprimary or i.indisexclusion or i.indisreplident or i.indisclustered
        or exists (select from pg_constraint q where q.conindid = i.indexrelid)
        or exists (select from pg_inherits h where h.inhrelid = i.indexrelid))
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :'schema' and c.relname = :'index' and c.relkind = 'i'),
  'idle', (select json_build_object('table', i.indrelid::regclass::text, 'scans', pg_stat_get_numscans(c.oid),
      'bytes', pg_relation_size(c.oid), 'definition', pg_get_indexdef(c.oid), 'keeper', keeper.it,
      'comment', obj_description(c.oid, 'pg_class')) ",
    idle!(),
    "))::text"
);

const DROP: &str = concat!(
    "select statement from (select format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) as it ",
    idle!(),
    ") as made, lateral (values (1, 'SET lock_timeout = ''30s'''), (2, it), (3, 'SELECT true::text'))
  as all_of_them (n, statement) order by n"
);

/// The server's own definition, built beside the table's users, while nothing has the name.
const AGAIN: &str = "select statement from (values (1, 'SET lock_timeout = 0'),
  (2, regexp_replace(:'definition', '^CREATE (UNIQUE )?INDEX ', 'CREATE \\1INDEX CONCURRENTLY ')),
  (3, case when :'comment' <> '' then format('COMMENT ON INDEX %I.%I IS %L', :'schema', :'index', :'comment') end),
  (4, 'SELECT true::text')) as all_of_them (n, statement)
where statement is not null and not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = :'schema' and c.relname = :'index')
order by n";

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    since: DateTime<Utc>,
    standbys: u64,
    there: Option<There>,
    idle: Option<Index>,
}

#[derive(Debug, Deserialize)]
struct There {
    valid: bool,
    scans: u64,
    duty: bool,
}

#[derive(Debug, Deserialize)]
struct Index {
    table: String,
    scans: u64,
    bytes: u64,
    definition: String,
    keeper: Option<String>,
    comment: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct DropIndex;

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

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.index)
    }

    fn vars(&self) -> Vars {
        vec![("schema", self.schema.clone()), ("index", self.index.clone())]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        Ok(Call::Composed { database: Some(database(server)?), sql: DROP, vars: self.vars() })
    }

    fn again(&self, server: &Server, saved: &Saved) -> Result<Call, ActionError> {
        let (definition, comment): (String, Option<String>) =
            (kept(saved, "definition")?, kept(saved, "comment")?);
        let mut vars = self.vars();
        vars.extend([("definition", definition), ("comment", comment.unwrap_or_default())]);
        Ok(Call::Composed { database: Some(database(server)?), sql: AGAIN, vars })
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the index", looking).await
    }

    /// The index, when it may go.
    async fn idle(&self, server: &Server) -> Result<(Seen, Index), ActionError> {
        let mut seen = self.look(server).await?;
        let (name, since) = (self.name(), seen.since.format("%Y-%m-%d %H:%M"));
        let why = match &seen.there {
            None => format!("there is no index {name} in {}", database(server)?),
            Some(there) if !there.valid => {
                format!("{name} is invalid; drop_invalid_index is for it")
            }
            Some(there) if there.duty => {
                format!(
                    "{name} keeps values unique, backs a constraint or is part of another index"
                )
            }
            Some(there) => {
                format!("{name} was scanned {} times since {since}", grouped(there.scans))
            }
        };
        let index = seen.idle.take().ok_or(ActionError::Precondition(why))?;
        Ok((seen, index))
    }
}

#[async_trait]
impl Action for DropIndex {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (seen, index) = wanted.idle(server).await?;
        let since = seen.since.format("%Y-%m-%d %H:%M");
        let mut notes = vec![format!("frees {}", bytes(index.bytes))];
        notes.push(match &index.keeper {
            Some(keeper) => format!("{keeper} begins with the same columns and serves instead"),
            None => format!("never scanned here since {since}"),
        });
        if seen.standbys > 0 {
            notes
                .push(format!("{} standbys may scan theirs; that is not seen here", seen.standbys));
        }
        notes.push(format!("its definition: {}", index.definition));
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("index".into(), wanted.name()),
                ("table".into(), index.table),
                ("definition".into(), index.definition),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(index.scans, "scans since statistics began"),
                costs(0, "sessions cut"),
            ],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("builds it again from its definition, beside its table's users".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (_, index) = Wanted::read(args)?.idle(server).await?;
        Ok(Saved::from([
            ("definition".into(), json!(index.definition)),
            ("comment".into(), json!(index.comment)),
        ]))
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
        let looking = async { Ok(Wanted::read(args)?.look(server).await?.there.is_some()) };
        vec![gone("the index", looking.await)]
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let call = Wanted::read(args).and_then(|wanted| wanted.again(server, saved));
        call.map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let name = wanted.name();
        let there = wanted.look(server).await?.there;
        if let Some(there) = there {
            return if there.valid {
                Ok(format!("{name} is there"))
            } else {
                Err(ActionError::Precondition(format!(
                    "{name} is there, and invalid; drop it first"
                )))
            };
        }
        let call = wanted.again(server, saved)?;
        let output = Channel::new(server, ID).perform(&call, BUILD_DEADLINE).await?;
        let is_valid = wanted.look(server).await?.there.is_some_and(|there| there.valid);
        if !succeeded(&output) || !is_valid {
            let source = anyhow!("{}", output.stderr.trim().to_owned());
            return Err(failed(format!("build {name} again"), source));
        }
        Ok(format!("{name} is built again"))
    }
}
