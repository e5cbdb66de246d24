//! Putting Redis settings back, and how failures and passwords travel.

use serde_json::json;

use super::harness::{RedisServer, Way};
use super::{WAYS, action, args, carry_out, failing, refusal, run};

const MB: u64 = 1 << 20;

async fn maxmemory(redis: &RedisServer) -> String {
    let mut client = redis.client("").await;
    let mut get = redis::cmd("CONFIG");
    let pair: Vec<String> =
        get.arg("GET").arg("maxmemory").query_async(&mut client).await.expect("a setting");
    pair[1].clone()
}

async fn config_set(redis: &RedisServer, name: &str, value: &str) {
    let mut client = redis.client("").await;
    let mut set = redis::cmd("CONFIG");
    let () = set.arg("SET").arg(name).arg(value).query_async(&mut client).await.expect("set");
}

#[tokio::test]
async fn a_lowered_limit_is_put_back_proven_and_undone() {
    for way in WAYS {
        let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
        let server = redis.server(way);
        let baseline = (50 * MB).to_string();
        let (reset, args) =
            (action("reset_redis_setting"), args(json!({"name": "maxmemory", "value": baseline})));
        let preview = reset.preview(&server, &args).await.expect("preview");
        assert_eq!(preview.scope["old"], (10 * MB).to_string());
        assert_eq!(preview.scope["new"], baseline);
        let command = &preview.commands[0];
        assert!(command.ends_with(&format!("CONFIG SET maxmemory {baseline}")), "{command}");

        let saved = carry_out(reset, &server, &args).await;
        assert_eq!(maxmemory(&redis).await, baseline, "{way:?}");
        assert_eq!(failing(&reset.verify(&server, &args, &saved).await), [""; 0]);
        let refused = reset.preview(&server, &args).await.expect_err("done").to_string();
        assert!(refused.contains("already"), "{refused}");

        let told = reset.undo_commands(&server, &args, &saved);
        assert!(told[0].ends_with(&format!("CONFIG SET maxmemory {}", 10 * MB)), "{told:?}");
        reset.undo(&server, &args, &saved).await.expect("undo");
        assert_eq!(maxmemory(&redis).await, (10 * MB).to_string(), "{way:?}");
        assert_eq!(failing(&reset.verify(&server, &args, &saved).await), ["setting is back"]);
        assert!(reset.undo(&server, &args, &saved).await.expect("again").contains("already"));
        config_set(&redis, "maxmemory", "33mb").await;
        let kept = reset.undo(&server, &args, &saved).await.expect_err("somebody else's");
        assert!(kept.to_string().contains("somebody else"), "{kept}");
        let drifted = reset.preview(&server, &args).await.expect("preview").drift_from(&preview);
        assert!(drifted.expect("another value").starts_with("old was"));
    }
}

#[tokio::test]
async fn an_empty_value_and_a_value_of_many_words_arrive_as_they_are() {
    for way in WAYS {
        let redis = RedisServer::start(&["--save", "3600 1"]).await;
        let server = redis.server(way);
        let limits = "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        for (name, baseline) in [("save", ""), ("client-output-buffer-limit", limits)] {
            let args = args(json!({"name": name, "value": baseline}));
            let saved = carry_out(action("reset_redis_setting"), &server, &args).await;
            let checks = action("reset_redis_setting").verify(&server, &args, &saved).await;
            assert_eq!(failing(&checks), [""; 0], "{way:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_would_cost_keys_is_refused() {
    let redis = RedisServer::start(&["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]);
    let redis = redis.await;
    let mut client = redis.client("").await;
    let mut grow = redis::cmd("SETRANGE");
    let () = grow.arg("big").arg(20 * MB).arg("x").query_async(&mut client).await.expect("grow");
    let (reset, server) = (action("reset_redis_setting"), redis.server(Way::Direct));
    let lower = json!({"name": "maxmemory", "value": (15 * MB).to_string()});
    let refused = refusal(reset, &server, lower).await;
    assert!(refused.contains("would evict keys"), "{refused}");
    let fits = args(json!({"name": "maxmemory", "value": (40 * MB).to_string()}));
    reset.preview(&server, &fits).await.expect("there is room");
}

#[tokio::test]
async fn a_command_that_the_server_refuses_is_an_output_that_says_so() {
    for way in WAYS {
        let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
        let mut client = redis.client("").await;
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER").arg("default").arg("-config|set");
        let () = acl.query_async(&mut client).await.expect("acl");
        let args = args(json!({"name": "maxmemory", "value": (50 * MB).to_string()}));
        let (output, _) = run(action("reset_redis_setting"), &redis.server(way), &args).await;
        let output = output.expect("it ran");
        assert_eq!(output.exit_code, Some(1), "{way:?} {output:?}");
        assert!(output.stderr.contains("NOPERM"), "{way:?} {output:?}");
    }
}

#[tokio::test]
async fn a_password_reaches_the_server_but_no_command_line() {
    let redis = RedisServer::start(&["--maxmemory", "10mb"]).await;
    config_set(&redis, "requirepass", "s3cret word").await;
    let server = redis.server_with_password(Way::Inside, "s3cret word");
    let args = args(json!({"name": "maxmemory", "value": (50 * MB).to_string()}));
    let reset = action("reset_redis_setting");
    let preview = reset.preview(&server, &args).await.expect("preview");
    let saved = carry_out(reset, &server, &args).await;
    assert_eq!(failing(&reset.verify(&server, &args, &saved).await), [""; 0]);
    let executed = format!("{:?} {preview:?}", redis.process.executed.lock().expect("no panic"));
    assert!(executed.contains("redis-cli") && !executed.contains("s3cret"), "{executed}");

    let wrong = redis.server_with_password(Way::Inside, "guess");
    let refused = reset.preview(&wrong, &args).await.expect_err("a wrong password");
    assert!(!format!("{refused:?}").contains("guess"), "{refused:?}");
}
