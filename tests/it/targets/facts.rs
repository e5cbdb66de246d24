//! What an investigation observes of real servers.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use simctl::diagnose::facts::Facts;
use simctl::domain::effect::Known;
use simctl::domain::execution::{Phase, PhaseLine};
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::TargetId;
use simctl::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use simctl::targets::postgres::Session;
use simctl::targets::{Link, Server};

use super::servers::{Postgres, Redis};

pub(super) fn server(engine: Engine, link: Link) -> Server {
    Server {
        target: Target {
            id: TargetId::of("under-test"),
            engine,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(1),
        },
        periods: Periods::of(engine),
        link,
        place: None,
    }
}

/// The facts, and the lines that were shown while they were gathered.
async fn gather(server: &Server, finding: FindingKind, known: &Known) -> (Facts, Vec<PhaseLine>) {
    let lines = Mutex::new(Vec::new());
    let report = |line| lines.lock().unwrap().push(line);
    let facts = server.facts(finding, known, &report).await;
    (facts, lines.into_inner().unwrap())
}

fn text<'a>(facts: &'a Facts, source: &str) -> &'a str {
    let found = facts.evidence.iter().find(|evidence| evidence.source.starts_with(source));
    &found.unwrap_or_else(|| panic!("no evidence from {source}: {:#?}", facts.evidence)).text
}

