//! Puts one PostgreSQL setting back to what it was when the server was healthy: ALTER SYSTEM and a reload.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::channel::{Call, Channel, succeeded, within};
use super::checks::{costs, kept, unmeasured};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;
use standing::Standing;
use wanted::Wanted;

mod standing;
mod wanted;

const ID: &str = "reset_pg_setting";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// The line of `postgresql.auto.conf`, and a reload; only while that line is what was looked at. `line` is the new
/// one, `was` the old one; `none` in front of each says whether there is one at all.
const SET: &str = "select statement from (values
  (1, case :'no_line' when 'yes' then format('ALTER SYSTEM RESET %I', :'name')
      else format('ALTER SYSTEM SET %I = %L', :'name', :'line') end),
  (2, 'SELECT pg_reload_conf()::text')) as both_of_them (n, statement)
where (select json_build_array((select f.setting from pg_file_settings f
    where f.name = :'name' and f.sourcefile like '%/postgresql.auto.conf'
    order by f.seqno desc limit 1))::text) = :'was'
order by n";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Put a setting back",
    about: "ALTER SYSTEM of one setting to the value it had when the server was healthy, then a reload. Right when \
            a changed setting is the cause; no session is cut, nothing restarts.",
    args: &[
        Arg::text("name", "the setting, like default_transaction_read_only"),
        Arg::text("value", "the value it had, as pg_settings told it"),
    ],
    needs: &[Need::PgSuperuser("ALTER SYSTEM, pg_reload_conf() and pg_file_settings")],
    verify: "a new session has the value, no restart is pending, the configuration files have no error",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ResetPgSetting;

/// The line of postgresql.auto.conf: what it is now, what it shall be.
struct Change<'a> {
    name: &'a str,
    was: Option<String>,
    line: Option<String>,
}

impl Change<'_> {
    fn call(&self) -> Call {
        let no_line = if self.line.is_none() { "yes" } else { "no" };
        Call::Composed {
            database: None,
            sql: SET,
            vars: vec![
                ("name", self.name.to_owned()),
                ("no_line", no_line.to_owned()),
                ("line", self.line.clone().unwrap_or_default()),
                ("was", json!([self.was]).to_string()),
            ],
        }
    }
}

async fn look(server: &Server, wanted: &Wanted) -> Result<(Standing, Option<String>), ActionError> {
    let standing = Standing::of(server, wanted.name).await?;
    let line = standing.line_for(wanted)?;
    Ok((standing, line))
}

fn change(wanted: &Wanted, standing: &Standing, line: Option<String>) -> Call {
    Change { name: wanted.name, was: standing.auto.clone(), line }.call()
}

#[async_trait]
impl Action for ResetPgSetting {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let doing = format!("look at {}", server.target.id);
        let (standing, line) = within(LOOK_DEADLINE, doing, look(server, &wanted)).await?;
        let notes = standing.notes(&wanted, line.as_deref());
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&change(&wanted, &standing, line))],
            scope: [
                ("setting".into(), wanted.name.into()),
                ("old".into(), standing.now.clone()),
                ("new".into(), wanted.baseline.clone()),
                ("server start".into(), standing.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("puts the line of postgresql.auto.conf back as it was and reloads".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let (standing, line) = look(server, &wanted).await?;
        Ok(Saved::from([
            ("line".into(), json!(standing.auto)),
            ("left".into(), json!(line)),
            ("value".into(), json!(standing.now)),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let doing = format!("look at {}", server.target.id);
        let (standing, line) = within(LOOK_DEADLINE, doing, look(server, &wanted)).await?;
        let call = change(&wanted, &standing, line);
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let wanted = Wanted::read(&DESCRIPTOR, args)?;
            standing::measure(server, &wanted).await
        };
        let measured = within(LOOK_DEADLINE, "read the setting", measuring).await;
        measured.unwrap_or_else(|e| vec![unmeasured("setting", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let undo = Wanted::read(&DESCRIPTOR, args).and_then(|wanted| back(&wanted, saved));
        undo.map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let (line, left) = (kept::<Option<String>>(saved, "line")?, kept(saved, "left")?);
        let now = Standing::of(server, wanted.name).await?.auto;
        let said = |line: &Option<String>| match line {
            Some(value) => format!("sets {} to {value:?}", wanted.name),
            None => format!("does not set {}", wanted.name),
        };
        if now == line {
            return Ok(format!("postgresql.auto.conf {} already", said(&line)));
        }
        if now != left {
            return Err(ActionError::Precondition(format!(
                "postgresql.auto.conf {}, which is somebody else's change, and stays",
                said(&now)
            )));
        }
        let output =
            Channel::new(server, ID).perform(&back(&wanted, saved)?, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let doing = format!("put {} back", wanted.name);
            return Err(failed(doing, anyhow::anyhow!("{}", output.stderr.trim().to_owned())));
        }
        Ok(format!("postgresql.auto.conf {} again", said(&line)))
    }
}

fn back(wanted: &Wanted, saved: &Saved) -> Result<Call, ActionError> {
    let (was, line) = (kept(saved, "left")?, kept(saved, "line")?);
    Ok(Change { name: wanted.name, was, line }.call())
}
