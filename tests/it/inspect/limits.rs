//! Answers while tables are held, slots are gone and statements hang: values, in time.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use simctl::domain::target::Engine;
use simctl::inspect::{Given, Grade};
use simctl::targets::postgres::Session;
use simctl::targets::{Link, Server};
use tokio_postgres::error::SqlState;

use super::bench::{
    ask, check, desk, one, pg, postgres, rows, run, superuser, try_session, unknown,
};

fn link(server: &Server) -> &simctl::targets::postgres::PostgresLink {
    match &server.link {
        Link::Postgres(link) => link,
        Link::Redis(_) => panic!("a PostgreSQL"),
    }
}

#[tokio::test]
async fn the_session_reads_back_what_it_was_opened_with_and_cannot_write() {
    let bench = postgres(&[]);
    let server = bench.server(None);
    let link = link(&server);
    let session =
        link.connect(&link.fixer.clone().expect("one"), "inspect", Session::Inspect).await;
    let session = session.expect("it comes in");
    for (setting, value) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "100ms"),
        ("jit", "off"),
        ("default_transaction_read_only", "on"),
        ("search_path", "pg_catalog"),
        ("max_parallel_workers_per_gather", "0"),
        ("timezone", "UTC"),
    ] {
        let row = session.query_one("select current_setting($1)", &[&setting]).await.expect("told");
        assert_eq!(row.get::<_, String>(0), value, "{setting}");
    }
    let refused = session.batch_execute("create table public.x (id int)").await;
    let refused = refused.expect_err("it may not write, whoever it is");
    assert_eq!(refused.code().map(SqlState::code), Some("25006"));
}

#[tokio::test]
async fn a_held_table_delays_nobody_and_is_said_to_be_held() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table free (id int); create table held (id int); insert into held select generate_series(1, 1000)").await;
    let holder = superuser(&bench).await;
    run(&holder, "begin; lock table held in access exclusive mode").await;
    let began = Instant::now();
    let report = pg(&bench, "sizes", &[("database", "app"), ("top", "500")]).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let listed = rows(&report, "relations");
    let row =
        |name: &str| listed.iter().find(|row| row["relation"] == name).expect("listed").clone();
    assert_eq!(row("public.held")["locked"], true);
    assert!(
        row("public.held")["total_bytes"].is_null() && row("public.free")["total_bytes"].is_i64()
    );
    let found = check(&report, "locked_relations");
    assert_eq!(found.grade, Grade::Inconclusive);
    assert!(found.evidence.contains("public.held"), "{}", found.evidence);
}

#[tokio::test]
async fn a_lock_on_the_catalogue_costs_one_part_and_no_other() {
    let bench = postgres(&[]);
    let holder = superuser(&bench).await;
    run(&holder, "begin; lock table pg_catalog.pg_sequence in access exclusive mode").await;
    let began = Instant::now();
    let report = pg(&bench, "health", &[]).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(unknown(&report, "sequences"), Some("locked"));
    assert_eq!(unknown(&report, "sessions"), None);
    assert_eq!(unknown(&report, "checkpoints"), None);
    assert_eq!(check(&report, "sequences").grade, Grade::Inconclusive);
}

#[tokio::test]
async fn when_the_slots_are_gone_an_open_desk_goes_on_answering_and_a_new_one_says_why_not() {
    let bench = postgres(&[]);
    let mut early = desk(&bench);
    let first = ask(&mut early, Engine::Postgres, "health", &[]).await;
    assert!(first.was_answered());
    let mut all = Vec::new();
    while let Ok(one) = try_session(&bench, "app", "app").await {
        all.push(one);
    }
    let report = ask(&mut early, Engine::Postgres, "health", &[]).await;
    assert_eq!(check(&report, "slots_used").grade, Grade::Crit);
    let late = pg(&bench, "health", &[]).await;
    assert!(!late.was_answered());
    assert_eq!(unknown(&late, "connect"), Some("refused"));
    assert!(check(&late, "connect").evidence.contains("53300"));
    assert!(check(&late, "connect").advice.contains("--watch"));
}

const OURS: &str = "select pid from pg_stat_activity where application_name = 'simctl/inspect'";

#[tokio::test]
async fn a_session_that_hangs_costs_its_question_and_the_next_goes_over_a_new_one() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let mut desk = desk(&bench);
    ask(&mut desk, Engine::Postgres, "connections", &[]).await;
    let hung: i32 = one(&boss, OURS).await.parse().expect("a pid");
    let hung = Pid::from_raw(hung).expect("a process");
    kill_process(hung, Signal::STOP).expect("it can be stopped");
    let began = Instant::now();
    let report = ask(&mut desk, Engine::Postgres, "health", &[]).await;
    kill_process(hung, Signal::CONT).expect("it goes on, and ends");
    assert_eq!(unknown(&report, "sessions"), Some("timed_out"));
    assert_eq!(unknown(&report, "checkpoints"), None, "asked over a new session");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(check(&report, "sessions").grade, Grade::Inconclusive);
}

#[tokio::test]
async fn a_session_that_was_ended_is_opened_again() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let mut desk = desk(&bench);
    ask(&mut desk, Engine::Postgres, "locks", &[]).await;
    run(&boss, &format!("select pg_terminate_backend(({OURS}), 5000)")).await;
    let report = ask(&mut desk, Engine::Postgres, "locks", &[]).await;
    assert_eq!(unknown(&report, "blockers"), None, "{report:#?}");
}

#[tokio::test]
async fn a_round_of_everything_consumes_no_transaction_id() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let next = "txid_snapshot_xmax(txid_current_snapshot())";
    let before = one(&boss, next).await;
    let mut desk = desk(&bench);
    for inspection in simctl::inspect::of(Engine::Postgres) {
        desk.report(inspection, &Given::nothing(inspection.args)).await;
    }
    assert_eq!(one(&boss, next).await, before);
}
