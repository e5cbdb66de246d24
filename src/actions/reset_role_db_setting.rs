//! Takes settings away that a role or a database has for itself, so that the server's own count again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::access::must;
use super::args::{Given, wrong};
use super::channel::{Call, Channel, Vars, within};
use super::checks::{costs, count, kept, measured, unmeasured};
use super::postgres::{database, look};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "reset_role_db_setting";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// Settings that change how queries are planned and run, and nobody's rights.
const SETTINGS: [&str; 8] = [
    "enable_indexscan",
    "enable_bitmapscan",
    "enable_indexonlyscan",
    "enable_seqscan",
    "enable_hashjoin",
    "enable_nestloop",
    "work_mem",
    "random_page_cost",
];

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Take a role's or database's own settings away",
    about: "ALTER ROLE or DATABASE … RESET of settings for queries, so that the server's own count again. Right when they \
            were set for that role or database and hurt it; sessions that are there keep them until they end.",
    args: &[
        Arg::text("role", "whose setting it is; with database: of this role in that database")
            .optional(),
        Arg::text("database", "instead of role, or beside it: the database").optional(),
        Arg::texts("names", "the settings"),
    ],
    needs: &[Need::PgSuperuser("ALTER ROLE and ALTER DATABASE … RESET of what others own")],
    verify: "the settings are not there any more, and a new session of the application has the server's",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ResetRoleDbSetting;

/// The settings of one role, one database, or one role in one database, that are among these.
macro_rules! those {
    () => {
        "from pg_db_role_setting o left join pg_roles r on r.oid = o.setrole
  left join pg_database d on d.oid = o.setdatabase, unnest(o.setconfig) as c
where coalesce(r.rolname, '') = :'role' and coalesce(d.datname, '') = :'database'
  and split_part(c, '=', 1) = any (string_to_array(:'names', ','))"
    };
}

const LOOK: &str = concat!(
    "select json_build_object('own', coalesce(json_object_agg(split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)),
  '{}'::json), 'sessions', (select count(*) from pg_stat_activity s where s.backend_type = 'client backend'
  and (:'role' = '' or s.usename = :'role') and (:'database' = '' or s.datname = :'database')))::text
",
    those!()
);

const RESET: &str = concat!(
    "select statement from (select 1 as n, format('ALTER %s RESET %I', case
    when :'role' = '' then format('DATABASE %I', :'database')
    when :'database' = '' then format('ROLE %I', :'role')
    else format('ROLE %I IN DATABASE %I', :'role', :'database') end, split_part(c, '=', 1)) as statement
",
    those!(),
    "
union all select 2, 'SELECT true::text') as all_of_them where exists (select
",
    those!(),
    ") order by n"
);

/// Only where nobody set it meanwhile.
const SET: &str = concat!(
    "select statement from (select 1 as n, format('ALTER %s SET %I = %L', case
    when :'role' = '' then format('DATABASE %I', :'database')
    when :'database' = '' then format('ROLE %I', :'role')
    else format('ROLE %I IN DATABASE %I', :'role', :'database') end, key, value) as statement
from json_each_text(:'was'::json)
union all select 2, 'SELECT true::text') as all_of_them where not exists (select
",
    those!(),
    ") order by n"
);

/// What is there now.
#[derive(Debug, Deserialize)]
struct Seen {
    own: BTreeMap<String, String>,
    sessions: u64,
}

