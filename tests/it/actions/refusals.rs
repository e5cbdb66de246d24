//! What mends a server that refuses: each on a real one that was broken by hand, with undo where there is one.

use serde_json::json;
use simctl::actions::Action;
use simctl::targets::Server;

use super::harness::{RedisServer, Way};
use super::{WAYS, action, args, carry_out, failing, refusal, run};

async fn ask(redis: &RedisServer, words: &[&str]) -> String {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    let answered: redis::RedisResult<redis::Value> =
        command.query_async(&mut redis.client("").await).await;
    format!("{answered:?}")
}

async fn nothing_more_to_do(action: &dyn Action, server: &Server, args: serde_json::Value) {
    let refused = refusal(action, server, args).await;
    assert!(!refused.is_empty());
}

#[tokio::test]
async fn a_rule_is_put_back_and_taken_back_whole() {
    for way in WAYS {
        let redis = RedisServer::start(&[]).await;
        let server = redis.server(way);
        ask(&redis, &["ACL", "SETUSER", "shop", "on", ">s3cret", "~cart:*", "+@read", "+@write"])
            .await;
        let settings = server.probe().settings().await.expect("settings");
        let healthy = settings["acl user shop"].as_str();
        assert!(healthy.starts_with("on <password> ~cart:* "), "{healthy}");
        ask(&redis, &["ACL", "SETUSER", "shop", "-@read", "+get"]).await;
        let (reset, given) = (action("reset_redis_acl"), json!({"user": "shop", "rule": healthy}));
        let given_args = args(given.clone());
        let preview = reset.preview(&server, &given_args).await.expect("preview");
        let broken = preview.scope["old"].clone();
        assert!(!format!("{preview:?}").contains('#'), "no hash is shown: {preview:?}");
        let saved = carry_out(reset, &server, &given_args).await;
        assert_eq!(failing(&reset.verify(&server, &given_args, &saved).await), [""; 0]);
        nothing_more_to_do(reset, &server, given).await;
        let list = ask(&redis, &["ACL", "LIST"]).await;
        assert!(list.contains('#') && list.contains("+@write"), "the password stays: {list}");
        reset.undo(&server, &given_args, &saved).await.expect("undo");
        let again =
            reset.preview(&server, &given_args).await.expect("preview").scope["old"].clone();
        assert_eq!(again, broken, "{way:?}");

        let other = json!({"user": "shop", "rule": "on nopass ~cart:* &* -@all"});
        assert!(refusal(reset, &server, other).await.contains("a person's business"));
        let nobody = json!({"user": "nobody", "rule": healthy});
        assert!(refusal(reset, &server, nobody).await.contains("no user"));
    }
}

#[tokio::test]
async fn a_password_is_removed_and_never_told() {
    for way in WAYS {
        let redis = RedisServer::start(&[]).await;
        let server = redis.server(way);
        let probe = server.probe();
        assert!(probe.held().await.is_clean());
        ask(&redis, &["CONFIG", "SET", "requirepass", "hunter2"]).await;
        let (reset, given) =
            (action("reset_redis_setting"), args(json!({"name": "requirepass", "value": ""})));
        let preview = reset.preview(&server, &given).await.expect("preview");
        assert_eq!(preview.commands, ["over the kept connection: CONFIG SET requirepass \"\""]);
        assert_eq!(preview.scope["old"], "(set)");
        let saved = carry_out(reset, &server, &given).await;
        assert_eq!(failing(&reset.verify(&server, &given, &saved).await), [""; 0], "{way:?}");
        assert!(probe.fresh().await.is_clean());
        let told = format!("{preview:?} {saved:?} {:?}", reset.undo_kind(&given));
        assert!(!told.contains("hunter2") && told.contains("Impossible"), "{told}");
        reset.undo(&server, &given, &saved).await.expect_err("it was not kept");
    }
}

