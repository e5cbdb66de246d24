//! A handle over the socket, while engines come and go behind it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::client::Client;
use super::live_tests::{empty, view};
use super::remote::{Link, Remote, attach, attach_after};
use super::socket;
use super::testing::router;
use super::tests::{Log, Shelf, soon};
use crate::domain::effect::{Accepted, Command, Ordered, Refused};
use crate::domain::event::{EventBody, Head, Sealed};
use crate::engine::handle::{Handle, Request, Snapshot};
use crate::engine::tasks::Tasks;
use crate::ports::store::Store;
use crate::report::example;

/// A state directory, and the log of the store that its engines use.
struct Place {
    dir: tempfile::TempDir,
    log: Log,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), log: Arc::new(Mutex::new(Vec::new())) }
    }

    /// Something happened that no console was told.
    fn append(&self) -> Arc<Sealed> {
        let mut log = self.log.lock().unwrap();
        let head = log.last().map_or_else(Head::genesis, Sealed::head);
        let body = EventBody::EngineStopped { reason: format!("r{}", head.seq + 1) };
        let sealed = example::event(0, "x", body).seal(&head);
        log.push(sealed.clone());
        Arc::new(sealed)
    }

    fn seq(&self) -> u64 {
        self.log.lock().unwrap().len() as u64
    }

    async fn client(&self) -> Client {
        Client::connect(self.dir.path()).await.unwrap().expect("it is served")
    }
}

/// An engine that notes an event for every command but one to retry.
struct Engine {
    place: Arc<Place>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Arc<Sealed>>,
    tasks: Tasks,
}

impl Engine {
    async fn start(place: &Arc<Place>) -> Self {
        let first = Snapshot { seq: place.seq(), ..empty() };
        let (snapshots, _) = watch::channel(Arc::new(first));
        let (events, _) = broadcast::channel(64);
        let (requests, inbox) = mpsc::channel(4);
        let handle = Handle { snapshots: snapshots.subscribe(), events: events.clone(), requests };
        let mut tasks = Tasks::default();
        let engine = (Arc::clone(place), snapshots.clone(), events.clone());
        tasks.spawn("engine", async move {
            let (place, snapshots, events) = engine;
            answer(inbox, || happen(&place, &snapshots, &events)).await;
        });
        let stop = tasks.stop_token();
        let store: Arc<dyn Store> = Arc::new(Shelf(Some(Arc::clone(&place.log))));
        let socket = socket::bind(place.dir.path()).await.unwrap();
        let router = router(handle, Some(store), stop.clone());
        tasks.spawn_to_end("socket", async move { socket.serve(router, stop).await.unwrap() });
        Self { place: Arc::clone(place), snapshots, events, tasks }
    }

    fn happen(&self) {
        happen(&self.place, &self.snapshots, &self.events);
    }

    async fn stop(self) {
        self.tasks.stop().await;
    }
}

/// An event, then the snapshot that shows it.
fn happen(
    place: &Place,
    snapshots: &watch::Sender<Arc<Snapshot>>,
    events: &broadcast::Sender<Arc<Sealed>>,
) {
    let sealed = place.append();
    let seq = sealed.event.seq;
    let _ = events.send(sealed);
    let mut next = Snapshot::clone(&snapshots.borrow());
    next.seq = seq;
    snapshots.send_replace(Arc::new(next));
}

async fn answer(mut inbox: mpsc::Receiver<Request>, happen: impl Fn()) {
    while let Some(Request { ordered, reply }) = inbox.recv().await {
        let answer = if matches!(ordered.command, Command::Retry { .. }) {
            Err(Refused::because("not now"))
        } else {
            happen();
            Ok(Accepted { message: format!("noted by {}", ordered.actor), ..Accepted::default() })
        };
        let _ = reply.send(answer);
    }
}

fn ordered(command: Command) -> Ordered {
    Ordered { actor: "ops1".into(), command }
}

fn note() -> Ordered {
    ordered(Command::Note { incident: 42, text: "x".into() })
}

async fn seen(remote: &mut Remote, seq: u64) {
    let shows = |snapshot: &Arc<Snapshot>| snapshot.seq >= seq;
    soon(remote.handle.snapshots.wait_for(shows)).await.unwrap();
}

async fn is(remote: &mut Remote, wanted: fn(&Link) -> bool) {
    soon(remote.link.wait_for(wanted)).await.unwrap();
}

async fn lost(remote: &mut Remote) {
    is(remote, |link| matches!(link, Link::Lost { .. })).await;
}

/// The numbers of the events up to `last`, in the order they arrived.
async fn numbers(remote: &mut Remote, last: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        numbers.push(soon(remote.events.recv()).await.unwrap().event.seq);
    }
    numbers
}

#[tokio::test]
async fn engines_that_come_and_go_lose_and_repeat_no_event() {
    let place = Arc::new(Place::new());
    place.append();
    let mut engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let mut remote = attach(place.client().await, &mut tasks).await.unwrap();
    for round in 0..4 {
        for _ in 0..=round {
            engine.happen();
        }
        engine.stop().await;
        lost(&mut remote).await;
        for _ in 0..round {
            place.append();
        }
        engine = Engine::start(&place).await;
        is(&mut remote, |link| *link == Link::Live).await;
        engine.happen();
        let now = place.seq();
        seen(&mut remote, now).await;
    }
    let last = place.seq();
    assert_eq!(numbers(&mut remote, last).await, (2..=last).collect::<Vec<_>>());
    assert_eq!(remote.events.try_recv().unwrap_err(), TryRecvError::Empty);
    tasks.stop().await;
    engine.stop().await;
}

