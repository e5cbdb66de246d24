//! Reading: every type, many rows, time limits, and connections that are used again.

use std::time::{Duration, Instant};

use serde_json::json;
use simctl::database::query::{QueryRequest, query, stream};
use simctl::database::read::{Given, Go};

use super::bench::{
    asked, code, configured, failure, json_of, one, permit, postgres, read, run, superuser, until,
    workbench, write,
};

#[tokio::test]
async fn every_base_type_comes_back_as_it_is() {
    let bench = postgres(&[]);
    run(
        &superuser(&bench).await,
        "create type mood as enum ('sad', 'ok'); create domain pos as int check (value > 0); \
        create type pair as (a int, b text)",
    )
    .await;
    let desk = workbench(&bench);
    for (sql, value) in [
        ("1::int2", json!(1)),
        ("(-2147483648)::int4", json!(-2_147_483_648_i64)),
        ("9223372036854775807::int8", json!(9_223_372_036_854_775_807_i64)),
        ("1.10::numeric", json!("1.10")),
        ("1e400::numeric", json!(format!("1{}", "0".repeat(400)))),
        ("'NaN'::float8", json!("NaN")),
        ("'-Infinity'::float4", json!("-Infinity")),
        ("1.5::float8", json!(1.5)),
        ("true", json!(true)),
        ("null::int", json!(null)),
        ("''::text", json!("")),
        ("E'a\\nb\\t\\u00e9'", json!("a\nb\té")),
        ("'日本語 😀'::text", json!("日本語 😀")),
        ("'abc'::char(5)", json!("abc  ")),
        ("'x'::\"char\"", json!("x")),
        ("'\\xdeadbeef'::bytea", json!("\\xdeadbeef")),
        ("'2026-02-28'::date", json!("2026-02-28")),
        ("'infinity'::date", json!("infinity")),
        ("'4713-01-01 BC'::date", json!("4713-01-01 BC")),
        ("'12:34:56.789'::time", json!("12:34:56.789")),
        ("'2026-01-01 00:00:00'::timestamp", json!("2026-01-01 00:00:00")),
        ("'2026-01-01 00:00:00+00'::timestamptz at time zone 'UTC'", json!("2026-01-01 00:00:00")),
        ("'1 year 2 days'::interval", json!("1 year 2 days")),
        ("'{\"b\": 1, \"a\": [true, null]}'::json", json!({"b": 1, "a": [true, null]})),
        ("'{\"b\": 1}'::jsonb", json!({"b": 1})),
        ("'null'::jsonb", json!(null)),
        (
            "'5c0b1a3e-3c62-4a50-9a5e-6d3c5e1f0a11'::uuid",
            json!("5c0b1a3e-3c62-4a50-9a5e-6d3c5e1f0a11"),
        ),
        ("'{1,NULL,2}'::int[]", json!("{1,NULL,2}")),
        ("array['a,b', 'c\"d']", json!("{\"a,b\",\"c\\\"d\"}")),
        ("'10.0.0.0/8'::cidr", json!("10.0.0.0/8")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("'(1,2)'::point", json!("(1,2)")),
        ("'[1,5)'::int4range", json!("[1,5)")),
        ("'101'::bit(3)", json!("101")),
        ("'fat & rat'::tsquery", json!("'fat' & 'rat'")),
        ("'0/15D68C0'::pg_lsn", json!("0/15D68C0")),
        ("'<a>b</a>'::xml", json!("<a>b</a>")),
        ("'12.34'::money", json!("$12.34")),
        ("'ok'::mood", json!("ok")),
        ("5::pos", json!(5)),
        ("row(1, 'x')::pair", json!("(1,x)")),
        ("'pg_class'::regclass", json!("pg_class")),
    ] {
        let response = read(&desk, &format!("select {sql} as v")).await;
        let response = response.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        assert_eq!(response.rows[0].get("v"), Some(&value), "{sql}");
    }
    let odd = read(&desk, "select 1 as a, 2 as a, 3 as \"A b\", 4").await.expect("names");
    assert_eq!(json_of(&odd.rows), json!([{"a": 1, "a_2": 2, "A b": 3, "?column?": 4}]));
    let none =
        read(&desk, "select from generate_series(1, 3)").await.expect("rows without columns");
    assert_eq!(none.facts.row_count, 3);
    let empty = read(&desk, "select 1 as a where false").await.expect("no rows");
    assert_eq!((empty.facts.row_count, empty.facts.columns.len()), (0, 1));
}

#[tokio::test]
async fn values_are_bound_whatever_is_in_them() {
    let bench = postgres(&[]);
    run(
        &superuser(&bench).await,
        "create table t (a int); insert into t values (1); alter table t owner to app",
    )
    .await;
    let desk = workbench(&bench);
    let evil = "1'; drop table t; --";
    for (sql, params, rows) in [
        ("select $1::text as v", json!([evil]), json!([{"v": evil}])),
        ("select $1 || 'x' as v", json!(["\\'\"$$"]), json!([{"v": "\\'\"$$x"}])),
        ("select a as v from t where a = $1", json!([1]), json!([{"v": 1}])),
        ("select a as v from t where a = $1", json!(["1"]), json!([{"v": 1}])),
        ("select a as v from t where a = any($1)", json!([[1, 2]]), json!([{"v": 1}])),
        (
            "select $1::text[] as v",
            json!([["a,b", null, "NULL", "{}"]]),
            json!([{"v": "{\"a,b\",NULL,\"NULL\",\"{}\"}"}]),
        ),
        ("select $1::jsonb ->> 'k' as v", json!([{"k": evil}]), json!([{"v": evil}])),
        ("select $1::int is null as v", json!([null]), json!([{"v": true}])),
        ("select $2 - $1::numeric as v", json!([0.5, 1]), json!([{"v": "0.5"}])),
        ("select $1::date - 1 as v", json!(["2026-03-01"]), json!([{"v": "2026-02-28"}])),
        ("select $1::bool as v", json!([true]), json!([{"v": true}])),
        ("select a as v from t limit $1", json!([1]), json!([{"v": 1}])),
    ] {
        let request =
            QueryRequest { params: params.as_array().expect("a list").clone(), ..asked(sql) };
        let response = query(&desk, &request, None).await;
        let response = response.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        assert_eq!(json_of(&response.rows), rows, "{sql}");
    }
    for (sql, params) in [
        ("select $1", json!([])),
        ("select 1", json!([1])),
        ("select a from t where a = $1", json!([evil])),
        ("select $1::text", json!(["a\0b"])),
    ] {
        let request =
            QueryRequest { params: params.as_array().expect("a list").clone(), ..asked(sql) };
        assert_eq!(code(&query(&desk, &request, None).await), "invalid", "{sql} {params}");
    }
    assert_eq!(one(&superuser(&bench).await, "select count(*) from t").await, "1");
}

/// Bytes of memory that this process has now.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: u64 = text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test]
async fn a_million_rows_pass_through_in_flat_memory() {
    let bench = postgres(&[]);
    let desk = workbench(&bench);
    let request = QueryRequest {
        max_rows: Some(2_000_000),
        timeout_ms: Some(110_000),
        ..asked("select g as id, repeat('x', 100) as filler from generate_series(1, 1000000) g")
    };
    let (mut count, mut sum, mut most) = (0_u64, 0_i64, 0_u64);
    let before = resident();
    let facts = stream(&desk, &request, &mut |given| {
        if let Given::Row(row) = given {
            count += 1;
            sum += row.get("id").and_then(serde_json::Value::as_i64).unwrap_or_default();
            if count.is_multiple_of(50_000) {
                most = most.max(resident().saturating_sub(before));
            }
        }
        Ok(Go::On)
    })
    .await
    .expect("a million rows");
    assert_eq!((facts.row_count, count, sum), (1_000_000, 1_000_000, 500_000_500_000));
    assert!(!facts.truncated);
    assert!(most < 32 << 20, "{} MB more for 100 MB of rows", most >> 20);
}

#[tokio::test]
async fn more_rows_than_asked_for_are_said_and_not_kept() {
    let bench = postgres(&[]);
    let desk = workbench(&bench);
    for (max, rows, truncated) in [
        (0, 0, true),
        (1, 1, true),
        (1_999, 1_999, true),
        (2_000, 2_000, false),
        (2_001, 2_000, false),
    ] {
        let request = QueryRequest {
            max_rows: Some(max),
            ..asked("select g from generate_series(1, 2000) g")
        };
        let response = query(&desk, &request, None).await.expect("rows");
        assert_eq!((response.rows.len(), response.facts.truncated), (rows, truncated), "{max}");
        assert_eq!(response.facts.row_count, rows as u64);
    }
    let usual = read(&desk, "select g from generate_series(1, 1000000) g").await.expect("rows");
    assert_eq!((usual.rows.len(), usual.facts.truncated), (1_000, true));
    let heavy = QueryRequest {
        max_rows: Some(100_000),
        ..asked("select repeat('x', 1000000) from generate_series(1, 200)")
    };
    let heavy = query(&desk, &heavy, None).await.expect("some of it");
    assert!(
        heavy.facts.truncated && heavy.rows.len() < 80,
        "{} rows of a megabyte",
        heavy.rows.len()
    );
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ends_on_the_server() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let desk = workbench(&bench);
    let running = "select count(*) = 0 from pg_stat_activity where query ~ '^FETCH' and state = 'active' and pid <> pg_backend_pid()";
    let began = Instant::now();
    let request = QueryRequest { timeout_ms: Some(300), ..asked("select pg_sleep(60)") };
    let failed = failure(query(&desk, &request, None).await);
    assert_eq!((failed.code.as_str(), failed.sqlstate.as_deref()), ("timeout", Some("57014")));
    assert!(began.elapsed() < Duration::from_secs(5));
    until(&boss, running).await;

    // Whoever waited goes away.
    let request = QueryRequest { timeout_ms: Some(60_000), ..asked("select pg_sleep(60)") };
    let busy = "select count(*) = 1 from pg_stat_activity where query ~ '^FETCH' and state = 'active' and pid <> pg_backend_pid()";
    tokio::select! {
        _ = query(&desk, &request, None) => panic!("it sleeps for a minute"),
        () = until(&boss, busy) => {}
    }
    let left = Instant::now();
    until(&boss, running).await;
    assert!(left.elapsed() < Duration::from_secs(5), "cancelled by the goodbye");

    // All is to stop.
    let stop = desk.stop_token();
    let (outcome, ()) = tokio::join!(query(&desk, &request, None), async {
        until(&boss, busy).await;
        stop.cancel();
    });
    assert_eq!(failure(outcome).code.as_str(), "timeout");
    until(&boss, running).await;
}

#[tokio::test]
async fn notices_settings_and_the_moment_belong_to_one_statement() {
    let bench = postgres(&[]);
    run(
        &superuser(&bench).await,
        "create function loud() returns int language plpgsql stable as \
        $$ begin raise notice 'one'; raise warning 'two'; return 1; end $$; create table t (a int); alter table t owner to app",
    )
    .await;
    let desk = workbench(&bench);
    let response = read(&desk, "select loud()").await.expect("a row");
    assert_eq!(response.facts.notices, ["NOTICE: one", "WARNING: two"]);
    assert!(read(&desk, "select 1").await.expect("a row").facts.notices.is_empty());
    read(&desk, "select set_config('work_mem', '123MB', false), pg_advisory_lock(7)")
        .await
        .expect("let pass");
    let after = read(
        &desk,
        "select current_setting('work_mem') as a, \
        (select count(*) from pg_locks where locktype = 'advisory') as b",
    )
    .await
    .expect("a row");
    assert_eq!(json_of(&after.rows), json!([{"a": "4MB", "b": 0}]));
    let show = read(&desk, "show work_mem").await.expect("SHOW runs as it is");
    assert_eq!(
        (json_of(&show.rows), show.facts.query_type.as_str()),
        (json!([{"work_mem": "4MB"}]), "SHOW")
    );
    let plan = read(&desk, "explain (format json) select * from t").await.expect("a plan");
    assert!(plan.rows[0].values[0].to_string().contains("Seq Scan"));
    let snapshot = QueryRequest { transaction: true, ..asked("show transaction_isolation") };
    let snapshot = query(&desk, &snapshot, None).await.expect("a row");
    assert_eq!(json_of(&snapshot.rows), json!([{"transaction_isolation": "repeatable read"}]));
}

#[tokio::test]
async fn a_change_is_agreed_to_recorded_and_told_with_its_position() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int primary key, note text); alter table t owner to app").await;
    let (desk, records) = configured(&bench, &Default::default());
    let response =
        write(&desk, "insert into t values (1, 'hunter2'), (2, 'b') returning id, note").await;
    let response = response.expect("agreed to");
    assert_eq!(
        json_of(&response.rows),
        json!([{"id": 1, "note": "hunter2"}, {"id": 2, "note": "b"}])
    );
    assert_eq!((response.facts.row_count, response.facts.query_type.as_str()), (2, "INSERT"));
    let lsn = response.facts.lsn.expect("a position");
    assert_eq!(one(&boss, &format!("pg_current_wal_insert_lsn() >= '{lsn}'")).await, "true");

    let told = serde_json::to_value(
        records.lock().unwrap().iter().map(|deed| format!("{deed:?}")).collect::<Vec<_>>(),
    );
    let told = told.expect("text").to_string();
    assert!(
        told.contains("Started") && told.contains("Ended") && told.contains("tester"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert!(told.contains("insert into t values (?, ?), (?, ?)"), "{told}");

    let request = QueryRequest { write: true, ..asked("delete from t") };
    assert_eq!(code(&query(&desk, &request, None).await), "approval_required");
    let other = QueryRequest { write: true, ..asked("delete from t where id = 1") };
    let of_other = permit(&desk, &other);
    assert_eq!(
        code(&query(&desk, &request, Some(&of_other)).await),
        "approval_required",
        "not what was approved"
    );
    assert_eq!(one(&boss, "select count(*) from t").await, "2");
    let failed = failure(write(&desk, "insert into t values (1, 'again')").await);
    assert_eq!((failed.code.as_str(), failed.sqlstate.as_deref()), ("conflict", Some("23505")));
    assert_eq!(records.lock().unwrap().len(), 4, "the failed one is on record too");
    for (sql, says) in
        [("vacuum t", "vacuum_table"), ("create index concurrently on t (note)", "psql")]
    {
        let failed = failure(write(&desk, sql).await);
        assert!(failed.hint.as_deref().unwrap_or_default().contains(says), "{sql}: {failed:?}");
    }
    for sql in ["begin", "copy t from stdin", "do $$ begin end $$", "set role postgres"] {
        let request = QueryRequest { write: true, ..asked(sql) };
        assert_eq!(code(&query(&desk, &request, None).await), "refused", "{sql}");
    }
    let numeric = QueryRequest {
        write: true,
        params: vec![json!(1)],
        ..asked("update t set id = id where id = $1 returning 1.5::numeric as n")
    };
    let failed = failure(query(&desk, &numeric, Some(&permit(&desk, &numeric))).await);
    assert!(failed.hint.as_deref().unwrap_or_default().contains("n::text"), "{failed:?}");
}

#[tokio::test]
async fn what_is_forbidden_is_not_done_whoever_agrees() {
    use simctl::config::workbench::{WorkbenchConfig, Writes};
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int); alter table t owner to app").await;
    let settings = WorkbenchConfig { writes: Writes::Forbid, ..WorkbenchConfig::default() };
    let (desk, records) = configured(&bench, &settings);
    assert_eq!(failure(write(&desk, "insert into t values (1)").await).code.as_str(), "refused");
    assert_eq!(one(&boss, "select count(*) from t").await, "0");
    assert!(records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_goes_away_is_a_sentence_and_one_that_is_back_is_used_again() {
    let mut bench = postgres(&[]);
    let desk = workbench(&bench);
    read(&desk, "select 1").await.expect("it is there");
    let mut child = bench.child.take().expect("it runs");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .expect("told to end");
    child.wait().expect("it ends");
    let failed = failure(read(&desk, "select 1").await);
    assert_eq!(failed.code.as_str(), "unavailable");
    assert!(failed.hint.is_some());
    bench.child = Some(bench.launch.start());
    bench.wait_until_it_answers();
    read(&desk, "select 1").await.expect("it is back");
}
