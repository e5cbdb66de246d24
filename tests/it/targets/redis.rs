//! Redis: what a client feels in each trouble, and the readings.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use simctl::config::TlsConfig;
use simctl::config::secret::Secret;
use simctl::domain::sample::{Answer, reading};
use simctl::ports::probe::Probe;
use simctl::targets::redis::{RedisLink, RedisProbe};

use super::servers::{Certificates, Redis, free_port, redis_link};
use super::{assert_all_ok, assert_gone, code, eventually, word_of_closing};

const LAB: [&str; 4] = ["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"];

fn probe(link: &RedisLink) -> RedisProbe {
    RedisProbe::new(link.clone())
}

/// Writes until the server refuses. The writer's own buffers count too and are freed when it leaves, so the limit
/// is then lowered to where the server stays full.
pub(super) fn fill(server: &Redis) {
    let value = "x".repeat(60_000);
    let sets: Vec<_> = (0..400).map(|n| format!("SET leak:{n} {value}")).collect();
    let said = server.inline(&sets.join("\r\n"));
    assert!(said.contains("-OOM"), "the server did not become full");
    server.inline("CONFIG SET maxmemory 18mb");
}

#[tokio::test]
async fn a_healthy_server_answers_everything_and_gives_its_readings() {
    let server = Redis::start(&LAB);
    server.inline("SET a 1\r\nSET b 2\r\nSELECT 3\r\nSET c 3");
    let probe = probe(&server.link);
    let held = probe.held().await;
    assert_all_ok(&held);
    assert!(held.write.is_ok() && held.took_ms > 0.0);
    let expected = [
        (reading::MAXMEMORY_BYTES, 20.0 * 1024.0 * 1024.0),
        (reading::REFUSES_WHEN_FULL, 1.0),
        // Three of theirs; our heartbeat is written after the count.
        (reading::KEYS, 3.0),
        (reading::OOM_ERRORS_TOTAL, 0.0),
        (reading::REJECTED_CONNECTIONS_TOTAL, 0.0),
        (reading::EVICTED_KEYS_TOTAL, 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(held.reading(name), Some(value), "{name}");
    }
    let given = [
        reading::USED_MEMORY_BYTES,
        reading::DATASET_BYTES,
        reading::OVERHEAD_BYTES,
        reading::CLIENT_MEMORY_BYTES,
        reading::CLIENTS,
        reading::MAXCLIENTS,
        reading::COMMANDS_PER_SECOND,
        reading::UPTIME_SECONDS,
    ];
    for name in given {
        assert!(held.reading(name).is_some(), "{name}");
    }
    let fresh = probe.fresh().await;
    assert_all_ok(&fresh);
    assert!(fresh.write.is_ok() && fresh.readings.is_empty());
    let ttl: i64 = server.inline("TTL __simctl:hb")[1..].lines().next().unwrap().parse().unwrap();
    assert!((1..=60).contains(&ttl), "the heartbeat goes by itself: {ttl}");
}

#[tokio::test]
async fn our_connections_are_named_and_the_fresh_one_does_not_stay() {
    let server = Redis::start(&[]);
    let probe = probe(&server.link);
    probe.held().await;
    for _ in 0..5 {
        assert_all_ok(&probe.fresh().await);
    }
    let purpose = server.link.connect("test").await.unwrap();
    let list = server.inline("CLIENT LIST");
    assert!(list.contains("name=simctl/monitor") && list.contains("name=simctl/test"), "{list}");
    drop(purpose);
    eventually("only the kept connection is left", async || {
        server.inline("CLIENT LIST").matches("name=simctl/").count() == 1
    })
    .await;
}

#[tokio::test]
async fn a_full_server_refuses_writes_and_answers_reads() {
    let server = Redis::start(&LAB);
    fill(&server);
    let probe = probe(&server.link);
    for sample in [probe.held().await, probe.fresh().await] {
        assert!(sample.connect.is_ok() && sample.read.is_ok(), "{sample:?}");
        assert_eq!(code(&sample.write), "OOM");
        let said = sample.write.describe();
        assert!(said.starts_with("OOM command not allowed when used memory >"), "{said}");
    }
    let held = probe.held().await;
    assert!(held.reading(reading::OOM_ERRORS_TOTAL).unwrap() >= 2.0);
}

#[tokio::test]
async fn each_error_keeps_its_prefix_and_words() {
    let server = Redis::start(&[]);
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);

    server.inline("CONFIG SET min-replicas-to-write 1");
    assert_eq!(code(&probe.held().await.write), "NOREPLICAS");
    server.inline("CONFIG SET min-replicas-to-write 0\r\nREPLICAOF 127.0.0.1 1");
    assert_eq!(code(&probe.held().await.write), "READONLY");
    server.inline("REPLICAOF NO ONE\r\nACL SETUSER default -@write");
    let sample = probe.held().await;
    assert_eq!((code(&sample.write), sample.read.is_ok()), ("NOPERM", true));
    server.inline("ACL SETUSER default +@all\r\nCONFIG SET requirepass secret");
    assert_all_ok(&probe.held().await);
    let fresh = probe.fresh().await;
    assert_eq!(code(&fresh.connect), "NOAUTH");
    assert_eq!(fresh.read, Answer::NotAsked);

    let login = |password: &str| RedisLink {
        password: Some(Secret::new(password)),
        database: 2,
        ..server.link.clone()
    };
    assert_eq!(code(&RedisProbe::new(login("wrong")).fresh().await.connect), "WRONGPASS");
    assert_all_ok(&RedisProbe::new(login("secret")).fresh().await);
    let beyond = RedisLink { database: 99, ..login("secret") };
    let fresh = RedisProbe::new(beyond).fresh().await;
    assert_eq!(fresh.connect.describe(), "ERR DB index is out of range");
}

