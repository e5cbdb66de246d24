//! What is done to the unit a server runs in: start, unpause, restart.

use serde_json::json;
use simctl::actions::find_for;
use simctl::domain::proposal::Risk;
use simctl::domain::target::Engine;

use super::harness::{RedisServer, Way};
use super::{action, args, carry_out, consequence, failing, refusal, verified};

#[tokio::test]
async fn a_paused_server_goes_on_with_all_it_had() {
    let redis = RedisServer::start(&[]).await;
    let server = redis.server(Way::Inside);
    let place = server.place.as_ref().expect("it has one");
    let unpause = action("unpause_container");
    let refused = refusal(unpause, &server, json!({})).await;
    assert!(refused.contains("is not paused, it is running"), "{refused}");
    place.runtime.pause(&place.unit).await.expect("pause");
    let shown = unpause.preview(&server, &args(json!({}))).await.expect("preview");
    assert_eq!(shown.commands, ["Unpause redis-test"]);
    let saved = carry_out(unpause, &server, &args(json!({}))).await;
    assert_eq!(failing(&unpause.verify(&server, &args(json!({})), &saved).await), [""; 0]);
    redis.client("").await;
    place.runtime.restart(&place.unit, std::time::Duration::ZERO).await.expect("restart");
    let checks = unpause.verify(&server, &args(json!({})), &saved).await;
    assert_eq!(failing(&checks), ["same container, not restarted"]);
}

#[tokio::test]
async fn a_killed_server_is_started_and_a_running_one_is_not() {
    let redis = RedisServer::start(&[]).await;
    let server = redis.server(Way::Inside);
    let start = action("start_container");
    assert!(refusal(start, &server, json!({})).await.contains("is not stopped"));
    let place = server.place.as_ref().expect("it has one");
    place.runtime.kill(&place.unit).await.expect("kill");
    let shown = start.preview(&server, &args(json!({}))).await.expect("preview");
    assert_eq!(shown.notes, ["it was killed (exit code 137)", "log: its last words"]);
    let saved = start.save(&server, &args(json!({}))).await.expect("save");
    assert_eq!(
        failing(&start.verify(&server, &args(json!({})), &saved).await),
        ["container runs", "started anew"]
    );
    let saved = carry_out(start, &server, &args(json!({}))).await;
    assert_eq!(failing(&start.verify(&server, &args(json!({})), &saved).await), [""; 0]);
}

#[tokio::test]
async fn a_unit_that_is_not_the_labs_is_left_alone() {
    let redis = RedisServer::start(&[]).await;
    let mut server = redis.server(Way::Inside);
    server.place.as_mut().expect("it has one").unit.lab = Some("another".into());
    for name in ["unpause_container", "start_container", "restart_redis"] {
        let refused = refusal(action(name), &server, json!({})).await;
        assert!(refused.contains("does not carry the lab's label"), "{name}: {refused}");
    }
    let nowhere = redis.server(Way::Direct);
    let refused = refusal(action("unpause_container"), &nowhere, json!({})).await;
    assert!(refused.contains("name its `container` in the config"), "{refused}");
}

#[tokio::test]
async fn a_restart_without_persistence_is_destructive_and_says_what_is_lost() {
    let redis = RedisServer::start(&[]).await;
    let server = redis.server(Way::Inside);
    let mut client = redis.client("app").await;
    for n in 0..7 {
        let () = redis::cmd("SET").arg(n).arg("v").query_async(&mut client).await.expect("set");
    }
    let restart = find_for("restart", Engine::Redis).expect("it is there");
    let preview = restart.preview(&server, &args(json!({}))).await.expect("preview");
    assert_eq!(restart.risk(&server, &args(json!({})), &preview), Risk::Destructive);
    assert_eq!(consequence(&preview, "keys removed"), 7);
    assert_eq!(consequence(&preview, "clients cut"), 1);
    let saved = carry_out(restart, &server, &args(json!({}))).await;
    verified(restart, &server, &args(json!({})), &saved).await;
}

#[tokio::test]
async fn a_restart_with_persistence_keeps_every_key() {
    let redis = RedisServer::start(&["--save", "3600 1000"]).await;
    let server = redis.server(Way::Inside);
    let mut client = redis.client("app").await;
    for n in 0..7 {
        let () = redis::cmd("SET").arg(n).arg("v").query_async(&mut client).await.expect("set");
    }
    let restart = action("restart_redis");
    let preview = restart.preview(&server, &args(json!({}))).await.expect("preview");
    assert_eq!(restart.risk(&server, &args(json!({})), &preview), Risk::High);
    assert_eq!(consequence(&preview, "keys removed"), 0);
    let saved = carry_out(restart, &server, &args(json!({}))).await;
    verified(restart, &server, &args(json!({})), &saved).await;
    let mut client = redis.client("app").await;
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut client).await.expect("count");
    assert_eq!(keys, 7);
    let () = redis::cmd("FLUSHALL").query_async(&mut client).await.expect("flush");
    let checks = restart.verify(&server, &args(json!({})), &saved).await;
    assert_eq!(failing(&checks), ["keys on disk are there"]);
}
