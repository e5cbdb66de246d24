//! Builds an index anew beside the old one, while both are used. Right for one that has grown far beyond what is in it,
//! or that a failed build left invalid.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{bytes, costs, kept, measured, unmeasured};
use super::concurrently::{Concurrently, MOST_BYTES, version_refusal};
use super::postgres::{database, look_in};
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "reindex_index";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Rebuild an index",
    about: "REINDEX INDEX CONCURRENTLY of one index of the application's database: readers and writers go on. Right \
            when it has grown far beyond what is in it, or is invalid.",
    args: &[Arg::text("schema", "where the index is"), Arg::text("index", "the index to rebuild")],
    needs: &[
        Need::PgSuperuser("REINDEX of an index it does not own"),
        Need::PgRole("pg_read_all_stats"),
    ],
    verify: "the index is valid, was built anew, and nothing half-built is left",
};

const LOOK: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'version', current_setting('server_version_num')::int,
  'index', (select json_build_object('kind', c.relkind::text, 'file', pg_relation_filenode(c.oid)::bigint,
      'valid', i.indisvalid, 'exclusion', i.indisexclusion,
      'table', i.indrelid::regclass::text, 'bytes', pg_relation_size(c.oid),
      'table_bytes', t.relpages::bigint * current_setting('block_size')::bigint,
      'busy', exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid))
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class t on t.oid = i.indrelid
    where n.nspname = :'schema' and c.relname = :'index'),
  'old', array(select format('pid %s (%s, open for %s s)', s.pid, s.state, extract(epoch from now() - s.xact_start)::int)
    from pg_stat_activity s where s.backend_type = 'client backend' and s.datname = current_database()
      and s.pid <> pg_backend_pid() and s.xact_start < now() - interval '60 s'))::text";

/// Composed only while the index is there and nobody is at work on its table's indexes.
const REINDEX: &str = "select statement from (
  select format('REINDEX INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) as it
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = :'schema' and c.relname = :'index' and c.relkind = 'i' and not i.indisexclusion
    and not exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid)) as made,
  lateral (values (1, 'SET lock_timeout = 0'), (2, it), (3, 'SELECT true::text')) as all_of_them (n, statement)
order by n";

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    version: i64,
    index: Option<Index>,
    old: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Index {
    kind: String,
    /// Another one after it was built anew.
    file: i64,
    valid: bool,
    exclusion: bool,
    table: String,
    bytes: u64,
    table_bytes: u64,
    busy: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ReindexIndex;

struct Wanted {
    schema: String,
    index: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let wanted = Self {
            schema: given.required("schema", "the name of a schema")?,
            index: given.required("index", "the name of an index")?,
        };
        if wanted.schema == "pg_catalog" || wanted.schema == "pg_toast" {
            return Err(wrong("schema", "belongs to the server itself"));
        }
        Ok(wanted)
    }

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.index)
    }

    fn vars(&self) -> Vars {
        vec![("schema", self.schema.clone()), ("index", self.index.clone())]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        Ok(Call::Composed { database: Some(database(server)?), sql: REINDEX, vars: self.vars() })
    }

    fn build<'a>(&'a self, server: &'a Server) -> Concurrently<'a> {
        let (schema, index) = (&self.schema, &self.index);
        Concurrently { server, action: ID, schema, index, is_new: false }
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the index", looking).await
    }

    /// The index, when it can be built anew.
    async fn free(&self, server: &Server) -> Result<(DateTime<Utc>, Index), ActionError> {
        let Seen { server_start, version, index, old } = self.look(server).await?;
        let name = self.name();
        let refused = |why: String| Err(ActionError::Precondition(why));
        if let Some(why) = version_refusal(version) {
            return refused(why.into());
        }
        let Some(index) = index else {
            return refused(format!("there is no index {name} in {}", database(server)?));
        };
        if index.kind != "i" || index.exclusion {
            return refused(format!(
                "{name} is partitioned or an exclusion constraint's; such are not rebuilt beside their users"
            ));
        }
        if index.busy {
            return refused(format!("somebody builds an index of {} already", index.table));
        }
        if let Some(holder) = old.first() {
            return refused(format!("it would wait for {holder}; end that first"));
        }
        if index.table_bytes.max(index.bytes) > MOST_BYTES {
            let size = bytes(index.table_bytes.max(index.bytes));
            return refused(format!("{size} are to be read for {name}: longer than simctl waits"));
        }
        Ok((server_start, index))
    }
}

#[async_trait]
impl Action for ReindexIndex {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (server_start, index) = wanted.free(server).await?;
        let state = if index.valid { "" } else { ", and is invalid now" };
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("index".into(), wanted.name()),
                ("table".into(), index.table),
                ("server start".into(), server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![
                format!("it takes {}{state}", bytes(index.bytes)),
                format!(
                    "reads {} twice; until it ends there are two of it",
                    bytes(index.table_bytes)
                ),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (_, index) = Wanted::read(args)?.free(server).await?;
        Ok(Saved::from([("file".into(), json!(index.file)), ("bytes".into(), json!(index.bytes))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        wanted.free(server).await?;
        wanted.build(server).carry_out(&wanted.call(server)?, report).await
    }

    async fn broken_off(&self, server: &Server, args: &Args) {
        if let Ok(wanted) = Wanted::read(args) {
            wanted.build(server).clear_up(&|_| ()).await;
        }
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        measure(server, args, saved).await.unwrap_or_else(|e| vec![unmeasured("index", &e)])
    }
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let wanted = Wanted::read(args)?;
    let (file, before): (i64, u64) = (kept(saved, "file")?, kept(saved, "bytes")?);
    let index = wanted.look(server).await?.index;
    let left = wanted.build(server).left_over().await?;
    Ok(judge(index.as_ref(), &left, file, before))
}

fn judge(index: Option<&Index>, left: &[String], file: i64, before: u64) -> Vec<Check> {
    let sizes = index.map_or_else(String::new, |index| {
        format!("{} before, {} now", bytes(before), bytes(index.bytes))
    });
    let valid = index.is_some_and(|index| index.valid);
    vec![
        measured("the index is valid", valid, if valid { "it is" } else { "it is not" }),
        measured("it was built anew", index.is_some_and(|index| index.file != file), sizes),
        measured("nothing half-built is left", left.is_empty(), left.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_indexes_are_not_rebuilt() {
        let read = |schema: &str| {
            let args = json!({"schema": schema, "index": "i"});
            Wanted::read(&serde_json::from_value(args).unwrap()).is_ok()
        };
        assert!(read("public") && !read("pg_catalog") && !read("pg_toast"));
    }

    #[test]
    fn an_index_that_is_the_old_one_was_not_rebuilt() {
        let index = |file, valid| Index {
            kind: "i".into(),
            file,
            valid,
            exclusion: false,
            table: "t".into(),
            bytes: 10,
            table_bytes: 10,
            busy: false,
        };
        let passed = |index: Option<&Index>, left: &[String]| -> Vec<bool> {
            judge(index, left, 7, 100).iter().map(|check| check.passed == Some(true)).collect()
        };
        assert_eq!(passed(Some(&index(8, true)), &[]), [true, true, true]);
        assert_eq!(passed(Some(&index(7, true)), &[]), [true, false, true]);
        assert_eq!(passed(Some(&index(8, false)), &["i_ccnew".into()]), [false, true, false]);
        assert_eq!(passed(None, &[]), [false, false, true]);
    }
}
