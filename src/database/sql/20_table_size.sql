-- answers: the size of one table with its indexes and TOAST, and how many rows it is thought to have
-- tested: PostgreSQL 15.18; as a role holding only pg_monitor
-- $1 text: the oid of the table. Asked last, since the size waits behind whoever holds the table alone.
select pg_total_relation_size(c.oid) as size,
       case when c.reltuples >= 0 then c.reltuples::int8 end as rows_estimate
  from pg_class c
 where c.oid = $1::oid;
