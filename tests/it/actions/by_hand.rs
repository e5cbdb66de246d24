//! Servers broken by hand, as somebody else's program would: what is seen from outside must name the cause, and what
//! follows from it must mend it. Nothing here knows of injections.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use simctl::agent::playbook::remedies;
use simctl::detect;
use simctl::diagnose::diagnose;
use simctl::diagnose::facts::Facts;
use simctl::domain::diagnosis::{Diagnosis, Grade};
use simctl::domain::effect::Known;
use simctl::domain::finding::{Finding, FindingKind, Verdict};
use simctl::domain::sample::Sample;
use simctl::domain::window::Window;
use simctl::engine::clock;
use simctl::ports::probe::Probe;
use simctl::targets::Server;

use super::harness::{RedisServer, Way};
use super::{action, carry_out, verified};

const LAB: [&str; 4] = ["--maxmemory", "50mb", "--maxmemory-policy", "noeviction"];

/// A server under watch, with what it was like when it was healthy.
struct Watched {
    redis: RedisServer,
    server: Server,
    probe: Arc<dyn Probe>,
    baseline: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

impl Watched {
    async fn over(settings: &[&str]) -> Self {
        let redis = RedisServer::start(settings).await;
        let server = redis.server(Way::Direct);
        let probe = server.probe();
        let baseline = probe.settings().await.expect("it is healthy");
        let mut watched = Self { redis, server, probe, baseline, samples: Vec::new() };
        watched.look().await;
        watched.look().await;
        watched
    }

    async fn look(&mut self) {
        // The kept connection last: whether it is answered decides what a newcomer's trouble is.
        self.samples.push(self.probe.fresh().await);
        self.samples.push(self.probe.held().await);
    }

    fn present(&self) -> Vec<Finding> {
        let mut window = Window::new(self.server.target.clone());
        for sample in &self.samples {
            window.push(sample.clone());
        }
        let judged = detect::ALL.iter().map(|detector| (detector.judge)(&window, clock::now()));
        let found = |verdict| match verdict {
            Verdict::Present(finding) => Some(finding),
            Verdict::Absent | Verdict::Inconclusive(_) => None,
        };
        judged.filter_map(found).collect()
    }

