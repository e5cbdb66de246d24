//! Removing keys, and putting them back exactly.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::harness::{RedisServer, Way};
use super::{WAYS, action, args, carry_out, consequence, failing, refusal, run, verified};

/// Every key of the selected database with its DUMP and the time it expires.
async fn contents(client: &mut MultiplexedConnection) -> BTreeMap<Vec<u8>, (Vec<u8>, i64)> {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(client).await.expect("keys");
    let mut found = BTreeMap::new();
    for key in keys {
        let mut pipe = redis::pipe();
        pipe.cmd("DUMP").arg(&key).cmd("PEXPIRETIME").arg(&key);
        found.insert(key, pipe.query_async(client).await.expect("a key"));
    }
    found
}

async fn set(client: &mut MultiplexedConnection, key: &[u8], value: &[u8], px: u64) {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(value);
    if px > 0 {
        command.arg("PX").arg(px);
    }
    let () = command.query_async(client).await.expect("set");
}

async fn fill(client: &mut MultiplexedConnection, prefix: &str, keys: usize) {
    for part in (0..keys).collect::<Vec<_>>().chunks(1_000) {
        let mut pipe = redis::pipe();
        for n in part {
            pipe.cmd("SET").arg(format!("{prefix}{n}")).arg("x".repeat(900)).ignore();
        }
        let () = pipe.query_async(client).await.expect("fill");
    }
}

/// Waits until the server's own clock has gone on by so much.
async fn wait_for_ms(client: &mut MultiplexedConnection, ms: u64) {
    let mut first = None;
    loop {
        let (seconds, micros): (u64, u64) =
            redis::cmd("TIME").query_async(client).await.expect("a clock");
        let now = seconds * 1_000 + micros / 1_000;
        if now > *first.get_or_insert(now) + ms {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_family_is_removed_and_comes_back_to_the_byte() {
    for way in WAYS {
        let redis = RedisServer::start(&["--maxmemory", "50mb"]).await;
        let (server, mut client) = (redis.server(way), redis.client("app").await);
        let odd: [&[u8]; 4] =
            [b"a*b:1", b"a*b: two words\n", b"a*b:\x00\xff\"\\", "a*b:é".as_bytes()];
        for key in odd {
            set(&mut client, key, b"\x00\r\n\xfe binary", 0).await;
        }
        set(&mut client, b"a*b:mortal", b"soon", 3_600_000).await;
        let mut list = redis::cmd("RPUSH");
        let () = list
            .arg("a*b:list")
            .arg("1")
            .arg("")
            .arg(b"\xff")
            .query_async(&mut client)
            .await
            .expect("list");
        for key in [b"axb:1".as_slice(), b"a*", b"aab:", b"other"] {
            set(&mut client, key, b"stays", 0).await;
        }
        let before = contents(&mut client).await;

        let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "a*b:"})));
        let preview = unlink.preview(&server, &args).await.expect("preview");
        assert_eq!(consequence(&preview, "keys removed"), 6);
        assert!(preview.notes.iter().any(|n| n == "4 keys of other families kept"), "{preview:?}");
        let saved = carry_out(unlink, &server, &args).await;
        verified(unlink, &server, &args, &saved).await;
        let after = contents(&mut client).await;
        assert_eq!(after.len(), 4);
        assert!(after.keys().all(|key| !key.starts_with(b"a*b:")));

        let told = unlink.undo(&server, &args, &saved).await.expect("undo");
        assert_eq!(told, format!("6 keys restored on {}", server.target.id), "{way:?}");
        assert_eq!(contents(&mut client).await, before, "{way:?}");
    }
}

#[tokio::test]
async fn twenty_thousand_keys_go_and_come_back_within_seconds() {
    for way in WAYS {
        let redis = RedisServer::start(&["--maxmemory", "50mb"]).await;
        let (server, mut client) = (redis.server(way), redis.client("app").await);
        fill(&mut client, "leak:", 20_000).await;
        fill(&mut client, "keep:", 50).await;
        let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "leak:"})));
        let started = tokio::time::Instant::now();
        let saved = carry_out(unlink, &server, &args).await;
        verified(unlink, &server, &args, &saved).await;
        assert!(started.elapsed().as_secs() < 8, "{way:?}: {:?}", started.elapsed());
        let left: u64 = redis::cmd("DBSIZE").query_async(&mut client).await.expect("count");
        assert_eq!(left, 50);
        unlink.undo(&server, &args, &saved).await.expect("undo");
        let back: u64 = redis::cmd("DBSIZE").query_async(&mut client).await.expect("count");
        assert_eq!(back, 20_050, "{way:?}");
    }
}

#[tokio::test]
async fn undo_keeps_what_was_written_again_and_lets_the_dead_rest() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Inside), redis.client("app").await);
    set(&mut client, b"k:old", b"old", 0).await;
    set(&mut client, b"k:same", b"same", 0).await;
    set(&mut client, b"k:dead", b"dead", 1_500).await;
    let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "k:"})));
    let saved = carry_out(unlink, &server, &args).await;
    set(&mut client, b"k:old", b"NEW", 0).await;
    assert_eq!(failing(&unlink.verify(&server, &args, &saved).await), ["prefix is empty"]);
    wait_for_ms(&mut client, 1_500).await;
    let told = unlink.undo(&server, &args, &saved).await.expect("undo");
    assert_eq!(
        told,
        format!(
            "1 key restored on {}; 1 key had been written again and stayed; \
             1 key would have expired by now",
            server.target.id
        )
    );
    let value: String = redis::cmd("GET").arg("k:old").query_async(&mut client).await.expect("get");
    assert_eq!(value, "NEW");
}

