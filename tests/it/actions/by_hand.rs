//! Servers broken by hand, as somebody else's program would: what is seen from outside must name the cause, and what
//! follows from it must mend it. Nothing here knows of injections.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
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
        self.samples.push(self.probe.held().await);
        self.samples.push(self.probe.fresh().await);
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
    // A hash: many fields in one key, under the prefix of the ordinary ones.
    let value = "x".repeat(20_000);
    for n in 0.. {
        let mut set = redis::cmd("HSET");
        set.arg("profile:all").arg(n).arg(&value);
        if set.query_async::<()>(&mut client).await.is_err() {
            break;
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
