//! The router and the client over a real unix socket; the engine behind it is a loop of three lines.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, watch};

use super::client::{Client, ClientError};
use super::testing::router;
use super::{events, socket};
use crate::domain::effect::{Accepted, Command, Ordered, Refused};
use crate::domain::event::{EventBody, Head, RawEvent, Sealed};
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::domain::ledger::Ledger;
use crate::engine::handle::{Handle, Request, Snapshot, StoreView};
use crate::engine::tasks::Tasks;
use crate::ports::store::{
    ActionLine, Batch, HistoryPoint, IncidentFilter, IncidentLine, IncidentTimes, Lease,
    SimilarIncident, Store, StoreError,
};
use crate::report::example;

struct Bench {
    dir: tempfile::TempDir,
    events: broadcast::Sender<Arc<Sealed>>,
    tasks: Tasks,
}

impl Bench {
    /// Serves an engine that accepts notes and refuses all else, with `stored` events behind it.
    async fn start(stored: Vec<Sealed>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (events, _) = broadcast::channel(4);
        let (requests, mut inbox) = mpsc::channel::<Request>(1);
        let snapshot = Snapshot {
            at: example::at(0),
            seq: 7,
            targets: Vec::new(),
            incidents: vec![Arc::new(example::incident())],
            injections: Vec::new(),
            store: StoreView::default(),
        };
        let (_, snapshots) = watch::channel(Arc::new(snapshot));
        let handle = Handle { snapshots, events: events.clone(), requests };
        let mut tasks = Tasks::default();
        tasks.spawn("engine", async move {
            while let Some(request) = inbox.recv().await {
                let answer = match request.ordered.command {
                    Command::Note { incident, .. } => Ok(Accepted {
                        message: format!("noted by {}", request.ordered.actor),
                        incident: Some(incident),
                        injection: None,
                    }),
                    _ => Err(Refused::because("only notes here")),
                };
                let _ = request.reply.send(answer);
            }
        });
        let stop = tasks.stop_token();
        let store: Arc<dyn Store> = Arc::new(Shelf(Some(Arc::new(Mutex::new(stored)))));
        let socket = socket::bind(dir.path()).await.unwrap();
        let router = router(handle, Some(store), stop.clone());
        tasks.spawn_to_end("socket", async move { socket.serve(router, stop).await.unwrap() });
        Self { dir, events, tasks }
    }

    async fn client(&self) -> Client {
        Client::connect(self.dir.path()).await.unwrap().expect("it is served")
    }
}

pub(super) fn log(len: usize) -> Vec<Sealed> {
    let mut head = Head::genesis();
    (0..len)
        .map(|n| {
            let body = EventBody::EngineStopped { reason: format!("r{n}") };
            let sealed = example::event(0, "x", body).seal(&head);
            head = sealed.head();
            sealed
        })
        .collect()
}

pub(super) async fn soon<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("within ten seconds")
}

#[tokio::test]
async fn commands_reach_the_engine_and_its_answer_comes_back() {
    let bench = Bench::start(Vec::new()).await;
    let client = bench.client().await;
    let ordered = |command| Ordered { actor: "ops1".into(), command };
    let note = Command::Note { incident: 42, text: "x".into() };
    let accepted = client.order(&ordered(note)).await.unwrap();
    assert_eq!((accepted.message.as_str(), accepted.incident), ("noted by ops1", Some(42)));
    let refused = client.order(&ordered(Command::Retry { incident: 42 })).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused(r) if r.reason == "only notes here"),
        "{refused:?}"
    );
    assert_eq!(format!("{:#}", anyhow::Error::from(refused)), "only notes here");
    let snapshot = client.snapshot().await.unwrap();
    assert_eq!((snapshot.seq, snapshot.incidents[0].number), (7, 42));
    bench.tasks.stop().await;
}

#[tokio::test]
async fn what_is_no_command_is_a_problem_with_a_reason() {
    let bench = Bench::start(Vec::new()).await;
    for (request, status) in [
        ("POST /api/v1/commands", "422"),
        ("DELETE /api/v1/commands", "405"),
        ("GET /api/v1/events?after=x", "400"),
        ("GET /api/v1/nothing", "404"),
    ] {
        let body = "{\"actor\": 1}";
        let length = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let mut stream = UnixStream::connect(socket::path(bench.dir.path())).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains("\"detail\":\""), "{answer}");
    }
    bench.tasks.stop().await;
}

