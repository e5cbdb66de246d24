//! The questions the probes ask PostgreSQL, and the readings in the answers.

use tokio_postgres::Row;

use crate::domain::sample::reading;

/// One row of numbers, each named as its reading. `$1` is the leak age in seconds. A login that may not see
/// other roles' sessions counts all backends of all databases instead and leaves the states out. Locks are looked
/// at only when somebody waits; since when, servers before version 14 do not say.
pub(super) const STATISTICS: &str = "
WITH seen AS (
    SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS everything
), client AS MATERIALIZED (
    SELECT pid, application_name, state, wait_event_type, query_start,
           extract(epoch FROM now() - state_change)::float8 AS age,
           pid = pg_backend_pid() OR coalesce(application_name LIKE 'simctl/%', false) AS own
      FROM pg_stat_activity WHERE backend_type = 'client backend'
), leak AS (
    SELECT count(*) AS sessions FROM client
     WHERE NOT own AND state = 'idle' AND age > $1 GROUP BY application_name
), sum AS (
    SELECT count(*) FILTER (WHERE NOT own) AS others,
           count(*) FILTER (WHERE own) AS own,
           count(*) FILTER (WHERE NOT own AND state = 'idle') AS idle,
           count(*) FILTER (WHERE NOT own AND state LIKE 'idle in transaction%') AS idle_xact,
           count(*) FILTER (WHERE NOT own AND state = 'active') AS active,
           count(*) FILTER (WHERE NOT own AND wait_event_type = 'Lock') AS waiting,
           max(age) FILTER (WHERE NOT own AND state = 'idle') AS oldest
      FROM client
), databases AS (
    SELECT sum(numbackends) AS backends, sum(xact_commit) AS commits,
           sum(xact_rollback) AS rollbacks, sum(deadlocks) AS deadlocks
      FROM pg_stat_database
)
SELECT (CASE WHEN everything THEN others ELSE greatest(backends - own, 0) END)::float8 AS sessions,
       own::float8 AS own_sessions,
       CASE WHEN everything THEN idle::float8 END AS idle_sessions,
       CASE WHEN everything THEN idle_xact::float8 END AS idle_in_transaction,
       CASE WHEN everything THEN active::float8 END AS active_sessions,
       CASE WHEN everything THEN waiting::float8 END AS lock_waits,
       CASE WHEN everything AND waiting = 0 THEN 0::float8
            WHEN everything THEN (SELECT coalesce(max(extract(epoch FROM clock_timestamp() -
                coalesce((to_jsonb(l)->>'waitstart')::timestamptz,
                    CASE WHEN current_setting('server_version_num')::int < 140000
                         THEN client.query_start END))), 0)::float8
              FROM pg_locks l JOIN client ON client.pid = l.pid AND NOT client.own
             WHERE NOT l.granted) END AS longest_lock_wait_seconds,
       CASE WHEN everything THEN oldest END AS oldest_idle_seconds,
       CASE WHEN everything THEN coalesce((SELECT max(leak.sessions) FROM leak), 0)::float8 END
           AS leaked_idle_sessions,
       current_setting('max_connections')::float8 AS max_connections,
       current_setting('superuser_reserved_connections')::float8
           + coalesce(current_setting('reserved_connections', true)::float8, 0)
           AS reserved_connections,
       commits::float8 AS commits_total,
       rollbacks::float8 AS rollbacks_total,
       deadlocks::float8 AS deadlocks_total,
       extract(epoch FROM now() - pg_postmaster_start_time())::float8 AS uptime_seconds
  FROM seen, sum, databases";

/// Reads as an application would, and says whether there is our heartbeat table to write to. A table that
/// belongs to the role but that it may not write is written to all the same: that is a fault to be felt.
pub(super) const READ: &str = "
SELECT 1, EXISTS (
    SELECT FROM pg_catalog.pg_class c
     WHERE c.oid = pg_catalog.to_regclass('public.hb') AND c.relkind = 'r'
       AND (pg_catalog.pg_get_userbyid(c.relowner) = current_user
            OR pg_catalog.has_table_privilege(c.oid, 'INSERT')
               AND pg_catalog.has_table_privilege(c.oid, 'UPDATE'))
       AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attname IN ('id', 'at') AND NOT a.attisdropped) = 2)";

/// The write of an application; only where the lab made `hb (id int PRIMARY KEY, at timestamptz)`.
pub(super) const WRITE: &str = "
INSERT INTO public.hb (id, at) VALUES (1, pg_catalog.now())
ON CONFLICT (id) DO UPDATE SET at = excluded.at";

