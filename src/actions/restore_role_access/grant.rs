//! The four things that can be given back: how each is asked for, given, and taken again.

use serde::Deserialize;

use super::super::access::beside;
use super::super::args::{Given, wrong};
use super::super::channel::{Call, Vars};
use super::super::{ActionError, Descriptor};
use crate::domain::proposal::Args;

/// The name under which CONNECT is everybody's.
const EVERYBODY: &str = "public";
const RIGHTS: [&str; 3] = ["SELECT", "INSERT", "UPDATE"];

/// Each composition runs only while the role still lacks it (`give`) or has it (`take`).
macro_rules! composed {
    ($statement:literal, $holds:literal) => {
        concat!(
            "select statement from (values (1, ",
            $statement,
            "), (2, 'SELECT true::text')) as both_of_them (n, statement) where ",
            $holds,
            " order by n"
        )
    };
}

struct Texts {
    question: &'static str,
    give: &'static str,
    take: &'static str,
}

const LOGIN: Texts = Texts {
    question: "select json_build_object('exists', count(*) = 1, 'has', coalesce(bool_or(rolcanlogin), false),
  'was', null, 'is_superuser', coalesce(bool_or(rolsuper), false))::text from pg_roles where rolname = :'role'",
    give: composed!(
        "format('ALTER ROLE %I LOGIN', :'role')",
        "exists (select from pg_roles where rolname = :'role' and not rolcanlogin and not rolsuper)"
    ),
    take: composed!(
        "format('ALTER ROLE %I NOLOGIN', :'role')",
        "exists (select from pg_roles where rolname = :'role' and rolcanlogin)"
    ),
};

const VALID_UNTIL: Texts = Texts {
    question: "select json_build_object('exists', count(*) = 1,
  'has', coalesce(bool_or(coalesce(rolvaliduntil, 'infinity') = :'value'::timestamptz), false),
  'was', max(coalesce(rolvaliduntil::text, 'infinity')),
  'is_superuser', coalesce(bool_or(rolsuper), false))::text from pg_roles where rolname = :'role'",
    give: composed!(
        "format('ALTER ROLE %I VALID UNTIL %L', :'role', :'value')",
        "exists (select from pg_roles where rolname = :'role' and not rolsuper
  and coalesce(rolvaliduntil, 'infinity') <> :'value'::timestamptz)"
    ),
    take: composed!(
        "format('ALTER ROLE %I VALID UNTIL %L', :'role', :'was')",
        "exists (select from pg_roles where rolname = :'role'
  and coalesce(rolvaliduntil, 'infinity') = :'value'::timestamptz)"
    ),
};

const CONNECT: Texts = Texts {
    question: "select json_build_object('exists', :'role' = 'public' or r.oid is not null,
  'has', case when :'role' = 'public' or r.oid is not null
    then has_database_privilege(:'role', d.oid, 'CONNECT') else false end,
  'was', null, 'is_superuser', coalesce(r.rolsuper, false))::text
from pg_database d left join pg_roles r on r.rolname = :'role' where d.datname = :'database'",
    give: composed!(
        "format('GRANT CONNECT ON DATABASE %I TO %s', :'database',
  case :'role' when 'public' then 'PUBLIC' else quote_ident(:'role') end)",
        "not has_database_privilege(:'role', :'database', 'CONNECT')"
    ),
    take: composed!(
        "format('REVOKE CONNECT ON DATABASE %I FROM %s', :'database',
  case :'role' when 'public' then 'PUBLIC' else quote_ident(:'role') end)",
        "has_database_privilege(:'role', :'database', 'CONNECT')"
    ),
};

/// `rights` is a list out of a closed set, checked before.
const TABLE: Texts = Texts {
    question:
        "select json_build_object('exists', r.oid is not null and to_regclass(:'table') is not null,
  'has', coalesce((select bool_and(has_table_privilege(r.oid, to_regclass(:'table'), w))
    from unnest(string_to_array(:'rights', ', ')) as w), false),
  'was', null, 'is_superuser', coalesce(r.rolsuper, false))::text
from (values (1)) as one left join pg_roles r on r.rolname = :'role'",
    give: composed!(
        "format('GRANT %s ON TABLE %s TO %I', :'rights', to_regclass(:'table'), :'role')",
        "exists (select from unnest(string_to_array(:'rights', ', ')) as w
  where not has_table_privilege(:'role', to_regclass(:'table'), w))"
    ),
    take: composed!(
        "format('REVOKE %s ON TABLE %s FROM %I', :'rights', to_regclass(:'table'), :'role')",
        "exists (select from unnest(string_to_array(:'rights', ', ')) as w
  where has_table_privilege(:'role', to_regclass(:'table'), w))"
    ),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Grant {
    Login,
    ValidUntil,
    Connect,
    Table,
}

