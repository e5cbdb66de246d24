//! Builds an index while the table is used. Right where a foreign key or a condition that is often asked for has none;
//! every write pays for it from then on.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{bytes, costs, grouped, measured, unmeasured};
use super::concurrently::{Concurrently, MOST_BYTES, version_refusal};
use super::postgres::{database, look_in};
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "create_index";
/// How long a name of PostgreSQL may be, in bytes.
const LONGEST_NAME: usize = 63;
const METHODS: [&str; 6] = ["btree", "hash", "gin", "gist", "spgist", "brin"];
const DROP_DEADLINE: std::time::Duration = std::time::Duration::from_secs(40);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Build an index",
    about: "CREATE INDEX CONCURRENTLY on columns of one table of the application's database: readers and writers go \
            on. Right for a foreign key or a condition without one; every write pays for it from then on.",
    args: &[
        Arg::text("schema", "the table's schema"),
        Arg::text("table", "the table's name"),
        Arg::texts("columns", "the columns, in this order"),
        Arg::text("name", "the index's name (made of table and columns)").optional(),
        Arg::text("method", "btree (the default), hash, gin, gist, spgist or brin").optional(),
        Arg::texts("include", "columns that are only kept in it").optional(),
    ],
    needs: &[
        Need::PgSuperuser("CREATE INDEX on a table it does not own"),
        Need::PgRole("pg_read_all_stats"),
    ],
    verify: "the index is there and valid, and nothing half-built is left",
};

const LOOK: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'version', current_setting('server_version_num')::int,
  'table', (select json_build_object('kind', c.relkind::text,
      'bytes', c.relpages::bigint * current_setting('block_size')::bigint,
      'rows', greatest(c.reltuples, 0)::bigint,
      'writes', pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
        - pg_stat_get_tuples_hot_updated(c.oid),
      'missing', (select coalesce(json_agg(w.col), '[]'::json) from json_array_elements_text(:'all'::json) as w(col)
        where not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = w.col
          and a.attnum > 0 and not a.attisdropped)),
      'serves', (select min(ic.relname::text) from pg_index i join pg_class ic on ic.oid = i.indexrelid
          join pg_am am on am.oid = ic.relam
        where i.indrelid = c.oid and i.indisvalid and i.indpred is null and am.amname = :'method'
          and :'include' = '[]' and (select array_agg(coalesce(a.attname::text, '') order by k.ord)
            from unnest(i.indkey::int2[]) with ordinality as k(attnum, ord)
            left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
            where k.ord <= json_array_length(:'columns'::json))
          = array(select json_array_elements_text(:'columns'::json))))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm', 'p')),
  'taken', (select json_build_object('valid', coalesce(i.indisvalid and i.indisready, false),
      'on_it', coalesce(t.relname = :'table', false), 'bytes', pg_relation_size(c.oid))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_index i on i.indexrelid = c.oid left join pg_class t on t.oid = i.indrelid
    where n.nspname = :'schema' and c.relname = :'index'),
  'old', array(select format('pid %s (%s, open for %s s)', s.pid, s.state, extract(epoch from now() - s.xact_start)::int)
    from pg_stat_activity s where s.backend_type = 'client backend' and s.datname = current_database()
      and s.pid <> pg_backend_pid() and s.xact_start < now() - interval '60 s'))::text";

/// Composed only while the table is there and the name is free.
const CREATE: &str = "select statement from (
  select format('CREATE INDEX CONCURRENTLY %I ON %I.%I USING %I (%s)%s', :'index', n.nspname, c.relname, :'method',
    (select string_agg(format('%I', w.col), ', ' order by w.ord)
      from json_array_elements_text(:'columns'::json) with ordinality as w(col, ord)),
    case when :'include' = '[]' then '' else format(' INCLUDE (%s)',
      (select string_agg(format('%I', w.col), ', ' order by w.ord)
        from json_array_elements_text(:'include'::json) with ordinality as w(col, ord))) end) as it
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm')
    and not exists (select from pg_class x where x.relnamespace = n.oid and x.relname = :'index')) as made,
  lateral (values (1, 'SET lock_timeout = 0'), (2, it), (3, 'SELECT true::text')) as all_of_them (n, statement)
order by n";

