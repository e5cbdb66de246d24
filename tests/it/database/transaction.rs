//! Transactions: isolation that applies, exactly the right retries, nothing half done.

use std::time::{Duration, Instant};

use serde_json::json;
use simctl::database::health::stats;
use simctl::database::transaction::{Commit, transaction};

use super::bench::{
    configured, failure, json_of, one, postgres, run, session, superuser, transaction_of, until,
    workbench, write_all,
};
use crate::faults::bench::Bench;

async fn two_rows(bench: &Bench) {
    run(
        &superuser(bench).await,
        "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0); alter table t owner to app",
    )
    .await;
}

#[tokio::test]
async fn the_isolation_that_was_asked_for_applies() {
    let bench = postgres(&[]);
    let desk = workbench(&bench);
    for (level, name) in [
        ("read_committed", "read committed"),
        ("repeatable_read", "repeatable read"),
        ("serializable", "serializable"),
    ] {
        for write in [false, true] {
            let request = transaction_of(
                &["select current_setting('transaction_isolation') as level, \
                   current_setting('transaction_read_only') as ro"],
                json!({"isolation_level": level, "write": write}),
            );
            let response = if write {
                write_all(&desk, &request).await
            } else {
                transaction(&desk, &request, None).await
            };
            let response = response.expect(level);
            let ro = if write { "off" } else { "on" };
            assert_eq!(json_of(&response.results[0].rows), json!([{"level": name, "ro": ro}]));
            let commit = if write { Commit::Committed } else { Commit::RolledBack };
            assert_eq!(response.commit, commit);
        }
    }
}

#[tokio::test]
async fn two_that_cross_both_succeed_in_the_end() {
    let bench = postgres(&["deadlock_timeout=100ms"]);
    two_rows(&bench).await;
    let (desk, _) = configured(&bench, &Default::default());
    let cross = |a: i32, b: i32| {
        transaction_of(
            &[
                &format!("update t set n = n + 1 where id = {a}"),
                "select pg_sleep(0.4)",
                &format!("update t set n = n + 1 where id = {b}"),
            ],
            json!({"write": true, "deadline_ms": 20_000}),
        )
    };
    let (first, second) = (cross(1, 2), cross(2, 1));
    let (one_of_them, other) = tokio::join!(write_all(&desk, &first), write_all(&desk, &second));
    let (one_of_them, other) = (one_of_them.expect("in the end"), other.expect("in the end"));
    assert_eq!(one_of_them.attempts + other.attempts, 3, "one of them was begun again");
    let why: Vec<String> = [one_of_them.retried_for, other.retried_for].concat();
    assert_eq!(why, ["40P01"]);
    assert_eq!(one(&superuser(&bench).await, "select sum(n) from t").await, "4");
}

#[tokio::test]
async fn write_skew_is_begun_again_under_serializable_and_only_there() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    two_rows(&bench).await;
    let (desk, _) = configured(&bench, &Default::default());
    // Each takes one away, and only while both together have enough.
    let take = |id: i32, level: &str| {
        transaction_of(
            &[
                &format!("update t set n = n - 1 where id = {id} and (select sum(n) from t) >= 1"),
                "select pg_sleep(0.4)",
            ],
            json!({"write": true, "isolation_level": level, "deadline_ms": 20_000}),
        )
    };
    for (level, left) in [("repeatable_read", "-1"), ("serializable", "0")] {
        run(&boss, "update t set n = case id when 1 then 1 else 0 end").await;
        let (first, second) = (take(1, level), take(2, level));
        let (a, b) = tokio::join!(write_all(&desk, &first), write_all(&desk, &second));
        let (a, b) = (a.expect(level), b.expect(level));
        assert_eq!(one(&boss, "select sum(n) from t").await, left, "{level}");
        let retried: Vec<String> = [a.retried_for, b.retried_for].concat();
        let expected: &[&str] = if level == "serializable" { &["40001"] } else { &[] };
        assert_eq!(retried, expected, "{level}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_not_tried_again_and_leaves_nothing() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    two_rows(&bench).await;
    let (desk, records) = configured(&bench, &Default::default());
    let request = transaction_of(
        &["insert into t values (3, 0)", "insert into t values (1, 0)"],
        json!({"write": true}),
    );
    let failed = failure(write_all(&desk, &request).await);
    assert_eq!((failed.code.as_str(), failed.sqlstate.as_deref()), ("conflict", Some("23505")));
    assert!(
        failed.message.starts_with("statement 2 (") && !failed.message.contains("attempt"),
        "{failed}"
    );
    assert_eq!(one(&boss, "select count(*) from t").await, "2");
    assert_eq!(records.lock().unwrap().len(), 2);

    let request = transaction_of(&["select 1", "delete from t"], json!({}));
    let failed = failure(transaction(&desk, &request, None).await);
    assert_eq!(failed.code.as_str(), "read_only");
    for (sql, code) in [("commit", "refused"), ("select 1; select 2", "invalid"), ("", "invalid")] {
        let request = transaction_of(&["select 1", sql], json!({"write": true}));
        assert_eq!(failure(transaction(&desk, &request, None).await).code.as_str(), code, "{sql}");
    }
    let request = transaction_of(&[], json!({}));
    assert_eq!(failure(transaction(&desk, &request, None).await).code.as_str(), "invalid");
    assert_eq!(one(&boss, "select count(*) from t").await, "2");
}

#[tokio::test]
async fn a_lock_is_waited_for_again_only_when_that_was_asked_for() {
    let bench = postgres(&[]);
    two_rows(&bench).await;
    let (desk, _) = configured(&bench, &Default::default());
    let holder = session(&bench, "app", "app").await;
    run(&holder, "begin; update t set n = 1 where id = 1").await;
    let sql = ["select * from t where id = 1 for update nowait"];
    let request = transaction_of(&sql, json!({"write": true}));
    let failed = failure(write_all(&desk, &request).await);
    assert_eq!((failed.code.as_str(), failed.sqlstate.as_deref()), ("conflict", Some("55P03")));
    let request = transaction_of(
        &sql,
        json!({"write": true, "retry_locks": true, "max_retries": 100, "deadline_ms": 20_000}),
    );
    let freed = async {
        let began = Instant::now();
        while stats(&desk, 1).statistics.retries == 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "it is not begun again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run(&holder, "rollback").await;
    };
    let (outcome, ()) = tokio::join!(write_all(&desk, &request), freed);
    let response = outcome.expect("in the end");
    assert!(response.attempts > 1 && response.retried_for.iter().all(|why| why == "55P03"));
}

#[tokio::test]
async fn a_session_that_is_ended_in_the_middle_begins_again_as_a_whole() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    two_rows(&bench).await;
    let (desk, _) = configured(&bench, &Default::default());
    let request = transaction_of(
        &["update t set n = n + 1 where id = 1", "select pg_sleep(0.7)"],
        json!({"write": true, "deadline_ms": 20_000}),
    );
    let killed = async {
        until(&boss, "select count(*) = 1 from pg_stat_activity where query ~ 'pg_sleep' and usename = 'app' and state = 'active'").await;
        run(&boss, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
            .await;
    };
    let (outcome, ()) = tokio::join!(write_all(&desk, &request), killed);
    let response = outcome.expect("in the end");
    assert_eq!(response.attempts, 2);
    assert_eq!(one(&boss, "select n from t where id = 1").await, "1", "once");
}
