//! Ending idle PostgreSQL sessions: who goes, who never does, and restarting the server.

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::harness::{PgServer, Way};
use super::{WAYS, action, args, carry_out, consequence, failing, refusal, run, verified};

async fn pid(client: &Client) -> i32 {
    client.query_one("select pg_backend_pid()", &[]).await.expect("a pid").get(0)
}

/// The session as the playbook names it.
async fn named(client: &Client) -> Value {
    let sql = "select pg_backend_pid(), (select backend_start from pg_stat_activity where pid = pg_backend_pid())";
    let row = client.query_one(sql, &[]).await.expect("a row");
    let start: chrono::DateTime<chrono::Utc> = row.get(1);
    json!({"pid": row.get::<_, i32>(0), "backend_start": start})
}

/// Whether the session lives; one whose statement was cut does.
async fn is_there(client: &Client) -> bool {
    let cut = |e: tokio_postgres::Error| e.code() == Some(&SqlState::QUERY_CANCELED);
    client.simple_query("select 1").await.map_or_else(cut, |_| true)
}

/// Sets a statement timeout that hardly any statement survives, as a server may have it.
async fn cut_every_statement(admin: &Client) {
    for statement in ["alter system set statement_timeout = '1ms'", "select pg_reload_conf()"] {
        admin.batch_execute(statement).await.expect("a hostile setting");
    }
    for _ in 0..200 {
        let told = admin.query_one("show statement_timeout", &[]).await;
        if told.map_or(true, |row| row.get::<_, &str>(0) == "1ms") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the setting did not take");
}

async fn fill(pg: &PgServer, application: &str) -> Vec<Client> {
    let mut held = Vec::new();
    while let Ok(client) = pg.try_client("app", application).await {
        held.push(client);
        assert!(held.len() <= 20, "there are only twenty slots");
    }
    held
}

#[tokio::test]
async fn named_sessions_end_when_every_slot_is_taken_and_the_protected_live() {
    for way in WAYS {
        let pg = PgServer::start().await;
        let server = pg.server(way);
        let admin = pg.client("postgres", "console").await;
        // The first superuser may replicate as well, so each right is tried alone.
        let (boss, repl) = (pg.client("boss", "web").await, pg.client("repl", "web").await);
        let locker = pg.client("app", "leader").await;
        locker.batch_execute("select pg_advisory_lock(1)").await.expect("lock");
        let ours = pg.client("app", "simctl/held").await;
        let busy = pg.client("app", "web").await;
        busy.batch_execute("begin").await.expect("a transaction");
        let bystander = pg.client("app", "web").await;
        let leaked = fill(&pg, "web").await;
        assert!(leaked.len() >= 9, "{}", leaked.len());
        let mut sessions = Vec::new();
        for client in leaked.iter().chain([&admin, &boss, &repl, &locker, &ours, &busy]) {
            sessions.push(named(client).await);
        }
        sessions
            .push(json!({"pid": pid(&bystander).await, "backend_start": "2020-01-01T00:00:00Z"}));

        cut_every_statement(&admin).await;

        let (kill, args) = (action("kill-connections"), args(json!({"sessions": sessions})));
        let preview = kill.preview(&server, &args).await.expect("preview");
        assert_eq!(consequence(&preview, "sessions cut"), leaked.len() as u64, "{preview:?}");
        assert_eq!(consequence(&preview, "of them losing written work"), 0);
        assert!(preview.notes.last().expect("notes").starts_with("7 sessions gone, busy"));
        let saved = carry_out(kill, &server, &args).await;
        verified(kill, &server, &args, &saved).await;
        for client in &leaked {
            assert!(!is_there(client).await);
        }
        for (who, client) in [
            ("first superuser", &admin),
            ("superuser", &boss),
            ("replication role", &repl),
            ("advisory lock", &locker),
            ("our own", &ours),
            ("in a transaction", &busy),
            ("another life of a pid", &bystander),
        ] {
            assert!(is_there(client).await, "{way:?}: {who}");
        }
        pg.client("app", "web").await;
    }
}

#[tokio::test]
async fn the_oldest_of_a_role_go_first_and_no_more_than_allowed() {
    let pg = PgServer::start().await;
    let server = pg.server(Way::Direct);
    let mut clients = Vec::new();
    for application in ["job", "job", "job", "web"] {
        let client = pg.client("app", application).await;
        client.simple_query("select 1").await.expect("used");
        clients.push(client);
    }
    let args = args(json!({"roles": ["app"], "apps": ["job"], "min_idle_s": 0, "max": 2}));
    let kill = action("kill_idle_connections");
    let saved = carry_out(kill, &server, &args).await;
    assert_eq!(failing(&kill.verify(&server, &args, &saved).await), [""; 0]);
    let mut there = Vec::new();
    for client in &clients {
        there.push(is_there(client).await);
    }
    assert_eq!(there, [false, false, true, true]);

    let patient = json!({"roles": ["app"], "min_idle_s": 3_600});
    let refused = refusal(kill, &server, patient).await;
    assert!(refused.contains("no session that may be ended"), "{refused}");
}

#[tokio::test]
async fn a_leak_that_fills_up_again_is_not_fixed() {
    let pg = PgServer::start().await;
    let server = pg.server(Way::Inside);
    let leaked = fill(&pg, "web").await;
    let args = args(json!({"apps": ["web"], "min_idle_s": 0}));
    let kill = action("kill_idle_connections");
    let preview = kill.preview(&server, &args).await.expect("preview");
    let saved = carry_out(kill, &server, &args).await;
    drop(leaked);
    let _again = fill(&pg, "web").await;
    let checks = kill.verify(&server, &args, &saved).await;
    assert_eq!(
        failing(&checks),
        ["sessions did not come back", "a slot is free for ordinary roles"]
    );
    let more = kill.preview(&server, &args).await.expect("preview");
    assert_eq!(more.drift_from(&preview), None, "as many as were shown");
}

#[tokio::test]
async fn a_login_that_may_not_end_sessions_is_told_so() {
    let mut pg = PgServer::start().await;
    pg.link.fixer = None;
    let client = pg.client("app", "web").await;
    client.simple_query("select 1").await.expect("used");
    let args = args(json!({"apps": ["web"], "min_idle_s": 0}));
    let kill = action("kill_idle_connections");
    let (output, _) = run(kill, &pg.server(Way::Direct), &args).await;
    let refused = output.expect_err("no fixer").to_string();
    assert!(refused.contains("give the target a `fixer`"), "{refused}");
    pg.link.fixer = Some(pg.link.monitor.clone());
    let (output, _) = run(kill, &pg.server(Way::Direct), &args).await;
    let output = output.expect("the server refused, which is an output");
    assert_eq!(output.exit_code, Some(3));
    assert!(output.stderr.contains("42501"), "{output:?}");
    assert!(is_there(&client).await);
}

#[tokio::test]
async fn a_restart_is_priced_done_and_proven() {
    let pg = PgServer::start().await;
    let server = pg.server(Way::Inside);
    let admin = pg.client("postgres", "console").await;
    admin.batch_execute("create table t (x int)").await.expect("a table");
    for statement in ["alter system set max_connections = 25", "select pg_reload_conf()"] {
        admin.batch_execute(statement).await.expect("a pending setting");
    }
    let writer = pg.client("postgres", "writer").await;
    writer.batch_execute("begin; insert into t values (1)").await.expect("work");
    let (restart, args) = (action("restart_postgres"), args(json!({})));
    let pending = || async {
        let preview = restart.preview(&server, &args).await.expect("preview");
        (preview.scope["pending settings"] == "max_connections").then_some(preview)
    };
    let mut preview = None;
    for _ in 0..100 {
        preview = pending().await;
        if preview.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let preview = preview.expect("the pending setting is shown");
    assert_eq!(consequence(&preview, "sessions cut"), 2);
    assert_eq!(consequence(&preview, "sessions losing written work"), 1);
    let saved = carry_out(restart, &server, &args).await;
    verified(restart, &server, &args, &saved).await;
    let rows = pg.client("postgres", "x").await.query("select x from t", &[]).await.expect("rows");
    assert!(rows.is_empty(), "unfinished work is rolled back");
    assert!(!is_there(&admin).await);
}

#[tokio::test]
async fn a_server_that_would_not_start_again_is_not_restarted() {
    for (file, line, found) in [
        ("pg_hba.conf", "nonsense\n", "pg_hba.conf line"),
        ("postgresql.auto.conf", "work_mem = 'plenty'\n", "postgresql.auto.conf line"),
    ] {
        let pg = PgServer::start().await;
        let path = pg.data().join(file);
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::write(&path, format!("{text}{line}")).expect("the broken file");
        let refused = refusal(action("restart_postgres"), &pg.server(Way::Inside), json!({})).await;
        assert!(refused.contains("would not start again"), "{refused}");
        assert!(refused.contains(found), "{refused}");
    }
}