/// Lifts what could cut a question.
pub(super) const NO_TIMEOUT: &str = "SET statement_timeout = 0";

/// What a diagnosis compares with later: server settings as the application has them, and the limits.
pub(super) const SETTINGS: &str = "
SELECT name, reset_val || coalesce(unit, '') FROM pg_catalog.pg_settings WHERE name IN (
    'max_connections', 'superuser_reserved_connections', 'reserved_connections', 'shared_buffers',
    'work_mem', 'maintenance_work_mem', 'temp_file_limit', 'max_wal_size', 'autovacuum',
    'default_transaction_read_only', 'statement_timeout', 'lock_timeout', 'deadlock_timeout',
    'idle_session_timeout', 'idle_in_transaction_session_timeout', 'synchronous_commit',
    'synchronous_standby_names', 'archive_mode', 'archive_command', 'max_slot_wal_keep_size',
    'enable_indexscan', 'enable_bitmapscan', 'max_prepared_transactions', 'password_encryption', 'server_version')
UNION ALL
SELECT 'role.' || rolname || '.connection_limit', rolconnlimit::text
  FROM pg_catalog.pg_roles WHERE rolconnlimit <> -1
UNION ALL
SELECT 'database.' || datname || '.connection_limit', datconnlimit::text
  FROM pg_catalog.pg_database WHERE datconnlimit <> -1
UNION ALL
SELECT 'role.' || rolname || '.valid_until', coalesce(rolvaliduntil::text, 'infinity')
  FROM pg_catalog.pg_roles WHERE rolname = current_user
UNION ALL
SELECT 'database.' || datname || '.connect_by_everybody',
       has_database_privilege('public', oid, 'CONNECT')::text
  FROM pg_catalog.pg_database WHERE datname = current_database()
UNION ALL
SELECT 'table.public.hb.rights', concat_ws(', ',
       CASE WHEN has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
       CASE WHEN has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
       CASE WHEN has_table_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND c.relname = 'hb'";

/// Numbers of a row under their names.
pub(super) type Numbers = Vec<(&'static str, f64)>;

/// The numbers of a [`STATISTICS`] row under their names; what is NULL there is absent here.
pub(super) fn readings(row: &Row) -> Numbers {
    const NAMES: [&str; 15] = [
        reading::SESSIONS,
        reading::OWN_SESSIONS,
        reading::IDLE_SESSIONS,
        reading::IDLE_IN_TRANSACTION,
        reading::ACTIVE_SESSIONS,
        reading::LOCK_WAITS,
        reading::LONGEST_LOCK_WAIT_SECONDS,
        reading::OLDEST_IDLE_SECONDS,
        reading::LEAKED_IDLE_SESSIONS,
        reading::MAX_CONNECTIONS,
        reading::RESERVED_CONNECTIONS,
        reading::COMMITS_TOTAL,
        reading::ROLLBACKS_TOTAL,
        reading::DEADLOCKS_TOTAL,
        reading::UPTIME_SECONDS,
    ];
    named(row, &NAMES)
}

fn named(row: &Row, names: &[&'static str]) -> Numbers {
    let value = |name: &str| row.try_get::<_, Option<f64>>(name).ok().flatten();
    names.iter().filter_map(|name| Some((*name, value(name)?))).collect()
}

/// The table with the most dead rows in this database, and how large ones are read: a scan of a small table costs
/// nothing, whichever way. Costs more the more tables there are, so it is asked rarely.
pub(super) const TABLES: &str = "
WITH t AS MATERIALIZED (
    SELECT oid, pg_stat_get_dead_tuples(oid) AS dead, pg_stat_get_live_tuples(oid) AS live,
           reltuples >= 10000 AS is_large
      FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384
)
SELECT dead::float8 AS dead_rows, live::float8 AS live_rows,
       (SELECT count(*) FROM pg_stat_progress_vacuum)::float8 AS vacuums,
       (SELECT coalesce(sum(pg_stat_get_numscans(oid)), 0) FROM t WHERE is_large)::float8 AS full_scans_total,
       (SELECT coalesce(sum(pg_stat_get_numscans(i.indexrelid)), 0)
          FROM t JOIN pg_index i ON i.indrelid = t.oid WHERE is_large)::float8 AS index_scans_total
  FROM t ORDER BY dead DESC LIMIT 1";

/// What the server keeps and nobody needs: WAL for others, indexes without a use. An index that is being built or
/// dropped is somebody's work.
pub(super) const UPKEEP: &str = "
SELECT (SELECT coalesce(max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                   ELSE pg_current_wal_lsn() END, restart_lsn)), 0)
          FROM pg_replication_slots WHERE NOT active)::float8 AS slot_retained_bytes,
       (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity')
                   AND current_setting('archive_mode') <> 'off', false)::int
          FROM pg_stat_archiver)::float8 AS archive_is_failing,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN (
         SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
          WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't'
            AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
            AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = i.indexrelid AND l.granted
                               AND l.mode = 'ShareUpdateExclusiveLock')) END::float8 AS invalid_indexes";

