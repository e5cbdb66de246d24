-- answers: what an index on a table would cost, and which indexes and columns it has
-- tested: PostgreSQL 15.18; as a role holding only pg_monitor
-- $1 text: the oid of the table
select greatest(c.reltuples, 0)::float8 as rows,
       coalesce(s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd, 0)::float8 as writes,
       coalesce(s.n_tup_hot_upd, 0)::float8 as hot_updates,
       coalesce((select json_agg(k.keys)
                   from pg_index i
                   cross join lateral (
                     select json_agg(a.attname order by u.n) as keys
                       from unnest(i.indkey) with ordinality u(attnum, n)
                       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.attnum
                      where u.n <= i.indnkeyatts) k
                  where i.indrelid = c.oid and i.indisvalid and i.indpred is null and k.keys is not null), '[]') as indexes,
       (select json_agg(a.attname order by a.attnum)
          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
  from pg_class c
  left join pg_stat_all_tables s on s.relid = c.oid
 where c.oid = $1::oid;
