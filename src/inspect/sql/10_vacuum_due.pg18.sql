-- answers: which tables are past their own autovacuum, insert or freeze thresholds
-- tested: not yet; in an earlier form on PostgreSQL 18.4; as a role holding only pg_monitor
-- $1 int: how many. A TOAST table without options of its own follows those of its table, as autovacuum does.
with g as materialized (
       select current_setting('autovacuum_vacuum_threshold')::float8 as vt, current_setting('autovacuum_vacuum_scale_factor')::float8 as vs,
              current_setting('autovacuum_vacuum_insert_threshold', true)::float8 as it, current_setting('autovacuum_vacuum_insert_scale_factor', true)::float8 as isf,
              nullif(current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1) as vm,
              current_setting('autovacuum_freeze_max_age')::float8 as fma, current_setting('autovacuum_multixact_freeze_max_age')::float8 as mfma,
              current_setting('autovacuum')::bool and current_setting('track_counts')::bool as autovacuum_runs),
     t as materialized (
       select c.oid, c.relname, c.relnamespace, c.relkind, greatest(c.reltuples, 0)::float8 as rt,
              age(c.relfrozenxid) as xid_age, mxid_age(c.relminmxid) as mxid_age,
              pg_stat_get_dead_tuples(c.oid)::float8 as dead, pg_stat_get_ins_since_vacuum(c.oid)::float8 as ins,
              case when c.relpages > 0 and c.relallfrozen > 0 then 1 - least(c.relallfrozen, c.relpages)::float8 / c.relpages else 1 end as unfrozen,
              coalesce(c.reloptions, p.reloptions) as opts
         from pg_class c left join pg_class p on c.relkind = 't' and p.reltoastrelid = c.oid
        where c.relkind in ('r', 'm', 't') and c.relpersistence <> 't'),
     o as materialized (
       select t.oid, x.* from t, lateral (
              select max(option_value) filter (where option_name = 'autovacuum_vacuum_threshold')::float8    as vt,
                     max(option_value) filter (where option_name = 'autovacuum_vacuum_scale_factor')::float8 as vs,
                     max(option_value) filter (where option_name = 'autovacuum_vacuum_max_threshold')::float8 as vm,
                     max(option_value) filter (where option_name = 'autovacuum_vacuum_insert_threshold')::float8    as it,
                     max(option_value) filter (where option_name = 'autovacuum_vacuum_insert_scale_factor')::float8 as isf,
                     max(option_value) filter (where option_name = 'autovacuum_freeze_max_age')::float8      as fma,
                     max(option_value) filter (where option_name = 'autovacuum_enabled')::bool               as enabled
                from pg_options_to_table(t.opts)) x
        where t.opts is not null),
     f as (
       select t.*, g.autovacuum_runs and coalesce(o.enabled, true) as autovacuum_on,
              least(coalesce(o.vt, g.vt) + coalesce(o.vs, g.vs) * t.rt, coalesce(nullif(o.vm, -1), g.vm, 'Infinity')) as threshold,
              case when coalesce(o.it, g.it) >= 0 then coalesce(o.it, g.it) + coalesce(o.isf, g.isf) * t.rt * t.unfrozen end as insert_threshold,
              least(coalesce(o.fma, g.fma), g.fma) as fma, g.mfma
         from t cross join g left join o on o.oid = t.oid),
     top as materialized (                        -- what follows is asked for these only
       select f.* from f
       order by greatest(f.dead / nullif(f.threshold, 0), f.ins / nullif(f.insert_threshold, 0), f.xid_age / f.fma, f.mxid_age / f.mfma, 0) desc
        limit $1::int)
select f.oid, n.nspname as schema, f.relname as name, format('%I.%I', n.nspname, f.relname) as relation, f.relkind, f.dead::int8 as dead, f.threshold,
       round((f.dead / nullif(f.threshold, 0))::numeric, 2)::float8       as due_x,
       round((f.ins / nullif(f.insert_threshold, 0))::numeric, 2)::float8 as insert_due_x,
       round((100 * f.xid_age / f.fma)::numeric, 1)::float8               as freeze_pct,
       round((100 * f.mxid_age / f.mfma)::numeric, 1)::float8             as multixact_pct,
       pg_stat_get_mod_since_analyze(f.oid) as mods_since_analyze, f.autovacuum_on,
       greatest(pg_stat_get_last_vacuum_time(f.oid), pg_stat_get_last_autovacuum_time(f.oid)) as last_vacuum,
       greatest(pg_stat_get_last_analyze_time(f.oid), pg_stat_get_last_autoanalyze_time(f.oid)) as last_analyze
  from top f join pg_namespace n on n.oid = f.relnamespace
 order by greatest(f.dead / nullif(f.threshold, 0), f.ins / nullif(f.insert_threshold, 0), f.xid_age / f.fma, f.mxid_age / f.mfma, 0) desc;
