-- answers: what this server, role and database let us do; run once per connection, decides which variant of every other file runs
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor
select current_setting('server_version_num')::int                        as version_num,
       pg_is_in_recovery()                                               as standby,
       r.rolsuper                                                        as superuser,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')           as read_all_stats,
       pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')        as read_all_settings,
       pg_has_role(current_user, 'pg_stat_scan_tables', 'USAGE')         as scan_tables,
       current_user::text                                                as login,
       current_database()::text                                          as database,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE')           as signal_backend,
       -- roles that exist only from 14 / 16 / 17 / 18: null = not in this version
       (select pg_has_role(current_user, oid, 'USAGE') from pg_roles where rolname = 'pg_read_all_data')            as read_all_data,
       (select pg_has_role(current_user, oid, 'USAGE') from pg_roles where rolname = 'pg_use_reserved_connections') as reserved_slot,
       (select pg_has_role(current_user, oid, 'USAGE') from pg_roles where rolname = 'pg_maintain')                 as maintain,
       (select pg_has_role(current_user, oid, 'USAGE') from pg_roles where rolname = 'pg_signal_autovacuum_worker') as signal_autovacuum,
       (select jsonb_object_agg(e.extname, jsonb_build_object('schema', n.nspname, 'version', e.extversion))
          from pg_extension e join pg_namespace n on n.oid = e.extnamespace
         where e.extname in ('pg_stat_statements', 'pgstattuple', 'hypopg', 'pg_freespacemap', 'amcheck', 'pg_repack', 'pg_trgm')) as extensions,
       -- a reserved setting: refused, not null, to a role without pg_read_all_settings
       case when pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') then
            current_setting('shared_preload_libraries') ~ '\mpg_stat_statements\M' end as statements_preloaded,
       current_setting('synchronous_standby_names')                      as synchronous_standby_names,
       extract(epoch from now() - pg_postmaster_start_time())::float8    as uptime_s,
       (select extract(epoch from now() - stats_reset)::float8 from pg_stat_database where datname = current_database()) as stats_age_s,
       current_setting('block_size')::int                                as block_size,
       current_setting('max_connections')::int                           as max_connections,
       current_setting('superuser_reserved_connections')::int            as superuser_reserved,
       coalesce(current_setting('reserved_connections', true)::int, 0)   as reserved,
       current_setting('compute_query_id', true)                         as compute_query_id,
       current_setting('track_counts')::bool                             as track_counts,
       current_setting('data_checksums')::bool                           as data_checksums
  from pg_roles r
 where r.rolname = current_user;
