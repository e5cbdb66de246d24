//! What the store costs: one durable append against a bare fdatasync, a hundred events at once, and listings of
//! a million incidents. `SIMCTL_TEST_POSTGRES_URL` adds PostgreSQL; its database is filled and kept.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use divan::Bencher;
use divan::counter::ItemsCount;
use simctl::config::secret::Secret;
use simctl::domain::event::{Event, EventBody, Head};
use simctl::domain::finding::Severity;
use simctl::domain::incident::Status;
use simctl::ports::store::{Batch, IncidentFilter, Lease, Store};
use sqlx::ConnectOptions as _;
use tokio::runtime::Runtime;

const INCIDENTS: u64 = 1_000_000;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"));

fn main() {
    divan::main();
    // Statics are not dropped; the million would stay.
    let _ = std::fs::remove_dir_all(DIR.path());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Sqlite { "sqlite" } else { "postgres" })
    }
}

fn kinds() -> Vec<Kind> {
    if postgres_url().is_some() { vec![Kind::Sqlite, Kind::Postgres] } else { vec![Kind::Sqlite] }
}

fn postgres_url() -> Option<String> {
    std::env::var("SIMCTL_TEST_POSTGRES_URL").ok()
}

fn url(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Sqlite => format!("sqlite:{}", DIR.path().join(name).display()),
        Kind::Postgres => postgres_url().expect("only listed when it is set"),
    }
}

fn open(url: &str) -> Arc<dyn Store> {
    let opened = RUNTIME.block_on(simctl::store::open(&Secret::new(url), DIR.path()));
    opened.expect("open the store")
}

/// A store and the end of its chain, for appends.
struct Writer {
    store: Arc<dyn Store>,
    lease: Lease,
    head: Head,
}

impl Writer {
    fn new(kind: Kind) -> Self {
        let store = open(&url(kind, "appends.db"));
        RUNTIME.block_on(async {
            let ttl = Duration::from_hours(24);
            let lease = store.take_lease("bench", moment(0), ttl).await.expect("the lease");
            let head = store.head().await.expect("read the end");
            Self { store, lease, head }
        })
    }

    fn append(&mut self, count: u64) {
        let mut batch = Batch { events: Vec::new(), rows: Vec::new() };
        for _ in 0..count {
            let event = Event {
                seq: 0,
                at: moment(self.head.seq),
                incident: None,
                target: Some("redis-test".into()),
                actor: "agent".into(),
                body: EventBody::DecisionRefused {
                    reason: "a reason of usual length, as a person gives one".into(),
                },
            };
            let sealed = event.seal(&self.head);
            self.head = sealed.head();
            batch.events.push(sealed);
        }
        RUNTIME.block_on(self.store.append(&batch, &self.lease)).expect("append");
    }
}

fn moment(number: u64) -> DateTime<Utc> {
    let seconds = TimeDelta::seconds(i64::try_from(number).expect("a small number"));
    DateTime::from_timestamp(1_700_000_000, 0).expect("a time") + seconds
}

/// The floor under every durable write, in the same run.
#[divan::bench]
fn a_bare_fdatasync(bencher: Bencher<'_, '_>) {
    let mut file = File::create(DIR.path().join("floor")).expect("a file");
    bencher.bench_local(move || {
        file.write_all(&[7; 1_024]).and_then(|()| file.sync_data()).expect("write");
    });
}

#[divan::bench(args = kinds())]
fn append_one(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut writer = Writer::new(kind);
    bencher.bench_local(move || writer.append(1));
}

#[divan::bench(args = kinds())]
fn append_a_hundred(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut writer = Writer::new(kind);
    bencher.counter(ItemsCount::new(100u32)).bench_local(move || writer.append(100));
}