    /// Looks until this symptom shows, then asks why.
    async fn diagnosed(&mut self, kind: FindingKind) -> (Facts, Diagnosis) {
        for _ in 0..100 {
            self.look().await;
            if self.present().iter().any(|finding| finding.kind == kind) {
                let known = Known {
                    baseline: self.baseline.clone(),
                    samples: self.samples.clone(),
                    ..Known::default()
                };
                let facts = self.server.facts(kind, &known, &|_| ()).await;
                let diagnosis = diagnose(&facts);
                return (facts, diagnosis);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{} never showed: {:?}", kind.as_str(), self.samples.last());
    }

    /// The symptom leads to this one confirmed cause; what follows from it is done and holds.
    async fn mended(&mut self, kind: FindingKind, cause: &str, actions: &[&str]) {
        let (facts, diagnosis) = self.diagnosed(kind).await;
        let confirmed: Vec<&str> = diagnosis
            .causes
            .iter()
            .filter(|judged| judged.grade == Grade::Confirmed)
            .map(|judged| judged.cause.as_str())
            .collect();
        assert_eq!(confirmed, [cause], "{diagnosis:#?}");
        let found = remedies(&diagnosis, &facts, &[], &[]);
        let Some(first) = found.candidates.first() else {
            assert_eq!(actions, [""; 0], "{found:?}");
            return;
        };
        let steps: Vec<&str> = first.steps.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(steps, actions);
        for (id, args) in &first.steps {
            let saved = carry_out(action(id.as_str()), &self.server, args).await;
            verified(action(id.as_str()), &self.server, args, &saved).await;
        }
        assert!(self.probe.fresh().await.is_clean(), "a new client reads and writes");
    }

    async fn client(&self) -> MultiplexedConnection {
        self.redis.client("app").await
    }

    /// A client that says something and hears nothing.
    fn deaf(&self, said: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", self.redis.link.port)).expect("in");
        socket.write_all(said).expect("it is taken");
        socket
    }
}

async fn ask<T: redis::FromRedisValue>(con: &mut MultiplexedConnection, line: &str) -> T {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    for word in words {
        command.arg(word);
    }
    command.query_async(con).await.expect("it answers")
}

async fn used(con: &mut MultiplexedConnection) -> u64 {
    let info: String = ask(con, "INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

#[tokio::test]
async fn one_huge_key_among_ordinary_ones_is_removed_alone() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    for n in 0..200 {
        let () = ask(&mut client, &format!("SET profile:{n} value")).await;
    }
    // A hash: many fields in one key, under the prefix of the ordinary ones. Smaller and smaller ones, each over a
    // connection of its own: what a large command needed is given back, and leaves no room for others.
    for size in [20_000, 500, 20] {
        client = watched.client().await;
        let value = "x".repeat(size);
        for n in 0.. {
            let mut set = redis::cmd("HSET");
            set.arg("profile:all").arg(format!("{size}.{n}")).arg(&value);
            if set.query_async::<()>(&mut client).await.is_err() {
                break;
            }
        }
    }
    watched.mended(FindingKind::WritesRefused, "big-key", &["unlink_big_key"]).await;
    let keys: u64 = ask(&mut client, "DBSIZE").await;
    assert_eq!(keys, 201, "the ordinary ones and the heartbeat");
}

#[tokio::test]
async fn clients_that_do_not_read_are_cut_and_no_key_is_touched() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let () = ask(&mut client, "SETRANGE page 2097151 x").await;
    let mut deaf = Vec::new();
    while used(&mut client).await < 54 << 20 {
        deaf.push(watched.deaf(&b"GET page\r\n".repeat(8)));
    }
    watched.mended(FindingKind::WritesRefused, "output-buffers", &["kill_redis_clients"]).await;
    let length: u64 = ask(&mut client, "STRLEN page").await;
    assert_eq!(length, 2 << 20);
}

#[tokio::test]
async fn commands_that_never_arrive_are_cut_off() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let mut begun = b"*3\r\n$3\r\nSET\r\n$4\r\nfile\r\n$6000000\r\n".to_vec();
    begun.resize(5_900_000, b'x');
    let mut deaf = Vec::new();
    while used(&mut client).await < 54 << 20 {
        deaf.push(watched.deaf(&begun));
    }
    watched.mended(FindingKind::WritesRefused, "query-buffers", &["kill_redis_clients"]).await;
    let keys: Vec<String> = ask(&mut client, "KEYS file").await;
    assert_eq!(keys, [""; 0]);
}

#[tokio::test]
async fn a_queue_without_consumers_is_left_to_a_person() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let item = "x".repeat(1_000);
    let mut push = redis::cmd("RPUSH");
    push.arg("jobs");
    for _ in 0..20 {
        push.arg(&item);
    }
    for n in 0.. {
        if n % 200 == 0 {
            watched.look().await;
        }
        if push.query_async::<u64>(&mut client).await.is_err() {
            break;
        }
    }
    // A batch is refused for its own size; the memory is full when a single item is.
    let mut single = redis::cmd("RPUSH");
    single.arg("jobs").arg("x".repeat(100));
    while single.query_async::<u64>(&mut client).await.is_ok() {}
    watched.mended(FindingKind::WritesRefused, "list-backlog", &[]).await;
    let length: u64 = ask(&mut client, "LLEN jobs").await;
    assert!(length > 40_000, "nothing was taken from it: {length}");
}

#[tokio::test]
async fn a_client_limit_that_came_down_is_put_back_over_the_kept_connection() {
    let mut watched = Watched::over(&LAB).await;
    let mut insider = watched.client().await;
    let () = ask(&mut insider, "CONFIG SET maxclients 4").await;
    let crowd: Vec<TcpStream> = (0..4).map(|_| watched.deaf(b"PING\r\n")).collect();
    watched.mended(FindingKind::ClientsRefused, "maxclients", &["reset_redis_setting"]).await;
    let limit: Vec<String> = ask(&mut insider, "CONFIG GET maxclients").await;
    assert_eq!(limit[1], watched.baseline["maxclients"]);
    let list: String = ask(&mut insider, "CLIENT LIST").await;
    assert!(list.lines().count() > crowd.len().min(2), "nobody was cut: {list}");
}

#[tokio::test]
async fn clients_that_only_stay_are_cut_under_a_limit_that_never_changed() {
    let mut watched = Watched::over(&[&LAB[..], &["--maxclients", "16"]].concat()).await;
    let mut insider = watched.client().await;
    let mut crowd = Vec::new();
    for _ in 0..16 {
        crowd.push(watched.deaf(b"PING\r\n"));
    }
    // They count as idle only after a while.
    for _ in 0..400 {
        let list: String = ask(&mut insider, "CLIENT LIST").await;
        if list.lines().filter(|line| line.contains(" idle=6 ")).count() > 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    watched.mended(FindingKind::ClientsRefused, "idle-clients", &["kill_redis_clients"]).await;
    let limit: Vec<String> = ask(&mut insider, "CONFIG GET maxclients").await;
    assert_eq!(limit[1], "16");
}

#[tokio::test]
async fn a_flush_is_told_from_keys_that_go_otherwise() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let fill = async |client: &mut MultiplexedConnection| {
        for n in 0..500 {
            let () = ask(client, &format!("SET basket:{n} value PX 600000")).await;
        }
    };
    fill(&mut client).await;
    watched.look().await;
    for n in 0..500 {
        let () = ask(&mut client, &format!("PEXPIRE basket:{n} 1")).await;
    }
    // Every read of an expired key removes it.
    while !ask::<Vec<String>>(&mut client, "KEYS basket:*").await.is_empty() {}
    fill(&mut client).await;
    watched.look().await;
    let all: Vec<String> = (0..500).map(|n| format!("basket:{n}")).collect();
    let () = ask(&mut client, &format!("UNLINK {}", all.join(" "))).await;
    watched.look().await;
    watched.look().await;
    assert_eq!(watched.present(), [], "expired and unlinked keys are ordinary life");

    fill(&mut client).await;
    watched.look().await;
    let () = ask(&mut client, "FLUSHDB").await;
    watched.mended(FindingKind::DataVanished, "flushall", &[]).await;
    fill(&mut client).await;
    watched.look().await;
    watched.look().await;
    assert_eq!(watched.present(), [], "they are back");
}

#[tokio::test]
async fn writes_held_back_by_a_pause_go_on_and_none_is_lost() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let () = ask(&mut client, "CLIENT PAUSE 60000 WRITE").await;
    let mut waits = watched.deaf(b"SET order paid\r\n");
    watched.mended(FindingKind::WritesRefused, "client-pause", &["unpause_redis_clients"]).await;
    let mut answer = [0; 5];
    waits.read_exact(&mut answer).expect("it is answered now");
    assert_eq!(&answer, b"+OK\r\n");
    assert_eq!(ask::<String>(&mut client, "GET order").await, "paid");
}

