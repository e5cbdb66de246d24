//! Broken by hand, with plain SQL and nothing of the catalogue: which cause is seen from outside, which action
//! follows, and that it helps.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::FutureExt as _;
use serde_json::json;
use simctl::agent::playbook;
use simctl::diagnose;
use simctl::domain::effect::Known;
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::ActionId;
use simctl::domain::proposal::Args;
use simctl::targets::Server;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::harness::{PgServer, Way};
use super::{action, args, carry_out, consequence, failing, refusal, run, verified};

/// A statement that its session is still busy with.
pub(super) type Running<'c> = Pin<
    Box<dyn Future<Output = Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>> + Send + 'c>,
>;

pub(super) async fn started<'c>(client: &'c Client, sql: &'c str) -> Running<'c> {
    let mut running: Running<'c> = Box::pin(client.simple_query(sql));
    assert!(futures::poll!(&mut running).is_pending(), "{sql} is over already");
    running
}

pub(super) async fn value(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.expect("a proper question");
    let first = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    first.unwrap_or_default()
}

/// Waits for a condition that a superuser can ask for.
pub(super) async fn until(admin: &Client, what: &str, holds: &str) {
    for _ in 0..400 {
        if value(admin, &format!("select ({holds})::text")).await == "true" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("not so within ten seconds: {what}");
}

/// Causes with their grades, and the first remedy.
pub(super) struct Judged {
    pub(super) causes: Vec<String>,
    pub(super) steps: Vec<(ActionId, Args)>,
}

impl Judged {
    pub(super) fn actions(&self) -> Vec<&str> {
        self.steps.iter().map(|(id, _)| id.as_str()).collect()
    }
}

pub(super) async fn judge(server: &Server, finding: FindingKind) -> Judged {
    let baseline = BTreeMap::from([("max_connections".to_owned(), "20".to_owned())]);
    judge_from(server, finding, baseline).await
}

/// The same where more is known of the healthy server.
pub(super) async fn judge_from(
    server: &Server,
    finding: FindingKind,
    baseline: BTreeMap<String, String>,
) -> Judged {
    let known = Known { baseline, ..Known::default() };
    let facts = server.facts(finding, &known, &|_| ()).await;
    let diagnosis = diagnose::diagnose(&facts);
    let remedies = playbook::remedies(&diagnosis, &facts, &[], &[]);
    Judged {
        causes: diagnosis.causes.iter().map(|c| format!("{}: {}", c.cause, c.grade)).collect(),
        steps: remedies.candidates.first().map(|first| first.steps.clone()).unwrap_or_default(),
    }
}

/// Carries the remedy out as the engine does and measures every step of it at the end.
pub(super) async fn cure(server: &Server, judged: &Judged) {
    let mut done = Vec::new();
    for (id, args) in &judged.steps {
        let action = action(id.as_str());
        done.push((action, args, carry_out(action, server, args).await));
    }
    for (action, args, saved) in done {
        verified(action, server, args, &saved).await;
    }
}

async fn fill(pg: &PgServer, application: &str) -> Vec<Client> {
    let mut held = Vec::new();
    while let Ok(client) = pg.try_client("app", application).await {
        held.push(client);
        assert!(held.len() <= 20, "there are only twenty slots");
    }
    held
}

pub(super) async fn with_table(pg: &PgServer) -> Client {
    let admin = pg.client("postgres", "console").await;
    let table = "create table t (id int primary key, v int); grant all on t to app; \
                 insert into t select n, 0 from generate_series(1, 30) n";
    admin.batch_execute(table).await.expect("a table");
    admin
}

#[tokio::test]
async fn transactions_left_open_are_rolled_back_and_nobody_else_is_ended() {
    for way in super::WAYS {
        let pg = PgServer::start().await;
        let admin = with_table(&pg).await;
        let idle = pg.client("app", "pool").await;
        let open = fill(&pg, "shop").await;
        for (n, client) in open.iter().enumerate() {
            let write = format!("begin; update t set v = 1 where id = {}", n + 1);
            client.batch_execute(&write).await.expect("a row of its own");
        }
        until(
            &admin,
            "transactions are a second old",
            "select bool_and(state_change < now() - interval '1.1 s') from pg_stat_activity where application_name = 'shop'",
        )
        .await;
        let server = pg.server(way);
        let judged = judge(&server, FindingKind::ClientsRefused).await;
        assert_eq!(judged.causes, ["idle-in-transaction: confirmed"]);
        assert_eq!(judged.actions(), ["kill_idle_transactions"]);

        let idle_ones = json!({"sessions": judged.steps[0].1["sessions"]});
        let refused = refusal(action("kill_idle_connections"), &server, idle_ones).await;
        assert!(refused.contains("no session that may be ended"), "{refused}");
        let preview = action("kill_idle_transactions").preview(&server, &judged.steps[0].1).await;
        let preview = preview.expect("it may run");
        assert_eq!(consequence(&preview, "of them losing written work"), open.len() as u64);
        cure(&server, &judged).await;
        assert_eq!(value(&admin, "select sum(v) from t").await, "0", "rolled back");
        idle.simple_query("select 1").await.expect("an idle session is nobody's business");
        pg.client("app", "shop").await;
    }
}

#[tokio::test]
async fn the_head_of_a_queue_is_ended_and_everybody_else_goes_on() {
    let pg = PgServer::start().await;
    let admin = with_table(&pg).await;
    let root = pg.client("app", "migration").await;
    root.batch_execute("begin; lock table t in access exclusive mode").await.expect("the lock");
    let clients = fill(&pg, "shop").await;
    let mut waiting = Vec::new();
    for client in &clients {
        waiting.push(started(client, "select count(*) from t").await);
    }
    let all_wait = format!(
        "select count(*) = {} from pg_stat_activity where wait_event_type = 'Lock'",
        clients.len()
    );
    until(&admin, "all wait", &all_wait).await;
    let server = pg.server(Way::Inside);
    let judged = judge(&server, FindingKind::ClientsRefused).await;
    assert_eq!(judged.causes, ["lock-pile: confirmed"]);
    assert_eq!(judged.actions(), ["kill_blocker"]);
    // One of those who wait is not to be ended for it.
    let waiter = "select json_build_object('session', json_build_object('pid', pid, 'backend_start', backend_start)) \
                  from pg_stat_activity where application_name = 'shop' limit 1";
    let waiter = serde_json::from_str(&value(&admin, waiter).await).expect("a session");
    let refused = refusal(action("kill_blocker"), &server, waiter).await;
    assert!(refused.contains("waits itself, or blocks nobody"), "{refused}");

    let (kill, args) = (action("kill_blocker"), &judged.steps[0].1);
    let saved = carry_out(kill, &server, args).await;
    for done in waiting {
        done.await.expect("it was served in the end");
    }
    drop(clients);
    verified(kill, &server, args, &saved).await;
    assert!(root.simple_query("select 1").await.is_err());
}

#[tokio::test]
async fn a_table_locked_by_hand_is_found_before_slots_run_out_and_a_prepared_transaction_is_told_apart()
 {
    let pg = PgServer::start().await;
    let admin = with_table(&pg).await;
    let (root, reader) = (pg.client("app", "cron").await, pg.client("app", "shop").await);
    root.batch_execute("begin; update t set v = 1 where id = 1").await.expect("a row lock");
    let blocked = started(&reader, "update t set v = 2 where id = 1").await;
    until(
        &admin,
        "one waits",
        "select count(*) = 1 from pg_stat_activity where wait_event_type = 'Lock'",
    )
    .await;
    let server = pg.server(Way::Direct);
    let sample = server.probe().held().await;
    assert!(
        sample.reading("longest_lock_wait_seconds").is_some_and(|wait| wait > 0.0),
        "{sample:?}"
    );
    let judged = judge(&server, FindingKind::LockQueue).await;
    assert_eq!(
        (judged.causes[0].as_str(), judged.actions()),
        ("lock-pile: confirmed", vec!["kill_blocker"])
    );
    cure(&server, &judged).await;
    blocked.await.expect("it goes on");

    let orphan = pg.client("app", "coordinator").await;
    orphan
        .batch_execute("begin; update t set v = 3 where id = 1; prepare transaction 'batch-7'")
        .await
        .expect("prepared");
    drop(orphan);
    let blocked = started(&reader, "update t set v = 4 where id = 1").await;
    until(
        &admin,
        "one waits",
        "select count(*) = 1 from pg_stat_activity where wait_event_type = 'Lock'",
    )
    .await;
    until(&admin, "it is old", "select prepared < now() - interval '3.1 s' from pg_prepared_xacts")
        .await;
    let judged = judge(&server, FindingKind::LockQueue).await;
    assert_eq!(judged.causes, ["prepared-orphan: confirmed"]);
    assert_eq!(judged.actions(), ["end_prepared"], "nobody is to be ended for it");
    let mut later = judged.steps[0].1.clone();
    later.insert("prepared".into(), json!("2001-01-01T00:00:00Z"));
    let refused = refusal(action("end_prepared"), &server, json!(later)).await;
    assert!(refused.contains("is gone, or another one"), "{refused}");
    cure(&server, &judged).await;
    blocked.await.expect("it goes on");
    assert_eq!(value(&admin, "select v::text from t where id = 1").await, "4");
}

#[tokio::test]
async fn slow_queries_are_cancelled_and_only_then_their_idle_sessions_ended() {
    let pg = PgServer::start().await;
    let admin = pg.client("postgres", "console").await;
    let clients = fill(&pg, "reports").await;
    let mut running = Vec::new();
    for client in &clients {
        running.push(started(client, "select pg_sleep(300)").await);
    }
    until(
        &admin,
        "all are slow",
        "select bool_and(query_start < now() - interval '5.1 s') from pg_stat_activity where application_name = 'reports'",
    )
    .await;
    let server = pg.server(Way::Inside);
    let judged = judge(&server, FindingKind::ClientsRefused).await;
    assert_eq!(judged.causes, ["slow-pile: confirmed"]);
    assert_eq!(judged.actions(), ["cancel_query", "kill_idle_connections"]);
    cure(&server, &judged).await;
    for ended in running {
        let code = ended.await.expect_err("it was cancelled");
        assert_eq!(code.code().map(SqlState::code), Some("57014"));
    }
    pg.client("app", "reports").await;
}

#[tokio::test]
async fn a_later_query_of_the_same_session_is_not_cancelled() {
    let pg = PgServer::start().await;
    let client = pg.client("app", "reports").await;
    let admin = pg.client("postgres", "console").await;
    let named = "select json_build_object('queries', json_agg(json_build_object('pid', pid, 'backend_start', \
                 backend_start, 'query_start', query_start))) from pg_stat_activity where application_name = 'reports'";
    client.simple_query("select 1").await.expect("a query");
    let before = value(&admin, named).await;
    let running = started(&client, "select pg_sleep(300)").await;
    until(&admin, "it runs", "select bool_or(wait_event = 'PgSleep') from pg_stat_activity").await;
    let server = pg.server(Way::Direct);
    let earlier = serde_json::from_str(&before).expect("JSON");
    let refused = refusal(action("cancel_query"), &server, earlier).await;
    assert!(refused.contains("none of these queries runs"), "{refused}");
    assert!(running.now_or_never().is_none(), "it still runs");
}

#[tokio::test]
async fn a_limit_on_a_role_or_a_database_is_put_back_and_nothing_else_is_proposed() {
    for (limit, unlimit, key) in [
        (
            "alter role app connection limit 2",
            "rolconnlimit from pg_roles where rolname = 'app'",
            "role",
        ),
        (
            "alter database postgres connection limit 2",
            "datconnlimit from pg_database where datname = 'postgres'",
            "database",
        ),
    ] {
        let pg = PgServer::start().await;
        let admin = pg.client("postgres", "console").await;
        let _used = (pg.client("app", "shop").await, pg.client("app", "shop").await);
        admin.batch_execute(limit).await.expect("a limit");
        assert!(pg.try_client("app", "shop").await.is_err());
        for way in super::WAYS {
            let server = pg.server(way);
            let judged = judge(&server, FindingKind::ClientsRefused).await;
            assert_eq!(judged.causes, ["role-limit: confirmed"], "{key}");
            assert_eq!(judged.actions(), ["reset_connection_limit"]);
            let (reset, args) = (action("reset_connection_limit"), &judged.steps[0].1);
            let saved = carry_out(reset, &server, args).await;
            verified(reset, &server, args, &saved).await;
            assert_eq!(value(&admin, &format!("select {unlimit}")).await, "-1");
            pg.client("app", "shop").await;
            let told = reset.undo(&server, args, &saved).await.expect("it is taken back");
            assert!(told.ends_with("is 2 again"), "{told}");
        }
    }
}

/// 60,000 dead rows beside 30,000 live ones; a vacuum was of no use.
async fn dead_rows(admin: &Client) {
    let made = "create table big (id int, v int); insert into big select n, 0 from generate_series(1, 30000) n";
    admin.batch_execute(made).await.expect("a table");
}

async fn rewrite(admin: &Client) {
    for sql in ["update big set v = 1", "update big set v = 2", "vacuum big"] {
        admin.batch_execute(sql).await.expect(sql);
    }
}

#[tokio::test]
async fn dead_rows_go_once_the_session_that_may_need_them_is_ended() {
    for way in super::WAYS {
        let pg = PgServer::start().await;
        let admin = pg.client("postgres", "console").await;
        dead_rows(&admin).await;
        let reader = pg.client("app", "report").await;
        reader
            .batch_execute("begin isolation level repeatable read; select 1")
            .await
            .expect("a snapshot");
        rewrite(&admin).await;
        until(
            &admin,
            "the transaction is old",
            "select bool_or(xact_start < now() - interval '5.1 s') from pg_stat_activity where application_name = 'report'",
        )
        .await;
        let server = pg.server(way);
        let sample = server.probe().held().await;
        // What a session has not told the statistics yet is counted again after its vacuum.
        assert!(sample.reading("dead_rows").is_some_and(|dead| dead >= 60_000.0), "{sample:?}");
        let judged = judge(&server, FindingKind::DeadRows).await;
        assert_eq!(judged.causes, ["xmin-held: confirmed"]);
        assert_eq!(judged.actions(), ["kill_idle_transactions", "vacuum_table"]);
        let useless = json!({"schema": "public", "table": "big"});
        let refused = refusal(action("vacuum_table"), &server, useless.clone()).await;
        assert!(refused.contains("would remove nothing"), "{refused}");
        cure(&server, &judged).await;
        let gone = refusal(action("vacuum_table"), &server, useless).await;
        assert!(gone.contains("has no dead rows"), "{gone}");
    }
}

#[tokio::test]
async fn dead_rows_behind_a_prepared_transaction_are_nobody_elses_fault() {
    let pg = PgServer::start().await;
    let admin = with_table(&pg).await;
    dead_rows(&admin).await;
    let orphan = pg.client("app", "coordinator").await;
    let prepare = "begin; update t set v = 3 where id = 1; prepare transaction 'batch-7'";
    orphan.batch_execute(prepare).await.expect("prepared");
    rewrite(&admin).await;
    until(&admin, "it is old", "select prepared < now() - interval '3.1 s' from pg_prepared_xacts")
        .await;
    let server = pg.server(Way::Direct);
    let judged = judge(&server, FindingKind::DeadRows).await;
    assert_eq!(judged.causes, ["prepared-orphan: confirmed"]);
    assert_eq!(judged.actions(), [""; 0]);
    let refused =
        refusal(action("vacuum_table"), &server, json!({"schema": "public", "table": "big"}));
    assert!(refused.await.contains("prepared transaction batch-7"));
}

#[tokio::test]
async fn a_name_that_is_no_plain_word_is_still_only_a_name() {
    let pg = PgServer::start().await;
    let admin = pg.client("postgres", "console").await;
    let odd = "create table \"a\"\"; drop table b; --\" (id int); create table b (id int); \
               insert into \"a\"\"; drop table b; --\" select n from generate_series(1, 100) n; \
               delete from \"a\"\"; drop table b; --\"";
    admin.batch_execute(odd).await.expect("odd names are names");
    let flushed = "select pg_stat_force_next_flush()";
    admin.batch_execute(flushed).await.expect("statistics are told");
    for way in super::WAYS {
        admin.batch_execute("insert into \"a\"\"; drop table b; --\" values (1); delete from \"a\"\"; drop table b; --\"").await.expect("a dead row");
        admin.batch_execute(flushed).await.expect("statistics are told");
        let (vacuum, server) = (action("vacuum_table"), pg.server(way));
        let args = args(json!({"schema": "public", "table": "a\"; drop table b; --"}));
        let saved = vacuum.save(&server, &args).await.expect("there are dead rows");
        let (output, _) = run(vacuum, &server, &args).await;
        assert_eq!(output.expect("it ran").exit_code, Some(0));
        assert_eq!(failing(&vacuum.verify(&server, &args, &saved).await), [""; 0]);
        assert_eq!(value(&admin, "select to_regclass('b')::text").await, "b");
    }
}
