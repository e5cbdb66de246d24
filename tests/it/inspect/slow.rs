//! Slow statements by window, with nobody's statistics touched, and what is said without the extension.

use simctl::domain::target::Engine;
use simctl::inspect::Grade;

use super::bench::{ask, check, desk, is_ok, one, pg, postgres, rows, run, superuser, unknown};

#[tokio::test]
async fn without_the_extension_each_reason_has_its_own_remedy() {
    let bench = postgres(&[]);
    let report = pg(&bench, "slow", &[]).await;
    assert_eq!(unknown(&report, "statements"), Some("not_installed"));
    assert!(check(&report, "statements").advice.contains("shared_preload_libraries and restart"));
    assert!(unknown(&report, "running").is_none(), "what runs now needs no extension");

    let bench = postgres(&["shared_preload_libraries=pg_stat_statements"]);
    let report = pg(&bench, "slow", &[]).await;
    assert_eq!(unknown(&report, "statements"), Some("not_installed"));
    assert_eq!(check(&report, "statements").advice, "CREATE EXTENSION pg_stat_statements");
}

#[tokio::test]
async fn a_slow_statement_is_told_by_window_and_nobodys_statistics_are_reset() {
    let bench = postgres(&["shared_preload_libraries=pg_stat_statements"]);
    let boss = superuser(&bench).await;
    // The schema is one that must be quoted, and not on anybody's path.
    run(&boss, "create schema \"Odd \"\"schema\"; create extension pg_stat_statements schema \"Odd \"\"schema\"").await;
    let report = pg(&bench, "slow", &[]).await;
    assert_eq!(unknown(&report, "statements"), Some("not_permitted"));
    let grant = &check(&report, "statements").advice;
    assert_eq!(grant, "GRANT USAGE ON SCHEMA \"Odd \"\"schema\" TO monitor");
    run(&boss, grant).await;
    let calls =
        "select sum(calls) from \"Odd \"\"schema\".pg_stat_statements where query like '%sleep%'";
    let reset = "select stats_reset from \"Odd \"\"schema\".pg_stat_statements_info";
    let began = one(&boss, reset).await;
    for _ in 0..6 {
        run(&boss, "select pg_sleep(0.03)").await;
    }
    let args = [("min-ms", "20")];
    let mut desk = desk(&bench);
    let report = ask(&mut desk, Engine::Postgres, "slow", &args).await;
    let found = check(&report, "slow_statement");
    assert_eq!(found.grade, Grade::Warn, "{report:#?}");
    assert!(found.evidence.contains("pg_sleep($1)"), "{}", found.evidence);
    assert!(rows(&report, "statements").iter().any(|row| row["calls"] == 6));

    // The next look is about what happened since: nothing slow did.
    let report = ask(&mut desk, Engine::Postgres, "slow", &args).await;
    assert!(is_ok(check(&report, "slow_statement")), "{report:#?}");
    assert!(rows(&report, "statements").iter().all(|row| row["calls"] != 6));
    desk.close().await;
    assert_eq!(one(&boss, reset).await, began);
    assert!(one(&boss, calls).await.parse::<i64>().expect("a number") >= 6);
}
