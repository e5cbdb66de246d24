//! What a PostgreSQL server is to its clients: primary or standby, whom it lets in, whom a commit waits for.

use tokio_postgres::types::Json;

use super::PostgresLink;
use super::connect::{PgConnection, answer_of};
use crate::diagnose::facts::{PgOverride, PgStanding};
use crate::diagnose::source;
use crate::targets::notebook::Notebook;

/// `$1` is the application's role, `$2` its database. Only a member of `pg_read_all_stats` sees who confirms.
const STANDING: &str = "
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'sync_standbys', CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) END,
  'commit_waits', (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'),
  'overrides', coalesce((SELECT json_agg(json_build_object(
      'role', coalesce(r.rolname, ''), 'database', coalesce(d.datname, ''),
      'name', split_part(c, '=', 1), 'value', substr(c, strpos(c, '=') + 1)))
    FROM pg_db_role_setting o LEFT JOIN pg_roles r ON r.oid = o.setrole
      LEFT JOIN pg_database d ON d.oid = o.setdatabase, unnest(o.setconfig) AS c), '[]'::json),
  'role', (SELECT json_build_object('name', rolname, 'can_login', rolcanlogin,
      'valid_until', rolvaliduntil, 'expired', coalesce(rolvaliduntil < now(), false))
    FROM pg_roles WHERE rolname = $1),
  'database', (SELECT json_build_object('name', datname, 'is_open', datallowconn,
      'may_connect', has_database_privilege(r.oid, d.oid, 'CONNECT'),
      'everybody_may_connect', has_database_privilege('public', d.oid, 'CONNECT'))
    FROM pg_database d, pg_roles r WHERE d.datname = $2 AND r.rolname = $1),
  'heartbeat', (SELECT json_build_object('name', 'public.hb',
      'select', has_table_privilege(r.oid, c.oid, 'SELECT'),
      'insert', has_table_privilege(r.oid, c.oid, 'INSERT'),
      'update', has_table_privilege(r.oid, c.oid, 'UPDATE'))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
    WHERE n.nspname = 'public' AND c.relname = 'hb' AND r.rolname = $1
      AND current_database() = $2))";

impl PostgresLink {
    pub(super) async fn standing(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<PgStanding> {
        let asked = async {
            let names: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&self.app.user, &self.app.database];
            let row = session.query_one(STANDING, &names).await.map_err(|e| answer_of(&e))?;
            let Json(standing) = row.try_get(0).map_err(|error| answer_of(&error))?;
            Ok(standing)
        };
        notebook.ask(source::PG_STANDING, self.deadline, asked, words).await
    }
}

fn words(standing: &PgStanding) -> String {
    let kind = match standing.in_recovery {
        Some(true) => "a standby (in recovery)",
        Some(false) => "a primary (not in recovery)",
        None => "not known to be primary or standby",
    };
    let standbys = standing.sync_standbys.map_or_else(
        || "who confirms commits is not shown to this login".to_owned(),
        |count| format!("{count} standbys confirm commits"),
    );
    let mut words =
        vec![kind.to_owned(), standbys, format!("{} commits wait for one", standing.commit_waits)];
    words.extend(standing.overrides.iter().map(override_words));
    words.extend(standing.role.as_ref().map(|role| {
        let login = if role.can_login { "may log in" } else { "may not log in" };
        let until = role.valid_until.as_deref().unwrap_or("for ever");
        format!("role {} {login}, valid until {until}", role.name)
    }));
    words.extend(standing.database.as_ref().map(|database| {
        let open = if database.is_open { "takes connections" } else { "takes no connections" };
        let connect = if database.may_connect { "has" } else { "lacks" };
        format!("database {} {open}, the role {connect} CONNECT", database.name)
    }));
    words.extend(standing.heartbeat.as_ref().map(|table| {
        let rights = [("SELECT", table.select), ("INSERT", table.insert), ("UPDATE", table.update)];
        let has: Vec<&str> = rights.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        let has = if has.is_empty() { "no right".to_owned() } else { has.join(", ") };
        format!("{has} on {}", table.name)
    }));
    words.join("; ")
}

fn override_words(own: &PgOverride) -> String {
    let whose = match (own.role.as_str(), own.database.as_str()) {
        ("", database) => format!("database {database}"),
        (role, "") => format!("role {role}"),
        (role, database) => format!("role {role} in database {database}"),
    };
    format!("{} is `{}` for {whose}", own.name, own.value)
}
