//! PostgreSQL: what a client feels in each trouble, and the readings.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use simctl::config::TlsConfig;
use simctl::config::secret::Secret;
use simctl::domain::sample::{Answer, reading};
use simctl::ports::probe::Probe;
use simctl::targets::felt;
use simctl::targets::postgres::{PgConnection, PostgresLink, PostgresProbe, Session};

use super::servers::{Certificates, Postgres, until};
use super::{assert_all_ok, assert_gone, code, eventually, word_of_closing};

const HEARTBEAT: &str = "CREATE TABLE public.hb (id int PRIMARY KEY, at timestamptz NOT NULL);\
                         ALTER TABLE public.hb OWNER TO app";

fn probe(link: &PostgresLink) -> PostgresProbe {
    PostgresProbe::new(link.clone())
}

/// A session that does not carry our name.
async fn stranger(link: &PostgresLink) -> PgConnection {
    let session = link.connect(&link.app, "test", Session::App).await.unwrap();
    session.batch_execute("SET application_name = 'shop'").await.unwrap();
    session
}

async fn strangers(link: &PostgresLink, count: usize) -> Vec<PgConnection> {
    futures::future::join_all((0..count).map(|_| stranger(link))).await
}

#[tokio::test]
async fn a_healthy_server_answers_everything_and_counts_sessions_without_ours() {
    let server = Postgres::start();
    let probe = probe(&server.link).with_leak_age(Duration::ZERO);
    let _idle = strangers(&server.link, 3).await;
    let transaction = stranger(&server.link).await;
    transaction.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let held = probe.held().await;
    assert_all_ok(&held);
    assert_eq!(held.write, Answer::NotAsked);
    let expected = [
        (reading::SESSIONS, 4.0),
        (reading::IDLE_SESSIONS, 3.0),
        (reading::IDLE_IN_TRANSACTION, 1.0),
        (reading::ACTIVE_SESSIONS, 0.0),
        (reading::LOCK_WAITS, 0.0),
        (reading::LEAKED_IDLE_SESSIONS, 3.0),
        (reading::OWN_SESSIONS, 1.0),
        (reading::MAX_CONNECTIONS, 20.0),
        (reading::RESERVED_CONNECTIONS, 3.0),
    ];
    for (name, value) in expected {
        assert_eq!(held.reading(name), Some(value), "{name}");
    }
    for name in [reading::COMMITS_TOTAL, reading::UPTIME_SECONDS, reading::OLDEST_IDLE_SECONDS] {
        assert!(held.reading(name).is_some_and(|value| value >= 0.0), "{name}");
    }
    let fresh = probe.fresh().await;
    assert_all_ok(&fresh);
    assert_eq!(fresh.write, Answer::NotAsked, "nothing of ours to write to, and nothing is made");
    assert_eq!(server.sql("SELECT count(*) FROM pg_class WHERE relname = 'hb'"), "0");

    server.sql(HEARTBEAT);
    let fresh = probe.fresh().await;
    assert!(fresh.write.is_ok(), "{fresh:?}");
    assert_eq!(server.sql("SELECT count(*) FROM hb WHERE at > now() - interval '5 s'"), "1");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'simctl/%'";
    until("the fresh sessions are gone", || server.sql(ours) == "1");
}

#[tokio::test]
async fn a_login_that_may_not_look_leaves_states_out_and_still_counts() {
    let server = Postgres::start();
    let link = PostgresLink { monitor: server.link.app.clone(), ..server.link.clone() };
    let superuser = server.link.fixer.clone().unwrap();
    let other = server.link.connect(&superuser, "test", Session::App).await.unwrap();
    other.batch_execute("SET application_name = 'shop'").await.unwrap();
    let held = probe(&link).held().await;
    assert_all_ok(&held);
    assert_eq!(held.reading(reading::SESSIONS), Some(1.0));
    assert_eq!(held.reading(reading::IDLE_SESSIONS), None);
    assert_eq!(held.reading(reading::LEAKED_IDLE_SESSIONS), None);
}

