//! What one probe costs, next to a PING on a bare socket of the same server in the same run.
//!
//! `SIMCTL_BENCH_REDIS=127.0.0.1:6380` and
//! `SIMCTL_BENCH_POSTGRES=user:password@127.0.0.1:5433/database` name the servers; without them there is
//! nothing to measure, and the benchmark says so.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop where it stands")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use divan::Bencher;
use simctl::config::secret::Secret;
use simctl::ports::probe::Probe;
use simctl::targets::postgres::{Login, PostgresLink, PostgresProbe};
use simctl::targets::redis::{RedisLink, RedisProbe};
use tokio::runtime::Runtime;

fn main() {
    for name in [REDIS, POSTGRES] {
        if std::env::var(name).is_err() {
            eprintln!("{name} is not set: its benchmarks measure nothing");
        }
    }
    divan::main();
}

const REDIS: &str = "SIMCTL_BENCH_REDIS";
const POSTGRES: &str = "SIMCTL_BENCH_POSTGRES";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn redis_link() -> Option<RedisLink> {
    let address = std::env::var(REDIS).ok()?;
    let (host, port) = address.rsplit_once(':').unwrap();
    Some(RedisLink {
        name: "bench".into(),
        host: host.into(),
        port: port.parse().unwrap(),
        database: 0,
        user: None,
        password: None,
        tls: None,
        deadline: Duration::from_secs(1),
        kept: Default::default(),
    })
}

fn postgres_link() -> Option<PostgresLink> {
    let url = std::env::var(POSTGRES).ok()?;
    let (login, place) = url.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let password = Some(Secret::new(password));
    let login = Login { user: user.into(), password, database: database.into() };
    Some(PostgresLink {
        name: "bench".into(),
        host: host.into(),
        port: port.parse().unwrap(),
        app: login.clone(),
        monitor: login,
        fixer: None,
        tls: None,
        deadline: Duration::from_secs(2),
    })
}

fn held(bencher: Bencher<'_, '_>, probe: &dyn Probe) {
    let runtime = runtime();
    let first = runtime.block_on(probe.held());
    assert!(first.is_clean(), "{first:?}");
    bencher.bench_local(|| runtime.block_on(probe.held()));
}

fn fresh(bencher: Bencher<'_, '_>, probe: &dyn Probe) {
    let runtime = runtime();
    bencher.bench_local(|| runtime.block_on(probe.fresh()));
}

#[divan::bench]
fn redis_raw_ping(bencher: Bencher<'_, '_>) {
    let Some(link) = redis_link() else { return };
    let mut socket = TcpStream::connect((link.host.as_str(), link.port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut said = [0; 7];
    bencher.bench_local(|| {
        socket.write_all(b"PING\r\n").unwrap();
        socket.read_exact(&mut said).unwrap();
    });
}

#[divan::bench]
fn redis_held(bencher: Bencher<'_, '_>) {
    if let Some(link) = redis_link() {
        held(bencher, &RedisProbe::new(link));
    }
}

#[divan::bench]
fn redis_fresh(bencher: Bencher<'_, '_>) {
    if let Some(link) = redis_link() {
        fresh(bencher, &RedisProbe::new(link));
    }
}

#[divan::bench]
fn postgres_held(bencher: Bencher<'_, '_>) {
    if let Some(link) = postgres_link() {
        held(bencher, &PostgresProbe::new(link));
    }
}

#[divan::bench]
fn postgres_fresh(bencher: Bencher<'_, '_>) {
    if let Some(link) = postgres_link() {
        fresh(bencher, &PostgresProbe::new(link));
    }
}
