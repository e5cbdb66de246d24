//! Free space that no counter tells, indexes that only look unused, and what holds back vacuum.

use simctl::inspect::Grade;

use super::bench::{check, is_ok, one, pg, pid, postgres, rows, run, session, superuser, unknown};

#[tokio::test]
async fn a_table_that_is_60_percent_free_is_found_though_nothing_in_it_is_dead() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create extension pgstattuple; create table \"Mixed Case\" (id int, filler text) with (autovacuum_enabled = off)").await;
    run(
        &boss,
        "insert into \"Mixed Case\" select g, repeat('x', 500) from generate_series(1, 40000) g",
    )
    .await;
    run(&boss, "delete from \"Mixed Case\" where id % 5 < 3").await;
    run(&boss, "vacuum analyze \"Mixed Case\"").await;
    let dead = "select n_dead_tup from pg_stat_all_tables where relname = 'Mixed Case'";
    assert_eq!(one(&boss, dead).await, "0", "the counters see nothing");

    let report = pg(&bench, "bloat", &[("min-mb", "5")]).await;
    let found = check(&report, "bloat");
    assert_eq!(found.grade, Grade::Warn);
    assert!(found.evidence.starts_with("public.\"Mixed Case\": "), "{}", found.evidence);
    assert!(found.leads_to.is_empty(), "a vacuum frees nothing more");
    let row = &rows(&report, "tables")[0];
    let pct = row["reclaimable_pct"].as_f64().expect("a share");
    assert!((55.0..65.0).contains(&pct), "{row}");
    assert_eq!(row["measured_by"], "pgstattuple");

    let report = pg(&bench, "bloat", &[("min-mb", "500")]).await;
    assert!(is_ok(check(&report, "bloat")), "not worth a word at 500 MB");
}

#[tokio::test]
async fn without_the_extension_it_says_so_and_how_to_get_it() {
    let bench = postgres(&[]);
    let report = pg(&bench, "bloat", &[]).await;
    assert_eq!(unknown(&report, "means"), Some("not_installed"));
    let said = check(&report, "means");
    assert_eq!(said.grade, Grade::Inconclusive);
    assert!(said.advice.contains("CREATE EXTENSION pgstattuple"), "{}", said.advice);
}

#[tokio::test]
async fn an_index_that_keeps_values_unique_is_never_called_unused() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (a int, b int, c int); insert into t select g, g, g from generate_series(1, 80000) g").await;
    run(&boss, "create unique index only_unique on t (a); create index really_unused on t (b); create index used on t (c); analyze t").await;
    run(&boss, "set enable_seqscan = off; select * from t where c = 5").await;
    until_counted(&boss).await;

    let now = [("min-mb", "0"), ("observed-days", "0")];
    let report = pg(&bench, "indexes", &now).await;
    let unused: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.id == "unused_index")
        .map(|check| check.evidence.split(' ').next().expect("a name"))
        .collect();
    assert_eq!(unused, ["public.really_unused"]);
    let listed = rows(&report, "indexes");
    let unique =
        listed.iter().find(|row| row["index"] == "public.only_unique").expect("it is listed");
    assert_eq!((&unique["scans"], &unique["duty"]), (&0.into(), &"keeps values unique".into()));

    let report = pg(&bench, "indexes", &[("min-mb", "0")]).await;
    assert_eq!(unknown(&report, "unused"), Some("not_enough_history"));
    assert!(report.checks.iter().all(|check| check.id != "unused_index"));
}

/// The counters of a session are told a moment after its statement.
async fn until_counted(boss: &tokio_postgres::Client) {
    super::bench::until(
        boss,
        "select idx_scan > 0 from pg_stat_all_indexes where indexrelname = 'used'",
    )
    .await;
}

#[tokio::test]
async fn an_index_another_one_replaces_is_told_with_the_way_back_and_an_invalid_one_too() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(
        &boss,
        "create table t (a int, b int); create index short on t (a); create index long on t (a, b)",
    )
    .await;
    run(&boss, "create table dup (a int); insert into dup values (1), (1)").await;
    let failed = boss.batch_execute("create unique index concurrently broken on dup (a)").await;
    assert!(failed.is_err(), "two equal values");
    let report = pg(&bench, "indexes", &[]).await;
    let redundant = rows(&report, "redundant");
    assert_eq!(redundant.len(), 1, "{redundant:#?}");
    assert_eq!(
        (&redundant[0]["drop_candidate"], &redundant[0]["keep"]),
        (&"public.short".into(), &"public.long".into())
    );
    assert!(check(&report, "redundant_index").advice.contains("CREATE INDEX short ON public.t"));
    assert!(check(&report, "invalid_index").evidence.contains("broken"));
}

#[tokio::test]
async fn whatever_holds_back_vacuum_is_named_with_its_own_cure() {
    let bench = postgres(&["wal_level=logical"]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int) with (autovacuum_enabled = off); grant all on t to app")
        .await;
    run(&boss, "insert into t select g from generate_series(1, 20000) g").await;
    run(&boss, "select pg_create_logical_replication_slot('stuck', 'pgoutput')").await;
    let prepared = session(&bench, "postgres", "app").await;
    run(&prepared, "begin; insert into t values (0); prepare transaction 'lost'").await;
    let idle = session(&bench, "app", "app").await;
    run(&idle, "begin isolation level repeatable read; select count(*) from t").await;
    run(&boss, "delete from t where id > 0").await;
    run(&boss, "select pg_stat_clear_snapshot()").await;

    super::bench::until(
        &boss,
        "select n_dead_tup > 1000 from pg_stat_all_tables where relname = 't'",
    )
    .await;
    let report = pg(&bench, "vacuum", &[]).await;
    let holders = rows(&report, "holders");
    let holder = |kind: &str| {
        holders
            .iter()
            .find(|row| row["kind"] == kind)
            .unwrap_or_else(|| panic!("{kind}: {holders:#?}"))
    };
    assert_eq!(holder("replication slot")["ident"], "stuck");
    assert_eq!(holder("replication slot")["pins_tables"], false, "the catalogue only");
    assert_eq!(holder("prepared transaction")["ident"], "lost");
    assert_eq!(holder("session")["ident"], pid(&idle).await.to_string());
    let held = check(&report, "xmin_held");
    assert_eq!(held.grade, Grade::Warn, "dead rows wait for it: {held:?}");
    assert_eq!(held.leads_to[0].action, "end_prepared", "the oldest that pins tables: {held:?}");
    let due = check(&report, "vacuum_due");
    assert!(due.evidence.starts_with("public.t has 20000 dead rows"), "{due:?}");
    assert!(due.leads_to.is_empty(), "vacuum would remove nothing: {due:?}");

    run(&boss, "rollback prepared 'lost'").await;
    let report = pg(&bench, "vacuum", &[]).await;
    assert_eq!(check(&report, "xmin_held").leads_to[0].action, "kill_idle_transactions");
    drop(idle);
    run(&boss, "select pg_drop_replication_slot('stuck')").await;
    super::bench::until(&boss, "select count(*) = 0 from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid()").await;
    let report = pg(&bench, "vacuum", &[]).await;
    assert!(is_ok(check(&report, "xmin_held")), "{:?}", report.checks);
    assert_eq!(check(&report, "vacuum_due").leads_to[0].action, "vacuum_table");
}