#[tokio::test]
async fn a_server_that_moved_to_another_port_is_called_back_over_the_kept_connection() {
    let mut watched = Watched::over(&LAB).await;
    let mut insider = watched.client().await;
    let home = watched.baseline["port"].clone();
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = elsewhere.local_addr().expect("bound").port();
    drop(elsewhere);
    let () = ask(&mut insider, &format!("CONFIG SET port {port}")).await;
    watched.mended(FindingKind::ProbeFailing, "bind", &["reset_redis_setting"]).await;
    let now: Vec<String> = ask(&mut insider, "CONFIG GET port").await;
    assert_eq!(now[1], home);
}

/// A program that runs beside the test, until it is dropped.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_client_that_keeps_everybody_waiting_is_named_and_left_to_a_person() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    let item = |n: u64| format!("ticket-{}", n * 7_919 % 1_000_003);
    for batch in 0..120 {
        let mut push = redis::cmd("RPUSH");
        push.arg("tickets");
        for n in 0..2_000 {
            push.arg(item(batch * 2_000 + n));
        }
        let () = push.query_async(&mut client).await.expect("there is room");
    }
    let port = watched.redis.link.port.to_string();
    let sort = ["-p", &port, "-r", "100000", "SORT", "tickets", "ALPHA", "LIMIT", "0", "1"];
    let mut sorter = std::process::Command::new("redis-cli");
    let sorter = sorter.args(sort).stdout(Stdio::null()).spawn().expect("redis-cli runs");
    let _sorter = Beside(sorter);
    let (facts, diagnosis) = watched.diagnosed(FindingKind::Slow).await;
    let leading: Vec<_> = diagnosis.causes.iter().map(|j| (j.cause.as_str(), j.grade)).collect();
    // What it runs in is not known here, so a CPU limit cannot be ruled out.
    assert_eq!(leading, [("blocking-command", Grade::Likely)], "{diagnosis:#?}");
    assert!(diagnosis.causes[0].because.contains("sort tickets"), "{diagnosis:#?}");
    assert_eq!(remedies(&diagnosis, &facts, &[], &[]).candidates, []);
}

