//! The Redis inspections on a real server in situations made for them.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use simctl::config::secret::Secret;
use simctl::domain::target::Engine;
use simctl::inspect::{self, Content, Desk, Given, Grade};
use simctl::targets::redis::RedisLink;
use simctl::targets::{Link, Server};

use super::bench::{ask, check, desk, is_ok, rows, unknown};
use crate::faults::bench::Bench;

async fn app(bench: &Bench) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", bench.port)).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("it comes in")
}

async fn run(connection: &mut MultiplexedConnection, words: &str) {
    let mut words = words.split_whitespace();
    let mut command = redis::cmd(words.next().expect("a command"));
    for word in words {
        command.arg(word);
    }
    let done: redis::RedisResult<redis::Value> = command.query_async(connection).await;
    done.unwrap_or_else(|error| panic!("{error}"));
}

fn link(server: &mut Server) -> &mut RedisLink {
    match &mut server.link {
        Link::Redis(link) => link,
        Link::Postgres(_) => panic!("a Redis"),
    }
}

#[tokio::test]
async fn every_inspection_answers_as_a_user_with_no_more_than_its_rights() {
    let bench = Bench::redis();
    let rights = simctl::actions::rights(Engine::Redis);
    let mut command = redis::cmd("ACL");
    command
        .arg("SETUSER")
        .arg("ops")
        .arg("on")
        .arg(">pw")
        .arg("~*")
        .arg("-@all")
        .arg("+client|setname");
    for one in inspect::of(Engine::Redis) {
        for (name, who) in &rights.redis_commands {
            if who.contains(one.id) {
                command.arg(format!("+{name}"));
            }
        }
    }
    let mut boss = app(&bench).await;
    let _: redis::Value = command.query_async(&mut boss).await.expect("a user is made");
    let mut server = bench.server(None);
    let mut target = link(&mut server).clone();
    (target.user, target.password) = (Some("ops".into()), Some(Secret::new("pw")));
    *link(&mut server) = target;
    let mut desk = Desk::new(server);
    for one in inspect::of(Engine::Redis) {
        let report = desk.report(one, &Given::nothing(one.args)).await;
        println!("{:<12} {:>7.1} ms", one.verb, report.took_ms);
        for part in &report.parts {
            if let Content::Unknown(why) = &part.content {
                assert_eq!(why.word(), "not_enough_history", "{} {}: {why:?}", one.verb, part.name);
            }
        }
        assert!(report.grade < Grade::Warn, "{report:#?}");
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_part_it_may_not_have() {
    let bench = Bench::redis();
    let mut boss = app(&bench).await;
    run(&mut boss, "ACL SETUSER poor on >pw ~* -@all +client|setname +ping").await;
    let mut server = bench.server(None);
    let target = link(&mut server);
    (target.user, target.password) = (Some("poor".into()), Some(Secret::new("pw")));
    let mut desk = Desk::new(server);
    let report = ask(&mut desk, Engine::Redis, "memory", &[]).await;
    assert_eq!(unknown(&report, "memory"), Some("not_permitted"));
    assert!(check(&report, "memory").advice.contains("simctl grants redis"));
}

#[tokio::test]
async fn the_biggest_key_is_found_among_thousands_and_its_idle_time_is_left_alone() {
    let bench = Bench::redis();
    let mut boss = app(&bench).await;
    let mut fill = redis::pipe();
    for n in 0..3_000 {
        fill.cmd("SET").arg(format!("user:{n}:cart")).arg("x".repeat(50)).ignore();
    }
    fill.cmd("RPUSH").arg("queue:jobs").arg("y".repeat(6 << 20)).ignore();
    fill.query_async::<()>(&mut boss).await.expect("filled");

    let mut desk = desk(&bench);
    let report = ask(&mut desk, Engine::Redis, "bigkeys", &[]).await;
    let found = check(&report, "big_key");
    assert_eq!(found.grade, Grade::Warn, "{found:?}");
    assert_eq!(found.leads_to[0].args, serde_json::json!({"key": "queue:jobs", "type": "list"}));
    assert_eq!(rows(&report, "keys").len(), 20);
    let families = rows(&report, "families");
    let carts = families.iter().find(|row| row["family"] == "user:*:*").expect("one family");
    assert_eq!(carts["keys"], 3_000);
    let only = ask(&mut desk, Engine::Redis, "bigkeys", &[("match", "user:1?:cart")]).await;
    assert_eq!(rows(&only, "keys").len(), 10, "{only:#?}");

    let stats: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut boss).await.expect("told");
    assert!(!stats.contains("cmdstat_keys:") && stats.contains("cmdstat_scan:"), "{stats}");
}

#[tokio::test]
async fn a_full_redis_is_told_and_a_refused_write_between_two_looks_too() {
    let bench = Bench::redis();
    let mut boss = app(&bench).await;
    let mut desk = desk(&bench);
    ask(&mut desk, Engine::Redis, "memory", &[]).await;
    ask(&mut desk, Engine::Redis, "evictions", &[]).await;
    run(&mut boss, "CONFIG SET maxmemory 1mb").await;
    let refused: redis::RedisResult<redis::Value> =
        redis::cmd("SET").arg("a").arg("x".repeat(2 << 20)).query_async(&mut boss).await;
    let again: redis::RedisResult<redis::Value> =
        redis::cmd("SET").arg("b").arg("y").query_async(&mut boss).await;
    assert!(refused.is_err() || again.is_err(), "it is full");
    let report = ask(&mut desk, Engine::Redis, "memory", &[]).await;
    assert_eq!(check(&report, "writes_refused").grade, Grade::Crit, "{report:#?}");
    assert_eq!(check(&report, "memory_used").grade, Grade::Crit);
    let report = ask(&mut desk, Engine::Redis, "evictions", &[]).await;
    assert_eq!(check(&report, "refused").grade, Grade::Crit);
}

#[tokio::test]
async fn slow_commands_are_told_by_kind_and_the_log_stays() {
    let bench = Bench::redis();
    let mut boss = app(&bench).await;
    run(&mut boss, "CONFIG SET slowlog-log-slower-than 0").await;
    run(&mut boss, "GET user:1041").await;
    run(&mut boss, "GET user:7").await;
    run(&mut boss, "CONFIG SET slowlog-log-slower-than -1").await;
    let mut desk = desk(&bench);
    let report = ask(&mut desk, Engine::Redis, "slowlog", &[("min-us", "0")]).await;
    let listed = rows(&report, "commands");
    let get = listed.iter().find(|row| row["command"] == "get").expect("it is there");
    assert_eq!((&get["keys"], &get["times"]), (&"user:*".into(), &2.into()));
    let length: i64 = redis::cmd("SLOWLOG").arg("LEN").query_async(&mut boss).await.expect("told");
    assert!(length >= 2, "it was not reset");
}

#[tokio::test]
async fn a_setting_that_is_not_as_it_was_is_told_with_the_way_back() {
    let bench = Bench::redis();
    let mut boss = app(&bench).await;
    let server = bench.server(None);
    let baseline: BTreeMap<String, String> = server.probe().settings().await.expect("settings");
    let mut same = Desk::new(server.clone()).with_baseline(Some(baseline.clone()));
    let report = ask(&mut same, Engine::Redis, "config-drift", &[]).await;
    assert!(rows(&report, "changes").is_empty() && report.grade == Grade::Ok, "{report:#?}");
    run(&mut boss, "CONFIG SET maxmemory 10mb").await;
    run(&mut boss, "CONFIG SET timeout 77").await;
    let report = ask(&mut same, Engine::Redis, "config-drift", &[]).await;
    let names: Vec<_> = rows(&report, "changes").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["maxmemory", "timeout"]);
    let grave = check(&report, "changed_setting");
    assert_eq!((grave.grade, grave.leads_to[0].action), (Grade::Crit, "reset_redis_setting"));
    assert_eq!(grave.leads_to[0].args["value"], baseline["maxmemory"]);
    let mut without = desk(&bench);
    let report = ask(&mut without, Engine::Redis, "config-drift", &[]).await;
    assert_eq!(unknown(&report, "changes"), Some("not_enough_history"));
}

#[tokio::test]
async fn a_replica_is_followed_and_a_link_that_is_down_is_told() {
    let (master, replica) = (Bench::redis(), Bench::redis());
    let mut boss = app(&replica).await;
    run(&mut boss, &format!("REPLICAOF 127.0.0.1 {}", master.port)).await;
    let mut desk = desk(&master);
    let mut told = None;
    for _ in 0..200 {
        let report = ask(&mut desk, Engine::Redis, "replication", &[]).await;
        if rows(&report, "replicas").iter().any(|row| row["state"] == "online") {
            told = Some(report);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let report = told.expect("it comes online");
    assert!(is_ok(check(&report, "replica")), "{report:#?}");
    let mut there = super::bench::desk(&replica);
    let report = ask(&mut there, Engine::Redis, "replication", &[]).await;
    assert!(is_ok(check(&report, "master_link")), "{report:#?}");
    drop(desk);
    drop(master);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let report = ask(&mut there, Engine::Redis, "replication", &[]).await;
    assert_eq!(check(&report, "master_link").grade, Grade::Warn, "{report:#?}");
}
