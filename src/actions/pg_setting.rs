//! Gives one PostgreSQL setting another value for the whole server: ALTER SYSTEM and a reload. Two actions do it: one
//! back to what it was, one to what a person wants.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::channel::{Call, Channel, succeeded, within};
use super::checks::{costs, kept, unmeasured};
use super::{Action, ActionError, Descriptor, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Undo};
use crate::targets::Server;
use standing::Standing;
pub(super) use wanted::Form;
use wanted::Wanted;

mod standing;
mod wanted;

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

/// One of the actions.
#[derive(Debug)]
pub(super) struct PgSetting {
    pub(super) descriptor: &'static Descriptor,
    /// The closed list, and what a value of each looks like.
    pub(super) settings: &'static [(&'static str, Form)],
    /// Whether values come in a setting's own unit, so that a bare number in a file means the same unit.
    pub(super) in_own_unit: bool,
}

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

impl PgSetting {
    fn id(&self) -> &'static str {
        self.descriptor.id
    }

    fn read(&self, args: &Args) -> Result<Wanted, ActionError> {
        Wanted::read(self, args)
    }

    async fn look(
        &self,
        server: &Server,
        wanted: &Wanted,
    ) -> Result<(Standing, Option<String>), ActionError> {
        let standing = Standing::of(server, self.id(), wanted.name).await?;
        let line = standing.line_for(wanted)?;
        Ok((standing, line))
    }
}

fn change(wanted: &Wanted, standing: &Standing, line: Option<String>) -> Call {
    Change { name: wanted.name, was: standing.auto.clone(), line }.call()
}

#[async_trait]
impl Action for PgSetting {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = self.read(args)?;
        let doing = format!("look at {}", server.target.id);
        let (standing, line) = within(LOOK_DEADLINE, doing, self.look(server, &wanted)).await?;
        let notes = standing.notes(&wanted, line.as_deref());
        Ok(Preview {
            commands: vec![
                Channel::new(server, self.id()).spell(&change(&wanted, &standing, line)),
            ],
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
        let wanted = self.read(args)?;
        let (standing, line) = self.look(server, &wanted).await?;
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
        let wanted = self.read(args)?;
        let doing = format!("look at {}", server.target.id);
        let (standing, line) = within(LOOK_DEADLINE, doing, self.look(server, &wanted)).await?;
        let call = change(&wanted, &standing, line);
        Channel::new(server, self.id()).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let wanted = self.read(args)?;
            standing::measure(server, self.id(), &wanted).await
        };
        let measured = within(LOOK_DEADLINE, "read the setting", measuring).await;
        measured.unwrap_or_else(|e| vec![unmeasured("setting", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let undo = self.read(args).and_then(|wanted| back(&wanted, saved));
        undo.map(|call| vec![Channel::new(server, self.id()).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = self.read(args)?;
        let (line, left) = (kept::<Option<String>>(saved, "line")?, kept(saved, "left")?);
        let now = Standing::of(server, self.id(), wanted.name).await?.auto;
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
            Channel::new(server, self.id()).perform(&back(&wanted, saved)?, CALL_DEADLINE).await?;
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
