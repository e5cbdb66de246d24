//! What a login may do: exactly what `simctl grants` prints, proven against real servers.

use std::collections::BTreeSet;

use simctl::actions::rights;
use simctl::config::secret::Secret;
use simctl::domain::target::Engine;
use simctl::targets::{Compared, Link};

use super::facts::server as server_of;
use super::servers::{Postgres, Redis};

/// What the printed statement of `grants` says for this kind.
fn printed(engine: &str) -> Vec<String> {
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_simctl"))
        .args(["grants", engine, "--user", "ops", "--json"])
        .output()
        .expect("simctl runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let lines = told[engine].as_array().expect("statements");
    lines.iter().map(|line| line.as_str().expect("a text").to_owned()).collect()
}

async fn redis_as_ops(server: &Redis) -> Compared {
    let mut link = server.link.clone();
    link.user = Some("ops".into());
    link.password = Some(Secret::new("pw"));
    let server = server_of(Engine::Redis, Link::Redis(link));
    server.compare_rights(&rights(Engine::Redis)).await.expect("it can be compared")
}

#[tokio::test]
async fn a_redis_user_as_printed_has_what_is_needed_and_nothing_more() {
    let server = Redis::start(&[]);
    let statement = printed("redis").concat().replace("SECRET", "pw");
    assert!(server.inline(&statement).contains("+OK"));
    let compared = redis_as_ops(&server).await;
    assert_eq!(compared, Compared { login: "ops".into(), ..Compared::default() });

    server.inline("ACL SETUSER ops -config|set +eval");
    let compared = redis_as_ops(&server).await;
    let who: Vec<&str> = compared.missing.iter().filter_map(|m| m.split(' ').next()).collect();
    assert_eq!(who, ["config|set"], "{compared:?}");
    assert!(compared.missing[0].contains("reset_redis_setting"), "{compared:?}");
    assert_eq!(compared.more, ["eval"]);
}

#[tokio::test]
async fn a_redis_user_who_may_everything_is_said_to() {
    let server = Redis::start(&[]);
    let anybody = server_of(Engine::Redis, Link::Redis(server.link.clone()));
    let compared = anybody.compare_rights(&rights(Engine::Redis)).await.expect("compared");
    let more: BTreeSet<&str> = compared.more.iter().map(String::as_str).collect();
    assert!(compared.missing.is_empty(), "{:?}", compared.missing);
    assert!(more.contains("eval") && more.contains("keys") && more.contains("module|load"));
}

async fn postgres_as_ops(server: &Postgres) -> Compared {
    let mut link = server.link.clone();
    let mut login = link.monitor.clone();
    (login.user, login.password) = ("ops".into(), Some(Secret::new("pw")));
    link.fixer = Some(login);
    let server = server_of(Engine::Postgres, Link::Postgres(link));
    server.compare_rights(&rights(Engine::Postgres)).await.expect("it can be compared")
}

#[tokio::test]
async fn a_postgres_role_as_printed_lacks_only_what_no_role_can_be_given() {
    let server = Postgres::start();
    for statement in printed("postgres") {
        server.sql(&statement.replace(":'password'", "'pw'"));
    }
    let compared = postgres_as_ops(&server).await;
    assert!(compared.more.is_empty(), "{compared:?}");
    let superuser = |what: &String| what.starts_with("superuser to ");
    assert!(compared.missing.iter().all(superuser), "{compared:?}");

    server.sql("REVOKE pg_signal_backend FROM ops; GRANT pg_write_all_data TO ops; ALTER ROLE ops CREATEDB");
    let compared = postgres_as_ops(&server).await;
    let lacks: Vec<&String> = compared.missing.iter().filter(|what| !superuser(what)).collect();
    assert!(lacks.len() == 1 && lacks[0].starts_with("pg_signal_backend ("), "{compared:?}");
    assert_eq!(compared.more, ["createdb", "pg_write_all_data"]);
}
