-- answers: who is connected, grouped the way a leak shows
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor
-- $1 text or null: one database only
select datname, usename, application_name, client_addr, state,
       count(*)                                                                        as sessions,
       max(extract(epoch from clock_timestamp() - state_change))::float8               as max_state_s,
       percentile_disc(0.5) within group (order by extract(epoch from clock_timestamp() - state_change))::float8 as median_state_s,
       count(*) filter (where state_change < clock_timestamp() - interval '10 min')    as older_10m,
       count(*) filter (where backend_xid is not null)                                 as have_written,
       application_name like 'simctl/%'                                                 as ours
  from pg_stat_activity
 where backend_type = 'client backend'
   and ($1::text is null or datname = $1)
 group by 1, 2, 3, 4, 5
 order by sessions desc
 limit 100;
