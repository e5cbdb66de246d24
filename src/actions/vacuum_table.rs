//! VACUUM of one table: dead rows become room for new ones, and nobody is locked out. Useless while something still
//! holds an old horizon, so it is refused then, unless the step before ends just those who hold it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{bytes, costs, grouped, kept, measured, unmeasured};
use super::postgres::{database, look_in};
use super::sessions::{self, LOOK_DEADLINE, Session};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "vacuum_table";
/// A step of the engine may take longer, but not by much.
const CALL_DEADLINE: Duration = Duration::from_secs(80);
/// What cannot be read within that.
const MOST_BYTES: u64 = 4 << 30;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Vacuum a table",
    about: "VACUUM (ANALYZE) of one table of the application's database. Right when dead rows pile up and nothing \
            keeps them needed; readers and writers go on. The file stays as large as it is.",
    args: &[
        Arg::text("schema", "the table's schema"),
        Arg::text("table", "the table's name"),
        Arg::records("after", "sessions that the step before ends, a list of {pid, backend_start}: their hold does not count").optional(),
    ],
    needs: &[
        Need::PgSuperuser("VACUUM of tables that belong to others"),
        Need::PgRole("pg_read_all_stats"),
    ],
    verify: "the table was vacuumed, at least four fifths of its dead rows are gone",
};

/// The table as it stands, and what would make a vacuum useless: no row for a table that is not there.
const LOOK: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'now', clock_timestamp(),
  'table', (select json_build_object(
      'live', pg_stat_get_live_tuples(c.oid), 'dead', pg_stat_get_dead_tuples(c.oid),
      'bytes', c.relpages::bigint * current_setting('block_size')::bigint,
      'vacuumed', greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)),
      'busy', exists (select from pg_stat_progress_vacuum p where p.datid = d.oid and p.relid = c.oid))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_database d
    where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm')
      and d.datname = current_database()),
  'holders', array(
    select format('pid %s (%s, open for %s s)', s.pid, s.state, extract(epoch from now() - s.xact_start)::int)
      from pg_stat_activity s
     where s.backend_type = 'client backend' and s.datname = current_database() and s.pid <> pg_backend_pid()
       and (s.backend_xmin is not null or s.backend_xid is not null)
       and s.xact_start < now() - interval '5 s'
       and not exists (select from json_to_recordset(:'after'::json) as w(pid int, backend_start timestamptz)
         where w.pid = s.pid and w.backend_start = s.backend_start)
    union all
    select format('prepared transaction %s', gid) from pg_prepared_xacts where database = current_database()
    union all
    select format('replication slot %s', slot_name) from pg_replication_slots where xmin is not null))::text";

const VACUUM: &str = "VACUUM (ANALYZE, SKIP_LOCKED, PARALLEL 0) :\"schema\".:\"table\"";

