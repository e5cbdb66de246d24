//! Every fault on a real server: it takes, it is undone, nothing is left over; and what must not be broken is not.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use simctl::domain::ids::{FaultId, Ids, InjectionId};
use simctl::domain::injection::{Injection, InjectionState};
use simctl::engine::clock;
use simctl::faults::state::{capture, difference};
use simctl::faults::watchdog::{Report, Spec, live, live_through, revert_now};
use simctl::faults::{Marks, complete_params, named};
use simctl::targets::Server;
use tokio::sync::{mpsc, oneshot};

pub(crate) mod bench;
mod detached;
mod guards;
mod local;
mod memory;
mod orphans;
mod postgres;
mod refusals;

use bench::Bench;
use local::Local;

/// An injection of `fault` into the bench, over after `ttl`.
fn injection(bench: &Bench, fault: &str, params: &[(&str, u64)], ttl: Duration) -> Injection {
    let now = clock::now();
    let seed = u64::from(bench.port) ^ u64::from(now.timestamp_subsec_micros()) << 16;
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Injection {
        id: InjectionId(Ids::seeded(seed).next(now)),
        number: 1,
        fault: FaultId::from(fault),
        target: bench.unit().name.into(),
        params: params.collect(),
        actor: "test".into(),
        undo: Vec::new(),
        started_at: now,
        deadline: now + TimeDelta::from_std(ttl).expect("a short time"),
        beside: false,
        state: InjectionState::Starting,
    }
}

/// A bench whose server simctl believes to be its lab.
struct Broken {
    bench: Bench,
    local: Arc<Local>,
    server: Server,
}

impl Broken {
    fn over(mut bench: Bench) -> Self {
        let local = Local::over(&mut bench);
        let server = bench.server(Some(local.place(&bench)));
        Self { bench, local, server }
    }

    async fn spec(&self, fault: &str, params: &[(&str, u64)]) -> Spec {
        let injection = injection(&self.bench, fault, params, Duration::from_secs(60));
        Spec::prepare(injection, &self.server, self.bench.state_dir()).await.expect("it is the lab")
    }

    /// Injects, runs `while_broken` once the symptom shows, undoes, and returns every report.
    async fn live(&self, spec: &Spec, while_broken: impl AsyncFnOnce()) -> Vec<Report> {
        let (heard, mut reports) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let all = Mutex::new(Vec::new());
        let report = |report: Report| {
            all.lock().expect("no panic while held").push(report.clone());
            let _ = heard.send(report);
        };
        let stopped = async {
            let _ = stopped.await;
            "order"
        };
        let watch = async {
            while let Some(report) = reports.recv().await {
                if matches!(report, Report::Took { .. }) {
                    while_broken().await;
                    break;
                }
                if report.is_last() {
                    break;
                }
            }
            let _ = stop.send(());
        };
        tokio::join!(live_through(spec, &self.server, &report, stopped), watch);
        all.into_inner().expect("no panic while held")
    }

    async fn redis(&self) -> redis::aio::MultiplexedConnection {
        connect(self.bench.port).await
    }
}

async fn connect(port: u16) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("the bench answers")
}

async fn ask<T: redis::FromRedisValue>(
    con: &mut redis::aio::MultiplexedConnection,
    line: &str,
) -> redis::RedisResult<T> {
    let mut words = line.split(' ');
    let mut cmd = redis::cmd(words.next().expect("a command"));
    for word in words {
        cmd.arg(word);
    }
    cmd.query_async(con).await
}

fn assert_undone(reports: &[Report]) {
    assert!(reports.iter().any(|r| matches!(r, Report::Took { .. })), "{reports:?}");
    let expected = Report::Reverted { by: "order".into(), left_over: Vec::new() };
    assert_eq!(reports.last(), Some(&expected), "{reports:?}");
}

fn progress<'r>(reports: &'r [Report]) -> Vec<&'r str> {
    let text = |report: &'r Report| match report {
        Report::Progress { text } => Some(text.as_str()),
        _ => None,
    };
    reports.iter().filter_map(text).collect()
}