/// A way to list, on a million.
#[derive(Clone, Copy, Debug)]
struct Listing {
    kind: Kind,
    name: &'static str,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

const NAMES: [&str; 13] = [
    "latest",
    "deep page",
    "status",
    "all statuses",
    "target",
    "finding kind",
    "cause",
    "severity",
    "created after",
    "created long before",
    "rare word",
    "common word",
    "everything",
];

fn listings() -> Vec<Listing> {
    kinds()
        .into_iter()
        .flat_map(|kind| NAMES.iter().map(move |name| Listing { kind, name }))
        .collect()
}

fn filter(name: &str) -> IncidentFilter {
    let all = IncidentFilter { limit: 100, ..IncidentFilter::default() };
    let text = |text: &str| IncidentFilter { text: Some(text.into()), ..all.clone() };
    match name {
        "deep page" => IncidentFilter { before_number: Some(INCIDENTS / 2), ..all },
        "status" => IncidentFilter { status: vec![Status::Failed], ..all },
        "all statuses" => IncidentFilter { status: Status::ALL.to_vec(), ..all },
        "target" => IncidentFilter { target: Some("server-17".into()), ..all },
        "finding kind" => IncidentFilter { fault_type: Some("server-hung".into()), ..all },
        "cause" => IncidentFilter { fault_type: Some("cause-3".into()), ..all },
        "severity" => IncidentFilter { severity: vec![Severity::Critical], ..all },
        "created after" => IncidentFilter { created_after: Some(moment(INCIDENTS - 50)), ..all },
        "created long before" => IncidentFilter { created_before: Some(moment(1_000)), ..all },
        "rare word" => text("word777777"),
        "common word" => text("refuses"),
        "everything" => IncidentFilter {
            status: vec![Status::Resolved, Status::Failed],
            target: Some("server-17".into()),
            fault_type: Some("server-hung".into()),
            severity: vec![Severity::High, Severity::Critical],
            created_after: Some(moment(INCIDENTS / 2)),
            text: Some("refuses".into()),
            ..all
        },
        _ => all,
    }
}

static MILLIONS: Mutex<Vec<(Kind, Arc<dyn Store>)>> = Mutex::new(Vec::new());

fn million(kind: Kind) -> Arc<dyn Store> {
    let mut millions = MILLIONS.lock().expect("no listing panicked");
    if let Some((_, store)) = millions.iter().find(|(known, _)| *known == kind) {
        return Arc::clone(store);
    }
    let url = url(kind, "million.db");
    let store = open(&url);
    RUNTIME.block_on(fill(kind, &url));
    millions.push((kind, Arc::clone(&store)));
    store
}

#[divan::bench(args = listings())]
fn list_a_hundred(bencher: Bencher<'_, '_>, listing: Listing) {
    let store = million(listing.kind);
    let filter = filter(listing.name);
    bencher.bench_local(|| RUNTIME.block_on(store.incidents(&filter)).expect("list"));
}

#[divan::bench(args = kinds())]
fn load_with_a_million(bencher: Bencher<'_, '_>, kind: Kind) {
    let store = million(kind);
    bencher.bench_local(|| RUNTIME.block_on(store.load()).expect("load"));
}

const KINDS: &str =
    "case n % 7 when 0 then 'server-down' when 1 then 'server-hung' when 2 then 'clients-refused'
    when 3 then 'writes-refused' when 4 then 'probe-failing' when 5 then 'memory-pressure'
    else 'connection-pressure' end";
const SEVERITIES: &str =
    "case n % 4 when 0 then 'low' when 1 then 'medium' when 2 then 'high' else 'critical' end";
/// All ended but 19, which are on 19 servers.
const STATUS: &str = "case when n % 50021 = 0 then 'failed' else 'resolved' end";

/// Inserts the million, unless an earlier run did.
async fn fill(kind: Kind, url: &str) {
    let common = "1, 'detector', 'data', '[]', '[]', '{}', 'real', 'approval', 3, 1";
    let names = "revision, source, team, notes, error_logs, metrics_snapshot, incident_type, remediation_mode,
         health_at_open, occurrences, number, id, fault_id, message, status, severity, affected_system,
         finding_kind, cause, first_bad_at, last_seen, created_at, updated_at, resolved_at, words, body";
    let message = "'server-' || (n % 100) || ' refuses writes, word' || n";
    let words = "'[\"refuses\", \"server\", \"word' || n || '\", \"writes\"]'";
    match kind {
        Kind::Sqlite => {
            let id = "printf('01900000-0000-7000-8000-%012x', n)";
            let at = "(1700000000 + n) * 1000000";
            let sql = format!(
                "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {INCIDENTS})
                 insert into incidents ({names})
                 select {common}, n, {id}, {id}, {message}, {STATUS}, {SEVERITIES}, 'server-' || (n % 100), {KINDS},
                        'cause-' || (n % 10), {at}, {at}, {at}, {at}, {at}, {words},
                        replace(replace(replace($1, '987654321987', n), '@ID', {id}), '@STATUS', {STATUS})
                 from numbers where not exists (select 1 from incidents)"
            );
            let options: sqlx::sqlite::SqliteConnectOptions = url.parse().expect("a URL");
            let mut conn = options.disable_statement_logging().connect().await.expect("connect");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(body())
                .execute(&mut conn)
                .await
                .expect("fill");
            sqlx::query("analyze").execute(&mut conn).await.expect("analyze");
        }
        Kind::Postgres => {
            let id = "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid";
            let at = "to_timestamp(1700000000 + n)";
            let sql = format!(
                "insert into incidents ({names})
                 select {common}, n, {id}, {id}, {message}, {STATUS}, {SEVERITIES}, 'server-' || (n % 100), {KINDS},
                        'cause-' || (n % 10), {at}, {at}, {at}, {at}, {at},
                        ({words})::jsonb,
                        replace(replace(replace($1, '987654321987', n::text), '@ID', {id}::text), '@STATUS', {STATUS})::jsonb
                 from generate_series(1, {INCIDENTS}) n where not exists (select 1 from incidents)"
            );
            let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
            let mut conn = options.disable_statement_logging().connect().await.expect("connect");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(body())
                .execute(&mut conn)
                .await
                .expect("fill");
            sqlx::query("vacuum analyze").execute(&mut conn).await.expect("analyze");
        }
    }
}

/// An incident as it lies in `body`, with places for what differs.
fn body() -> String {
    let at = moment(0);
    serde_json::json!({
        "id": "@ID", "number": 987_654_321_987_u64, "revision": 1, "target": "server-17", "finding": "server-hung",
        "status": "@STATUS", "severity": "high", "message": "server-17 refuses writes", "source": "detector",
        "team": "data", "notes": [], "error_logs": [], "metrics": {}, "incident_type": "real",
        "remediation": "approval", "health_at_open": { "score": 3 }, "health_before": 97, "occurrences": 1,
        "first_bad_at": at, "opened_at": at, "last_seen": at, "updated_at": at, "acknowledged_at": null,
        "resolved_at": at, "health_at_end": { "score": 97 }, "failure_reason": null, "diagnosis": null,
        "executions": [], "tried": []
    })
    .to_string()
}
