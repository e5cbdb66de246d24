//! Disconnecting Redis clients, and only those.

use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::harness::{RedisServer, Way};
use super::{WAYS, action, args, carry_out, consequence, failing, refusal};

async fn id(client: &mut MultiplexedConnection) -> u64 {
    redis::cmd("CLIENT").arg("ID").query_async(client).await.expect("an id")
}

async fn is_there(client: &mut MultiplexedConnection) -> bool {
    redis::cmd("PING").query_async::<String>(client).await.is_ok()
}

async fn write(client: &mut MultiplexedConnection) {
    let () = redis::cmd("SET").arg("k").arg("v").query_async(client).await.expect("a write");
}

#[tokio::test]
async fn the_chosen_clients_go_and_their_return_is_noticed() {
    for way in WAYS {
        let redis = RedisServer::start(&[]).await;
        let server = redis.server(way);
        let (mut leaker, mut twin) = (redis.client("leaker").await, redis.client("leaker").await);
        let mut neighbour = redis.client("neighbour").await;
        let ids = [id(&mut leaker).await, id(&mut twin).await];
        write(&mut leaker).await;
        write(&mut twin).await;
        write(&mut neighbour).await;

        let (kill, args) = (action("kill_redis_clients"), args(json!({"ids": ids})));
        let preview = kill.preview(&server, &args).await.expect("preview");
        assert_eq!(consequence(&preview, "clients disconnected"), 2);
        assert!(consequence(&preview, "bytes of buffers freed") > 0);
        assert!(preview.notes[0].contains("leaker"), "{preview:?}");
        assert!(preview.commands[0].contains(&format!("CLIENT KILL ID {}", ids[0])));
        let saved = carry_out(kill, &server, &args).await;
        assert_eq!(failing(&kill.verify(&server, &args, &saved).await), [""; 0]);
        assert!(!is_there(&mut leaker).await && !is_there(&mut twin).await);
        assert!(is_there(&mut neighbour).await, "{way:?}");

        let mut reader = redis.client("leaker").await;
        assert!(is_there(&mut reader).await);
        assert_eq!(failing(&kill.verify(&server, &args, &saved).await), [""; 0], "it only reads");
        write(&mut reader).await;
        let checks = kill.verify(&server, &args, &saved).await;
        assert_eq!(failing(&checks), ["clients are not back"], "{way:?}");
    }
}

#[tokio::test]
async fn clients_that_matter_are_refused() {
    let redis = RedisServer::start(&[]).await;
    let server = redis.server(Way::Inside);
    let kill = action("kill_redis_clients");
    let mut own = redis.client("simctl/monitor").await;
    let ours = id(&mut own).await;
    let mut plain = redis.client("app").await;
    let ordinary = id(&mut plain).await;
    let refused = refusal(kill, &server, json!({"ids": [ordinary, ours]})).await;
    assert!(refused.contains("is one of simctl's own"), "{refused}");

    let url = format!("redis://127.0.0.1:{}/", redis.link.port);
    let opened = redis::Client::open(url).expect("an address");
    let mut subscriber = opened.get_async_pubsub().await.expect("a subscriber");
    subscriber.subscribe("news").await.expect("subscribed");
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .arg("TYPE")
        .arg("pubsub")
        .query_async(&mut plain)
        .await
        .expect("list");
    let subscribed: u64 =
        list.split(' ').next().and_then(|f| f.strip_prefix("id=")?.parse().ok()).expect("an id");
    let refused = refusal(kill, &server, json!({"ids": [subscribed]})).await;
    assert!(refused.contains("is a subscriber"), "{refused}");

    for (given, expected) in [
        (json!({"ids": []}), "names no client"),
        (json!({"ids": ["7"]}), "is not a list of client ids"),
        (json!({}), "is missing"),
        (json!({"ids": [999_999]}), "none of these clients is connected any more"),
    ] {
        let refused = refusal(kill, &server, given).await;
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(is_there(&mut own).await && is_there(&mut plain).await);
}