/// Reads here and there and fills in what is missing.
async fn use_cache(client: &mut MultiplexedConnection, round: u64) {
    for n in 0..150 {
        let key = format!("page:{}", (round * 150 + n) * 7_919 % 4_000);
        let found: Option<String> =
            redis::cmd("GET").arg(&key).query_async(client).await.expect("it answers");
        if found.is_none() {
            let page = "x".repeat(2_000);
            let () =
                redis::cmd("SET").arg(&key).arg(page).query_async(client).await.expect("it fits");
        }
    }
}

#[tokio::test]
async fn a_cache_that_lost_its_room_gets_it_back_and_a_full_one_is_let_be() {
    let mut watched = Watched::over(&LAB).await;
    let mut client = watched.client().await;
    for round in 0..60 {
        use_cache(&mut client, round).await;
        watched.look().await;
    }
    assert_eq!(watched.present(), [], "a cache at work");
    let () = ask(&mut client, "CONFIG SET maxmemory-policy allkeys-lru").await;
    let () = ask(&mut client, "CONFIG SET maxmemory 4mb").await;
    for round in 60..400 {
        use_cache(&mut client, round).await;
        watched.look().await;
        if !watched.present().is_empty() {
            break;
        }
    }
    let both = ["reset_redis_setting", "reset_redis_setting"];
    watched.mended(FindingKind::CacheMisses, "eviction", &both).await;
    let now: Vec<String> = ask(&mut client, "CONFIG GET maxmemory-policy").await;
    assert_eq!(now[1], "noeviction");
}

#[tokio::test]
async fn seconds_of_loading_are_a_start_and_no_incident() {
    let slowly = [
        &LAB[..],
        &["--rdbcompression", "no", "--loading-process-events-interval-bytes", "32768"],
        &["--key-load-delay", "100"],
    ];
    let mut watched = Watched::over(&slowly.concat()).await;
    let mut client = watched.client().await;
    let fill = "for i = 1, 50000 do redis.call('SET', 'k' .. i, string.rep('x', 100)) end";
    let () = redis::cmd("EVAL").arg(fill).arg(0).query_async(&mut client).await.expect("filled");
    let () = ask(&mut client, "SAVE").await;
    let place = watched.redis.server(Way::Inside).place.expect("it is in a place");
    place.runtime.restart(&place.unit, std::time::Duration::ZERO).await.expect("it restarts");
    while TcpStream::connect(("127.0.0.1", watched.redis.link.port)).is_err() {}

    watched.samples.clear();
    let mut told = std::collections::BTreeSet::new();
    loop {
        watched.look().await;
        assert_eq!(watched.present(), [], "{:?}", watched.samples);
        let newest = &watched.samples[watched.samples.len() - 2..];
        if newest.iter().all(Sample::is_clean) {
            break;
        }
        let words = newest.iter().map(|sample| sample.read.describe());
        told.extend(words.filter(|words| words.contains("% loaded")));
    }
    let loading = watched.samples.iter().filter(|sample| sample.is_starting());
    let times: Vec<_> = loading.map(|sample| sample.at).collect();
    let (first, last) = (times.first().expect("it loaded"), times.last().expect("it loaded"));
    assert!((*last - *first).num_seconds() >= 4, "long enough to be taken for a trouble");
    assert!(told.len() > 2, "it says how far it is: {told:?}");
    let keys: u64 = ask(&mut watched.client().await, "DBSIZE").await;
    assert!(keys >= 50_000);
}
