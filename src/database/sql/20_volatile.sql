-- answers: what among these functions, or among all operators, casts and aggregates of this database, may do anything
-- tested: PostgreSQL 15.18; as an ordinary role
-- $1 text[]: names of functions that are called; $2 text[]: built-in ones that are volatile and harmless.
-- An operator, a cast or the step of an aggregate is not seen by name in a plan: one that is volatile spoils all.
select p.proname::text
  from pg_catalog.pg_proc p
 where p.provolatile = 'v'
   and (   (p.proname = any ($1::text[])
            and not (p.proname = any ($2::text[]) and p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace))
        or (p.oid >= 16384 and exists (select from pg_catalog.pg_operator o where o.oprcode = p.oid))
        or (p.oid >= 16384 and exists (select from pg_catalog.pg_cast c where c.castfunc = p.oid))
        or (p.oid >= 16384 and exists (select from pg_catalog.pg_aggregate a
                     join pg_catalog.pg_proc whole on whole.oid = a.aggfnoid
                    where whole.proname = any ($1::text[]) and p.oid in (a.aggtransfn, a.aggfinalfn, a.aggcombinefn))))
 limit 1;