#[tokio::test]
async fn what_an_engine_says_last_arrives_without_another_one() {
    let place = Arc::new(Place::new());
    let engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let mut remote = attach(place.client().await, &mut tasks).await.unwrap();
    engine.happen();
    assert_eq!(numbers(&mut remote, 1).await, [1]);
    engine.happen();
    engine.stop().await;
    assert_eq!(numbers(&mut remote, 2).await, [2]);
    lost(&mut remote).await;
    tasks.stop().await;
}

#[tokio::test]
async fn events_begin_where_they_are_asked_to() {
    let place = Arc::new(Place::new());
    for _ in 0..5 {
        place.append();
    }
    let engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let client = place.client().await;
    let mut remote = attach_after(client, Some(2), &mut tasks).await.unwrap();
    engine.happen();
    assert_eq!(numbers(&mut remote, 6).await, [3, 4, 5, 6]);
    tasks.stop().await;
    engine.stop().await;
}

#[tokio::test]
async fn an_engine_on_another_log_is_followed_from_its_present() {
    let place = Arc::new(Place::new());
    for _ in 0..9 {
        place.append();
    }
    let engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let mut remote = attach(place.client().await, &mut tasks).await.unwrap();
    engine.stop().await;
    lost(&mut remote).await;
    place.log.lock().unwrap().truncate(3);
    let engine = Engine::start(&place).await;
    soon(remote.handle.snapshots.wait_for(|snapshot| snapshot.seq == 3)).await.unwrap();
    // Only now is it clear that the log's end is not just a moment behind.
    let mut after = Vec::new();
    while after.is_empty() {
        engine.happen();
        let next = tokio::time::timeout(Duration::from_millis(500), remote.events.recv()).await;
        after.extend(next.ok().map(|event| event.unwrap().event.seq));
    }
    assert!(after[0] > 3 && after[0] <= 9, "{after:?}");
    tasks.stop().await;
    engine.stop().await;
}

#[tokio::test]
async fn orders_pass_through_and_their_effect_is_seen_with_the_answer() {
    let place = Arc::new(Place::new());
    let engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let mut remote = attach(place.client().await, &mut tasks).await.unwrap();
    for seq in 1..=20 {
        let accepted = soon(remote.handle.order(note())).await.unwrap();
        assert_eq!(accepted.message, "noted by ops1");
        assert_eq!(remote.handle.snapshots.borrow().seq, seq, "the snapshot came first");
        assert_eq!(remote.events.try_recv().unwrap().event.seq, seq, "the event came before it");
    }
    let refused = soon(remote.handle.order(ordered(Command::Retry { incident: 42 }))).await;
    assert_eq!(refused, Err(Refused::because("not now")));

    engine.stop().await;
    let refused = soon(remote.handle.order(note())).await.unwrap_err().reason;
    assert!(refused.contains("not given") && refused.contains("start `simctl run`"), "{refused}");
    lost(&mut remote).await;
    let refused = soon(remote.handle.order(note())).await.unwrap_err().reason;
    assert!(refused.contains("not given") && refused.contains("start `simctl run`"), "{refused}");

    let engine = Engine::start(&place).await;
    is(&mut remote, |link| *link == Link::Live).await;
    assert!(soon(remote.handle.order(note())).await.is_ok(), "the same handle works again");
    tasks.stop().await;
    let refused = soon(remote.handle.order(note())).await.unwrap_err().reason;
    assert!(refused.contains("stopped"), "{refused}");
    engine.stop().await;
}

#[tokio::test]
async fn what_the_engine_measured_arrives() {
    let place = Arc::new(Place::new());
    let engine = Engine::start(&place).await;
    let mut tasks = Tasks::default();
    let mut remote = attach(place.client().await, &mut tasks).await.unwrap();
    let mut next = empty();
    next.seq = place.seq();
    next.targets = vec![view("a", "ok", 90), view("b", "ok", 80)];
    engine.snapshots.send_replace(Arc::new(next.clone()));
    let snapshots = &mut remote.handle.snapshots;
    let first = soon(snapshots.wait_for(|s| s.targets.len() == 2)).await.unwrap().clone();
    next.targets[1] = view("b", "DOWN", 0);
    engine.snapshots.send_replace(Arc::new(next));
    let is_down = |s: &Arc<Snapshot>| s.targets[1].state == "DOWN";
    let second = soon(snapshots.wait_for(is_down)).await.unwrap().clone();
    assert!(Arc::ptr_eq(&first.targets[0], &second.targets[0]), "a is shared");
    tasks.stop().await;
    engine.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_not_read_holds_little_and_then_has_the_newest() {
    let place = Arc::new(Place::new());
    let engine = Engine::start(&place).await;
    let mut slow = UnixStream::connect(socket::path(place.dir.path())).await.unwrap();
    slow.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    slow.readable().await.unwrap();
    const LINES: u64 = 300;
    for seq in 1..=LINES {
        let mut next = empty();
        next.seq = seq;
        next.targets = vec![view(&"x".repeat(100_000), "ok", 1)];
        engine.snapshots.send_replace(Arc::new(next));
        tokio::task::yield_now().await;
    }
    let mut lines = BufReader::new(slow).lines();
    let mut read = 0_u64;
    loop {
        let line = soon(lines.next_line()).await.unwrap().expect("the stream goes on");
        read += u64::from(line.starts_with('{'));
        if line.contains(&format!("\"seq\":{LINES}")) {
            break;
        }
    }
    assert!(read < LINES / 3, "{read} lines were kept for a reader that did not read");
    engine.stop().await;
}
