//! The ways to fill a Redis or its client slots: each takes, spares what is not its own, and leaves nothing.

use super::*;

#[tokio::test]
async fn each_way_to_fill_a_server_refuses_writes_and_takes_back_its_own_only() {
    for fault in ["big-key", "output-buffers", "query-buffers", "list-backlog"] {
        let broken = Broken::over(Bench::redis());
        let mut con = broken.redis().await;
        for n in 0..50 {
            let () = ask(&mut con, &format!("SET keep:{n} value")).await.unwrap();
        }
        let spec = broken.spec(fault, &[]).await;
        let reports = broken
            .live(&spec, async || {
                let mut con = broken.redis().await;
                let refused = ask::<()>(&mut con, "SET another value").await.unwrap_err();
                assert_eq!(refused.code(), Some("OOM"), "{fault}");
                let kept: String = ask(&mut con, "GET keep:7").await.unwrap();
                assert_eq!(kept, "value");
                let clients: String = ask(&mut con, "CLIENT LIST").await.unwrap();
                assert!(!clients.contains("name=simctl "), "an ordinary name: {clients}");
            })
            .await;
        assert_undone(&reports);
        let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
        assert_eq!(keys, 50, "{fault}");
        let () = ask(&mut con, "SET another value").await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_evicts_or_has_no_limit_is_not_filled_in_any_way() {
    for setting in ["maxmemory-policy allkeys-lru", "maxmemory 0"] {
        let broken = Broken::over(Bench::redis());
        let () = ask(&mut broken.redis().await, &format!("CONFIG SET {setting}")).await.unwrap();
        for fault in ["big-key", "output-buffers", "query-buffers", "list-backlog"] {
            let reports = broken.live(&broken.spec(fault, &[]).await, async || ()).await;
            let [Report::Failed { .. }] = reports.as_slice() else { panic!("{reports:?}") };
        }
        let keys: u64 = ask(&mut broken.redis().await, "DBSIZE").await.unwrap();
        assert_eq!(keys, 0);
    }
}

#[tokio::test]
async fn a_crowded_server_turns_new_clients_away_until_it_is_undone() {
    let broken = Broken::over(Bench::redis());
    let mut insider = broken.redis().await;
    let before: Vec<String> = ask(&mut insider, "CONFIG GET maxclients").await.unwrap();
    let spec = broken.spec("maxclients", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let url = format!("redis://127.0.0.1:{}/", broken.bench.port);
            let outside = redis::Client::open(url).unwrap();
            let turned_away = outside.get_multiplexed_async_connection().await.err();
            assert!(turned_away.is_some(), "a new client got in");
            let mut insider = insider.clone();
            let pong: String = ask(&mut insider, "PING").await.unwrap();
            assert_eq!(pong, "PONG", "who is in stays in");
        })
        .await;
    assert_undone(&reports);
    let after: Vec<String> = ask(&mut insider, "CONFIG GET maxclients").await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn flushed_keys_come_back_with_their_times_to_live_and_newer_ones_stay() {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    let () = ask(&mut con, "SET keep:1 old").await.unwrap();
    let () = ask(&mut con, "SET keep:2 old EX 1000").await.unwrap();
    let () = ask(&mut con, "RPUSH queue a b c").await.unwrap();
    let spec = broken.spec("flushall", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let mut con = broken.redis().await;
            let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
            assert_eq!(keys, 0);
            let () = ask(&mut con, "SET keep:1 new").await.unwrap();
        })
        .await;
    assert_undone(&reports);
    let value: String = ask(&mut con, "GET keep:1").await.unwrap();
    assert_eq!(value, "new", "written since");
    let ttl: i64 = ask(&mut con, "TTL keep:2").await.unwrap();
    assert!((900..=1_000).contains(&ttl), "{ttl}");
    let queue: Vec<String> = ask(&mut con, "LRANGE queue 0 -1").await.unwrap();
    assert_eq!(queue, ["a", "b", "c"]);
    let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
    assert_eq!(keys, 503, "the ordinary data it put into a server with hardly any stays");
}

#[tokio::test]
async fn a_server_with_more_than_can_be_put_back_is_not_flushed() {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    let () = ask(&mut con, "SELECT 3").await.unwrap();
    let () = ask(&mut con, "SET elsewhere value").await.unwrap();
    let reports = broken.live(&broken.spec("flushall", &[]).await, async || ()).await;
    let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(reason.contains("other databases"), "{reason}");
    let () = ask(&mut con, "FLUSHALL").await.unwrap();
    let () = ask(&mut con, "SELECT 0").await.unwrap();
    for n in 0..2_001 {
        let () = ask(&mut con, &format!("SET keep:{n} value")).await.unwrap();
    }
    let reports = broken.live(&broken.spec("flushall", &[]).await, async || ()).await;
    let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(reason.contains("more than 2,000 keys"), "{reason}");
    let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
    assert_eq!(keys, 2_001);
}