#[derive(Debug, Deserialize)]
struct State {
    server_start: DateTime<Utc>,
    now: DateTime<Utc>,
    table: Option<Table>,
    holders: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Table {
    live: u64,
    dead: u64,
    bytes: u64,
    vacuumed: Option<DateTime<Utc>>,
    busy: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct VacuumTable;

struct Wanted {
    schema: String,
    table: String,
    after: Vec<Session>,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let wanted = Self {
            schema: given.required("schema", "the name of a schema")?,
            table: given.required("table", "the name of a table")?,
            after: given.optional("after", sessions::LIST)?.unwrap_or_default(),
        };
        if wanted.schema == "pg_catalog" || wanted.schema == "information_schema" {
            return Err(wrong("schema", "belongs to the server itself"));
        }
        Ok(wanted)
    }

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    fn vars(&self) -> Vars {
        vec![("schema", self.schema.clone()), ("table", self.table.clone())]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        Ok(Call::SqlIn { database: database(server)?, sql: VACUUM.into(), vars: self.vars() })
    }

    async fn look(&self, server: &Server) -> Result<(State, Table), ActionError> {
        let mut vars = self.vars();
        vars.push(("after", json!(self.after).to_string()));
        let database = database(server)?;
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        let state: State = within(LOOK_DEADLINE, "look at the table", looking).await?;
        match state.table.clone() {
            Some(table) => Ok((state, table)),
            None => Err(refuse(format!("there is no table {} in {database}", self.name()))),
        }
    }

    /// The table, when vacuuming it would be of use.
    async fn useful(&self, server: &Server) -> Result<(State, Table), ActionError> {
        let (state, table) = self.look(server).await?;
        if let Some(holder) = state.holders.first() {
            let more = match state.holders.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(refuse(format!(
                "{holder}{more} may still need the old rows, so a vacuum would remove nothing"
            )));
        }
        if table.busy {
            return Err(refuse(format!("{} is being vacuumed already", self.name())));
        }
        if table.dead == 0 {
            return Err(refuse(format!("{} has no dead rows", self.name())));
        }
        if table.bytes > MOST_BYTES {
            return Err(refuse(format!(
                "{} takes {}, which is longer to read than simctl waits; vacuum it by hand",
                self.name(),
                bytes(table.bytes)
            )));
        }
        Ok((state, table))
    }
}

fn refuse(why: String) -> ActionError {
    ActionError::Precondition(why)
}

#[async_trait]
impl Action for VacuumTable {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (state, table) = wanted.useful(server).await?;
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("table".into(), wanted.name()),
                ("server start".into(), state.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![
                format!(
                    "{} dead rows beside {} live ones",
                    grouped(table.dead),
                    grouped(table.live)
                ),
                format!("reads {} and writes what it cleans", bytes(table.bytes)),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (state, table) = Wanted::read(args)?.useful(server).await?;
        Ok(Saved::from([("dead".into(), json!(table.dead)), ("since".into(), json!(state.now))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        // VACUUM takes no condition of its own.
        wanted.useful(server).await?;
        Channel::new(server, ID).carry_out(&wanted.call(server)?, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        measure(server, args, saved).await.unwrap_or_else(|e| vec![unmeasured("table", &e)])
    }
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let (dead, since): (u64, DateTime<Utc>) = (kept(saved, "dead")?, kept(saved, "since")?);
    let (_, table) = Wanted::read(args)?.look(server).await?;
    Ok(judge(&table, dead, since))
}

fn judge(table: &Table, dead_before: u64, since: DateTime<Utc>) -> Vec<Check> {
    let ran = table.vacuumed.is_some_and(|at| at >= since);
    vec![
        measured(
            "the table was vacuumed",
            ran,
            table.vacuumed.map_or("never".into(), |at| format!("last at {}", at.to_rfc3339())),
        ),
        measured(
            "dead rows are gone",
            table.dead <= dead_before / 5,
            format!("{} of {}", grouped(table.dead), grouped(dead_before)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(args: Value) -> Result<Wanted, String> {
        Wanted::read(&serde_json::from_value(args).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_table_is_named_with_its_schema_and_none_of_the_servers_own() {
        assert_eq!(read(json!({"schema": "public", "table": "t"})).unwrap().name(), "public.t");
        for args in [
            json!({"table": "t"}),
            json!({"schema": "public"}),
            json!({"schema": "pg_catalog", "table": "pg_class"}),
            json!({"schema": "public", "table": "t", "full": true}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }

    #[test]
    fn a_vacuum_that_skipped_or_removed_too_little_is_no_success() {
        let since = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let table = |dead, vacuumed| Table { live: 9, dead, bytes: 0, vacuumed, busy: false };
        let passed = |table: &Table| -> Vec<bool> {
            judge(table, 100_000, since).iter().map(|check| check.passed == Some(true)).collect()
        };
        assert_eq!(passed(&table(20_000, Some(since))), [true, true]);
        assert_eq!(passed(&table(20_001, Some(since))), [true, false]);
        assert_eq!(passed(&table(0, None)), [false, true]);
        assert_eq!(passed(&table(0, Some(since - chrono::TimeDelta::seconds(1)))), [false, true]);
    }
}
