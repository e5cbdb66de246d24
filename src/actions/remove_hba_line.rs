//! Takes one rejecting line out of pg_hba.conf through the server itself: the file is checked before the reload, and
//! put back when the server could not read it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::access::must;
use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{costs, count, kept, measured, unmeasured};
use super::postgres::look;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::postgres::hba::hba_splice;

const ID: &str = "remove_hba_line";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

const SPLICE: &str = hba_splice!(":'digest'", ":'line'", ":'put'");

/// The file now, and as it would be: without the line, or with it again.
const LOOK: &str = "with file as (
  select was, string_to_array(was, chr(10)) as lines, :'line'::int as n
  from pg_read_file(current_setting('hba_file')) as was
)
select json_build_object('digest', md5(was), 'line', lines[n], 'above', lines[n - 1], 'below', lines[n + 1],
  'without', md5(array_to_string(lines[1:n - 1] || lines[n + 1:], chr(10))),
  'method', (select r.auth_method from pg_hba_file_rules r where r.line_number = n
    and coalesce(to_jsonb(r)->>'file_name', current_setting('hba_file')) = current_setting('hba_file')),
  'errors', (select count(*) from pg_hba_file_rules where type is null)
    + (select count(*) from pg_file_settings where error is not null),
  'server_start', pg_postmaster_start_time())::text
from file";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Take a line out of pg_hba.conf",
    about: "Takes one line that rejects out of pg_hba.conf, checks the file as the server reads it, and reloads. Right \
            when that line turns away who was let in before; every other line and every session stays.",
    args: &[
        Arg::whole("line", "the number of the line, as pg_hba_file_rules counts"),
        Arg::text("text", "the line as it stands there"),
    ],
    needs: &[Need::PgSuperuser(
        "pg_read_file(), lo_export(), pg_hba_file_rules and pg_reload_conf()",
    )],
    verify: "the line is gone, the server reads every other line, a new client of the application gets in",
};

/// See the module.
#[derive(Debug)]
pub(super) struct RemoveHbaLine;

#[derive(Debug, Deserialize)]
struct Seen {
    digest: String,
    line: Option<String>,
    above: Option<String>,
    below: Option<String>,
    without: String,
    method: Option<String>,
    errors: u64,
    server_start: DateTime<Utc>,
}

struct Wanted {
    line: u32,
    text: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let line = given.required("line", "the number of a line")?;
        let text: String = given.required("text", "the line as it stands there")?;
        if line == 0 {
            return Err(wrong("line", "lines are counted from 1"));
        }
        if text.trim().is_empty() || text.contains('\n') || text.trim_end().ends_with('\\') {
            return Err(wrong("text", "is not one whole line"));
        }
        Ok(Self { line, text })
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let vars: Vars = vec![("line", self.line.to_string())];
        within(LOOK_DEADLINE, "look at pg_hba.conf", look(server, ID, LOOK, &vars)).await
    }

    /// The file, when the line is there as it was named and taking it out is all there is to do.
    async fn there(&self, server: &Server) -> Result<Seen, ActionError> {
        let seen = self.look(server).await?;
        let refused = |why: String| Err(ActionError::Precondition(why));
        if seen.line.as_deref() != Some(self.text.as_str()) {
            return refused(format!("line {} of pg_hba.conf is not that line", self.line));
        }
        if seen.method.as_deref() != Some("reject") {
            return refused(format!("line {} of pg_hba.conf rejects nobody", self.line));
        }
        if seen.above.as_deref().is_some_and(|above| above.trim_end().ends_with('\\')) {
            return refused(format!("line {} of pg_hba.conf continues the one above", self.line));
        }
        if seen.errors > 0 {
            return refused(format!(
                "a reload would fail: the configuration files have {}",
                count(seen.errors, "error")
            ));
        }
        Ok(seen)
    }

    fn splice(&self, digest: &str, put: &str) -> Call {
        Call::Composed {
            database: None,
            sql: SPLICE,
            vars: vec![
                ("digest", digest.to_owned()),
                ("line", self.line.to_string()),
                ("put", put.to_owned()),
            ],
        }
    }

    fn back(&self, saved: &Saved) -> Result<Call, ActionError> {
        Ok(self.splice(&kept::<String>(saved, "left")?, &self.text))
    }

    fn diff(&self, seen: &Seen) -> Vec<String> {
        let beside =
            |line: &Option<String>| line.as_ref().map(|text| format!("  {}", text.trim_end()));
        let gone = Some(format!("- {}", self.text.trim_end()));
        [beside(&seen.above).filter(|_| self.line > 1), gone, beside(&seen.below)]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[async_trait]
impl Action for RemoveHbaLine {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let seen = wanted.there(server).await?;
        let mut notes = wanted.diff(&seen);
        notes.push("the file is read and checked by the server before it is reloaded".into());
        notes.push("a reload takes in whatever else was changed in the server's files".into());
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.splice(&seen.digest, ""))],
            scope: [
                ("line".into(), wanted.line.to_string()),
                ("file".into(), seen.digest),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("puts the line back where it stood and reloads".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let seen = Wanted::read(args)?.there(server).await?;
        Ok(Saved::from([("was".into(), json!(seen.digest)), ("left".into(), json!(seen.without))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let call = wanted.splice(&wanted.there(server).await?.digest, "");
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        measure(server, args, saved).await.unwrap_or_else(|e| vec![unmeasured("pg_hba.conf", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let back = Wanted::read(args).and_then(|wanted| wanted.back(saved));
        back.map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let now = wanted.look(server).await?.digest;
        if now == kept::<String>(saved, "was")? {
            return Ok("pg_hba.conf is as it was already".into());
        }
        if now != kept::<String>(saved, "left")? {
            return Err(ActionError::Precondition(
                "pg_hba.conf was changed by somebody else since, and stays".into(),
            ));
        }
        must(server, ID, &wanted.back(saved)?, "put the line of pg_hba.conf back".into()).await?;
        Ok(format!("line {} of pg_hba.conf is there again", wanted.line))
    }
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let (seen, left) = (Wanted::read(args)?.look(server).await?, kept::<String>(saved, "left")?);
    let is_gone = seen.digest == left;
    Ok(vec![
        measured(
            "the line is gone and no other",
            is_gone,
            if is_gone { "every other line is as it was" } else { "the file is another one" },
        ),
        measured(
            "the configuration files have no error",
            seen.errors == 0,
            count(seen.errors, "error"),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn one_whole_line_is_named() {
        let read = |args: Value| Wanted::read(&serde_json::from_value(args).unwrap());
        assert!(read(json!({"line": 3, "text": "host all app all reject"})).is_ok());
        for args in [
            json!({"line": 0, "text": "host all app all reject"}),
            json!({"line": 3, "text": " "}),
            json!({"line": 3, "text": "host all app all reject\nlocal all all trust"}),
            json!({"line": 3, "text": "host all app all \\"}),
            json!({"text": "host all app all reject"}),
            json!({"line": -1, "text": "host all app all reject"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
