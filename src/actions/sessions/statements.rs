//! The SQL that all actions on sessions share: who may be signalled at all, how a session is named and told.

/// Whom an action may consider. Protected: ourselves and our own sessions, superusers, replication roles, and
/// everything that is not a client backend.
macro_rules! guarded {
    () => {
        "from pg_stat_activity s join pg_roles r on r.oid = s.usesysid
  where s.backend_type = 'client backend' and s.pid <> pg_backend_pid()
    and not r.rolsuper and not r.rolreplication
    and coalesce(s.application_name, '') not like 'simctl/%'
"
    };
}

/// One of the named sessions, or any where none is named.
macro_rules! named {
    () => {
        "    and (:'sessions' = '[]' or exists (
      select from json_to_recordset(:'sessions'::json) as w(pid int, backend_start timestamptz)
      where w.pid = s.pid and w.backend_start = s.backend_start))
"
    };
}

/// What is known of a session; `chosen` holds sessions of the first.
macro_rules! columns {
    () => {
        "s.pid, s.backend_start, s.usename, s.application_name, s.client_addr, s.state, s.state_change, s.xact_start,
    s.query_start, s.backend_xid"
    };
}

/// The sessions of `chosen` as one JSON value.
macro_rules! told {
    () => {
        "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'now', clock_timestamp(),
  'sessions', coalesce((select json_agg(json_build_object(
    'pid', pid, 'backend_start', backend_start, 'user', usename, 'app', coalesce(application_name, ''),
    'client', coalesce(host(client_addr), 'the local socket'), 'state', state,
    'state_age_s', extract(epoch from now() - state_change)::float8, 'has_written', backend_xid is not null)
    order by state_change) from chosen), '[]'::json))::text"
    };
}

pub(in crate::actions) use {columns, guarded, named, told};

/// Which of these sessions are still there.
pub(super) const STILL_THERE: &str =
    "select coalesce(json_agg(json_build_object('pid', s.pid, 'backend_start', s.backend_start)), '[]'::json)::text
from json_to_recordset(:'sessions'::json) as w(pid int, backend_start timestamptz)
join pg_stat_activity s on s.pid = w.pid and s.backend_start = w.backend_start";

/// How full the server is, who is left of these sessions, and how many like them, in a like state, came after.
pub(super) const PROOF: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(),
  'slots', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
  'still_there', (select count(*) from json_to_recordset(:'sessions'::json)
    as w(pid int, backend_start timestamptz)
    join pg_stat_activity s on s.pid = w.pid and s.backend_start = w.backend_start),
  'came_back', (select count(*) from pg_stat_activity s
    where s.backend_type = 'client backend' and s.state like :'state' and s.pid <> pg_backend_pid()
      and coalesce(s.application_name, '') not like 'simctl/%'
      and exists (select from json_to_recordset(:'sessions'::json) as w(\"user\" text, app text)
        where w.\"user\" = s.usename and w.app = coalesce(s.application_name, ''))
      and s.state_change <= now() - make_interval(secs => :'still_s'::float8)
      and s.backend_start > :'since'::timestamptz))::text";
