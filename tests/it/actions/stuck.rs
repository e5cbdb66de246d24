//! Queues behind sessions that cannot go on, and leaks that come back: made by hand, judged from outside, cured by the
//! one thing that helps.

use std::process::{Child, Command, Stdio};

use serde_json::json;
use simctl::domain::finding::FindingKind;
use tokio_postgres::Client;

use super::causes::{cure, judge, started, until, value, with_table};
use super::harness::{PgServer, Way};
use super::{action, args, run};

/// psql at work on something, with a row of `t` locked.
struct Program(Child);

impl Program {
    fn lock_a_row(pg: &PgServer, then: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-h", "127.0.0.1", "-p", &pg.link.port.to_string(), "-U", "app"])
            .args(["-d", "postgres", "-c", "begin", "-c", "update t set v = 7 where id = 1"])
            .args(["-c", then])
            .env("PGAPPNAME", "batch")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(psql.spawn().expect("psql is there"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("our own child");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HOLDER: &str = "select pid::text from pg_stat_activity where application_name = 'batch'";

async fn one_waits(admin: &Client) {
    let waits = "select count(*) = 1 from pg_stat_activity where wait_event_type = 'Lock'";
    until(admin, "one waits", waits).await;
}

#[tokio::test]
async fn a_session_whose_process_stands_still_goes_on_and_its_work_is_kept() {
    let pg = PgServer::start().await;
    let admin = with_table(&pg).await;
    let _holder = Program::lock_a_row(&pg, "select pg_sleep(3); commit");
    until(&admin, "it sleeps", "select bool_or(wait_event = 'PgSleep') from pg_stat_activity")
        .await;
    let pid = value(&admin, HOLDER).await;
    let stop = Command::new("kill").args(["-STOP", &pid]).status().expect("kill is there");
    assert!(stop.success());
    let client = pg.client("app", "shop").await;
    let waits = started(&client, "update t set v = v + 1 where id = 1").await;
    one_waits(&admin).await;
    let server = pg.server(Way::Inside);
    let judged = judge(&server, FindingKind::LockQueue).await;
    assert_eq!(judged.causes, ["frozen-backend: confirmed"]);
    assert_eq!(judged.actions(), ["continue_process"]);

    // The tempting fix is told that all is well, and nothing is.
    let blocker = "select json_build_object('session', json_build_object('pid', pid, 'backend_start', backend_start)) \
                   from pg_stat_activity where application_name = 'batch'";
    let blocker = serde_json::from_str(&value(&admin, blocker).await).expect("a session");
    let refused = run(action("continue_process"), &server, &args(json!({"pid": 1}))).await.0;
    assert!(refused.is_err(), "{refused:?}");
    // Not run: what was ordered while it stood still would be carried out as soon as it goes on.
    action("kill_blocker").preview(&server, &args(blocker)).await.expect("it would be tried");

    cure(&server, &judged).await;
    waits.await.expect("it goes on");
    assert_eq!(value(&admin, "select v::text from t where id = 1").await, "8", "nothing was lost");
}

#[tokio::test]
async fn a_session_whose_client_was_killed_is_ended_and_one_whose_client_lives_is_asked_first() {
    let pg = PgServer::start().await;
    let admin = with_table(&pg).await;
    let mut holder = Program::lock_a_row(&pg, "select pg_sleep(300)");
    until(&admin, "it sleeps", "select bool_or(wait_event = 'PgSleep') from pg_stat_activity")
        .await;
    let client = pg.client("app", "shop").await;
    let waits = started(&client, "update t set v = v + 1 where id = 1").await;
    one_waits(&admin).await;
    let server = pg.server(Way::Inside);
    let judged = judge(&server, FindingKind::LockQueue).await;
    assert_eq!(judged.causes, ["lock-pile: confirmed"], "its client is there");
    assert_eq!(judged.actions(), ["cancel_query"]);

    holder.kill();
    // Over a direct connection nobody sees that the client is gone.
    let direct = judge(&pg.server(Way::Direct), FindingKind::LockQueue).await;
    assert_eq!(direct.causes, ["lock-pile: confirmed"]);
    let judged = judge(&server, FindingKind::LockQueue).await;
    assert_eq!(judged.causes, ["ghost-client: confirmed"]);
    assert_eq!(judged.actions(), ["kill_blocker"]);
    cure(&server, &judged).await;
    waits.await.expect("it goes on");
    assert_eq!(value(&admin, "select v::text from t where id = 1").await, "1");
}

#[tokio::test]
async fn a_role_gets_a_limit_only_where_it_is_not_the_applications() {
    for way in super::WAYS {
        let pg = PgServer::start().await;
        let admin = pg.client("postgres", "console").await;
        admin.batch_execute("create role reports login").await.expect("a role");
        let server = pg.server(way);
        let limit = action("limit_role");
        let own = super::refusal(limit, &server, json!({"role": "app", "limit": 4})).await;
        assert!(own.contains("it would be turned away too"), "{own}");
        let root = super::refusal(limit, &server, json!({"role": "postgres", "limit": 4})).await;
        assert!(root.contains("a superuser"), "{root}");
        let none = super::refusal(limit, &server, json!({"role": "nobody", "limit": 4})).await;
        assert!(none.contains("there is no role nobody"), "{none}");
        let wanted = args(json!({"role": "reports", "limit": 1}));
        let saved = super::carry_out(limit, &server, &wanted).await;
        super::verified(limit, &server, &wanted, &saved).await;
        let one = pg.client("reports", "report").await;
        assert!(pg.try_client("reports", "report").await.is_err(), "one is all it gets");
        one.simple_query("select 1").await.expect("who is in stays");
        let told = limit.undo(&server, &wanted, &saved).await.expect("it is taken back");
        assert!(told.ends_with("is none again"), "{told}");
        pg.client("reports", "report").await;
    }
}