#[tokio::test]
async fn leak_oom_refuses_writes_and_takes_back_its_own_keys_only() {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    for n in 0..100 {
        let () = ask(&mut con, &format!("SET keep:{n} value")).await.unwrap();
    }
    let spec = broken.spec("leak-oom", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let mut con = broken.redis().await;
            let refused = ask::<()>(&mut con, "SET another value").await.unwrap_err();
            assert_eq!(refused.code(), Some("OOM"));
            let kept: String = ask(&mut con, "GET keep:7").await.unwrap();
            assert_eq!(kept, "value");
        })
        .await;
    assert_undone(&reports);
    assert!(progress(&reports).iter().any(|p| p.ends_with(" MB of 50 MB")), "{reports:?}");
    let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
    assert_eq!(keys, 100);
    let () = ask(&mut con, "SET another value").await.unwrap();
}

#[tokio::test]
async fn leak_oom_gives_an_empty_server_other_data_that_stays() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("leak-oom", &[]).await;
    assert_undone(&broken.live(&spec, async || ()).await);
    let keys: Vec<String> = ask(&mut broken.redis().await, "KEYS *").await.unwrap();
    assert_eq!(keys.len(), 500);
}

#[tokio::test]
async fn a_leak_goes_on_until_its_connection_is_killed_and_does_not_come_back() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("leak-oom", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let mut con = broken.redis().await;
            let journal = live(broken.bench.state_dir()).pop().expect("a live injection");
            let marks = Marks::of(&journal.saved);
            let (prefix, name) = (marks.prefix.unwrap(), marks.session.unwrap());
            let keys: Vec<String> = ask(&mut con, &format!("KEYS {prefix}*")).await.unwrap();
            let () = redis::cmd("UNLINK").arg(keys).query_async(&mut con).await.unwrap();
            until("the leak refills what was unlinked", async || {
                let mut con = con.clone();
                ask::<Vec<String>>(&mut con, &format!("KEYS {prefix}*")).await.unwrap().len() >= 2
            })
            .await;
            let clients: String = ask(&mut con, "CLIENT LIST").await.unwrap();
            let writer = clients.lines().find(|l| l.contains(&format!("name={name} "))).unwrap();
            let id = writer.split(' ').find_map(|f| f.strip_prefix("id=")).unwrap();
            let () = ask(&mut con, &format!("CLIENT KILL ID {id}")).await.unwrap();
            let before: Vec<String> = ask(&mut con, &format!("KEYS {prefix}*")).await.unwrap();
            // Five times the pause between two of its writes.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let after: Vec<String> = ask(&mut con, &format!("KEYS {prefix}*")).await.unwrap();
            assert_eq!(after.len(), before.len());
            let clients: String = ask(&mut con, "CLIENT LIST").await.unwrap();
            assert!(!clients.contains(&format!("name={name} ")), "{clients}");
        })
        .await;
    assert_undone(&reports);
}

#[tokio::test]
async fn a_lowered_maxmemory_loses_no_key_and_comes_back() {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    let () = ask(&mut con, "SET keep value").await.unwrap();
    let spec = broken.spec("maxmemory-lowered", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let mut con = broken.redis().await;
            let limit: Vec<String> = ask(&mut con, "CONFIG GET maxmemory").await.unwrap();
            assert_eq!(limit[1], (5 << 20).to_string());
            let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
            assert!((18_000..=22_000).contains(&keys), "{keys}");
            assert_eq!(ask::<()>(&mut con, "SET a b").await.unwrap_err().code(), Some("OOM"));
        })
        .await;
    assert_undone(&reports);
    let keys: Vec<String> = ask(&mut con, "KEYS *").await.unwrap();
    assert_eq!(keys, ["keep"]);
}

