//! The SQL of `kill_idle_transactions`: only sessions that are idle inside a transaction at that moment.

use crate::actions::sessions::statements::{columns, guarded, named, told};

/// The chosen sessions that may be ended, the oldest transaction first, before anything is signalled.
macro_rules! chosen {
    () => {
        concat!(
            "with chosen as materialized (
  select ",
            columns!(),
            "
  ",
            guarded!(),
            "    and s.state like 'idle in transaction%'
",
            named!(),
            "    and s.xact_start <= now() - make_interval(secs => :'min_age_s'::float8)
  order by s.xact_start limit :'max'::int)
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
where a.state like 'idle in transaction%'"
);
