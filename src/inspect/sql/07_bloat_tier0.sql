-- answers: candidates for bloat: dead rows and what a closer look would cost
-- tested: PostgreSQL 12.22, 13.23, 14.23, 15.18, 16.14, 17.10, 18.4; as a role holding only pg_monitor
-- $1 int: how many. Every poll; takes no lock. read_cost_bytes = what tier 1 would have to read.
with held as materialized (
       select relation from pg_locks
        where mode = 'AccessExclusiveLock' and granted and relation is not null
          and database = (select oid from pg_database where datname = current_database())),
     big as materialized (                      -- relpages of TOAST stays 0 until its first VACUUM; a page holds 4 chunks
       select c.oid, c.relname, c.relnamespace, c.relkind, c.relallvisible,
              case when c.relkind = 't' then greatest(c.relpages, pg_stat_get_live_tuples(c.oid) / 4) else c.relpages end::int8 as pages
         from pg_class c
        where c.relkind in ('r', 'm', 't') and c.relpersistence <> 't'),
     top as materialized (
       select b.*, greatest(b.pages - b.relallvisible, 0) as unseen_pages,
              pg_stat_get_live_tuples(b.oid) as live, pg_stat_get_dead_tuples(b.oid) as dead
         from big b
        where b.pages >= 1280                                                                          -- 10 MB
        order by b.pages desc
        limit $1::int)
select t.oid, n.nspname as schema, t.relname as name, format('%I.%I', n.nspname, t.relname) as relation, t.relkind,
       p.oid::regclass::text                            as toast_of,
       t.pages * bs.b                                   as heap_bytes,
       t.live, t.dead,
       round(100.0 * t.dead / nullif(t.live + t.dead, 0), 2)::float8 as dead_pct,
       t.unseen_pages * bs.b                            as read_cost_bytes,
       t.oid in (select relation from held)             as locked
  from top t
  join pg_namespace n on n.oid = t.relnamespace
  left join pg_class p on p.reltoastrelid = t.oid
  cross join (select current_setting('block_size')::int8 as b) bs
 order by t.pages desc;