#[tokio::test]
async fn a_limit_that_somebody_else_set_meanwhile_is_left_and_said() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("maxmemory-lowered", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let () = ask(&mut broken.redis().await, "CONFIG SET maxmemory 64mb").await.unwrap();
        })
        .await;
    let Some(Report::Reverted { left_over, .. }) = reports.last() else { panic!("{reports:?}") };
    assert_eq!(left_over, &["maxmemory is `67108864`, was `52428800`"]);
}

#[tokio::test]
async fn a_server_that_evicts_is_not_filled() {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    let () = ask(&mut con, "CONFIG SET maxmemory-policy allkeys-lru").await.unwrap();
    for fault in ["leak-oom", "maxmemory-lowered"] {
        let reports = broken.live(&broken.spec(fault, &[]).await, async || ()).await;
        let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
        assert!(reason.contains("evicts keys (allkeys-lru)"), "{reason}");
    }
    let keys: u64 = ask(&mut con, "DBSIZE").await.unwrap();
    assert_eq!(keys, 0);
}

async fn postgres(port: u16, user: &str) -> Result<Vec<(String, i64)>, tokio_postgres::Error> {
    let text = format!("host=127.0.0.1 port={port} user={user} dbname=app application_name=looker");
    let (client, connection) =
        text.parse::<tokio_postgres::Config>()?.connect(tokio_postgres::NoTls).await?;
    let asked = async {
        let rows = client
            .query(
                "select application_name, count(*) from pg_stat_activity where state = 'idle' \
                 and usename = 'app' group by 1",
                &[],
            )
            .await?;
        drop(client);
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    tokio::join!(asked, connection).0
}

#[tokio::test]
async fn idle_leak_holds_idle_sessions_of_one_ordinary_client() {
    let broken = Broken::over(Bench::postgres());
    let port = broken.bench.port;
    let text = format!("host=127.0.0.1 port={port} user=app dbname=app application_name=neighbour");
    let config: tokio_postgres::Config = text.parse().unwrap();
    let _neighbour = config.connect(tokio_postgres::NoTls).await.unwrap();
    let spec = broken.spec("idle-leak", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let mut idle = postgres(port, "postgres").await.unwrap();
            idle.retain(|(name, _)| name != "neighbour");
            assert_eq!(idle.len(), 1, "{idle:?}");
            assert_eq!(idle[0].1, 12);
            assert!(!idle[0].0.contains("simctl"), "{idle:?}");
        })
        .await;
    assert_undone(&reports);
    assert_eq!(postgres(port, "postgres").await.unwrap(), [("neighbour".to_owned(), 1)]);
}

#[tokio::test]
async fn exhaust_refuses_the_application_and_does_not_take_a_freed_slot_again() {
    let broken = Broken::over(Bench::postgres());
    let port = broken.bench.port;
    let spec = broken.spec("exhaust", &[]).await;
    let reports = broken
        .live(&spec, async || {
            let refused = postgres(port, "app").await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "53300");
            let held = postgres(port, "postgres").await.unwrap();
            assert_eq!(held[0].1, 17);
            end_one_of(&broken, &held[0].0).await;
            until("the application gets in", async || postgres(port, "app").await.is_ok()).await;
            let held = postgres(port, "postgres").await.unwrap();
            assert_eq!(held[0].1, 16);
        })
        .await;
    assert_undone(&reports);
    assert!(progress(&reports).iter().any(|p| p.starts_with("refused after 17")), "{reports:?}");
    assert_eq!(postgres(port, "app").await.unwrap(), []);
}

