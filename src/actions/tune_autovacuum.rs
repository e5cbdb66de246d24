//! Gives one table an autovacuum setting of its own, or takes it away again. Right where the server's thresholds come
//! too late for a table that is large, or too often for one that is small.

use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{costs, grouped, kept, measured, unmeasured};
use super::postgres::{database, look_in};
use super::sessions::LOOK_DEADLINE;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "tune_autovacuum";
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    OnOff,
    /// Between these, both included.
    Between(f64, f64),
    WholeBetween(i64, i64),
}

const OPTIONS: [(&str, Form); 8] = [
    ("autovacuum_enabled", Form::OnOff),
    ("autovacuum_vacuum_scale_factor", Form::Between(0.0, 100.0)),
    ("autovacuum_vacuum_threshold", Form::WholeBetween(0, 2_147_483_647)),
    ("autovacuum_vacuum_insert_scale_factor", Form::Between(0.0, 100.0)),
    ("autovacuum_analyze_scale_factor", Form::Between(0.0, 100.0)),
    ("autovacuum_analyze_threshold", Form::WholeBetween(0, 2_147_483_647)),
    ("autovacuum_vacuum_cost_delay", Form::Between(0.0, 100.0)),
    ("autovacuum_vacuum_cost_limit", Form::WholeBetween(1, 10_000)),
];

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Tune a table's autovacuum",
    about: "ALTER TABLE SET of one autovacuum option of one table. Right when the server's thresholds come too late \
            for it; readers and writers go on, and undo puts back what was there.",
    args: &[
        Arg::text("schema", "the table's schema"),
        Arg::text("table", "the table's name"),
        Arg::text("option", "like autovacuum_vacuum_scale_factor"),
        Arg::text("value", "its value for this table; without it the server's counts again")
            .optional(),
    ],
    needs: &[Need::PgSuperuser("ALTER TABLE of tables it does not own")],
    verify: "the table has the value",
};

const LOOK: &str = "select json_build_object('server_start', pg_postmaster_start_time(),
  'server', (select setting from pg_settings where name = case :'option' when 'autovacuum_enabled' then 'autovacuum' else :'option' end),
  'table', (select json_build_object('dead', pg_stat_get_dead_tuples(c.oid),
      'rows', greatest(c.reltuples, 0)::bigint,
      'value', (select o.option_value from pg_options_to_table(c.reloptions) as o where o.option_name = :'option'))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm')))::text";

/// Only while the table has what was looked at.
const SET: &str = "select statement from (
  select case :'reset' when 'yes' then format('ALTER TABLE %I.%I RESET (%I)', n.nspname, c.relname, :'option')
    else format('ALTER TABLE %I.%I SET (%I = %L)', n.nspname, c.relname, :'option', :'value') end as it
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = :'schema' and c.relname = :'table' and c.relkind in ('r', 'm')
    and json_build_array((select o.option_value from pg_options_to_table(c.reloptions) as o
      where o.option_name = :'option'))::text = :'was') as made,
  lateral (values (1, it), (2, 'SELECT true::text')) as both_of_them (n, statement) order by n";

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    /// The server's own value; `None` where this version has no such setting.
    server: Option<String>,
    table: Option<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    dead: u64,
    rows: u64,
    value: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TuneAutovacuum;

struct Wanted {
    schema: String,
    table: String,
    option: &'static str,
    value: Option<String>,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let option: String = given.required("option", "the name of an option")?;
        let Some((option, form)) = OPTIONS.iter().find(|(known, _)| *known == option) else {
            let known: Vec<&str> = OPTIONS.iter().map(|(known, _)| *known).collect();
            return Err(wrong("option", format!("`{option}` is none of {}", known.join(", "))));
        };
        let value: Option<String> = given.optional("value", "a value, as text")?;
        if let Some(value) = value.as_ref().filter(|value| !form.fits(value)) {
            let reason = format!("`{value}` is no value of {option}: it takes {}", form.told());
            return Err(wrong("value", reason));
        }
        let (schema, table) = (
            given.required("schema", "the name of a schema")?,
            given.required("table", "the name of a table")?,
        );
        Ok(Self { schema, table, option, value })
    }

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    fn vars(&self) -> Vars {
        vec![
            ("schema", self.schema.clone()),
            ("table", self.table.clone()),
            ("option", self.option.to_owned()),
        ]
    }

    /// From what the table has to what it shall have.
    fn change(
        &self,
        server: &Server,
        was: Option<&str>,
        to: Option<&str>,
    ) -> Result<Call, ActionError> {
        let mut vars = self.vars();
        vars.extend([
            ("reset", if to.is_none() { "yes" } else { "no" }.to_owned()),
            ("value", to.unwrap_or_default().to_owned()),
            ("was", json!([was]).to_string()),
        ]);
        Ok(Call::Composed { database: Some(database(server)?), sql: SET, vars })
    }

    async fn look(&self, server: &Server) -> Result<(Seen, Table), ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        let mut seen: Seen = within(LOOK_DEADLINE, "look at the table", looking).await?;
        let refused = |why: String| Err(ActionError::Precondition(why));
        let Some(table) = seen.table.take() else {
            return refused(format!("there is no table {} in {database}", self.name()));
        };
        if seen.server.is_none() {
            return refused(format!("this version has no {}", self.option));
        }
        Ok((seen, table))
    }

    /// The table, when there is something to change.
    async fn other(&self, server: &Server) -> Result<(Seen, Table), ActionError> {
        let (seen, table) = self.look(server).await?;
        if table.value == self.value {
            let is = table.value.as_deref().unwrap_or("unset");
            let (name, option) = (self.name(), self.option);
            return Err(ActionError::Precondition(format!("{option} of {name} is {is} already")));
        }
        Ok((seen, table))
    }

    async fn perform(&self, server: &Server, call: &Call) -> Result<(), ActionError> {
        let output = Channel::new(server, ID).perform(call, CALL_DEADLINE).await?;
        if succeeded(&output) {
            return Ok(());
        }
        let doing = format!("put {} of {} back", self.option, self.name());
        Err(failed(doing, anyhow!("{}", output.stderr.trim().to_owned())))
    }
}