/// Only an index of this table.
const DROP: &str = "select statement from (
  select format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) as it
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class t on t.oid = i.indrelid
  where n.nspname = :'schema' and c.relname = :'index' and t.relname = :'table') as made,
  lateral (values (1, 'SET lock_timeout = ''30s'''), (2, it), (3, 'SELECT true::text')) as all_of_them (n, statement)
order by n";

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    version: i64,
    table: Option<Table>,
    taken: Option<Taken>,
    old: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Table {
    kind: String,
    bytes: u64,
    rows: u64,
    writes: u64,
    missing: Vec<String>,
    /// An index that begins with the same columns.
    serves: Option<String>,
}

/// What has the name already.
#[derive(Debug, Deserialize)]
struct Taken {
    valid: bool,
    on_it: bool,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct CreateIndex;

struct Wanted {
    schema: String,
    table: String,
    columns: Vec<String>,
    include: Vec<String>,
    method: String,
    index: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let table: String = given.required("table", "the name of a table")?;
        let columns: Vec<String> = given.required("columns", "a list of columns")?;
        if columns.is_empty() || columns.len() > 32 {
            return Err(wrong("columns", "names none, or more than the 32 an index may have"));
        }
        let method: Option<String> = given.optional("method", "a kind of index")?;
        let method = method.unwrap_or_else(|| "btree".into());
        if !METHODS.contains(&method.as_str()) {
            return Err(wrong("method", format!("`{method}` is none of {}", METHODS.join(", "))));
        }
        let name: Option<String> = given.optional("name", "a name")?;
        let index = name.unwrap_or_else(|| made_name(&table, &columns));
        if index.is_empty() || index.len() > LONGEST_NAME {
            return Err(wrong("name", format!("is not 1 to {LONGEST_NAME} bytes long")));
        }
        Ok(Self {
            schema: given.required("schema", "the name of a schema")?,
            include: given.optional("include", "a list of columns")?.unwrap_or_default(),
            table,
            columns,
            method,
            index,
        })
    }

    fn vars(&self) -> Vars {
        let all: Vec<&String> = self.columns.iter().chain(&self.include).collect();
        vec![
            ("schema", self.schema.clone()),
            ("table", self.table.clone()),
            ("columns", json!(self.columns).to_string()),
            ("include", json!(self.include).to_string()),
            ("all", json!(all).to_string()),
            ("method", self.method.clone()),
            ("index", self.index.clone()),
        ]
    }

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    fn call(&self, server: &Server, sql: &'static str) -> Result<Call, ActionError> {
        Ok(Call::Composed { database: Some(database(server)?), sql, vars: self.vars() })
    }

    fn build<'a>(&'a self, server: &'a Server) -> Concurrently<'a> {
        let (schema, index) = (&self.schema, &self.index);
        Concurrently { server, action: ID, schema, index, is_new: true }
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the table", looking).await
    }

    /// The table, when the index can be built.
    async fn free(&self, server: &Server) -> Result<(Seen, u64, u64, u64), ActionError> {
        let seen = self.look(server).await?;
        let refused = |why: String| Err(ActionError::Precondition(why));
        if let Some(why) = version_refusal(seen.version) {
            return refused(why.into());
        }
        let name = self.name();
        let Some(table) = &seen.table else {
            return refused(format!("there is no table {name} in {}", database(server)?));
        };
        if table.kind == "p" {
            return refused(format!("{name} is partitioned; build one on each partition"));
        }
        if let Some(column) = table.missing.first() {
            return refused(format!("{name} has no column {column}"));
        }
        if let Some(other) = &table.serves {
            return refused(format!("{other} begins with these columns and serves already"));
        }
        if let Some(taken) = &seen.taken {
            let what = if taken.on_it && !taken.valid {
                "an invalid index; drop_invalid_index drops it"
            } else {
                "something else"
            };
            return refused(format!("{}.{} is the name of {what}", self.schema, self.index));
        }
        if let Some(holder) = seen.old.first() {
            return refused(format!("it would wait for {holder}; end that first"));
        }
        if table.bytes > MOST_BYTES {
            let size = bytes(table.bytes);
            return refused(format!("{name} takes {size}: longer to read than simctl waits"));
        }
        let (size, rows, writes) = (table.bytes, table.rows, table.writes);
        Ok((seen, size, rows, writes))
    }
}