#[tokio::test]
async fn stored_events_come_first_then_live_ones_without_a_gap_or_a_repeat() {
    let log = log(1_203);
    let bench = Bench::start(log[..1_200].to_vec()).await;
    let stream = bench.client().await.events(Some(2)).await.unwrap();
    // The last stored ones are sent live too, as when they became durable while the store was read.
    for sealed in &log[1_199..] {
        bench.events.send(Arc::new(sealed.clone())).unwrap();
    }
    let got: Vec<_> = soon(stream.take(1_201).collect::<Vec<_>>()).await;
    let got: Vec<u64> = got.into_iter().map(|sealed| sealed.unwrap().event.seq).collect();
    assert_eq!(got, (3..=1_203).collect::<Vec<_>>());
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_reader_that_missed_events_is_told_and_cut_off() {
    let log = log(9);
    let bench = Bench::start(log[..2].to_vec()).await;
    let mut stream = Box::pin(bench.client().await.events(Some(0)).await.unwrap());
    for _ in 0..2 {
        soon(stream.next()).await.unwrap().unwrap();
    }
    bench.events.send(Arc::new(log[5].clone())).unwrap();
    let cut = soon(stream.next()).await.unwrap().unwrap_err();
    assert!(matches!(cut, ClientError::CutOff { missed: Some(3), .. }), "{cut:?}");
    assert!(soon(stream.next()).await.is_none());
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_how_much_it_missed() {
    let log = log(9);
    let bench = Bench::start(Vec::new()).await;
    let (events, _keep) = broadcast::channel(4);
    let (requests, _inbox) = mpsc::channel(1);
    let snapshots = watch::channel(Arc::new(bench.client().await.snapshot().await.unwrap())).1;
    let handle = Handle { snapshots, events: events.clone(), requests };
    let mut lines = Box::pin(events::follow(&handle, None, None));
    for sealed in log {
        events.send(Arc::new(sealed)).unwrap();
    }
    let Some(events::Line::CutOff(cut)) = soon(lines.next()).await else { panic!("not cut off") };
    assert_eq!(cut.missed, Some(5));
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_reader_that_has_everything_needs_no_store() {
    let bench = Bench::start(Vec::new()).await;
    let snapshot = bench.client().await.snapshot().await.unwrap();
    let newest = snapshot.seq;
    let (events, _keep) = broadcast::channel(4);
    let (requests, _inbox) = mpsc::channel(1);
    let snapshots = watch::channel(Arc::new(snapshot)).1;
    let handle = Handle { snapshots, events: events.clone(), requests };
    let away = || Some(Arc::new(Shelf(None)) as Arc<dyn Store>);
    let mut all = Box::pin(events::follow(&handle, away(), Some(newest)));
    let mut behind = Box::pin(events::follow(&handle, away(), Some(newest - 1)));
    let next = log(8).pop().unwrap();
    events.send(Arc::new(next.clone())).unwrap();
    let Some(events::Line::Event(got)) = soon(all.next()).await else { panic!("cut off") };
    assert_eq!((newest + 1, &*got), (8, &next));
    assert!(matches!(soon(behind.next()).await, Some(events::Line::CutOff(_))), "7 is missing");
    bench.tasks.stop().await;
}

#[tokio::test]
async fn an_event_that_is_not_yet_shown_is_not_missed() {
    let log = log(9);
    let bench = Bench::start(log[..8].to_vec()).await;
    // Event 8 is stored and was sent before this reader came; the snapshot still ends with 7.
    let stream = bench.client().await.events(Some(7)).await.unwrap();
    bench.events.send(Arc::new(log[8].clone())).unwrap();
    let got: Vec<_> = soon(stream.take(2).collect::<Vec<_>>()).await;
    let got: Vec<u64> = got.into_iter().map(|sealed| sealed.unwrap().event.seq).collect();
    assert_eq!(got, [8, 9]);
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_open_streams_and_removes_the_socket() {
    let bench = Bench::start(Vec::new()).await;
    let stream = bench.client().await.events(None).await.unwrap();
    soon(bench.tasks.stop()).await;
    assert!(soon(stream.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
    assert!(!socket::path(bench.dir.path()).exists());
    assert!(Client::connect(bench.dir.path()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_reader_that_stopped_reading_does_not_keep_the_engine() {
    let bench = Bench::start(log(20_000)).await;
    let mut stuck = UnixStream::connect(socket::path(bench.dir.path())).await.unwrap();
    stuck.write_all(b"GET /api/v1/events?after=0 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stuck.readable().await.unwrap();
    soon(bench.tasks.stop()).await;
    drop(stuck);
}

#[tokio::test]
async fn the_socket_is_private_and_bound_once() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::start(Vec::new()).await;
    let path = socket::path(bench.dir.path());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let twice = socket::bind(bench.dir.path()).await.unwrap_err();
    assert!(matches!(twice, socket::SocketError::Answered { .. }), "{twice:?}");
    bench.client().await.snapshot().await.unwrap();
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_socket_file_nobody_answers_on_is_replaced_and_a_long_path_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(socket::path(dir.path())).unwrap());
    assert!(socket::path(dir.path()).exists());
    assert!(Client::connect(dir.path()).await.unwrap().is_none());
    drop(socket::bind(dir.path()).await.unwrap());
    let long = Path::new("/tmp").join("x".repeat(100));
    let error = socket::bind(&long).await.unwrap_err();
    assert!(error.to_string().contains("choose a shorter --state-dir"), "{error}");
}

/// A log that engines share, one after the other.
pub(super) type Log = Arc<Mutex<Vec<Sealed>>>;

/// A store of nothing but events; one that is away has not even those.
pub(super) struct Shelf(pub(super) Option<Log>);

fn none<T>() -> Result<T, StoreError> {
    Err(StoreError::Failed { verb: "do this", source: anyhow::anyhow!("only events here") })
}

#[async_trait]
impl Store for Shelf {
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<RawEvent>, StoreError> {
        let Some(log) = &self.0 else { return none() };
        let log = log.lock().unwrap();
        let later = log.iter().filter(|sealed| sealed.event.seq > after);
        Ok(later.take(limit as usize).map(Sealed::raw).collect())
    }
    fn url(&self) -> &str {
        "shelf:"
    }
    async fn take_lease(
        &self,
        _: &str,
        _: DateTime<Utc>,
        _: Duration,
    ) -> Result<Lease, StoreError> {
        none()
    }
    async fn renew_lease(
        &self,
        _: &Lease,
        _: DateTime<Utc>,
        _: Duration,
    ) -> Result<Lease, StoreError> {
        none()
    }
    async fn release_lease(&self, _: &Lease) -> Result<(), StoreError> {
        none()
    }
    async fn lease(&self, _: DateTime<Utc>) -> Result<Option<Lease>, StoreError> {
        none()
    }
    async fn append(&self, _: &Batch, _: &Lease) -> Result<Head, StoreError> {
        none()
    }
    async fn head(&self) -> Result<Head, StoreError> {
        none()
    }
    async fn load(&self) -> Result<Ledger, StoreError> {
        none()
    }
    async fn incident_events(&self, _: IncidentId) -> Result<Vec<RawEvent>, StoreError> {
        none()
    }
    async fn remembered_head(&self) -> Result<Option<Head>, StoreError> {
        none()
    }
    async fn incidents(&self, _: &IncidentFilter) -> Result<Vec<IncidentLine>, StoreError> {
        none()
    }
    async fn incident(&self, _: u64) -> Result<Option<Incident>, StoreError> {
        none()
    }
    async fn incident_of(&self, _: ExecutionId) -> Result<Option<u64>, StoreError> {
        none()
    }
    async fn injections(&self, _: u32) -> Result<Vec<Injection>, StoreError> {
        none()
    }
    async fn history(&self, _: Option<u64>, _: u32) -> Result<Vec<ActionLine>, StoreError> {
        none()
    }
    async fn times(&self, _: Option<DateTime<Utc>>) -> Result<Vec<IncidentTimes>, StoreError> {
        none()
    }
    async fn past(
        &self,
        _: Option<&str>,
        _: DateTime<Utc>,
        _: u32,
    ) -> Result<Vec<HistoryPoint>, StoreError> {
        none()
    }
    async fn similar(&self, _: &Incident, _: u32) -> Result<Vec<SimilarIncident>, StoreError> {
        none()
    }
    async fn record_history(&self, _: &[HistoryPoint], _: DateTime<Utc>) -> Result<(), StoreError> {
        none()
    }
    async fn events_before(&self, _: Option<u64>, _: u32) -> Result<Vec<RawEvent>, StoreError> {
        none()
    }
}
