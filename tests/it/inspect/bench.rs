//! A PostgreSQL in a situation, its sessions, and what an inspection says about it as the monitor role.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use simctl::domain::target::Engine;
use simctl::inspect::{self, Check, Content, Desk, Given, Grade, Report};
use tokio_postgres::{Client, NoTls};

use crate::faults::bench::Bench;

/// Starts it with further settings, like `wal_level=logical`.
pub(crate) fn postgres(settings: &[&str]) -> Bench {
    let mut bench = Bench::postgres();
    if settings.is_empty() {
        return bench;
    }
    let mut child = bench.child.take().expect("it runs");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it can be told to end");
    child.wait().expect("it ends");
    for setting in settings {
        bench.launch.args.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    bench.child = Some(bench.launch.start());
    bench.wait_until_it_answers();
    bench
}

/// A session of that role; it ends when dropped.
pub(crate) async fn session(bench: &Bench, user: &str, database: &str) -> Client {
    try_session(bench, user, database).await.expect("a session")
}

pub(crate) async fn try_session(
    bench: &Bench,
    user: &str,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let at = format!(
        "host=127.0.0.1 port={} user={user} dbname={database} application_name=bench",
        bench.port
    );
    let (client, connection) = tokio_postgres::connect(&at, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub(crate) async fn superuser(bench: &Bench) -> Client {
    session(bench, "postgres", "app").await
}

pub(crate) async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The first column of the first row.
pub(crate) async fn one(client: &Client, sql: &str) -> String {
    let row = client.query_one(&format!("select ({sql})::text"), &[]).await;
    row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

pub(crate) async fn pid(client: &Client) -> i64 {
    one(client, "pg_backend_pid()").await.parse().expect("a pid")
}

pub(crate) fn desk(bench: &Bench) -> Desk {
    Desk::new(bench.server(None))
}

pub(crate) async fn ask(
    desk: &mut Desk,
    engine: Engine,
    verb: &str,
    args: &[(&str, &str)],
) -> Report {
    let inspection = inspect::find(engine, verb).expect("there is such an inspection");
    let written =
        |name: &str| args.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
    let given = Given::read(inspection.args, written).expect("arguments as declared");
    let report = desk.report(inspection, &given).await;
    for offer in report.checks.iter().flat_map(|check| &check.leads_to) {
        assert!(inspection.offers.contains(&offer.action), "{verb} offers {}", offer.action);
    }
    report
}

/// One inspection on a connection of its own.
pub(crate) async fn pg(bench: &Bench, verb: &str, args: &[(&str, &str)]) -> Report {
    let mut desk = desk(bench);
    let report = ask(&mut desk, Engine::Postgres, verb, args).await;
    desk.close().await;
    report
}

/// The rows of a table, by the names of its columns.
#[track_caller]
pub(crate) fn rows(report: &Report, part: &str) -> Vec<Value> {
    let json = serde_json::to_value(report).expect("a report is JSON");
    let parts = json["parts"].as_array().expect("parts").clone();
    let found = parts.iter().find(|one| one["name"] == part);
    let found = found.unwrap_or_else(|| panic!("no part {part} in {json:#}"));
    found["table"]["rows"].as_array().unwrap_or_else(|| panic!("no table: {found:#}")).clone()
}

#[track_caller]
pub(crate) fn check<'a>(report: &'a Report, id: &str) -> &'a Check {
    let found = report.checks.iter().find(|check| check.id == id);
    found.unwrap_or_else(|| panic!("no check {id} in {:#?}", report.checks))
}

/// The word for why a part is not known, if it is not.
#[track_caller]
pub(crate) fn unknown(report: &Report, part: &str) -> Option<&'static str> {
    let found = report.parts.iter().find(|one| one.name == part);
    match &found.unwrap_or_else(|| panic!("no part {part} in {report:#?}")).content {
        Content::Unknown(unknown) => Some(unknown.word()),
        _ => None,
    }
}

pub(crate) fn is_ok(check: &Check) -> bool {
    check.grade == Grade::Ok
}

/// Waits for a condition of the server, with a bound.
pub(crate) async fn until(client: &Client, condition: &str) {
    let began = Instant::now();
    // What cannot be told yet has not come about.
    let told = format!("coalesce(({condition}), false)");
    while one(client, &told).await != "true" {
        assert!(began.elapsed() < Duration::from_secs(20), "not within 20 s: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
