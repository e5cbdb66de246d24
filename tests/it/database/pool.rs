//! Connections: few, used again, clean, and never more than the server can spare.

use std::time::Duration;

use futures::future::join_all;
use simctl::config::workbench::{PoolBounds, WorkbenchConfig};
use simctl::database::health::{Health, health, pool};
use simctl::database::query::{QueryRequest, query};
use simctl::engine::clock;

use super::bench::{asked, code, configured, postgres, read, run, superuser, until, workbench};

#[tokio::test]
async fn a_quarter_of_what_the_server_can_spare_is_used_and_used_again() {
    let bench = postgres(&[]);
    let desk = workbench(&bench);
    let pid = "select pg_backend_pid() as pid";
    let first = read(&desk, pid).await.expect("a row").rows.remove(0);
    assert_eq!(read(&desk, pid).await.expect("a row").rows[0], first, "the same session");
    // max_connections 20, 3 of them for superusers.
    assert_eq!(pool(&desk).pool_stats.max, 4);
    let most = "select count(*)::int as n, pg_sleep(0.2) from pg_stat_activity where application_name = 'simctl/query'";
    let request = asked(most);
    let all = join_all((0..16).map(|_| query(&desk, &request, None))).await;
    for one in all {
        let rows = one.expect("it waits for its turn").rows;
        let seen = rows[0].get("n").and_then(serde_json::Value::as_i64);
        assert!(seen <= Some(4), "{seen:?} at once");
    }
    let stats = pool(&desk).pool_stats;
    assert!(
        stats.total <= 4 && stats.active == 0 && stats.waiting == 0 && stats.mean_wait_ms > 0.0,
        "{stats:?}"
    );
    assert_eq!(health(&desk, clock::now(), Some(true)).status, Health::Healthy);
    assert_eq!(health(&desk, clock::now(), Some(false)).status, Health::Unhealthy);
}

#[tokio::test]
async fn whoever_waits_too_long_is_told() {
    let bench = postgres(&[]);
    let settings = WorkbenchConfig {
        pool: PoolBounds { max_size: 1, timeout: Duration::from_millis(200) },
        ..WorkbenchConfig::default()
    };
    let (desk, _) = configured(&bench, &settings);
    let slow = QueryRequest { timeout_ms: Some(10_000), ..asked("select pg_sleep(1.5)") };
    let (slow, late) = tokio::join!(query(&desk, &slow, None), async {
        let boss = superuser(&bench).await;
        until(&boss, "select count(*) = 1 from pg_stat_activity where query ~ '^FETCH' and state = 'active' and pid <> pg_backend_pid()").await;
        read(&desk, "select 1").await
    });
    slow.expect("it sleeps");
    assert_eq!(code(&late), "unavailable");
    assert_eq!(pool(&desk).pool_stats.timeouts, 1);
    read(&desk, "select 1").await.expect("free again");
}

#[tokio::test]
async fn many_databases_do_not_take_what_one_may_not() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    for n in 0..6 {
        run(&boss, &format!("create database d{n}")).await;
    }
    let desk = workbench(&bench);
    for n in 0..6 {
        let request =
            QueryRequest { database: Some(format!("d{n}")), ..asked("select current_database()") };
        query(&desk, &request, None).await.expect("a row");
    }
    assert!(pool(&desk).pool_stats.total <= 4);
    // What was closed is gone a moment later.
    let few = "select count(*) <= 4 from pg_stat_activity where application_name = 'simctl/query'";
    until(&boss, few).await;
}