/// The numbers of a [`TABLES`] row.
pub(super) fn table_readings(row: &Row) -> Numbers {
    let names = [
        reading::DEAD_ROWS,
        reading::LIVE_ROWS,
        reading::VACUUMS,
        reading::FULL_SCANS_TOTAL,
        reading::INDEX_SCANS_TOTAL,
    ];
    named(row, &names)
}

/// The numbers of an [`UPKEEP`] row.
pub(super) fn upkeep_readings(row: &Row) -> Numbers {
    let names =
        [reading::SLOT_RETAINED_BYTES, reading::ARCHIVE_IS_FAILING, reading::INVALID_INDEXES];
    named(row, &names)
}

/// Who keeps WAL: the archive, and every replication slot.
pub(super) const WAL: &str = "
SELECT json_build_object(
  'archives', current_setting('archive_mode') <> 'off',
  'failed', failed_count,
  'failed_s', extract(epoch FROM clock_timestamp() - last_failed_time),
  'archived_s', extract(epoch FROM clock_timestamp() - last_archived_time),
  'stuck_at', last_failed_wal,
  'slots', coalesce((SELECT json_agg(json_build_object(
      'name', slot_name, 'kind', slot_type, 'active', active, 'position', restart_lsn::text,
      'retained', greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
          ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint) ORDER BY restart_lsn)
    FROM pg_replication_slots WHERE restart_lsn IS NOT NULL), '[]'::json))
  FROM pg_stat_archiver";

/// How many deadlocks the server has broken, by database.
pub(super) const DEADLOCKS: &str = "
SELECT coalesce(json_agg(json_build_array(datname, deadlocks) ORDER BY deadlocks DESC, datname), '[]'::json)
  FROM pg_stat_database WHERE deadlocks > 0 AND datname IS NOT NULL";

/// Sequences of this database that have given their last number, as far as the login may see it.
pub(super) const ENDED: &str = "
SELECT coalesce(json_agg(json_build_object('schema', s.schemaname, 'name', s.sequencename, 'kind', s.data_type::text,
    'end', CASE WHEN s.increment_by > 0 THEN s.max_value ELSE s.min_value END,
    'table', coalesce((SELECT d.refobjid::regclass::text FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
          AND d.objid = format('%I.%I', s.schemaname, s.sequencename)::regclass LIMIT 1), ''))
    ORDER BY s.schemaname, s.sequencename), '[]'::json)
  FROM pg_sequences s
 WHERE NOT s.cycle AND CASE WHEN s.increment_by > 0 THEN s.last_value >= s.max_value
                            ELSE s.last_value <= s.min_value END";

/// The shared table of locks: how much of it is taken, and by whom most.
pub(super) const LOCKS: &str = "
WITH held AS MATERIALIZED (
    SELECT coalesce(pid, 0) AS pid, count(*) AS locks FROM pg_locks WHERE NOT fastpath GROUP BY 1
)
SELECT json_build_object('promised', current_setting('max_locks_per_transaction')::int,
  'taken', (SELECT coalesce(sum(locks), 0) FROM held)::bigint,
  'holders', coalesce((SELECT json_agg(json_build_array(pid, locks)) FROM
      (SELECT * FROM held ORDER BY locks DESC, pid LIMIT 3) most), '[]'::json))";

/// Takes as many locks as every transaction is promised, and lets go of them at once: shared ones, which nobody waits
/// for, under a number of our own.
pub(super) const PROMISED: &str = "
SELECT count(pg_try_advisory_xact_lock_shared(1936289652, n)) FROM generate_series(1,
    current_setting('max_locks_per_transaction')::int) n";