#[tokio::test]
async fn a_key_without_a_copy_is_not_removed() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Direct), redis.client("app").await);
    let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "uncopied:"})));
    set(&mut client, b"uncopied:1", b"1", 0).await;
    // An earlier run of this test may have left a copy, which is one of another server then.
    let refused = run(unlink, &server, &args).await.0.expect_err("no copy").to_string();
    let known = ["no copy of the keys was taken before", "was restarted after the copy"];
    assert!(known.iter().any(|reason| refused.contains(reason)), "{refused}");

    unlink.save(&server, &args).await.expect("save");
    set(&mut client, b"uncopied:2", b"2", 0).await;
    run(unlink, &server, &args).await.0.expect("run");
    let left: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut client).await.expect("keys");
    assert_eq!(left, ["uncopied:2"]);
}

#[tokio::test]
async fn the_harm_to_other_keys_is_noticed() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Direct), redis.client("app").await);
    fill(&mut client, "harm:", 10).await;
    fill(&mut client, "other:", 10).await;
    let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "harm:"})));
    let saved = carry_out(unlink, &server, &args).await;
    let () = redis::cmd("DEL").arg("other:1").query_async(&mut client).await.expect("del");
    assert_eq!(failing(&unlink.verify(&server, &args, &saved).await), ["other keys are there"]);
    redis.process.end(rustix::process::Signal::KILL);
    let checks = unlink.verify(&server, &args, &saved).await;
    assert_eq!(checks.iter().map(|check| check.passed).collect::<Vec<_>>(), [None]);
}

#[tokio::test]
async fn unlink_refuses_what_it_cannot_answer_for() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Direct), redis.client("app").await);
    fill(&mut client, "many:", 11).await;
    let unlink = action("unlink_keys");
    for (given, expected) in [
        (json!({"prefix": ""}), "use clear_redis_cache"),
        (json!({"prefix": "many:", "max": 10}), "more than 10 keys start with `many:`"),
        (json!({"prefix": "none:"}), "no key starts with `none:`"),
        (json!({"prefix": "*"}), "no key starts with `*`"),
    ] {
        let refused = refusal(unlink, &server, given).await;
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_preview_drifts_with_growth_and_with_another_life_of_the_server() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Inside), redis.client("app").await);
    let (unlink, args) = (action("unlink_keys"), args(json!({"prefix": "grow:"})));
    fill(&mut client, "grow:", 100).await;
    let shown = unlink.preview(&server, &args).await.expect("preview");
    fill(&mut client, "grow:", 60).await;
    fill(&mut client, "elsewhere:", 5_000).await;
    let same = unlink.preview(&server, &args).await.expect("preview");
    assert_eq!(same.drift_from(&shown), None, "other keys are of no concern");
    fill(&mut client, "grow:", 200).await;
    let grown = unlink.preview(&server, &args).await.expect("preview");
    let drift = grown.drift_from(&shown).expect("twice as many");
    assert!(drift.contains("200 keys removed, 100 keys when it was shown"), "{drift}");

    let place = server.place.as_ref().expect("it has one");
    place.runtime.restart(&place.unit, std::time::Duration::ZERO).await.expect("restart");
    let mut client = loop {
        if redis.link.connect("test").await.is_ok() {
            break redis.client("app").await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    fill(&mut client, "grow:", 100).await;
    let anew = unlink.preview(&server, &args).await.expect("preview");
    assert!(anew.drift_from(&shown).expect("restarted").starts_with("server run was"));
}

#[tokio::test]
async fn clearing_everything_is_priced_done_and_made_good() {
    for way in WAYS {
        let redis = RedisServer::start(&[]).await;
        let (server, mut client) = (redis.server(way), redis.client("app").await);
        fill(&mut client, "a:", 30).await;
        let _: Option<String> =
            redis::cmd("GET").arg("a:1").query_async(&mut client).await.expect("get");
        let () = redis::cmd("SELECT").arg(3).query_async(&mut client).await.expect("select");
        set(&mut client, b"third \x00", b"v", 0).await;
        let third = contents(&mut client).await;

        let (clear, args) = (action("flush"), args(json!({})));
        let preview = clear.preview(&server, &args).await.expect("preview");
        assert_eq!(consequence(&preview, "keys removed"), 31);
        assert!(consequence(&preview, "bytes freed") > 27_000);
        assert!(preview.notes[0].starts_with("100 % of "), "{preview:?}");
        assert!(preview.commands[0].ends_with("FLUSHALL ASYNC"), "{preview:?}");
        let saved = carry_out(clear, &server, &args).await;
        verified(clear, &server, &args, &saved).await;
        assert!(contents(&mut client).await.is_empty());

        let told = clear.undo(&server, &args, &saved).await.expect("undo");
        assert_eq!(told, format!("31 keys restored on {}", server.target.id), "{way:?}");
        assert_eq!(contents(&mut client).await, third, "{way:?}");
    }
}

#[tokio::test]
async fn clearing_too_much_for_a_copy_says_so_before_and_after() {
    let redis = RedisServer::start(&[]).await;
    let (server, mut client) = (redis.server(Way::Direct), redis.client("app").await);
    let mut grow = redis::cmd("SETRANGE");
    let () = grow.arg("big").arg(70 << 20).arg("x").query_async(&mut client).await.expect("grow");
    let (clear, args) = (action("clear_redis_cache"), args(json!({})));
    let preview = clear.preview(&server, &args).await.expect("preview");
    assert!(
        preview.notes.iter().any(|n| n.ends_with("is over the 64.0 MB of a copy")),
        "{preview:?}"
    );
    let saved = carry_out(clear, &server, &args).await;
    let refused = clear.undo(&server, &args, &saved).await.expect_err("no copy").to_string();
    assert!(refused.starts_with("no copy was taken: "), "{refused}");
    assert!(refusal(clear, &server, json!({})).await.contains("holds no keys"));
}
