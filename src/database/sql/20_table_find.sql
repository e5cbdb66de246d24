-- answers: which relations a name may mean: with a schema that one, bare all of that name outside the system's schemas
-- tested: PostgreSQL 15.18; as a role holding only pg_monitor
-- $1 text: the name, quoted as in SQL
select format('%I.%I', n.nspname, c.relname) as name, c.oid::text as oid,
       case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'm' then 'materialized view'
         when 'v' then 'view' when 'f' then 'foreign table' when 'i' then 'index' when 'I' then 'partitioned index'
         when 'S' then 'sequence' when 't' then 'TOAST table' else 'composite type' end as kind
  from (select parse_ident($1) as parts) p
  join pg_class c on c.relname = p.parts[array_length(p.parts, 1)]
  join pg_namespace n on n.oid = c.relnamespace
 where case array_length(p.parts, 1)
         when 1 then n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
         when 2 then n.nspname = p.parts[1]
         when 3 then n.nspname = p.parts[2] and p.parts[1] = current_database()
         else false end
 order by 1
 limit 20;