/// Indexes of this database that no query may use, and who is at work on them or their tables.
pub(super) const INVALID: &str = "
SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'table', t.relname,
    'definition', pg_get_indexdef(c.oid), 'bytes', pg_relation_size(c.oid), 'is_unique', i.indisunique,
    'is_worked_on', EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
      OR EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.granted
                    AND l.mode = 'ShareUpdateExclusiveLock')) ORDER BY n.nspname, c.relname), '[]'::json)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't'";

/// Client backends other than our own. Asking who blocks whom takes locks, so only those who wait are asked.
pub(super) const SESSIONS: &str = "
WITH advisory AS MATERIALIZED (
    SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
)
SELECT a.pid, a.backend_start,
       coalesce(a.usename::text, '') AS usename,
       coalesce(a.datname::text, '') AS datname,
       coalesce(a.application_name, '') AS application_name,
       coalesce(host(a.client_addr), 'local') AS client, nullif(a.client_port, -1) AS client_port,
       coalesce(a.state, 'unknown') AS state,
       coalesce(extract(epoch FROM now() - a.state_change), 0)::float8 AS state_age,
       extract(epoch FROM now() - a.xact_start)::float8 AS xact_age,
       extract(epoch FROM now() - a.query_start)::float8 AS query_age,
       a.wait_event_type, a.wait_event,
       a.backend_xid IS NOT NULL AS has_written,
       CASE WHEN a.datname = current_database()
            THEN greatest(age(a.backend_xmin), age(a.backend_xid)) END AS horizon_age,
       a.query_start,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END AS blocked_by,
       EXISTS (SELECT FROM advisory WHERE advisory.pid = a.pid) AS holds_advisory_lock,
       coalesce(r.rolsuper, false) AS is_superuser
  FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
 WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
   AND coalesce(a.application_name, '') NOT LIKE 'simctl/%'
 ORDER BY a.backend_start, a.pid";

/// One row about the server itself.
pub(super) const SERVER: &str = "
SELECT pg_postmaster_start_time() AS started_at,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       (SELECT count(*)::int FROM pg_stat_activity
         WHERE backend_type = 'client backend'
           AND (pid = pg_backend_pid() OR application_name LIKE 'simctl/%')) AS own_sessions";

/// Connection limits, where there are any.
pub(super) const LIMITS: &str = "
SELECT rolname::text AS name, rolconnlimit AS connections, true AS is_role
  FROM pg_roles WHERE rolconnlimit <> -1
UNION ALL
SELECT datname::text, datconnlimit, false FROM pg_database WHERE datconnlimit <> -1
 ORDER BY 1";

/// When the server started, to the microsecond.
pub(super) const STARTED: &str = "
SELECT to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

/// Tables of this database with dead rows, most first.
pub(super) const DEAD_ROWS: &str = "
SELECT n.nspname::text AS schema, c.relname::text AS name,
       pg_stat_get_live_tuples(c.oid) AS live, pg_stat_get_dead_tuples(c.oid) AS dead,
       extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_vacuum_time(c.oid),
           pg_stat_get_last_autovacuum_time(c.oid)))::float8 AS vacuumed_s,
       coalesce(c.reloptions @> '{autovacuum_enabled=false}' OR c.reloptions @> '{autovacuum_enabled=off}', false)
           AS autovacuum_off,
       EXISTS (SELECT FROM pg_stat_progress_vacuum p WHERE p.relid = c.oid) AS is_being_vacuumed
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND pg_stat_get_dead_tuples(c.oid) > 0
 ORDER BY dead DESC LIMIT 5";

/// What is no session and may still need old rows or hold locks: prepared transactions and replication slots.
pub(super) const HOLDERS: &str = "
SELECT 'prepared' AS kind, gid::text AS name, age(transaction) AS horizon_age,
       extract(epoch FROM now() - prepared)::float8 AS age_s, prepared, owner::text AS owner,
       ARRAY(SELECT l.relation::regclass::text FROM pg_locks l
              WHERE l.pid IS NULL AND l.relation IS NOT NULL
                AND l.virtualtransaction IN (SELECT o.virtualtransaction FROM pg_locks o
                      WHERE o.pid IS NULL AND o.transactionid = x.transaction)
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              ORDER BY 1 LIMIT 3) AS locked
  FROM pg_prepared_xacts x WHERE database = current_database()
UNION ALL
SELECT 'slot', slot_name::text, age(xmin), NULL, NULL, '', '{}' FROM pg_replication_slots WHERE xmin IS NOT NULL
 ORDER BY 3 DESC";