#[tokio::test]
async fn a_full_redis_is_described_with_its_leaking_prefix_and_its_writer() {
    let redis = Redis::start(&["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]);
    let sets: Vec<_> = (0..200).map(|n| format!("SETEX session:{n} 600 value")).collect();
    redis.inline(&sets.join("\r\n"));
    let value = "x".repeat(900);
    let sets: Vec<_> = (0..30_000).map(|n| format!("SET cart:{n} {value}")).collect();
    assert!(redis.inline(&sets.join("\r\n")).contains("-OOM"));
    // What the filling client's buffers took is free again.
    redis.inline("CONFIG SET maxmemory 18mb");
    let mut writer = std::net::TcpStream::connect(("127.0.0.1", redis.link.port)).unwrap();
    std::io::Write::write_all(&mut writer, b"CLIENT SETNAME importer\r\nSET cart:x 1\r\n").unwrap();
    let mut said = [0; 8];
    std::io::Read::read_exact(&mut writer, &mut said).unwrap();

    let server = server(Engine::Redis, Link::Redis(redis.link.clone()));
    let probe = server.probe();
    let known = Known {
        baseline: [("maxmemory".to_owned(), "52428800".to_owned())].into(),
        samples: vec![probe.held().await, probe.fresh().await],
        ..Known::default()
    };
    let (facts, lines) = gather(&server, FindingKind::WritesRefused, &known).await;
    let seen = facts.redis.as_ref().expect("the server was described");
    assert_eq!(seen.maxmemory, 18 << 20);
    assert_eq!((seen.policy.as_str(), seen.persists), ("noeviction", false));
    assert!(seen.used_memory > 18 << 20 && seen.dataset_bytes > 15 << 20, "{seen:?}");
    assert!(seen.changes_since_save > 10_000 && seen.run_id.len() == 40);
    assert!(
        seen.keys > 10_000 && seen.keys_seen >= seen.keys - 1,
        "{} of {}",
        seen.keys_seen,
        seen.keys
    );
    let [cart, session] = seen.prefixes.as_slice() else { panic!("{:?}", seen.prefixes) };
    assert_eq!((cart.prefix.as_str(), cart.without_ttl_percent), ("cart:", 100));
    assert!(cart.bytes > 15 << 20 && cart.bytes < 21 << 20, "{cart:?}");
    assert_eq!(
        (session.prefix.as_str(), session.keys, session.without_ttl_percent),
        ("session:", 200, 0)
    );
    let [client] = seen.clients.as_slice() else { panic!("ours are left out: {:?}", seen.clients) };
    assert_eq!((client.name.as_str(), client.cmd.as_str()), ("importer", "set"));

    let ids: Vec<_> = facts.evidence.iter().map(|evidence| evidence.id.as_str()).collect();
    assert_eq!(ids, ["e1", "e2", "e3", "e4", "e5", "e6", "e7"]);
    assert!(text(&facts, "baseline").contains("maxmemory=52428800"));
    assert!(text(&facts, "client's view").contains("write OOM command not allowed"));
    assert!(text(&facts, "redis-cli INFO").contains("noeviction"));
    assert!(
        text(&facts, "redis-cli CONFIG GET").contains("maxmemory is `18874368`, was `52428800`")
    );
    assert!(text(&facts, "redis-cli SCAN").contains("`cart:`"));
    // The first two lines are notes: the client's view and the baseline.
    for pair in lines[2..].chunks(2) {
        let [asked, answered] = pair else { panic!("a question without an answer: {pair:?}") };
        assert_eq!((asked.phase, answered.phase), (Phase::Command, Phase::Result));
        assert!(asked.text.ends_with("[read-only]") && asked.command.is_some(), "{asked:?}");
        assert!(answered.output.is_some(), "{answered:?}");
    }
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_described_over_the_kept_connection() {
    let redis = Redis::start(&["--maxmemory", "20mb"]);
    let server = server(Engine::Redis, Link::Redis(redis.link.clone()));
    let probe = server.probe();
    let (held, life) = (probe.held().await, server.identity().await);
    assert!(held.is_clean(), "{held:?}");
    redis.inline("SET cart:1 x\r\nCONFIG SET requirepass hunter2");
    let known = Known { samples: vec![probe.fresh().await], ..Known::default() };
    let (facts, _) = gather(&server, FindingKind::ProbeFailing, &known).await;
    let seen = facts.redis.as_ref().unwrap_or_else(|| panic!("{:#?}", facts.evidence));
    assert_eq!((seen.maxmemory, seen.keys_seen, seen.run_id.as_str()), (20 << 20, 1, &*life));
    assert_eq!(seen.settings["requirepass"], "(set)");
    let way = text(&facts, "redis-cli -h");
    assert!(
        way.starts_with(
            "a new client is turned away (NOAUTH Authentication required.); asked over"
        ),
        "{way}"
    );
    assert_eq!(server.identity().await, life);
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_leak_of_idle_sessions_is_described_even_when_only_superusers_get_in() {
    let postgres = Postgres::start();
    let link = &postgres.link;
    let mut leak = Vec::new();
    for _ in 0..17 {
        let session = link.connect(&link.app, "test", Session::App).await.unwrap();
        session.batch_execute("SET application_name = 'shop'").await.unwrap();
        leak.push(session);
    }
    let server = server(Engine::Postgres, Link::Postgres(link.clone()));
    let (facts, _) = gather(&server, FindingKind::ClientsRefused, &Known::default()).await;
    let seen = facts.postgres.as_ref().unwrap_or_else(|| panic!("{:#?}", facts.evidence));
    assert_eq!((seen.max_connections, seen.reserved, seen.own_sessions), (20, 3, 1));
    assert_eq!(seen.sessions.len(), 17);
    for session in &seen.sessions {
        assert_eq!((session.state.as_str(), session.user.as_str()), ("idle", "app"));
        assert_eq!((session.application.as_str(), session.client.as_str()), ("shop", "127.0.0.1"));
        assert!(session.backend_start.is_some() && !session.is_superuser && !session.has_written);
    }
    assert!(
        text(&facts, &format!("psql -h 127.0.0.1 -p {} -U monitor", link.port)).contains("53300")
    );
    assert!(text(&facts, "psql -U app").contains("could not be asked"));
    assert!(facts.evidence.iter().any(|e| e.text.contains("17 idle as app (shop)")), "{facts:#?}");
}

#[tokio::test]
async fn a_blocked_session_names_its_blocker_and_limits_are_listed() {
    let postgres = Postgres::start();
    postgres.sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1); GRANT ALL ON t TO app; ALTER ROLE app CONNECTION LIMIT 12");
    let link = postgres.link.clone();
    let blocker = link.connect(&link.app, "test", Session::App).await.unwrap();
    blocker
        .batch_execute(
            "SET application_name = 'job'; SELECT pg_advisory_lock(7); BEGIN; UPDATE t SET id = 2",
        )
        .await
        .unwrap();
    let waiter = link.connect(&link.app, "test", Session::App).await.unwrap();
    waiter.batch_execute("SET application_name = 'web'").await.unwrap();
    let waiting = waiter.batch_execute("UPDATE t SET id = 3");
    let server = server(Engine::Postgres, Link::Postgres(link.clone()));
    let look = async {
        loop {
            let (facts, _) = gather(&server, FindingKind::ProbeFailing, &Known::default()).await;
            let seen = facts.postgres.expect("the server was described");
            let blocked = seen.sessions.iter().find(|session| !session.blocked_by.is_empty());
            if let Some(blocked) = blocked.cloned() {
                break (seen, blocked);
            }
        }
    };
    let (seen, blocked) = tokio::select! {
        seen = look => seen,
        ended = waiting => panic!("nobody blocked it: {ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("no blocked session was seen"),
    };
    let root = seen.sessions.iter().find(|session| session.application == "job").unwrap();
    assert_eq!(blocked.blocked_by, [root.pid]);
    assert_eq!((blocked.application.as_str(), blocked.wait_type.as_deref()), ("web", Some("Lock")));
    assert_eq!(root.state, "idle in transaction");
    assert!(root.has_written && root.holds_advisory_lock && root.xact_age_s.is_some());
    assert_eq!(seen.role_limits, [("app".to_owned(), 12)]);
}

#[tokio::test]
async fn a_frozen_or_dead_server_costs_a_deadline_and_its_part_is_missing() {
    let redis = Redis::start(&[]);
    let server = server(Engine::Redis, Link::Redis(redis.link.clone()));
    let life = server.identity().await;
    assert_eq!(life.len(), 40, "a run id: {life}");
    redis.process.signal(Signal::STOP);
    let began = Instant::now();
    let (facts, _) = gather(&server, FindingKind::ServerHung, &Known::default()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(facts.redis.is_none() && facts.unit.is_none());
    assert!(text(&facts, "redis-cli -h").contains("could not be asked: no answer within"));
    redis.process.signal(Signal::KILL);
    let (facts, _) = gather(&server, FindingKind::ServerDown, &Known::default()).await;
    assert!(facts.redis.is_none());
    assert!(text(&facts, "redis-cli -h").contains("no server"));
    assert_eq!(server.identity().await, "unreachable");
}

#[tokio::test]
async fn a_restart_is_another_life() {
    let postgres = Postgres::start();
    let server = server(Engine::Postgres, Link::Postgres(postgres.link.clone()));
    let life = server.identity().await;
    assert_eq!(life, server.identity().await);
    assert!(life.ends_with('Z'), "{life}");
}
