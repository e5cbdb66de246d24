//! ANALYZE of one table: the planner's idea of it is made anew. Right where it is far from the truth.

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
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "analyze_table";
const CALL_DEADLINE: Duration = Duration::from_secs(80);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Analyze a table",
    about: "ANALYZE of one table of the application's database: a sample is read and the planner's statistics are \
            made anew. Right when many rows changed since; readers and writers go on.",
    args: &[Arg::text("schema", "the table's schema"), Arg::text("table", "the table's name")],
    needs: &[
        Need::PgSuperuser("ANALYZE of tables that belong to others"),
        Need::PgRole("pg_read_all_stats"),
    ],
    verify: "the table was analyzed after it began",
};

const LOOK: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'now', clock_timestamp(),
  'table', (select json_build_object('changed', pg_stat_get_mod_since_analyze(c.oid),
      'rows', greatest(c.reltuples, 0)::bigint,
      'bytes', c.relpages::bigint * current_setting('block_size')::bigint,
      'analyzed', greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm', 'p')))::text";

/// The ANALYZE of somebody who may not succeeds with a warning, so the proof looks at the time.
const ANALYZE: &str = "ANALYZE (SKIP_LOCKED) :\"schema\".:\"table\"";

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    now: DateTime<Utc>,
    table: Option<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    changed: u64,
    rows: u64,
    bytes: u64,
    analyzed: Option<DateTime<Utc>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct AnalyzeTable;

struct Wanted {
    schema: String,
    table: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let wanted = Self {
            schema: given.required("schema", "the name of a schema")?,
            table: given.required("table", "the name of a table")?,
        };
        if wanted.schema == "information_schema" {
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
        Ok(Call::SqlIn { database: database(server)?, sql: ANALYZE.into(), vars: self.vars() })
    }

    async fn look(&self, server: &Server) -> Result<(Seen, Table), ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        let mut seen: Seen = within(LOOK_DEADLINE, "look at the table", looking).await?;
        let table = seen.table.take().ok_or_else(|| {
            ActionError::Precondition(format!("there is no table {} in {database}", self.name()))
        })?;
        Ok((seen, table))
    }
}

#[async_trait]
impl Action for AnalyzeTable {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (seen, table) = wanted.look(server).await?;
        let last = table.analyzed.map_or("never".into(), |at| at.to_rfc3339());
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("table".into(), wanted.name()),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![
                format!("last analyzed: {last}; {} rows changed since", grouped(table.changed)),
                format!("reads a sample of {} rows, {}", grouped(table.rows), bytes(table.bytes)),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::NotNeeded
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (seen, _) = Wanted::read(args)?.look(server).await?;
        Ok(Saved::from([("since".into(), json!(seen.now))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        // ANALYZE takes no condition of its own.
        wanted.look(server).await?;
        Channel::new(server, ID).carry_out(&wanted.call(server)?, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        measure(server, args, saved).await.unwrap_or_else(|e| vec![unmeasured("table", &e)])
    }
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let since: DateTime<Utc> = kept(saved, "since")?;
    let (_, table) = Wanted::read(args)?.look(server).await?;
    let ran = table.analyzed.is_some_and(|at| at >= since);
    let last = table.analyzed.map_or("never".into(), |at| format!("last at {}", at.to_rfc3339()));
    Ok(vec![measured("the table was analyzed", ran, last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_with_its_schema() {
        let read = |args: serde_json::Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|wanted| wanted.name()).ok()
        };
        let name = read(json!({"schema": "Ü", "table": "T \"x\""}));
        assert_eq!(name.as_deref(), Some("Ü.T \"x\""));
        assert_eq!(read(json!({"table": "t"})), None);
        assert_eq!(read(json!({"schema": "information_schema", "table": "t"})), None);
    }
}
