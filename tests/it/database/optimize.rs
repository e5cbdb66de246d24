//! Plans: never by running what could change something.

use serde_json::json;
use simctl::database::optimize::{OptimizeRequest, OptimizeResponse, optimize};

use super::bench::{one, postgres, run, superuser, workbench};

fn analyzed(sql: &str) -> OptimizeRequest {
    OptimizeRequest { sql: sql.into(), analyze: true, ..OptimizeRequest::default() }
}

const MADE: &str = "create table t (id int primary key, a int, note text); \
    insert into t select g, g % 500, repeat('x', 50) from generate_series(1, 20000) g; analyze t; \
    create table ran (by text); grant select, insert, update, delete on t, ran to app; create sequence s; grant usage on s to app; \
    create function f() returns int language plpgsql volatile as $$ begin insert into ran values ('f'); return 1; end $$; \
    create function sly(int) returns int language plpgsql volatile as $$ begin perform pg_advisory_lock(42); return $1; end $$; \
    create function calm(int) returns int language sql stable as 'select $1 + 1'; \
    create view v as select sly(id) as x, a from t; grant select on v to app; \
    create function step(int, int) returns int language plpgsql volatile as $$ begin perform pg_advisory_lock(43); return $1; end $$; \
    create aggregate agg(int) (sfunc = step, stype = int, initcond = '0')";

#[tokio::test]
async fn what_could_change_something_is_planned_and_not_run() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, MADE).await;
    let desk = workbench(&bench);
    for (sql, why) in [
        ("delete from t", "DELETE changes data"),
        ("update t set a = 0", "UPDATE changes data"),
        ("insert into ran values ('x')", "INSERT changes data"),
        ("merge into t using t u on t.id = u.id when matched then delete", "MERGE changes data"),
        ("with d as (delete from t returning *) select * from d", "changes data"),
        ("select f()", "f is volatile"),
        ("select nextval('s')", "nextval is volatile"),
        ("select sly(id) from t", "sly is volatile"),
        ("select x from v", "sly is volatile"),
        ("select count(*) from v where x > 5", "sly is volatile"),
        ("select agg(id) from t", "step is volatile"),
        ("select * from t order by sly(id) desc", "sly is volatile"),
        ("select * from t where id = (select sly(1))", "sly is volatile"),
        ("select * from generate_series(1, sly(3))", "sly is volatile"),
        ("select pg_advisory_lock(44)", "pg_advisory_lock is volatile"),
        ("select set_config('work_mem', '1GB', false)", "set_config is volatile"),
        ("select pg_terminate_backend(1)", "pg_terminate_backend is volatile"),
        ("select pg_sleep(3)", "pg_sleep is volatile"),
        ("select * from t for update", "it locks rows"),
        ("select * from t where id = $1", "places for values"),
    ] {
        let response = optimize(&desk, &analyzed(sql))
            .await
            .unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        let said = response.analyze_refused.as_deref().unwrap_or("it was run");
        assert!(said.contains(why), "{sql}: {said}");
        assert_eq!((response.execution_time_ms, response.total_time_ms), (None, None), "{sql}");
        assert!(response.plan[0]["Plan"]["Node Type"].is_string(), "{sql}");
        let state = "select jsonb_build_array((select count(*) from t), (select sum(a) from t), (select count(*) from ran), \
            (select is_called from s), (select count(*) from pg_locks where locktype = 'advisory'))";
        assert_eq!(one(&boss, state).await, "[20000, 4990000, 0, false, 0]", "{sql} ran");
    }
    for sql in [
        "drop table t",
        "vacuum t",
        "explain select 1",
        "select 1; delete from t",
        "show all",
        "analyze delete from t",
        "",
    ] {
        assert!(optimize(&desk, &analyzed(sql)).await.is_err(), "{sql}");
    }
    run(&boss, "create function vole(int, int) returns bool language plpgsql volatile as $$ begin perform pg_advisory_lock(45); return true; end $$; \
        create operator ### (function = vole, leftarg = int, rightarg = int)").await;
    let response =
        optimize(&desk, &analyzed("select * from t where id ### 5")).await.expect("a plan");
    assert!(response.analyze_refused.unwrap_or_default().contains("vole is volatile"));
}

async fn run_and_read(sql: &str, params: serde_json::Value) -> OptimizeResponse {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    let request =
        OptimizeRequest { params: params.as_array().cloned().unwrap_or_default(), ..analyzed(sql) };
    optimize(&workbench(&bench), &request)
        .await
        .unwrap_or_else(|failure| panic!("{sql}: {failure}"))
}

#[tokio::test]
async fn what_only_reads_is_measured_and_its_plan_is_read() {
    let response = run_and_read("select note from t where a = $1", json!([7])).await;
    assert_eq!(response.analyze_refused, None);
    assert!(response.execution_time_ms.is_some() && !response.generic && !response.is_slow);
    let rules: Vec<&str> = response.advice.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(rules, ["sequential_scan"], "{:#?}", response.advice);
    assert!(
        response.advice[0].evidence.starts_with("20000 rows read for 40 kept"),
        "{:?}",
        response.advice
    );
    assert_eq!(response.indexes[0].columns, ["a"], "{:#?}", response.indexes);
    assert!(response.suggestions.iter().any(|one| one.contains("CREATE INDEX CONCURRENTLY")));
}

#[tokio::test]
async fn stable_functions_random_numbers_and_clocks_are_harmless() {
    for sql in [
        "select calm(5), random(), clock_timestamp(), now()",
        "select count(*), max(lower(note)) from t group by a % 3",
        "values (1)",
    ] {
        let response = run_and_read(sql, json!([])).await;
        assert_eq!(response.analyze_refused, None, "{sql}");
        assert!(response.execution_time_ms.is_some(), "{sql}");
    }
}

#[tokio::test]
async fn a_statement_without_its_values_is_planned_for_any() {
    let bench = postgres(&["shared_preload_libraries=pg_stat_statements"]);
    let boss = superuser(&bench).await;
    run(&boss, MADE).await;
    run(&boss, "create extension pg_stat_statements").await;
    let desk = workbench(&bench);
    for sql in [
        "select * from t where id = $1",
        "select * from t where note like $1 and a between $2 and $3",
        "select now() - interval $1",
        "select extract($1 from now())",
        "delete from t where id = $1",
        "insert into t values ($1, $2, $3)",
    ] {
        let request = OptimizeRequest { sql: sql.into(), ..OptimizeRequest::default() };
        let response =
            optimize(&desk, &request).await.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        assert!(response.generic && response.planning_time_ms.is_some(), "{sql}");
    }
    run(&boss, "select note from t where a = 5 and note <> 'y'").await;
    let id = one(
        &boss,
        "select queryid from pg_stat_statements where query ~ 'note <> ' and query !~ 'queryid'",
    )
    .await;
    let request = OptimizeRequest { queryid: id.parse().ok(), ..OptimizeRequest::default() };
    let response = optimize(&desk, &request).await.expect("the counted one");
    assert!(response.generic && response.plan.to_string().contains("Seq Scan"));
    let request = OptimizeRequest { queryid: Some(1), ..OptimizeRequest::default() };
    assert!(optimize(&desk, &request).await.is_err());
    assert_eq!(one(&boss, "select count(*) from t").await, "20000");
}
