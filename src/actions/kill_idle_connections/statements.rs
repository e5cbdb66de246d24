//! The SQL of `kill_idle_connections`. Who may be ended is written once and used by preview and effect alike.
//!
//! Protected besides whom every action spares: holders of advisory locks, and every session that is not idle at
//! that moment.

use crate::actions::sessions::statements::{columns, guarded, named, told};

/// The chosen sessions that may be ended, oldest idle first, before anything is signalled: a filter that signals
/// while it still searches has ended its own caller.
macro_rules! chosen {
    () => {
        concat!(
            "with chosen as materialized (
  select ",
            columns!(),
            "
  ",
            guarded!(),
            "    and s.state in (select unnest(string_to_array(:'states', ',')))
    and not exists (select from pg_locks l where l.pid = s.pid and l.locktype = 'advisory')
",
            named!(),
            "    and (:'roles' = '[]' or s.usename in (select json_array_elements_text(:'roles'::json)))
    and (:'apps' = '[]' or s.application_name in (select json_array_elements_text(:'apps'::json)))
    and s.state_change <= now() - make_interval(secs => :'min_idle_s'::float8)
  order by s.state_change limit :'max'::int)
"
        )
    };
}

/// Who would be ended.
pub(super) const CANDIDATES: &str = concat!(chosen!(), told!());

/// Ends them: one row for each that was signalled.
pub(super) const SIGNAL: &str = concat!(
    chosen!(),
    "select json_build_object('pid', a.pid, 'backend_start', a.backend_start,
  'signalled', pg_terminate_backend(a.pid))::text
from chosen c join pg_stat_activity a on a.pid = c.pid and a.backend_start = c.backend_start
where a.state = 'idle'"
);