/// Table and columns, as PostgreSQL itself would name it, within its limit and never amid a letter.
fn made_name(table: &str, columns: &[String]) -> String {
    let mut name = format!("{table}_{}", columns.join("_"));
    while name.len() > LONGEST_NAME - "_idx".len() {
        name.pop();
    }
    format!("{name}_idx")
}

#[async_trait]
impl Action for CreateIndex {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (seen, size, rows, writes) = wanted.free(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server, CREATE)?)],
            scope: [
                ("table".into(), wanted.name()),
                ("columns".into(), wanted.columns.join(", ")),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![
                format!(
                    "builds {}, {} of {}",
                    wanted.index,
                    wanted.method,
                    wanted.columns.join(", ")
                ),
                format!("reads {} twice and sorts {} rows", bytes(size), grouped(rows)),
                format!(
                    "each write pays for it from then on; there were {} since statistics began",
                    grouped(writes)
                ),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("drops the index again".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        wanted.free(server).await?;
        Ok(Saved::from([("index".into(), json!(wanted.index))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        wanted.free(server).await?;
        wanted.build(server).carry_out(&wanted.call(server, CREATE)?, report).await
    }

    async fn broken_off(&self, server: &Server, args: &Args) {
        if let Ok(wanted) = Wanted::read(args) {
            wanted.build(server).clear_up(&|_| ()).await;
        }
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        measure(server, args).await.unwrap_or_else(|e| vec![unmeasured("index", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<String> {
        let call = Wanted::read(args).and_then(|wanted| wanted.call(server, DROP));
        call.map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        wanted.build(server).clear_up(&|_| ()).await;
        let name = format!("{}.{}", wanted.schema, wanted.index);
        if wanted.look(server).await?.taken.is_none() {
            return Ok(format!("{name} is not there"));
        }
        let call = wanted.call(server, DROP)?;
        let output = Channel::new(server, ID).perform(&call, DROP_DEADLINE).await?;
        if !succeeded(&output) {
            let source = anyhow::anyhow!("{}", output.stderr.trim().to_owned());
            return Err(failed(format!("drop {name}"), source));
        }
        Ok(format!("{name} is dropped"))
    }
}

async fn measure(server: &Server, args: &Args) -> Result<Vec<Check>, ActionError> {
    let wanted = Wanted::read(args)?;
    let taken = wanted.look(server).await?.taken.filter(|taken| taken.on_it);
    let left = wanted.build(server).left_over().await?;
    let is_valid = taken.as_ref().is_some_and(|taken| taken.valid);
    let detail = match &taken {
        Some(taken) if taken.valid => format!("it takes {}", bytes(taken.bytes)),
        Some(_) => "it is there, and invalid".into(),
        None => "it is not there".into(),
    };
    Ok(vec![
        measured("the index is valid", is_valid, detail),
        measured("nothing half-built is left", left.is_empty(), left.join(", ")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: serde_json::Value) -> Result<Wanted, String> {
        Wanted::read(&serde_json::from_value(args).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_is_made_of_table_and_columns_and_fits() {
        assert_eq!(
            made_name("orders", &["customer".into(), "at".into()]),
            "orders_customer_at_idx"
        );
        let long = made_name(&"ü".repeat(60), &["x".into()]);
        assert!(long.len() <= LONGEST_NAME && long.ends_with("_idx"), "{long}");
    }

    #[test]
    fn what_no_index_can_be_is_refused() {
        let good = json!({"schema": "s", "table": "T \"x\"", "columns": ["a", "B c"]});
        let wanted = read(good).unwrap();
        assert_eq!((wanted.method.as_str(), wanted.index.as_str()), ("btree", "T \"x\"_a_B c_idx"));
        for args in [
            json!({"schema": "s", "table": "t", "columns": []}),
            json!({"schema": "s", "table": "t", "columns": "a"}),
            json!({"schema": "s", "table": "t", "columns": ["a"], "method": "btree; drop"}),
            json!({"schema": "s", "table": "t", "columns": ["a"], "name": "x".repeat(64)}),
            json!({"table": "t", "columns": ["a"]}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