#[tokio::test]
async fn a_crowded_server_says_so_to_a_new_client_only() {
    let server = Redis::start(&["--maxclients", "3"]);
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    let address = ("127.0.0.1", server.link.port);
    let _others = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
    eventually("the server counts them", async || server.link.connect("test").await.is_err()).await;
    for _ in 0..20 {
        let fresh = probe.fresh().await;
        assert_eq!(fresh.connect.describe(), "ERR max number of clients reached", "{fresh:?}");
    }
    let held = probe.held().await;
    assert_all_ok(&held);
    assert!(held.reading(reading::REJECTED_CONNECTIONS_TOTAL).unwrap() >= 20.0);
}

#[tokio::test]
async fn a_loading_server_is_starting() {
    let server = Redis::start(&[]);
    let value = "x".repeat(100);
    let sets: Vec<_> = (0..3_000).map(|n| format!("SET k:{n} {value}")).collect();
    server.inline(&sets.join("\r\n"));
    server.inline("SAVE");
    let Redis { process, link, dir } = server;
    drop(process);
    // Each key takes a millisecond, so that there is something to see.
    let server = Redis::start_in(
        dir,
        link.port,
        &["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"],
    );
    let probe = RedisProbe::new(server.link.clone());
    let fresh = probe.fresh().await;
    assert!(fresh.is_starting(), "{fresh:?}");
    let held = probe.held().await;
    assert!(held.is_starting() && held.first_bad().is_none(), "{held:?}");
}

#[tokio::test]
async fn nobody_there_is_gone_even_where_a_socket_could_meet_itself() {
    let probe = probe(&redis_link(free_port()));
    assert_gone(&probe.held().await.connect);
    assert_gone(&probe.fresh().await.connect);
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ephemeral = bound.local_addr().unwrap().port();
    drop(bound);
    let link = redis_link(ephemeral);
    for _ in 0..2_000 {
        assert_gone(&RedisProbe::new(link.clone()).fresh().await.connect);
    }
    let unknown = RedisLink { host: "no-such-host.invalid".into(), ..redis_link(1) };
    assert_eq!(code(&RedisProbe::new(unknown).fresh().await.connect), "DNS");
}

#[tokio::test]
async fn a_frozen_server_is_silent_for_one_deadline_and_a_thawed_one_answers_again() {
    let server = Redis::start(&[]);
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    server.process.signal(Signal::STOP);
    for kept in [true, false, false] {
        let began = Instant::now();
        let sample = if kept { probe.held().await } else { probe.fresh().await };
        let took = began.elapsed();
        assert_eq!(sample.first_bad(), Some(&Answer::Hung { after_ms: 500 }), "{sample:?}");
        assert!(
            took >= Duration::from_millis(490) && took < Duration::from_millis(800),
            "{took:?}"
        );
    }
    server.process.signal(Signal::CONT);
    assert_all_ok(&probe.fresh().await);
    assert_all_ok(&probe.held().await);
}

