//! The SQL of `kill_idle_connections`. Who may be ended is written once and used by preview and effect alike.
//!
//! Protected: our own sessions, superusers, replication roles, holders of advisory locks, everything that is not a
//! client backend, and every session that is not idle at that moment.

/// The chosen sessions that may be ended, oldest idle first, before anything is signalled: a filter that signals
/// while it still searches has ended its own caller.
macro_rules! chosen {
    () => {
        "with chosen as materialized (
  select s.pid, s.backend_start, s.usename, s.application_name, s.client_addr, s.state, s.state_change, s.backend_xid
  from pg_stat_activity s join pg_roles r on r.oid = s.usesysid
  where s.backend_type = 'client backend' and s.state = 'idle' and s.pid <> pg_backend_pid()
    and not r.rolsuper and not r.rolreplication
    and coalesce(s.application_name, '') not like 'simctl/%'
    and not exists (select from pg_locks l where l.pid = s.pid and l.locktype = 'advisory')
    and (:'sessions' = '[]' or exists (
      select from json_to_recordset(:'sessions'::json) as w(pid int, backend_start timestamptz)
      where w.pid = s.pid and w.backend_start = s.backend_start))
    and (:'roles' = '[]' or s.usename in (select json_array_elements_text(:'roles'::json)))
    and (:'apps' = '[]' or s.application_name in (select json_array_elements_text(:'apps'::json)))
    and s.state_change <= now() - make_interval(secs => :'min_idle_s'::float8)
  order by s.state_change limit :'max'::int)
"
    };
}

/// Who would be ended.
pub(super) const CANDIDATES: &str = concat!(
    chosen!(),
    "select json_build_object(
  'server_start', pg_postmaster_start_time(), 'now', clock_timestamp(),
  'sessions', coalesce((select json_agg(json_build_object(
    'pid', pid, 'backend_start', backend_start, 'user', usename, 'app', coalesce(application_name, ''),
    'client', coalesce(host(client_addr), 'the local socket'), 'state', state,
    'idle_s', extract(epoch from now() - state_change)::float8, 'has_written', backend_xid is not null)
    order by state_change) from chosen), '[]'::json))::text"
);

/// Ends them: one row for each that was signalled.
pub(super) const SIGNAL: &str = concat!(
    chosen!(),
    "select json_build_object('pid', a.pid, 'backend_start', a.backend_start,
  'signalled', pg_terminate_backend(a.pid))::text
from chosen c join pg_stat_activity a on a.pid = c.pid and a.backend_start = c.backend_start
where a.state = 'idle'"
);

/// Which of these sessions are still there.
pub(super) const STILL_THERE: &str =
    "select coalesce(json_agg(json_build_object('pid', s.pid, 'backend_start', s.backend_start)), '[]'::json)::text
from json_to_recordset(:'sessions'::json) as w(pid int, backend_start timestamptz)
join pg_stat_activity s on s.pid = w.pid and s.backend_start = w.backend_start";

/// How full the server is, who is left of these sessions, and how many like them came after.
pub(super) const PROOF: &str = "select json_build_object(
  'server_start', pg_postmaster_start_time(),
  'slots', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
  'still_there', (select count(*) from json_to_recordset(:'sessions'::json)
    as w(pid int, backend_start timestamptz)
    join pg_stat_activity s on s.pid = w.pid and s.backend_start = w.backend_start),
  'came_back', (select count(*) from pg_stat_activity s
    where s.backend_type = 'client backend' and s.state = 'idle' and s.pid <> pg_backend_pid()
      and coalesce(s.application_name, '') not like 'simctl/%'
      and exists (select from json_to_recordset(:'sessions'::json) as w(\"user\" text, app text)
        where w.\"user\" = s.usename and w.app = coalesce(s.application_name, ''))
      and s.backend_start > :'since'::timestamptz))::text";