#[tokio::test]
async fn a_replica_of_nobody_is_detached_with_its_keys_and_one_of_somebody_is_not() {
    for way in WAYS {
        let redis = RedisServer::start(&[]).await;
        let server = redis.server(way);
        ask(&redis, &["SET", "a", "1"]).await;
        ask(&redis, &["REPLICAOF", "127.0.0.1", "1"]).await;
        let (detach, given) = (action("detach_replica"), args(json!({"master": "127.0.0.1 1"})));
        let other = refusal(detach, &server, json!({"master": "127.0.0.1 2"})).await;
        assert!(other.contains("follows 127.0.0.1 1"), "{other}");
        let saved = carry_out(detach, &server, &given).await;
        assert_eq!(failing(&detach.verify(&server, &given, &saved).await), [""; 0], "{way:?}");
        assert!(ask(&redis, &["SET", "b", "1"]).await.starts_with("Ok("));
        assert!(
            refusal(detach, &server, json!({"master": "127.0.0.1 1"})).await.contains("no replica")
        );
        detach.undo(&server, &given, &saved).await.expect("undo");
        assert!(ask(&redis, &["SET", "b", "1"]).await.starts_with("Err("), "{way:?}");
        ask(&redis, &["REPLICAOF", "NO", "ONE"]).await;

        let master = RedisServer::start(&[]).await;
        let port = master.link.port.to_string();
        ask(&redis, &["REPLICAOF", "127.0.0.1", &port]).await;
        super::until("the link is up", async || {
            let info = ask(&redis, &["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        let live = refusal(detach, &server, json!({"master": format!("127.0.0.1 {port}")})).await;
        assert!(live.contains("a person decides"), "{live}");
    }
}

#[tokio::test]
async fn a_script_that_has_written_costs_the_server_and_another_one_only_itself() {
    let script = |first: &str| {
        format!(
            "{first} local s = redis.call('TIME')[1] while redis.call('TIME')[1] - s < 20 do end"
        )
    };
    for (first, fate) in
        [("", "a script is killed"), ("redis.call('SET', 'k', '1')", "it is stopped")]
    {
        let redis = RedisServer::start(&["--busy-reply-threshold", "100"]).await;
        let server = redis.server(Way::Inside);
        assert!(
            refusal(action("stop_redis_nosave"), &server, json!({})).await.contains("no script")
        );
        let mut caller = redis.client("").await;
        let source = script(first);
        let mut eval = redis::cmd("EVAL");
        eval.arg(&source).arg(0);
        let calls = async {
            let _: redis::RedisResult<redis::Value> = eval.query_async(&mut caller).await;
        };
        let mends = async {
            let probe = server.probe();
            super::until("it is busy", async || probe.fresh().await.read.code() == Some("BUSY"))
                .await;
            let stop = action("stop_redis_nosave");
            stop.preview(&server, &args(json!({}))).await.expect("preview");
            let saved = stop.save(&server, &args(json!({}))).await.expect("save");
            let (output, lines) = run(stop, &server, &args(json!({}))).await;
            assert_eq!(output.expect("it ran").exit_code, Some(0), "{fate}");
            let ran = lines.iter().filter(|line| line.command.is_some()).count();
            assert_eq!(ran, if first.is_empty() { 1 } else { 3 }, "{fate}: {lines:?}");
            super::verified(stop, &server, &args(json!({})), &saved).await;
        };
        tokio::select! {
            () = async { tokio::join!(calls, mends); } => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(15)) => panic!("{fate}: not in time"),
        }
    }
}

#[tokio::test]
async fn a_save_is_waited_for_and_proven_and_one_that_fails_bars_a_restart() {
    for way in WAYS {
        let redis = RedisServer::start(&["--save", "3600 1"]).await;
        let server = redis.server(way);
        ask(&redis, &["SET", "a", "1"]).await;
        let save = action("save_redis");
        let saved = carry_out(save, &server, &args(json!({}))).await;
        assert_eq!(failing(&save.verify(&server, &args(json!({})), &saved).await), [""; 0]);
        // A directory where the snapshot should be: the next save fails.
        let dir = ask(&redis, &["CONFIG", "GET", "dir"]).await;
        let dir =
            dir.split('"').nth(3).or_else(|| dir.split('\'').nth(3)).expect("a path").to_owned();
        std::fs::remove_file(format!("{dir}/dump.rdb")).expect("the snapshot");
        std::fs::create_dir_all(format!("{dir}/dump.rdb/x")).expect("a directory");
        let (output, _) = run(save, &server, &args(json!({}))).await;
        let output = output.expect("it ran");
        assert!(
            output.exit_code == Some(1) && output.stderr.contains("snapshot failed"),
            "{output:?}"
        );
        let refused = refusal(action("restart_redis"), &redis.server(Way::Inside), json!({})).await;
        assert!(refused.contains("cannot save"), "{refused}");
    }
}

#[tokio::test]
async fn a_spare_file_is_removed_by_name_and_size_and_put_back() {
    let redis = RedisServer::start(&[]).await;
    let server = redis.server(Way::Inside);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(".simctl-ballast");
    std::fs::write(&path, vec![0; 8 << 20]).expect("ballast");
    let given = |bytes: u64| json!({"file": path.display().to_string(), "bytes": bytes});
    let free = action("free_space");
    assert!(refusal(free, &server, given(4_096)).await.contains("not the file that was meant"));
    let given = args(given(8 << 20));
    let saved = carry_out(free, &server, &given).await;
    assert!(!path.exists());
    assert!(free.undo(&server, &given, &saved).await.expect("undo").contains("again"));
    assert_eq!(std::fs::metadata(&path).expect("it is back").len(), 8 << 20);
}