impl Form {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::OnOff => matches!(value, "on" | "off" | "true" | "false"),
            Self::Between(least, most) => {
                value.len() < 16
                    && value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number))
            }
            Self::WholeBetween(least, most) => {
                value.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number))
            }
        }
    }

    fn told(self) -> String {
        match self {
            Self::OnOff => "on or off".into(),
            Self::Between(least, most) => format!("a number from {least} to {most}"),
            Self::WholeBetween(least, most) => format!("a whole number from {least} to {most}"),
        }
    }
}

#[async_trait]
impl Action for TuneAutovacuum {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (seen, table) = wanted.other(server).await?;
        let call = wanted.change(server, table.value.as_deref(), wanted.value.as_deref())?;
        let old = table.value.as_deref().unwrap_or("unset");
        let new = wanted.value.as_deref().unwrap_or("unset");
        let own = seen.server.as_deref().unwrap_or("-");
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&call)],
            scope: [
                ("table".into(), wanted.name()),
                ("old".into(), old.into()),
                ("new".into(), new.into()),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes: vec![
                format!("{}: {old} becomes {new}; the server's own is {own}", wanted.option),
                format!("{} rows, {} dead", grouped(table.rows), grouped(table.dead)),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("puts the table's option back to what it was".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let (_, table) = Wanted::read(args)?.other(server).await?;
        Ok(Saved::from([("value".into(), json!(table.value))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let (_, table) = wanted.other(server).await?;
        let call = wanted.change(server, table.value.as_deref(), wanted.value.as_deref())?;
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let wanted = Wanted::read(args)?;
            let (_, table) = wanted.look(server).await?;
            let is = table.value.as_deref().unwrap_or("unset");
            let detail = format!("{} is {is}", wanted.option);
            Ok::<_, ActionError>(measured(
                "the table has the value",
                table.value == wanted.value,
                detail,
            ))
        };
        vec![measuring.await.unwrap_or_else(|e| unmeasured("the table has the value", &e))]
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let call = Wanted::read(args).and_then(|wanted| {
            let before: Option<String> = kept(saved, "value")?;
            wanted.change(server, wanted.value.as_deref(), before.as_deref())
        });
        call.map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let before: Option<String> = kept(saved, "value")?;
        let (_, table) = wanted.look(server).await?;
        let (name, option) = (wanted.name(), wanted.option);
        let said = before.as_deref().unwrap_or("unset").to_owned();
        if table.value == before {
            return Ok(format!("{option} of {name} is {said}"));
        }
        if table.value != wanted.value {
            let is = table.value.as_deref().unwrap_or("unset");
            return Err(ActionError::Precondition(format!(
                "{option} of {name} is {is}, which is somebody else's change, and stays"
            )));
        }
        let call = wanted.change(server, table.value.as_deref(), before.as_deref())?;
        wanted.perform(server, &call).await?;
        Ok(format!("{option} of {name} is {said} again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_options_with_proper_values_are_taken() {
        let read = |option: &str, value: Option<&str>| {
            let args = json!({"schema": "s", "table": "t", "option": option, "value": value});
            Wanted::read(&serde_json::from_value(args).unwrap()).map_err(|e| e.to_string())
        };
        for (option, value) in [
            ("autovacuum_enabled", Some("off")),
            ("autovacuum_vacuum_scale_factor", Some("0.02")),
            ("autovacuum_vacuum_threshold", Some("0")),
            ("autovacuum_vacuum_cost_limit", None),
        ] {
            assert!(read(option, value).is_ok(), "{option} {value:?}");
        }
        for (option, value) in [
            ("fillfactor", Some("50")),
            ("autovacuum_vacuum_scale_factor", Some("NaN")),
            ("autovacuum_vacuum_scale_factor", Some("0.1); drop table t")),
            ("autovacuum_vacuum_threshold", Some("-1")),
            ("autovacuum_enabled", Some("")),
        ] {
            assert!(read(option, value).is_err(), "{option} {value:?}");
        }
    }
}