#[tokio::test]
async fn errors_keep_their_sqlstate() {
    let server = Postgres::start();
    server.sql(HEARTBEAT);
    let with = |change: &dyn Fn(&mut PostgresLink)| {
        let mut link = server.link.clone();
        change(&mut link);
        PostgresProbe::new(link)
    };
    let wrong = with(&|link| link.app.password = Some(Secret::new("wrong"))).fresh().await;
    assert_eq!(code(&wrong.connect), "28P01");
    assert!(wrong.connect.describe().contains("password authentication failed"), "{wrong:?}");
    let nowhere = with(&|link| link.app.database = "nowhere".into()).fresh().await;
    assert_eq!(code(&nowhere.connect), "3D000");

    let probe = probe(&server.link);
    server.sql("ALTER ROLE app CONNECTION LIMIT 0");
    assert_eq!(code(&probe.fresh().await.connect), "53300");
    let refused = server.link.connect(&server.link.app, "test", Session::App).await;
    assert_eq!(code(&felt(&refused.unwrap_err())), "53300");
    server.sql(
        "ALTER ROLE app CONNECTION LIMIT -1; ALTER ROLE app SET default_transaction_read_only = on",
    );
    let fresh = probe.fresh().await;
    assert_eq!((code(&fresh.write), fresh.read.is_ok()), ("25006", true));
    server.sql("ALTER ROLE app RESET default_transaction_read_only; REVOKE ALL ON hb FROM app");
    assert_eq!(code(&probe.fresh().await.write), "42501");
}

#[tokio::test]
async fn a_full_server_refuses_newcomers_and_the_kept_session_still_counts() {
    let server = Postgres::start();
    let (kept, late) = (probe(&server.link), probe(&server.link));
    assert_all_ok(&kept.held().await);
    let _all = strangers(&server.link, 16).await;
    let fresh = kept.fresh().await;
    assert_eq!(code(&fresh.connect), "53300", "{fresh:?}");
    assert_eq!(fresh.read, Answer::NotAsked);
    let held = kept.held().await;
    assert_all_ok(&held);
    assert_eq!(held.reading(reading::SESSIONS), Some(16.0));
    assert_eq!(code(&late.held().await.connect), "53300", "the monitor has no slot of its own");
}

#[tokio::test]
async fn sessions_have_the_options_of_their_purpose() {
    let server = Postgres::start();
    let troubles = [
        "statement_timeout = '1ms'",
        "idle_session_timeout = '1s'",
        "default_transaction_read_only = on",
    ];
    for trouble in troubles {
        server.sql(&format!("ALTER SYSTEM SET {trouble}"));
    }
    server.sql("SELECT pg_reload_conf()");
    // With a millisecond for a statement, even this question may be cancelled.
    until("the settings are read", || {
        server.try_sql("SHOW idle_session_timeout").is_ok_and(|value| value == "1s")
    });
    let show = async |login, session| {
        let session = server.link.connect(login, "test", session).await.unwrap();
        let sql = "SELECT concat_ws(' ', current_setting('statement_timeout'), \
                   current_setting('lock_timeout'), current_setting('idle_session_timeout'), \
                   current_setting('default_transaction_read_only'), \
                   current_setting('application_name'))";
        session.query_one(sql, &[]).await.map(|row| row.get::<_, String>(0)).unwrap()
    };
    let monitor = show(&server.link.monitor, Session::Monitor).await;
    assert_eq!(monitor, "5s 100ms 0 on simctl/test");
    let fixer = server.link.fixer.clone().unwrap();
    assert_eq!(show(&fixer, Session::Fixer).await, "0 2s 0 off simctl/test");
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
}

#[tokio::test]
async fn a_frozen_server_is_silent_for_one_deadline() {
    let server = Postgres::start();
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    server.process.signal(Signal::STOP);
    let began = Instant::now();
    let (held, fresh) = (probe.held().await, probe.fresh().await);
    let took = began.elapsed();
    server.process.signal(Signal::CONT);
    // The postmaster is frozen, a backend that was there before is not.
    assert_all_ok(&held);
    assert_eq!(fresh.connect, Answer::Hung { after_ms: 1_000 });
    assert!(took >= Duration::from_millis(990) && took < Duration::from_millis(1_400), "{took:?}");
    assert_all_ok(&probe.fresh().await);
}

