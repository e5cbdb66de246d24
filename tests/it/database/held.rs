//! Without `write` nothing is changed: by the server's own permission, however the statement is dressed, and also
//! for a superuser.

use simctl::database::Workbench;
use simctl::database::query::{QueryRequest, query};
use simctl::targets::Link;

use super::bench::{asked, code, one, postgres, read, run, superuser, workbench};
use crate::faults::bench::Bench;

const MADE: &str = "create table public.t (id int primary key, note text); \
    insert into t select g, 'n' from generate_series(1, 50) g; \
    alter table t owner to app; \
    create sequence public.s; alter sequence s owner to app; \
    create function public.sly() returns int language plpgsql volatile as $$ begin delete from public.t; return 1; end $$; \
    create function public.lift() returns text language plpgsql volatile as $$ begin \
      perform set_config('transaction_read_only', 'off', false); delete from public.t; return 'lifted'; end $$; \
    create procedure public.p() language plpgsql as $$ begin delete from public.t; commit; end $$; \
    create view public.v as select sly() as x; grant select on v to app";

/// Everything that would change something, in many dresses.
const ATTEMPTS: &[&str] = &[
    "delete from t",
    "DELETE FROM t WHERE id = 1 RETURNING *",
    "update t set note = 'x'",
    "insert into t values (100, 'x')",
    "truncate t",
    "drop table t",
    "alter table t add column x int",
    "create table u (a int)",
    "create temp table u (a int)",
    "select * into u from t",
    "create table u as select * from t",
    "with d as (delete from t returning *) select * from d",
    "with a as (select 1), d as (update t set note = 'x' returning *) select * from a, d",
    "select * from t for update",
    "select * from t for key share",
    "select nextval('s')",
    "select setval('s', 99)",
    "select sly()",
    "select lift()",
    "select * from v",
    "select * from t where id = sly()",
    "select case when true then sly() end",
    "values (sly())",
    "call p()",
    "do $$ begin delete from t; end $$",
    "do 'begin delete from t; end'",
    "copy t from '/etc/hostname'",
    "copy (select sly()) to '/tmp/simctl-held'",
    "copy t to program 'touch /tmp/simctl-held'",
    "COPY/**/t/**/to/**/program/**/'touch /tmp/simctl-held'",
    "set transaction read write",
    "set transaction_read_only = off",
    "set session characteristics as transaction read write",
    "begin read write",
    "start transaction read write",
    "commit",
    "end",
    "rollback",
    "abort",
    "commit and chain",
    "savepoint x",
    "prepare transaction 'x'",
    "prepare d as delete from t",
    "execute d",
    "lock table t",
    "vacuum t",
    "analyze t",
    "reindex table t",
    "cluster t",
    "grant all on t to public",
    "comment on table t is 'x'",
    "refresh materialized view m",
    "explain analyze delete from t",
    "explain (analyze) with d as (delete from t returning *) select * from d",
    "explain analyze select sly()",
    "select 1; delete from t",
    "select 1;\n--\ndelete from t",
    "select 1 /* ; */; delete from t",
    "select 1 /* /* nested */ ; */ ; delete from t",
    "delete/**/from/**/t",
    "/* select */ delete from t",
    "/* /* */ select 1; */ delete from t",
    "-- select 1\ndelete from t",
    "\u{feff}delete from t",
    "select E'\\'; delete from t; --'; delete from t",
    "select $x$ $x$; delete from t",
    "select U&'\\0027'; delete from t",
    "select ''; delete from t --",
    "table t; delete from t",
    "(select 1); delete from t",
    "declare c cursor with hold for select sly()",
    "fetch all from q",
    "close q",
    "move all in q",
    "discard all",
    "reset all",
    "set role postgres",
    "set session authorization postgres",
    "load 'auto_explain'",
    "listen x",
    "notify x",
    "select pg_notify('x', 'y')",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "select pg_logical_emit_message(false, 'a', 'b')",
    "select set_config('transaction_read_only', 'off', false), sly()",
    "select set_config('default_transaction_read_only', 'off', false)",
    "with x as materialized (select set_config('transaction_read_only', 'off', true)) select sly() from x",
    "select pg_advisory_lock(1)",
    "select pg_terminate_backend(pg_backend_pid())",
    "select query_to_xml('delete from t', true, true, '')",
    "select * from xmltable('/' passing query_to_xml('delete from t', true, true, '') columns a text)",
    "select 1 from t where (select sly()) = 1 limit 1",
    "select 1 union all select sly()",
    "merge into t using t u on false when not matched then insert values (1, 'x')",
    "delete from t;;;",
    ";delete from t",
    "delete\0from t",
    "select 1 from t cross join lateral sly()",
    "select (sly()).*",
    "select array(select sly())",
    "select coalesce(null, sly())",
    "security label on table t is 'x'",
    "import foreign schema x from server y into z",
    "create function f() returns int language sql as 'delete from t returning 1'",
    "alter system set work_mem = '1GB'",
    "create database x",
    "drop database app",
    "checkpoint",
];

