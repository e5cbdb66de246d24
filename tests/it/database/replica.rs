//! A standby answers what only reads, when it is not behind what the reader wrote.

use simctl::config::workbench::WorkbenchConfig;
use simctl::database::Workbench;
use simctl::database::health::pool;
use simctl::database::query::{QueryRequest, Replica, query};
use simctl::targets::Link;

use super::bench::{asked, json_of, postgres, recording, run, superuser, until, write};
use crate::inspect::standby::Standby;

#[tokio::test]
async fn a_reader_sees_what_it_wrote_also_when_the_standby_does_not() {
    let primary = postgres(&[]);
    let boss = superuser(&primary).await;
    run(&boss, "create table t (n int); alter table t owner to app").await;
    let standby = Standby::of(&primary);
    let there = standby.session().await;
    until(&there, "select count(*) = 1 from pg_stat_wal_receiver where status = 'streaming'").await;
    until(&there, "select to_regclass('t') is not null").await;

    let mut replica = primary.server(None);
    replica.target.id = "replica".into();
    if let Link::Postgres(link) = &mut replica.link {
        link.port = standby.port;
        link.name = "replica".into();
    }
    let made = Workbench::new(&primary.server(None), &WorkbenchConfig::default(), 1)
        .expect("a PostgreSQL");
    let (desk, _) = recording(made.with_replicas(&[replica]).expect("another"));
    let count = asked("select count(*)::int as n from t");
    let served =
        |response: &simctl::database::query::QueryResponse| response.facts.served_by.clone();

    let first = query(&desk, &count, None).await.expect("a row");
    assert_eq!(served(&first), "replica");
    assert!(first.facts.lsn.is_some());
    for request in [
        QueryRequest { replica: Replica::Never, ..count.clone() },
        QueryRequest { transaction: true, ..count.clone() },
    ] {
        assert_eq!(served(&query(&desk, &request, None).await.expect("a row")), "postgres-test");
    }

    let token = write(&desk, "insert into t values (1)").await.expect("written").facts.lsn;
    let after = QueryRequest { after_lsn: token, ..count.clone() };
    let response = query(&desk, &after, None).await.expect("a row");
    assert_eq!(json_of(&response.rows), serde_json::json!([{"n": 1}]), "whoever answered");

    run(&there, "select pg_wal_replay_pause()").await;
    until(&there, "select pg_get_wal_replay_pause_state() = 'paused'").await;
    let token = write(&desk, "insert into t values (2)").await.expect("written").facts.lsn;
    let after = QueryRequest { after_lsn: token, ..count.clone() };
    let response = query(&desk, &after, None).await.expect("a row");
    assert_eq!(
        (served(&response).as_str(), json_of(&response.rows)),
        ("postgres-test", serde_json::json!([{"n": 2}]))
    );

    run(&there, "select pg_wal_replay_resume()").await;
    until(&there, "select pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()").await;
    let replicas = pool(&desk).read_replicas;
    assert_eq!((replicas.len(), replicas[0].name.as_str()), (1, "replica"));

    drop(there);
    drop(standby);
    let response = query(&desk, &count, None).await.expect("the primary is there");
    assert_eq!(
        (served(&response).as_str(), json_of(&response.rows)),
        ("postgres-test", serde_json::json!([{"n": 2}]))
    );
}