#[tokio::test]
async fn writes_that_hang_are_told_from_reads_that_work() {
    let server = Redis::start(&[]);
    server.inline("CLIENT PAUSE 3000 WRITE");
    let fresh = probe(&server.link).fresh().await;
    assert!(fresh.connect.is_ok() && fresh.read.is_ok(), "{fresh:?}");
    assert_eq!(fresh.write, Answer::Hung { after_ms: 500 });
}

#[tokio::test]
async fn the_end_of_the_kept_connection_is_known_at_once() {
    let server = Redis::start(&[]);
    let probe = probe(&server.link);
    let never = tokio::time::timeout(Duration::from_millis(100), probe.closed()).await;
    assert!(never.is_err(), "there is no connection that could close");
    assert_all_ok(&probe.held().await);

    let took = word_of_closing(&probe, || {
        server.inline("CLIENT KILL TYPE normal SKIPME yes");
    })
    .await;
    assert!(took < Duration::from_millis(50), "killed client: {took:?}");
    let again = tokio::time::timeout(Duration::from_millis(100), probe.closed()).await;
    assert!(again.is_ok(), "still closed until the next probe");
    assert_gone(&probe.held().await.connect);
    assert_all_ok(&probe.held().await);

    let took = word_of_closing(&probe, || server.process.signal(Signal::KILL)).await;
    assert!(took < Duration::from_millis(50), "killed server: {took:?}");
    assert_gone(&probe.held().await.connect);
    assert_gone(&probe.held().await.connect);
    let never = tokio::time::timeout(Duration::from_millis(100), probe.closed()).await;
    assert!(never.is_err(), "our own giving up is no news");
}

#[tokio::test]
async fn settings_are_read_without_the_password() {
    let server = Redis::start(&LAB);
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    let settings = probe.settings().await.unwrap();
    let get = |name: &str| settings.get(name).map(String::as_str);
    assert_eq!(get("maxmemory"), Some("20971520"));
    assert_eq!(get("maxmemory-policy"), Some("noeviction"));
    assert_eq!(get("save"), Some(""));
    assert_eq!(get("requirepass"), Some(""));
    for name in ["maxclients", "appendonly", "timeout", "client-output-buffer-limit"] {
        assert!(get(name).is_some(), "{name}");
    }
    server.inline("CONFIG SET requirepass hunter2");
    let settings = probe.settings().await.unwrap();
    assert_eq!(settings.get("requirepass").map(String::as_str), Some("(set)"));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn encryption_is_verified() {
    let certificates = Certificates::make();
    let port = free_port();
    let args = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificates.path("crt"),
        "--tls-key-file",
        &certificates.path("key"),
        "--tls-ca-cert-file",
        &certificates.path("ca.crt"),
        "--tls-auth-clients",
        "no",
    ];
    let server = Redis::start_in(tempfile::tempdir().unwrap(), free_port_after(port), &args);
    let link = |tls: TlsConfig| RedisLink { port, tls: Some(tls), ..server.link.clone() };
    let trusting = RedisProbe::new(link(certificates.trusted()));
    assert_all_ok(&trusting.held().await);
    assert_all_ok(&trusting.fresh().await);
    let suspicious = RedisProbe::new(link(TlsConfig::default())).fresh().await;
    assert_eq!(code(&suspicious.connect), "TLS", "{suspicious:?}");
    let missing = TlsConfig { ca_file: Some("/nowhere/ca.pem".into()) };
    let sample = RedisProbe::new(link(missing)).fresh().await;
    assert!(sample.connect.describe().contains("read CA file /nowhere/ca.pem"), "{sample:?}");
    let plain = RedisLink { tls: Some(certificates.trusted()), ..server.link.clone() };
    assert!(RedisProbe::new(plain).fresh().await.connect.is_bad());
}

fn free_port_after(taken: u16) -> u16 {
    let _hold = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    free_port()
}
