//! Transactions that fail and tables that are read from end to end, made so by hand: judged from outside, cured by the
//! one thing that helps.

use simctl::domain::finding::FindingKind;
use tokio_postgres::Client;

use super::causes::{cure, judge, judge_from, value};
use super::harness::{PgServer, Way};

async fn do_all(client: &Client, statements: &[&str]) {
    for statement in statements {
        client.batch_execute(statement).await.expect(statement);
    }
}

#[tokio::test]
async fn a_transaction_that_holds_too_many_locks_is_ended_and_no_other() {
    for way in super::WAYS {
        let pg = PgServer::start().await;
        let (hoarder, spare) = (pg.client("app", "batch").await, pg.client("app", "spare").await);
        let other = pg.client("app", "shop").await;
        do_all(&other, &["begin", "select 1"]).await;
        let take = |from: u32, to: u32| {
            format!(
                "select count(pg_advisory_xact_lock(3, n)) from generate_series({from}, {to}) n"
            )
        };
        do_all(&spare, &["begin", &take(900_001, 900_020)]).await;
        do_all(&hoarder, &["begin"]).await;
        let mut held = 0;
        for step in [500, 20, 1] {
            loop {
                do_all(&hoarder, &["savepoint more"]).await;
                if hoarder.batch_execute(&take(held + 1, held + step)).await.is_err() {
                    do_all(&hoarder, &["rollback to more"]).await;
                    break;
                }
                do_all(&hoarder, &["release more"]).await;
                held += step;
            }
        }
        do_all(&spare, &["rollback"]).await;
        let server = pg.server(way);
        let judged = judge(&server, FindingKind::TransactionsFail).await;
        assert_eq!(judged.causes, ["lock-table-full: confirmed"]);
        assert_eq!(judged.actions(), ["kill_idle_transactions"]);
        cure(&server, &judged).await;
        do_all(&spare, &["begin", &take(1, 64), "rollback"]).await;
        do_all(&other, &["commit"]).await;
        assert!(hoarder.is_closed(), "it was the one that held them");
        assert_eq!(judge(&server, FindingKind::TransactionsFail).await.causes, [""; 0]);
    }
}

#[tokio::test]
async fn a_limit_on_temporary_files_goes_back_and_a_sequence_at_its_end_is_left_to_a_person() {
    let pg = PgServer::start().await;
    let admin = pg.client("postgres", "console").await;
    let server = pg.server(Way::Direct);
    let baseline = server.probe().settings().await.expect("it is healthy");
    let limit = ["alter system set temp_file_limit = '1MB'", "select pg_reload_conf()"];
    do_all(&admin, &limit).await;
    let sort = "set work_mem = '64kB'; select count(*) from (select repeat('x', 100) || n from \
                generate_series(1, 15000) n order by 1) s";
    let report = pg.client("app", "report").await;
    super::until("the limit counts", async || report.batch_execute(sort).await.is_err()).await;
    let judged = judge_from(&server, FindingKind::TransactionsFail, baseline.clone()).await;
    // The server's log is not to be read over a direct connection.
    assert_eq!(judged.causes, ["spill: likely"]);
    assert_eq!(judged.actions(), ["reset_pg_setting"]);
    cure(&server, &judged).await;
    super::until("reports work again", async || report.batch_execute(sort).await.is_ok()).await;

    let end = "create table orders (id serial, note text); select setval('orders_id_seq', 2147483647); \
               grant all on orders, orders_id_seq to app";
    do_all(&admin, &[end]).await;
    let judged = judge_from(&server, FindingKind::TransactionsFail, baseline).await;
    assert_eq!(judged.causes, ["sequence-end: likely"]);
    assert_eq!(judged.actions(), [""; 0]);
}

#[tokio::test]
async fn a_planner_that_may_use_no_index_may_again_and_its_undo_is_exact() {
    const WAYS: [&str; 2] = ["enable_indexscan", "enable_bitmapscan"];
    for way in super::WAYS {
        let pg = PgServer::start().await;
        let admin = pg.client("postgres", "console").await;
        let server = pg.server(way);
        let baseline = server.probe().settings().await.expect("it is healthy");
        let lookups = "create table big as select n as id from generate_series(1, 20000) n; \
                       create index on big (id); analyze big; grant select on big to app";
        do_all(&admin, &[lookups]).await;
        let plan = async || {
            let client = pg.client("app", "shop").await;
            value(&client, "explain (costs off) select * from big where id = 7").await
        };
        assert!(plan().await.contains("Index"), "an index is used");
        for name in WAYS {
            do_all(&admin, &[&format!("alter database postgres set {name} = off")]).await;
        }
        assert_eq!(plan().await, "Seq Scan on big");
        let judged = judge_from(&server, FindingKind::FullScans, baseline).await;
        assert_eq!(judged.causes, ["planner-setting: confirmed"]);
        assert_eq!(judged.actions(), ["reset_role_db_setting"]);
        let (reset, args) = (super::action("reset_role_db_setting"), &judged.steps[0].1);
        let saved = super::carry_out(reset, &server, args).await;
        super::verified(reset, &server, args, &saved).await;
        assert!(plan().await.contains("Index"), "an index is used again");
        let told = reset.undo(&server, args, &saved).await.expect("it is taken back");
        assert!(told.ends_with("are as they were"), "{told}");
        assert_eq!(plan().await, "Seq Scan on big");
    }
}