#[tokio::test]
async fn the_end_of_the_kept_session_is_known_at_once() {
    let server = Postgres::start();
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'simctl/monitor'";
    word_of_closing(&probe, || {
        server.sql(end);
    })
    .await;
    assert_gone(&probe.held().await.connect);
    assert_all_ok(&probe.held().await);

    let pid =
        server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'simctl/monitor'");
    let backend = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    let took = word_of_closing(&probe, || {
        rustix::process::kill_process(backend, Signal::KILL).unwrap();
    })
    .await;
    assert!(took < Duration::from_millis(50), "{took:?}");
    assert_gone(&probe.held().await.connect);
    eventually("it recovered from the lost backend", async || {
        server.link.connect(&server.link.app, "test", Session::App).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_shuts_down_or_recovers_is_starting_and_then_gone() {
    let server = Postgres::start();
    let guest = stranger(&server.link).await;
    let probe = probe(&server.link);
    assert_all_ok(&probe.held().await);
    // Waits for the guest to leave: new clients are told, old ones work on.
    server.process.signal(Signal::TERM);
    eventually("it refuses new clients", async || {
        let refused = server.link.connect(&server.link.app, "test", Session::App).await;
        refused.is_err_and(|error| matches!(felt(&error), Answer::Starting { .. }))
    })
    .await;
    let fresh = probe.fresh().await;
    assert!(fresh.is_starting() && fresh.first_bad().is_none(), "{fresh:?}");
    assert_all_ok(&probe.held().await);
    server.process.signal(Signal::INT);
    eventually("it is gone", async || {
        let refused = server.link.connect(&server.link.app, "test", Session::App).await;
        refused.is_err_and(|error| matches!(felt(&error), Answer::Gone { .. }))
    })
    .await;
    assert_gone(&probe.held().await.connect);
    assert_gone(&probe.fresh().await.connect);
    drop(guest);
}

#[tokio::test]
async fn settings_are_those_of_the_application_with_the_limits() {
    let server = Postgres::start();
    server.sql(
        "ALTER ROLE app CONNECTION LIMIT 15; ALTER DATABASE postgres CONNECTION LIMIT 18; \
         ALTER ROLE app SET work_mem = '1MB'",
    );
    let settings = probe(&server.link).settings().await.unwrap();
    let expected = [
        ("max_connections", "20"),
        ("superuser_reserved_connections", "3"),
        ("work_mem", "1024kB"),
        ("default_transaction_read_only", "off"),
        ("statement_timeout", "0ms"),
        ("role.app.connection_limit", "15"),
        ("database.postgres.connection_limit", "18"),
    ];
    for (name, value) in expected {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!settings.contains_key("role.monitor.connection_limit"));
}

#[tokio::test]
async fn encryption_is_verified() {
    let certificates = Certificates::make();
    let server = Postgres::start_with(|data| {
        certificates.give("crt", &data.join("server.crt"));
        certificates.give("key", &data.join("server.key"));
        "ssl = on\n".to_owned()
    });
    let link = |tls: TlsConfig| PostgresLink { tls: Some(tls), ..server.link.clone() };
    let trusting = probe(&link(certificates.trusted()));
    assert_all_ok(&trusting.held().await);
    assert_all_ok(&trusting.fresh().await);
    let suspicious = probe(&link(TlsConfig::default())).fresh().await;
    assert_eq!(code(&suspicious.connect), "TLS", "{suspicious:?}");
    let plain = Postgres::start();
    let refused = PostgresLink { tls: Some(certificates.trusted()), ..plain.link.clone() };
    let fresh = probe(&refused).fresh().await;
    assert_eq!(code(&fresh.connect), "TLS", "{fresh:?}");
}
