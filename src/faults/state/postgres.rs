//! What of a PostgreSQL server a fault could change: limits, rights, settings of every scope, replication slots.

use crate::faults::reach::{self, Session};
use crate::faults::{FaultError, reach::postgres_link};
use crate::targets::Server;

/// The database that is there besides the application's, which may be closed.
const ANOTHER: &str = "postgres";

/// Rights are shown in full: no entry at all means the default ones.
const OF_THE_SERVER: &str = "
select 'connection limit of role ' || rolname, rolconnlimit::text from pg_roles where rolname !~ '^pg_'
union all select 'login of role ' || rolname, rolcanlogin::text || ', valid until ' ||
  coalesce(rolvaliduntil::text, 'infinity') from pg_roles where rolname !~ '^pg_'
union all select 'connection limit of database ' || datname, datconnlimit::text from pg_database
union all select 'connections to database ' || datname, datallowconn::text from pg_database
union all select 'rights on database ' || d.datname || ' of ' || coalesce(r.rolname, 'everybody'),
    string_agg(a.privilege_type, ', ' order by a.privilege_type)
  from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    left join pg_roles r on r.oid = a.grantee group by d.datname, r.rolname
union all select 'settings of role ' || coalesce(setrole::regrole::text, '*') || ' in database ' ||
  coalesce((select datname from pg_database d where d.oid = setdatabase), '*'),
  array_to_string(setconfig, ', ') from pg_db_role_setting
union all select 'postgresql.auto.conf: ' || name, setting from pg_file_settings
  where sourcefile like '%/postgresql.auto.conf'
union all select 'pg_hba.conf (MD5)', md5(pg_read_file(current_setting('hba_file')))
union all select 'prepared transaction ' || gid, database from pg_prepared_xacts
union all select 'max_connections', current_setting('max_connections')
union all select 'replication slot ' || slot_name, slot_type from pg_replication_slots";

const OF_THE_DATABASE: &str = "
select 'rights on table ' || c.oid::regclass || ' of ' || coalesce(r.rolname, 'everybody'),
    string_agg(a.privilege_type, ', ' order by a.privilege_type)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace,
    aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
    left join pg_roles r on r.oid = a.grantee
  where n.nspname = 'public' and c.relkind = 'r' group by c.oid, r.rolname
union all select 'table ' || c.oid::regclass, coalesce(s.spcname, 'default tablespace')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_tablespace s on s.oid = c.reltablespace
  where n.nspname = 'public' and c.relkind = 'r'";

/// Every such thing by its name.
pub(super) async fn standing(server: &Server) -> Result<Vec<(String, String)>, FaultError> {
    let mut found = ask(&reach::superuser_in(server, ANOTHER).await?, OF_THE_SERVER).await?;
    let database = &postgres_link(server)?.app.database;
    // A database that is closed says so above.
    if let Ok(session) = reach::superuser_in(server, database).await {
        found.extend(ask(&session, OF_THE_DATABASE).await?);
    }
    Ok(found)
}

async fn ask(session: &Session, sql: &str) -> Result<Vec<(String, String)>, FaultError> {
    let rows = session.client.query(sql, &[]).await;
    let rows = rows.map_err(|e| reach::sql_failed("read settings, limits and rights", e))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