#[tokio::test]
async fn what_fills_the_slots_is_what_the_fault_says_and_goes_with_it() {
    let broken = Broken::over(Bench::postgres());
    let port = broken.bench.port;
    for (fault, doing) in [
        ("idle-in-transaction", "state = 'idle in transaction' and backend_xid is not null"),
        ("lock-pile", "wait_event = 'relation'"),
        ("slow-pile", "state = 'active' and wait_event = 'PgSleep'"),
    ] {
        let spec = broken.spec(fault, &[]).await;
        let reports = broken
            .live(&spec, async || {
                let refused = postgres(port, "app").await.unwrap_err();
                assert_eq!(refused.code().unwrap().code(), "53300", "{fault}");
                let sql = format!(
                    "select count(*) from pg_stat_activity where usename = 'app' and {doing}"
                );
                let count: i64 = asked(port, &sql).await.parse().unwrap();
                assert!(count >= 16, "{fault}: {count}");
                let ours = "select count(*) from pg_stat_activity where usename = 'app' \
                            and application_name like '%simctl%'";
                assert_eq!(asked(port, ours).await, "0", "{fault}");
            })
            .await;
        assert_undone(&reports);
        assert_eq!(
            asked(port, "select count(*) from pg_stat_activity where usename = 'app'").await,
            "0"
        );
        assert_eq!(
            asked(
                port,
                "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
            )
            .await,
            "0"
        );
    }
}

#[tokio::test]
async fn a_limit_refuses_the_application_while_slots_are_free_and_is_put_back() {
    let broken = Broken::over(Bench::postgres());
    let port = broken.bench.port;
    for database in [0, 1] {
        let spec = broken.spec("role-limit", &[("database", database)]).await;
        let reports = broken
            .live(&spec, async || {
                let refused = postgres(port, "app").await.unwrap_err();
                assert!(
                    refused
                        .as_db_error()
                        .unwrap()
                        .message()
                        .starts_with("too many connections for")
                );
            })
            .await;
        assert_undone(&reports);
        postgres(port, "app").await.unwrap();
    }
}

/// The one value that a superuser is answered in the application's database.
async fn asked(port: u16, sql: &str) -> String {
    let text = format!("host=127.0.0.1 port={port} user=postgres dbname=app");
    let config: tokio_postgres::Config = text.parse().expect("settings");
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.expect("a superuser gets in");
    let answer = async {
        let rows = client.simple_query(sql).await.expect("a proper question");
        drop(client);
        rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    };
    tokio::join!(answer, connection).0.expect("a value")
}

async fn end_one_of(broken: &Broken, name: &str) {
    let text = format!("host=127.0.0.1 port={} user=postgres dbname=app", broken.bench.port);
    let config: tokio_postgres::Config = text.parse().expect("settings");
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.expect("a superuser gets in");
    let ended = async {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where application_name = $1 limit 1";
        let row = client.query_one(sql, &[&name]).await.expect("a superuser gets in");
        assert!(row.get::<_, bool>(0));
        drop(client);
    };
    let _ = tokio::join!(ended, connection);
}

#[tokio::test]
async fn an_injection_that_breaks_off_half_way_is_undone() {
    let broken = Broken::over(Bench::postgres());
    let port = broken.bench.port;
    let config: tokio_postgres::Config =
        format!("host=127.0.0.1 port={port} user=app dbname=app application_name=busy")
            .parse()
            .unwrap();
    let mut busy = Vec::new();
    for _ in 0..6 {
        busy.push(config.connect(tokio_postgres::NoTls).await.unwrap());
    }
    let spec = broken.spec("idle-leak", &[("connections", 15)]).await;
    let reports = broken.live(&spec, async || ()).await;
    let Some(Report::Failed { reason }) = reports.last() else { panic!("{reports:?}") };
    assert!(reason.starts_with("only 11 of 15 connections opened: 53300"), "{reason}");
    assert!(!reason.contains("left over"), "{reason}");
    let idle = postgres(port, "postgres").await.unwrap();
    assert_eq!(idle, [("busy".to_owned(), 6)]);
}

#[tokio::test]
async fn a_paused_server_hangs_and_answers_again() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("container-paused", &[]).await;
    let reports = broken.live(&spec, async || ()).await;
    let symptom = Report::Took { symptom: "no answer within 500 ms".into() };
    assert!(reports.contains(&symptom), "{reports:?}");
    assert_undone(&reports);
    let pong: String = ask(&mut broken.redis().await, "PING").await.unwrap();
    assert_eq!(pong, "PONG");
}

