//! Every inspection as `pg_monitor` alone, on an empty and a busy database; names are data.

use simctl::domain::target::Engine;
use simctl::inspect::{self, Content, Given, Grade};

use super::bench::{ask, check, desk, one, pg, postgres, rows, run, session, superuser, unknown};

#[tokio::test]
async fn as_pg_monitor_alone_everything_is_answered_on_an_empty_database() {
    let bench = postgres(&["shared_preload_libraries=pg_stat_statements"]);
    let boss = superuser(&bench).await;
    run(&boss, "create extension pg_stat_statements; create extension pgstattuple").await;
    let mut desk = desk(&bench);
    for inspection in inspect::of(Engine::Postgres) {
        let report = desk.report(inspection, &Given::nothing(inspection.args)).await;
        println!("{:<12} {:>7.1} ms", inspection.verb, report.took_ms);
        for part in &report.parts {
            if let Content::Unknown(why) = &part.content {
                // A look before is all that may be missing.
                assert_eq!(
                    why.word(),
                    "not_enough_history",
                    "{} {}: {why:?}",
                    report.verb,
                    part.name
                );
            }
        }
        assert!(report.grade < Grade::Warn, "{report:#?}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_second_look_tells_what_happened_between() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let mut desk = desk(&bench);
    let first = ask(&mut desk, Engine::Postgres, "health", &[]).await;
    assert_eq!(unknown(&first, "between"), Some("not_enough_history"));
    run(&boss, "create table t (id int)").await;
    run(&boss, "do $$ begin perform pg_stat_force_next_flush(); end $$").await;
    let second = ask(&mut desk, Engine::Postgres, "health", &[]).await;
    assert_eq!(unknown(&second, "between"), None);
    assert!(check(&second, "deadlocks").grade == Grade::Ok);
    desk.close().await;
}

#[tokio::test]
async fn a_role_without_pg_monitor_is_told_what_to_be_granted() {
    let bench = postgres(&[]);
    let mut server = bench.server(None);
    let simctl::targets::Link::Postgres(link) = &mut server.link else { panic!("a PostgreSQL") };
    link.monitor = link.app.clone();
    let mut desk = inspect::Desk::new(server);
    for (verb, part) in [("health", "sessions"), ("performance", "sessions"), ("locks", "blockers")]
    {
        let report = ask(&mut desk, Engine::Postgres, verb, &[]).await;
        assert_eq!(unknown(&report, part), Some("not_permitted"), "{verb}");
        assert_eq!(check(&report, part).advice, "GRANT pg_read_all_stats TO app", "{verb}");
        assert_eq!(report.grade, Grade::Inconclusive, "hidden sessions are not no sessions");
    }
}

#[tokio::test]
async fn names_are_data_and_never_sql() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int)").await;
    let nasty = "x'; drop table t; --\"";
    for (verb, arg, part) in [
        ("database", "name", "facts"),
        ("sizes", "database", "relations"),
        ("connections", "database", "groups"),
        ("indexes", "table", "indexes"),
    ] {
        let report = pg(&bench, verb, &[(arg, nasty)]).await;
        let refused = unknown(&report, part);
        let expected = ["database", "sizes"].contains(&verb).then_some("refused");
        assert_eq!(refused, expected, "{verb}: {report:#?}");
    }
    assert_eq!(one(&boss, "select to_regclass('public.t') is not null").await, "true");
    run(&boss, "create database \"we\"\"ird; --\"").await;
    let report = pg(&bench, "database", &[("name", "we\"ird; --")]).await;
    assert_eq!(unknown(&report, "facts"), None);
    let sizes = pg(&bench, "sizes", &[]).await;
    assert!(rows(&sizes, "databases").iter().any(|row| row["datname"] == "we\"ird; --"));
}

#[tokio::test]
async fn a_sequence_is_judged_by_the_column_it_feeds() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table s (id smallserial); select setval('s_id_seq', 32000)").await;
    let report = pg(&bench, "health", &[]).await;
    assert_eq!(unknown(&report, "sequences"), Some("not_permitted"));
    run(&boss, "grant select on all sequences in schema public to monitor").await;
    let report = pg(&bench, "health", &[]).await;
    let found = check(&report, "sequence_used");
    assert_eq!((found.grade, found.value), (Grade::Crit, Some(97.66)), "{found:?}");
}

#[tokio::test]
async fn who_has_the_connections_is_told_by_application() {
    let bench = postgres(&[]);
    let mut held = Vec::new();
    for _ in 0..13 {
        held.push(session(&bench, "app", "app").await);
    }
    let report = pg(&bench, "connections", &[]).await;
    let group = &rows(&report, "groups")[0];
    assert_eq!((&group["sessions"], &group["application_name"]), (&13.into(), &"bench".into()));
    let slots = check(&report, "slots_used");
    assert!(
        slots.evidence.contains("of 17 slots") && slots.evidence.contains("13 of bench by app")
    );
    assert_eq!(slots.grade, Grade::Warn);
}
