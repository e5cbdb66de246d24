//! What each statement of the PostgreSQL inspections costs by itself, as the inspections ask it:
//! without JIT and parallel workers, within the time limits of a session that only looks.
//!
//! `SIMCTL_BENCH_POSTGRES=user:password@127.0.0.1:5433/database` names the server, best as a role that holds only
//! `pg_monitor`; `benches/README.md` tells how to make ten thousand tables there. Statements that want an extension
//! or a table of their own are left out.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop where it stands")]

use std::path::Path;

use divan::Bencher;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

const POSTGRES: &str = "SIMCTL_BENCH_POSTGRES";
/// As `PgDesk` opens its session.
const OPTIONS: &str = "-c statement_timeout=5s -c lock_timeout=100ms -c default_transaction_read_only=on \
                       -c jit=off -c max_parallel_workers_per_gather=0 -c search_path=pg_catalog";
const APART: [&str; 4] = ["07_bloat_fsm", "07_bloat_tier1", "08_statement", "00_"];

fn main() {
    if std::env::var(POSTGRES).is_err() {
        eprintln!("{POSTGRES} is not set: nothing is measured");
    }
    divan::main();
}

/// The statements for version 15, by name.
fn statements() -> Vec<String> {
    if std::env::var(POSTGRES).is_err() {
        return Vec::new();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect/sql");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| !APART.iter().any(|apart| name.starts_with(apart)))
        .filter(|name| !["pg14", "pg16", "pg17", "pg18"].iter().any(|later| name.ends_with(later)))
        .collect();
    // The form for 13 and later takes the place of the first.
    let replaced: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix(".pg13").map(str::to_owned)).collect();
    names.retain(|name| !replaced.contains(name));
    names.sort();
    names
}

#[divan::bench(args = statements(), sample_count = 20, sample_size = 1)]
fn statement(bencher: Bencher<'_, '_>, name: &str) {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(connect());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect/sql");
    let sql = std::fs::read_to_string(folder.join(format!("{name}.sql"))).unwrap();
    let (limit, nobody, all): (i32, Vec<i32>, Option<String>) = (50, Vec::new(), None);
    let params: Vec<(&(dyn ToSql + Sync), Type)> = match name {
        "01_health" => vec![(&nobody, Type::INT4_ARRAY)],
        "04_connections" => vec![(&all, Type::TEXT)],
        _ if sql.contains("$1") => vec![(&limit, Type::INT4)],
        _ => Vec::new(),
    };
    bencher.bench_local(|| runtime.block_on(client.query_typed(&sql, &params)).unwrap().len());
}

async fn connect() -> Client {
    let url = std::env::var(POSTGRES).unwrap();
    let (login, place) = url.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut config = tokio_postgres::Config::new();
    config.user(user).password(password).dbname(database).options(OPTIONS);
    config.host(host).port(port.parse().unwrap());
    let (client, connection) = config.connect(NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a connection's driver ends with its client")]
    tokio::spawn(connection);
    client
}