impl Grant {
    fn texts(self) -> &'static Texts {
        match self {
            Self::Login => &LOGIN,
            Self::ValidUntil => &VALID_UNTIL,
            Self::Connect => &CONNECT,
            Self::Table => &TABLE,
        }
    }
}

/// One thing for one role.
#[derive(Debug)]
pub(super) struct Wanted {
    role: String,
    grant: Grant,
    database: String,
    value: String,
    table: String,
    rights: Vec<String>,
}

impl Wanted {
    pub(super) fn read(descriptor: &'static Descriptor, args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(descriptor, args)?;
        let grant = given.required("grant", "login, valid-until, connect or table")?;
        let text = |name| given.optional::<String>(name, "a text").map(Option::unwrap_or_default);
        let wanted = Self {
            role: given.required("role", "the name of a role")?,
            grant,
            database: given.required("database", "the name of a database")?,
            value: text("value")?,
            table: text("table")?,
            rights: given.optional("rights", "a list of rights")?.unwrap_or_default(),
        };
        wanted.checked()
    }

    fn checked(self) -> Result<Self, ActionError> {
        let needs_value = self.grant == Grant::ValidUntil;
        let needs_table = self.grant == Grant::Table;
        if needs_value == self.value.is_empty() {
            return Err(wrong("value", "goes with valid-until, and only with it"));
        }
        if needs_table == self.table.is_empty() || needs_table == self.rights.is_empty() {
            return Err(wrong("table", "and rights go with table, and only with it"));
        }
        if let Some(odd) = self.rights.iter().find(|right| !RIGHTS.contains(&right.as_str())) {
            return Err(wrong("rights", format!("`{odd}` is none of {}", RIGHTS.join(", "))));
        }
        if self.role.eq_ignore_ascii_case(EVERYBODY) && self.grant != Grant::Connect {
            return Err(wrong("role", "everybody gets nothing but CONNECT"));
        }
        Ok(self)
    }

    /// The database it is done in: rights on a table only in its own.
    pub(super) fn place(&self) -> &str {
        if self.grant == Grant::Table { &self.database } else { beside(&self.database) }
    }

    pub(super) fn whom(&self) -> String {
        if self.role == EVERYBODY { "every role".into() } else { format!("role {}", self.role) }
    }

    pub(super) fn what(&self) -> String {
        match self.grant {
            Grant::Login => "LOGIN".into(),
            Grant::ValidUntil => format!("VALID UNTIL {}", self.value),
            Grant::Connect => format!("CONNECT on database {}", self.database),
            Grant::Table => format!("{} on {}", self.rights.join(", "), self.table),
        }
    }

    pub(super) fn question(&self) -> &'static str {
        self.grant.texts().question
    }

    pub(super) fn vars(&self) -> Vars {
        vec![
            ("role", self.role.clone()),
            ("database", self.database.clone()),
            ("value", self.value.clone()),
            ("table", self.table.clone()),
            ("rights", self.rights.join(", ")),
        ]
    }

    pub(super) fn give(&self) -> Call {
        self.call(self.grant.texts().give, None)
    }

    pub(super) fn take(&self, was: Option<String>) -> Call {
        self.call(self.grant.texts().take, was)
    }

    fn call(&self, sql: &'static str, was: Option<String>) -> Call {
        let used = |name: &str| sql.contains(&format!(":'{name}'"));
        let mut vars = self.vars();
        vars.push(("was", was.unwrap_or_default()));
        vars.retain(|(name, _)| used(name));
        Call::Composed { database: Some(self.place().to_owned()), sql, vars }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::DESCRIPTOR;
    use super::*;

    fn read(args: Value) -> Result<Wanted, String> {
        let args = serde_json::from_value(args).unwrap();
        Wanted::read(&DESCRIPTOR, &args).map_err(|e| e.to_string())
    }

    #[test]
    fn each_grant_takes_its_own_arguments_and_no_others() {
        for good in [
            json!({"role": "app", "database": "app", "grant": "login"}),
            json!({"role": "app", "database": "app", "grant": "valid-until", "value": "infinity"}),
            json!({"role": "public", "database": "app", "grant": "connect"}),
            json!({"role": "app", "database": "app", "grant": "table", "table": "public.hb",
                   "rights": ["INSERT", "UPDATE"]}),
        ] {
            read(good.clone()).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        for bad in [
            json!({"role": "app", "database": "app", "grant": "superuser"}),
            json!({"role": "public", "database": "app", "grant": "login"}),
            json!({"role": "app", "database": "app", "grant": "valid-until"}),
            json!({"role": "app", "database": "app", "grant": "login", "value": "infinity"}),
            json!({"role": "app", "database": "app", "grant": "table", "table": "t"}),
            json!({"role": "app", "database": "app", "grant": "table", "table": "t",
                   "rights": ["ALL; drop"]}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