#[tokio::test]
async fn a_killed_server_is_started_again_and_only_once() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("container-killed", &[]).await;
    assert_undone(&broken.live(&spec, async || ()).await);
    let unit = &broken.server.place.as_ref().unwrap().unit;
    let runtime = &broken.server.place.as_ref().unwrap().runtime;
    let life = runtime.inspect(unit).await.unwrap().identity();
    let fault = named("container-killed").unwrap();
    fault.revert(&broken.server, &BTreeMap::new(), &BTreeMap::new()).await.unwrap();
    assert_eq!(runtime.inspect(unit).await.unwrap().identity(), life);
}

#[tokio::test]
async fn what_does_not_take_is_undone_and_said() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("container-paused", &[]).await;
    broken.local.deaf.store(true, Ordering::SeqCst);
    let reports = broken.live(&spec, async || ()).await;
    assert_eq!(reports, [Report::DidNotTake { reason: "it is running".into() }]);
    assert!(live(broken.bench.state_dir()).is_empty());
    let state = revert_now(broken.bench.state_dir(), spec.injection.id).await.unwrap();
    assert_eq!(state, InjectionState::DidNotTake { reason: "it is running".into() });
}

#[tokio::test]
async fn the_journal_is_on_disk_before_the_first_call_and_gone_from_the_live_ones_at_the_end() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("leak-oom", &[]).await;
    let state_dir = broken.bench.state_dir();
    let seen = Mutex::new(None);
    let report = |report: Report| {
        let mut seen = seen.lock().expect("no panic while held");
        if matches!(report, Report::Progress { .. }) && seen.is_none() {
            *seen = Some(live(state_dir));
        }
    };
    // Stopped at once, while it is still filling.
    let stop = until("the journal is read", async || seen.lock().unwrap().is_some());
    let stop = async {
        stop.await;
        "order"
    };
    live_through(&spec, &broken.server, &report, stop).await;
    let journals = seen.into_inner().unwrap().expect("progress was reported");
    assert_eq!(journals.len(), 1);
    assert_eq!(journals[0].injection.id, spec.injection.id);
    assert!(journals[0].saved.contains_key("prefix"));
    assert!(live(state_dir).is_empty());
    let keys: u64 = ask(&mut broken.redis().await, "DBSIZE").await.unwrap();
    assert_eq!(keys, 500, "only the data that stays");
}

#[tokio::test]
async fn reverting_twice_changes_nothing_the_second_time() {
    let redis = Broken::over(Bench::redis());
    let postgres = Broken::over(Bench::postgres());
    for (broken, name) in [
        (&redis, "leak-oom"),
        (&redis, "maxmemory-lowered"),
        (&redis, "big-key"),
        (&redis, "output-buffers"),
        (&redis, "query-buffers"),
        (&redis, "list-backlog"),
        (&redis, "maxclients"),
        (&redis, "flushall"),
        (&postgres, "idle-leak"),
        (&postgres, "exhaust"),
        (&postgres, "idle-in-transaction"),
        (&postgres, "lock-pile"),
        (&postgres, "slow-pile"),
        (&postgres, "role-limit"),
        (&postgres, "xmin-held"),
    ] {
        let (fault, server) = (named(name).unwrap(), &broken.server);
        let params = complete_params(fault, &BTreeMap::new()).unwrap();
        let saved = fault.save(server, &params, 11).await.unwrap();
        let marks = Marks::of(&saved);
        let before = capture(server, &marks).await;
        drop(fault.inject(server, &params, &saved, &|_| ()).await.unwrap());
        fault.revert(server, &params, &saved).await.unwrap();
        fault.revert(server, &params, &saved).await.unwrap();
        until("nothing is left over", async || {
            difference(&before, &capture(server, &marks).await).is_empty()
        })
        .await;
    }
}

/// Waits until something is so, ten seconds at most.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not so within ten seconds: {what}");
}
