//! From a broken server to its finding: real probes at their real periods, windows, detectors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use simctl::detect;
use simctl::domain::finding::{Finding, FindingKind, Verdict};
use simctl::domain::sample::Origin;
use simctl::domain::target::Engine;
use simctl::domain::window::Window;
use simctl::engine::clock;
use simctl::ports::probe::Probe;
use simctl::targets::postgres::{PgConnection, PostgresLink, Session};
use simctl::targets::{Link, Server};
use tokio::sync::watch;
use tokio::time::Instant;

use super::facts::server;
use super::servers::{Postgres, Redis};

/// Watches as the engine does: each connection at its period, again soon after a bad answer, at once when the
/// kept connection closes.
struct Watch {
    server: Server,
    probe: Arc<dyn Probe>,
    window: Mutex<Window>,
    news: watch::Sender<()>,
}

impl Watch {
    fn new(server: Server) -> Self {
        let window = Mutex::new(Window::new(server.target.clone()));
        Self { probe: server.probe(), server, window, news: watch::Sender::new(()) }
    }

    /// Tells the story while both connections are being watched, without a pause between its chapters.
    async fn during<T>(&self, story: impl Future<Output = T>) -> T {
        let periods = &self.server.periods;
        tokio::select! {
            told = story => told,
            () = self.poll(Origin::Held, periods.held) => unreachable!("a poller never ends"),
            () = self.poll(Origin::Fresh, periods.fresh) => unreachable!("a poller never ends"),
        }
    }

    async fn poll(&self, origin: Origin, period: Duration) {
        loop {
            let sample = match origin {
                Origin::Held => self.probe.held().await,
                Origin::Fresh => self.probe.fresh().await,
            };
            let bad = sample.first_bad().is_some();
            self.window.lock().unwrap().push(sample);
            self.news.send_replace(());
            let pause = tokio::time::sleep(if bad { self.server.periods.confirm } else { period });
            if origin == Origin::Held {
                tokio::select! { () = self.probe.closed() => {} () = pause => {} }
            } else {
                pause.await;
            }
        }
    }

    /// Waits for something to be seen in the window, with a bound.
    async fn until<T>(&self, seen: impl Fn(&Window) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        let look = async {
            loop {
                if let Some(seen) = seen(&self.window.lock().unwrap()) {
                    return seen;
                }
                news.changed().await.unwrap();
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), look).await;
        seen.unwrap_or_else(|_| panic!("not within 20 s: {:?}", self.window.lock().unwrap()))
    }

    /// Until every detector that was at all certain says that nothing is wrong.
    async fn settle(&self) {
        self.until(|window| {
            let verdict = |kind| {
                let detector = detect::ALL.iter().find(|d| d.kind == kind).unwrap();
                (detector.judge)(window, clock::now())
            };
            let sure = [FindingKind::ServerDown, FindingKind::ClientsRefused];
            let sure = sure.into_iter().all(|kind| verdict(kind) == Verdict::Absent);
            (sure && findings(window).is_empty()).then_some(())
        })
        .await;
    }

    /// The first finding, and how long after the end of `happen` it came.
    async fn first_finding(&self, happen: impl Future<Output = ()>) -> (Finding, Duration) {
        happen.await;
        let began = Instant::now();
        let finding = self.until(|window| findings(window).into_iter().next()).await;
        (finding, began.elapsed())
    }
}

fn findings(window: &Window) -> Vec<Finding> {
    let verdicts = detect::ALL.iter().map(|detector| (detector.judge)(window, clock::now()));
    verdicts
        .filter_map(|verdict| match verdict {
            Verdict::Present(finding) => Some(finding),
            Verdict::Absent | Verdict::Inconclusive(_) => None,
        })
        .collect()
}

/// The bounds are wide: a loaded machine is slow. What counts is that it comes, and that it is the right one.
#[track_caller]
fn assert_found((finding, took): &(Finding, Duration), kind: FindingKind, within_s: u64) {
    eprintln!("{kind:?} after {took:?}: {}", finding.sentence);
    assert_eq!(finding.kind, kind, "{finding:?}");
    assert!(*took < Duration::from_secs(within_s), "{took:?}");
}

#[tokio::test]
async fn redis_full_then_killed() {
    let redis = Redis::start(&["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]);
    let watch = Watch::new(server(Engine::Redis, Link::Redis(redis.link.clone())));
    let story = async {
        watch.settle().await;
        let full = watch.first_finding(async { super::redis::fill(&redis) }).await;
        assert_found(&full, FindingKind::WritesRefused, 5);
        assert!(full.0.sentence.contains("OOM command not allowed"), "{:?}", full.0);
        assert!(full.0.sentence.contains("of 18.0 MB"), "{:?}", full.0);
        redis.inline("FLUSHALL");
        watch.settle().await;
        let down = watch.first_finding(async { redis.process.signal(Signal::KILL) }).await;
        assert_found(&down, FindingKind::ServerDown, 2);
    };
    watch.during(story).await;
}

#[tokio::test]
async fn redis_frozen_and_thawed() {
    let redis = Redis::start(&[]);
    let watch = Watch::new(server(Engine::Redis, Link::Redis(redis.link.clone())));
    let story = async {
        watch.settle().await;
        let hung = watch.first_finding(async { redis.process.signal(Signal::STOP) }).await;
        assert_found(&hung, FindingKind::ServerHung, 4);
        redis.process.signal(Signal::CONT);
        watch.settle().await;
    };
    watch.during(story).await;
}

async fn open(link: &PostgresLink, most: usize) -> Vec<PgConnection> {
    let mut sessions = Vec::new();
    while sessions.len() < most {
        let Ok(one) = link.connect(&link.app, "test", Session::App).await else { break };
        one.batch_execute("SET application_name = 'shop'").await.unwrap();
        sessions.push(one);
    }
    sessions
}

#[tokio::test]
async fn postgres_leaking_then_exhausted_then_killed() {
    let postgres = Postgres::start();
    let link = &postgres.link;
    let watch = Watch::new(server(Engine::Postgres, Link::Postgres(link.clone())));
    let story = async {
        let _pool = open(link, 10).await;
        watch.settle().await;
        let mut more = Vec::new();
        let leak = watch.first_finding(async { more = open(link, 2).await }).await;
        assert_found(&leak, FindingKind::ConnectionPressure, 4);
        more.clear();
        watch.settle().await;

        more = open(link, 10).await;
        assert!(more.len() < 10, "the server let everybody in");
        let began = Instant::now();
        let refused = |window: &Window| {
            findings(window).into_iter().find(|found| found.kind == FindingKind::ClientsRefused)
        };
        let refused = (watch.until(refused).await, began.elapsed());
        assert_found(&refused, FindingKind::ClientsRefused, 5);
        assert!(refused.0.sentence.contains("16 of 16 slots"), "{:?}", refused.0);
        more.clear();
        watch.settle().await;

        let down = watch.first_finding(async { postgres.process.signal(Signal::QUIT) }).await;
        assert_found(&down, FindingKind::ServerDown, 4);
    };
    watch.during(story).await;
}