#[derive(Debug)]
struct Wanted {
    role: String,
    database: String,
    names: Vec<String>,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let text = |name| given.optional::<String>(name, "a name").map(Option::unwrap_or_default);
        let wanted = Self {
            role: text("role")?,
            database: text("database")?,
            names: given.required("names", "a list of settings")?,
        };
        if wanted.role.is_empty() && wanted.database.is_empty() {
            return Err(wrong("role", "is missing, and database is not given"));
        }
        if wanted.names.is_empty() {
            return Err(wrong("names", "names no setting"));
        }
        match wanted.names.iter().find(|name| !SETTINGS.contains(&name.as_str())) {
            Some(odd) => Err(wrong("names", format!("`{odd}` is none of {}", SETTINGS.join(", ")))),
            None => Ok(wanted),
        }
    }

    fn whose(&self) -> String {
        match (self.role.as_str(), self.database.as_str()) {
            ("", database) => format!("database {database}"),
            (role, "") => format!("role {role}"),
            (role, database) => format!("role {role} in database {database}"),
        }
    }

    fn vars(&self) -> Vars {
        vec![
            ("role", self.role.clone()),
            ("database", self.database.clone()),
            ("names", self.names.join(",")),
        ]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        Ok(Call::Composed { database: Some(database(server)?), sql: RESET, vars: self.vars() })
    }

    fn back(&self, server: &Server, saved: &Saved) -> Result<Call, ActionError> {
        let was: BTreeMap<String, String> = kept(saved, "own")?;
        let mut vars = self.vars();
        vars.push(("was", json!(was).to_string()));
        Ok(Call::Composed { database: Some(database(server)?), sql: SET, vars })
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        within(LOOK_DEADLINE, "look at the settings", look(server, ID, LOOK, &self.vars())).await
    }

    /// What is there, when there is something to take away.
    async fn set(&self, server: &Server) -> Result<Seen, ActionError> {
        let seen = self.look(server).await?;
        if seen.own.is_empty() {
            return Err(ActionError::Precondition(format!(
                "{} has none of {} of its own",
                self.whose(),
                self.names.join(", ")
            )));
        }
        Ok(seen)
    }
}

#[async_trait]
impl Action for ResetRoleDbSetting {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let seen = wanted.set(server).await?;
        let own = seen.own.iter().map(|(name, value)| format!("{name} = {value}"));
        let mut notes: Vec<String> =
            own.map(|own| format!("{own} for {} goes", wanted.whose())).collect();
        notes.push(format!(
            "{} there now and kept as they are: they have the old settings until they end",
            count(seen.sessions, "session")
        ));
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("of".into(), wanted.whose()),
                ("settings".into(), json!(seen.own).to_string()),
            ]
            .into(),
            consequences: vec![costs(0, "sessions cut")],
            notes,
        })
    }

    fn undo_kind(&self, _: &Args) -> Undo {
        Undo::Exact("sets them to what they were before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let seen = Wanted::read(args)?.set(server).await?;
        Ok(Saved::from([("own".into(), json!(seen.own))]))
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

    async fn verify(&self, server: &Server, args: &Args, _: &Saved) -> Vec<Check> {
        const NAME: &str = "the settings are gone";
        let measuring = async {
            let wanted = Wanted::read(args)?;
            let own = wanted.look(server).await?.own;
            let left: Vec<&str> = own.keys().map(String::as_str).collect();
            let detail = if left.is_empty() { "none is left".into() } else { left.join(", ") };
            Ok::<_, ActionError>(measured(NAME, left.is_empty(), detail))
        };
        vec![measuring.await.unwrap_or_else(|error| unmeasured(NAME, &error))]
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let call = || Wanted::read(args)?.back(server, saved);
        call().map(|call| vec![Channel::new(server, ID).spell(&call)]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let was: BTreeMap<String, String> = kept(saved, "own")?;
        let what = format!("the settings of {}", wanted.whose());
        if wanted.look(server).await?.own == was {
            return Ok(format!("{what} are there already"));
        }
        must(server, ID, &wanted.back(server, saved)?, format!("set {what} back")).await?;
        Ok(format!("{what} are as they were"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_for_queries_of_somebody_are_taken() {
        let read = |args: serde_json::Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|wanted| wanted.whose())
        };
        let names = ["enable_indexscan"];
        assert_eq!(read(json!({"database": "d", "names": names})).unwrap(), "database d");
        assert_eq!(read(json!({"role": "r", "names": names})).unwrap(), "role r");
        let both = json!({"role": "r", "database": "d", "names": names});
        assert_eq!(read(both).unwrap(), "role r in database d");
        for bad in [
            json!({"names": names}),
            json!({"role": "r"}),
            json!({"role": "r", "names": []}),
            json!({"role": "r", "names": ["search_path"]}),
            json!({"role": "r", "names": ["work_mem; drop"]}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
