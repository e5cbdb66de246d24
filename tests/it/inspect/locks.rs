//! Who really blocks, among those who only look like it.

use std::collections::BTreeSet;

use super::bench::{check, pg, pid, postgres, rows, run, session, superuser, until};

#[tokio::test]
async fn two_blocked_pairs_and_a_prepared_transaction_have_three_roots_and_no_bystander() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int primary key, n int); insert into t select g, 0 from generate_series(1, 50) g; grant all on t to app").await;
    let mut bystanders = Vec::new();
    for row in 20..26 {
        let one = session(&bench, "app", "app").await;
        run(&one, &format!("begin; update t set n = 1 where id = {row}")).await;
        bystanders.push(one);
    }
    let mut roots = BTreeSet::new();
    let mut held = Vec::new();
    for row in [1, 2] {
        let holder = session(&bench, "app", "app").await;
        run(&holder, &format!("begin; update t set n = 1 where id = {row}")).await;
        roots.insert(pid(&holder).await);
        held.push(holder);
    }
    run(&boss, "begin; update t set n = 1 where id = 3; prepare transaction 'orphan \"7\"'").await;
    let mut waiters = Vec::new();
    for row in [1, 2, 3] {
        let waiter = session(&bench, "app", "app").await;
        waiters.push(tokio::spawn(async move {
            let _ = waiter.batch_execute(&format!("update t set n = 2 where id = {row}")).await;
        }));
    }
    until(&boss, "select count(*) = 3 from pg_locks where not granted").await;

    let report = pg(&bench, "locks", &[]).await;
    let blockers = rows(&report, "blockers");
    let found: BTreeSet<i64> = blockers.iter().filter_map(|row| row["pid"].as_i64()).collect();
    assert_eq!(found, roots, "{blockers:#?}");
    let prepared: Vec<_> = blockers.iter().filter(|row| row["pid"].is_null()).collect();
    assert_eq!(prepared.len(), 1, "{blockers:#?}");
    assert_eq!(prepared[0]["prepared"], "orphan \"7\"");
    assert_eq!(rows(&report, "waits").len(), 3);
    // What blocks shows up under each kind with its own cure, once it lasts.
    assert_eq!(report.checks.iter().filter(|check| check.id == "blocked").count(), 3);

    run(&boss, "rollback prepared 'orphan \"7\"'").await;
    drop(held);
    for waiter in waiters {
        waiter.await.expect("the waiters go on");
    }
    let report = pg(&bench, "locks", &[]).await;
    assert!(rows(&report, "blockers").is_empty());
    assert_eq!(check(&report, "blocked").evidence, "nobody waits for a lock");
}

#[tokio::test]
async fn everybody_behind_waiting_ddl_hangs_on_the_one_reader_in_front() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int); grant all on t to app").await;
    let reader = session(&bench, "app", "app").await;
    run(&reader, "begin; select * from t").await;
    let ddl = superuser(&bench).await;
    let ddl_pid = pid(&ddl).await;
    let ddl =
        tokio::spawn(async move { ddl.batch_execute("alter table t add column x int").await });
    until(&boss, "select count(*) = 1 from pg_locks where not granted").await;
    let late = session(&bench, "app", "app").await;
    let late = tokio::spawn(async move { late.batch_execute("select * from t").await });
    until(&boss, "select count(*) = 2 from pg_locks where not granted").await;

    let report = pg(&bench, "locks", &[]).await;
    let blockers = rows(&report, "blockers");
    assert_eq!(blockers.len(), 1, "{blockers:#?}");
    assert_eq!(blockers[0]["pid"], pid(&reader).await);
    assert_eq!(blockers[0]["victims"], 2);
    let offers = &check(&report, "blocked").leads_to;
    assert_eq!(offers[0].action, "cancel_query", "the waiting DDL goes first");
    assert_eq!(offers[0].args["queries"][0]["pid"], ddl_pid);
    assert_eq!(offers[1].action, "kill_idle_transactions");
    drop(reader);
    ddl.await.expect("joined").expect("it goes on");
    late.await.expect("joined").expect("it goes on");
}
