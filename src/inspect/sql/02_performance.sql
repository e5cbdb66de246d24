-- answers: what runs now: query, transaction and state age, waits, and whether an open transaction harms anyone
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor
-- identity of a session is (pid, backend_start), never pid alone; columns of newer versions are null on older ones
select a.pid, a.backend_start, a.query_start, a.datname, a.usename, a.application_name, a.client_addr, a.backend_type, a.state,
       a.wait_event_type, a.wait_event,
       case when a.state = 'active' then extract(epoch from clock_timestamp() - a.query_start)::float8 end as query_s,
       extract(epoch from clock_timestamp() - a.xact_start)::float8   as xact_s,
       extract(epoch from clock_timestamp() - a.state_change)::float8 as state_s,
       a.backend_xid is not null                                      as has_written,
       age(a.backend_xmin)                                            as xmin_age,
       (to_jsonb(a) ->> 'leader_pid')::int                            as leader_pid,     -- 13+
       (to_jsonb(a) ->> 'query_id')::int8                             as query_id,       -- 14+
       left(a.query, 2000)                                            as query
  from pg_stat_activity a
 where a.pid <> pg_backend_pid() and a.application_name not like 'simctl/%'
   and a.backend_type in ('client backend', 'parallel worker', 'autovacuum worker')
   and a.state is distinct from 'idle'
 order by a.xact_start nulls last
 limit 200;
