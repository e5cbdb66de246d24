-- answers: who waits for whom, true edges only
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor; row, relation, queue, prepared, advisory and other-database waits
-- edges only (waiter waits for blocker); the tree is built by the caller. blocker 0 = a prepared transaction, named in prepared_gid.
-- run with jit = off. waiters_total > the number of distinct waiters returned means the list was cut.
with w as materialized (
       select l.pid, l.locktype, l.mode, l.database, l.relation, l.transactionid, l.virtualxid, l.classid, l.objid,
              (to_jsonb(l) ->> 'waitstart')::timestamptz as waitstart,                      -- 14+
              count(*) over () as waiters_total
         from pg_locks l
        where not l.granted
        order by 10 nulls last, l.pid
        limit 300)
select w.pid as waiter, a.backend_start as waiter_start, a.query_start as waiter_query_start, b.pid as blocker, ba.backend_start as blocker_start,
       w.locktype, w.mode,
       wd.datname as lock_database, w.relation as lock_relation_oid,
       case when w.database in (0, (select oid from pg_database where datname = current_database())) then w.relation::regclass::text end as lock_relation,
       case when w.locktype = 'advisory' then w.classid::text || '/' || w.objid::text end as advisory_key,
       extract(epoch from clock_timestamp() - coalesce(w.waitstart, a.state_change))::float8 as wait_s,
       w.waitstart is null                         as wait_s_is_upper_bound,
       left(a.query, 2000) as waiter_query, a.state as waiter_state, a.backend_type as waiter_type, (to_jsonb(a) ->> 'leader_pid')::int as waiter_leader,
       ba.state as blocker_state, left(ba.query, 2000) as blocker_query, ba.backend_type as blocker_type, ba.usename as blocker_user,
       ba.application_name as blocker_app, ba.datname as blocker_database,
       extract(epoch from clock_timestamp() - ba.xact_start)::float8 as blocker_xact_s,
       ba.backend_xid is not null                  as blocker_has_written,
       ba.query ~ 'to prevent wraparound' and ba.backend_type = 'autovacuum worker' as blocker_prevents_wraparound,
       px.gid                                      as prepared_gid, px.prepared as prepared_at, px.owner::text as prepared_owner,
       w.waiters_total
  from w
  join pg_stat_activity a on a.pid = w.pid
  left join pg_database wd on wd.oid = w.database
  cross join lateral (select distinct unnest(pg_blocking_pids(w.pid)) as pid) b
  left join pg_stat_activity ba on ba.pid = b.pid
  left join pg_prepared_xacts px on b.pid = 0
       and (px.transaction = w.transactionid
            or exists (select 1 from pg_locks h join pg_locks t on t.virtualtransaction = h.virtualtransaction
                                                 and t.locktype = 'transactionid' and t.transactionid = px.transaction
                        where h.pid is null and h.granted and h.locktype = w.locktype
                          and h.database is not distinct from w.database and h.relation is not distinct from w.relation));