/// The state that must not change.
async fn state(bench: &Bench) -> String {
    let boss = superuser(bench).await;
    one(
        &boss,
        "select jsonb_build_array((select count(*) from t), (select min(note) || max(note) from t), \
           (select jsonb_agg(relname order by relname) from pg_class where relnamespace = 'public'::regnamespace), \
           (select last_value from s), (select is_called from s), \
           (select count(*) from pg_largeobject_metadata), \
           (select jsonb_agg(datname order by datname) from pg_database), \
           (select relacl::text from pg_class where relname = 't'), \
           (select count(*) from pg_attribute where attrelid = 't'::regclass), \
           (select count(*) from pg_proc where pronamespace = 'public'::regnamespace), \
           (select coalesce(obj_description('t'::regclass), '')), \
           (select count(*) from pg_locks where locktype = 'advisory'), \
           (select count(*) from pg_prepared_xacts))",
    )
    .await
}

async fn attempted(bench: &Bench, desk: &Workbench, who: &str) {
    let before = state(bench).await;
    for sql in ATTEMPTS {
        for transaction in [false, true] {
            let request = QueryRequest { transaction, ..asked(sql) };
            let outcome = query(desk, &request, None).await;
            assert_eq!(state(bench).await, before, "as {who}: {sql:?} changed something");
            if let Ok(response) = outcome {
                let harmless = ["set_config", "pg_advisory", "lo_", "query_to_xml"];
                let may = harmless.iter().any(|name| sql.contains(name));
                assert!(may, "as {who}: {sql:?} was let pass: {response:?}");
            }
        }
    }
    assert!(!std::path::Path::new("/tmp/simctl-held").exists());
    // The next one is held to reading too, whatever the ones before tried.
    assert_eq!(code(&read(desk, "delete from t").await), "read_only");
    let left = read(
        desk,
        "select current_setting('transaction_read_only') a, current_user::text b, \
        current_setting('default_transaction_read_only') c, \
        (select count(*) from pg_prepared_statements where name = 'd') d",
    )
    .await;
    let row = super::bench::json_of(&left.expect("it reads").rows)[0].clone();
    assert_eq!((&row["a"], &row["c"], &row["d"]), (&"on".into(), &"on".into(), &0.into()), "{row}");
}

#[tokio::test]
async fn the_application_role_cannot_change_anything_without_write() {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    attempted(&bench, &workbench(&bench), "app").await;
}

#[tokio::test]
async fn a_superuser_cannot_either() {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    let mut server = bench.server(None);
    if let Link::Postgres(link) = &mut server.link {
        link.app.user = "postgres".into();
    }
    let desk = Workbench::new(&server, &Default::default(), 1).expect("a PostgreSQL");
    attempted(&bench, &desk, "postgres").await;
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    let desk = workbench(&bench);
    for (sql, expected, hint) in [
        ("delete from t", "read_only", "--write"),
        ("with d as (delete from t returning 1) select * from d", "read_only", "--write"),
        ("select * from t for update", "read_only", "--write"),
        ("select nextval('s')", "read_only", "--write"),
        ("begin", "refused", "simctl db tx"),
        ("copy t to stdout", "refused", "backup"),
        ("do $$ begin end $$", "refused", "simctl db tx"),
        ("select 1; select 2", "invalid", "simctl db tx"),
        ("selec 1", "invalid", ""),
        ("select * from nowhere", "invalid", "schema"),
    ] {
        let outcome = read(&desk, sql).await;
        assert_eq!(code(&outcome), expected, "{sql}: {outcome:?}");
        let said = outcome.expect_err("it fails").hint.unwrap_or_default();
        assert!(said.contains(hint), "{sql}: {said}");
    }
}
