-- answers: how the instance is: sessions against usable slots, oldest transaction, wraparound, archiving, counters
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor
-- our own connections are known by their names. c_* are counters: the caller turns them into deltas, keyed on stats_reset.
select extract(epoch from now() - pg_postmaster_start_time())::int8        as uptime_s,
       pg_is_in_recovery()                                                 as standby,
       a.*,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) as usable_slots,
       (select max(age(datfrozenxid)) from pg_database)                    as max_xid_age,
       (select max(mxid_age(datminmxid)) from pg_database)                 as max_mxid_age,
       coalesce(current_setting('vacuum_failsafe_age', true)::int8, 1600000000) as failsafe_age,
       d.*,
       (select count(*) from pg_settings where pending_restart)            as pending_restart,
       (select count(*) from pg_prepared_xacts where prepared < now() - interval '5 min') as stale_prepared,
       ar.failed_count                                                     as c_archive_failed,
       coalesce(ar.last_failed_time > coalesce(ar.last_archived_time, '-infinity'), false) as archiving_broken
  from (select count(*) filter (where backend_type = 'client backend')                                  as clients,
               count(*) filter (where backend_type = 'client backend' and not mine)                     as clients_foreign,
               count(*) filter (where backend_type = 'client backend' and not mine and state = 'active') as active,
               count(*) filter (where backend_type = 'client backend' and not mine and state = 'idle')  as idle,
               count(*) filter (where not mine and state like 'idle in transaction%')                   as idle_in_tx,
               count(*) filter (where wait_event_type = 'Lock')                                         as lock_waiters,
               count(*) filter (where wait_event = 'SyncRep')                                           as syncrep_waiters,
               max(extract(epoch from clock_timestamp() - xact_start))
                 filter (where backend_type = 'client backend' and not mine and state <> 'idle')::float8 as oldest_xact_s,
               max(extract(epoch from clock_timestamp() - state_change))
                 filter (where not mine and state like 'idle in transaction%')::float8                  as oldest_idle_in_tx_s,
               max(greatest(age(backend_xmin), age(backend_xid))) filter (where not mine)               as oldest_xmin_age
          from (select *, pid = pg_backend_pid() or application_name like 'simctl/%' as mine from pg_stat_activity) s) a,
       (select sum(xact_commit)::int8 as c_commit, sum(xact_rollback)::int8 as c_rollback,
               sum(blks_hit)::int8 as c_hit, sum(blks_read)::int8 as c_read,
               sum(deadlocks)::int8 as c_deadlocks, sum(temp_bytes)::int8 as c_temp_bytes, sum(conflicts)::int8 as c_conflicts,
               sum(coalesce(checksum_failures, 0))::int8 as c_checksum_fail, max(stats_reset) as stats_reset
          from pg_stat_database where datname is not null) d,
       pg_stat_archiver ar;
