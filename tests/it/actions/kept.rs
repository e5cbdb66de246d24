//! A server that lets no new client in: looks and orders go over the connection that the probe kept.

use serde_json::json;
use simctl::targets::Link;

use super::harness::{RedisServer, Way};
use super::{WAYS, action, args, carry_out, failing, refusal};

const MB: u64 = 1 << 20;

async fn ask(client: &mut redis::aio::MultiplexedConnection, words: &[&str]) -> String {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    let answer: redis::Value = command.query_async(client).await.expect("it answers");
    format!("{answer:?}")
}

/// The ways to lock new clients out, while those who are in stay in.
const LOCKS: [&[&str]; 2] =
    [&["CONFIG", "SET", "requirepass", "n0body knows"], &["ACL", "SETUSER", "default", "off"]];

#[tokio::test]
async fn a_locked_server_is_looked_at_and_mended_over_the_kept_connection() {
    for way in WAYS {
        for lock in LOCKS {
            let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
            let server = redis.server(way);
            let probe = server.probe();
            assert!(probe.held().await.is_clean());
            let mut insider = redis.client("").await;
            ask(&mut insider, lock).await;
            let fresh = probe.fresh().await;
            assert_eq!(fresh.connect.code(), Some("NOAUTH"), "{fresh:?}");

            let reset = action("reset_redis_setting");
            let args = args(json!({"name": "maxmemory", "value": (50 * MB).to_string()}));
            let preview = reset.preview(&server, &args).await.expect("preview");
            let spelled = format!("over the kept connection: CONFIG SET maxmemory {}", 50 * MB);
            assert_eq!(preview.commands, [spelled], "{way:?} {lock:?}");
            let saved = carry_out(reset, &server, &args).await;
            assert_eq!(failing(&reset.verify(&server, &args, &saved).await), [""; 0]);
            let is = ask(&mut insider, &["CONFIG", "GET", "maxmemory"]).await;
            assert!(is.contains(&(50 * MB).to_string()), "{is}");
            reset.undo(&server, &args, &saved).await.expect("undo");
            let executed = redis.process.executed.lock().expect("no panic").len();
            assert_eq!(executed, 0, "nothing was tried inside, where it is refused too");
        }
    }
}

#[tokio::test]
async fn once_new_clients_are_let_in_again_orders_take_the_ordinary_way() {
    let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
    let server = redis.server(Way::Inside);
    assert!(server.probe().held().await.is_clean());
    let mut insider = redis.client("").await;
    let reset = action("reset_redis_setting");
    let args = args(json!({"name": "maxmemory", "value": (50 * MB).to_string()}));
    ask(&mut insider, LOCKS[1]).await;
    let locked = reset.preview(&server, &args).await.expect("preview");
    assert!(locked.commands[0].starts_with("over the kept connection: "), "{locked:?}");
    ask(&mut insider, &["ACL", "SETUSER", "default", "on"]).await;
    let open = reset.preview(&server, &args).await.expect("preview");
    assert!(open.commands[0].contains("redis-cli"), "{open:?}");
    assert_eq!(open.drift_from(&locked), None, "another way is no other deed");
}

#[tokio::test]
async fn in_a_crowded_server_the_idle_ones_are_cut_from_inside() {
    for way in WAYS {
        let redis = RedisServer::start(&["--maxclients", "4"]).await;
        let server = redis.server(way);
        let probe = server.probe();
        assert!(probe.held().await.is_clean());
        let mut crowd = Vec::new();
        while let Ok(client) = redis.link.connect("crowd").await {
            crowd.push(client);
        }
        let mut id = String::new();
        for client in &mut crowd {
            ask(client, &["CLIENT", "SETNAME", "worker"]).await;
            id = ask(client, &["CLIENT", "ID"]).await;
        }
        let fresh = probe.fresh().await;
        assert!(fresh.connect.describe().contains("max number of clients"), "{fresh:?}");

        let id: u64 = id.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
        let (kill, args) = (action("kill_redis_clients"), args(json!({"ids": [id]})));
        let preview = kill.preview(&server, &args).await.expect("preview");
        let command = &preview.commands[0];
        assert!(command.starts_with("over the kept connection: CLIENT KILL ID"), "{command}");
        let saved = carry_out(kill, &server, &args).await;
        assert_eq!(failing(&kill.verify(&server, &args, &saved).await), [""; 0], "{way:?}");
        let Link::Redis(link) = &server.link else { panic!("another kind of server") };
        assert_eq!(link.kept.turned_away(), None, "there is room again");
        assert!(probe.held().await.is_clean(), "the kept connection is never the victim");
    }
}

#[tokio::test]
async fn without_a_kept_connection_a_locked_server_stays_locked() {
    let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
    ask(&mut redis.client("").await, LOCKS[0]).await;
    let server = redis.server(Way::Inside);
    let wanted = json!({"name": "maxmemory", "value": (50 * MB).to_string()});
    let refused = refusal(action("reset_redis_setting"), &server, wanted).await;
    assert!(refused.starts_with("look at redis-test"), "{refused}");
}
