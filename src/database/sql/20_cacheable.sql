-- answers: whether an answer made of these functions and tables depends on nothing but the tables' rows, and whether
--   these may change without being named by the statement that changes them
-- tested: PostgreSQL 15.18; as an ordinary role
-- $1 text[]: names of functions; $2 text[]: names of tables. Of several of one name, all must do.
-- Not system catalogues (the server changes them itself), views (who knows what is in them), temporary or foreign
-- tables, or tables with row security (who asks decides what is seen).
select not exists (select from pg_catalog.pg_proc p
                    where p.proname = any ($1::text[]) and p.provolatile = 'v')
   and not exists (select from pg_catalog.pg_class c
                     join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    where c.relname = any ($2::text[])
                      and (n.nspname in ('pg_catalog', 'information_schema')
                           or c.relkind not in ('r', 'p', 'm') or c.relpersistence = 't' or c.relrowsecurity))
   and (select count(distinct c.relname) from pg_catalog.pg_class c
         where c.relname = any ($2::text[])) = (select count(distinct t) from unnest($2::text[]) t) as fits,
       exists (select from pg_catalog.pg_trigger where not tgisinternal)
    or exists (select from pg_catalog.pg_rewrite where ev_type <> '1' and ev_class >= 16384)
    or exists (select from pg_catalog.pg_constraint k
                 join pg_catalog.pg_class c on c.oid = k.conrelid
                where k.contype = 'f' and c.relname = any ($2::text[])
                  and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')))
    or exists (select from pg_catalog.pg_class c
                where c.relname = any ($2::text[])
                  and (c.relhassubclass or c.relispartition
                       or exists (select from pg_catalog.pg_inherits h where h.inhrelid = c.oid))) as tangled;
