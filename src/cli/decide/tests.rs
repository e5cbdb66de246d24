//! Decisions over a real control socket, to an engine that only remembers what it was told.

use std::sync::Mutex;

use tokio::sync::{broadcast, mpsc, watch};

use super::*;
use crate::api::socket;
use crate::api::testing::router;
use crate::cli::BadInput;
use crate::cli::print::Print;
use crate::config::load::Flags;
use crate::domain::effect::{Accepted, Ordered};
use crate::engine::handle::{Handle, Request, Snapshot, StoreView};
use crate::engine::tasks::Tasks;
use crate::report::example;

type Told = Arc<Mutex<Vec<Ordered>>>;

pub(in crate::cli) struct Bench {
    pub(in crate::cli) context: Context,
    told: Told,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(in crate::cli) async fn with(incident: Incident) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.toml");
        std::fs::write(&empty, "").unwrap();
        let flags = Flags {
            config: Some(empty),
            state_dir: Some(dir.path().to_owned()),
            operator: Some("ops1".into()),
            ..Flags::default()
        };
        let context = Context::load(&flags, Print { json: false }).unwrap();
        let (events, _) = broadcast::channel(1);
        let (requests, mut inbox) = mpsc::channel::<Request>(1);
        let snapshot = Snapshot {
            at: example::at(0),
            seq: 1,
            targets: Vec::new(),
            incidents: vec![Arc::new(incident)],
            injections: Vec::new(),
            store: StoreView::default(),
        };
        let snapshots = watch::channel(Arc::new(snapshot)).1;
        let mut tasks = Tasks::default();
        let told = Told::default();
        let ears = Arc::clone(&told);
        tasks.spawn("engine", async move {
            while let Some(request) = inbox.recv().await {
                ears.lock().unwrap().push(request.ordered);
                let _ = request.reply.send(Ok(Accepted::default()));
            }
        });
        let stop = tasks.stop_token();
        let socket = socket::bind(dir.path()).await.unwrap();
        let router = router(Handle { snapshots, events, requests }, None, stop.clone());
        tasks.spawn_to_end("socket", async move { socket.serve(router, stop).await.unwrap() });
        Self { context, told, tasks, _dir: dir }
    }

    pub(in crate::cli) async fn end(self) -> Vec<Command> {
        self.tasks.stop().await;
        let told = self.told.lock().unwrap();
        assert!(told.iter().all(|ordered| ordered.actor == "ops1"));
        told.iter().map(|ordered| ordered.command.clone()).collect()
    }
}

fn args(incident: u64, fingerprint: Option<&str>, typed: Option<&str>) -> Approve {
    let own = |text: Option<&str>| text.map(str::to_owned);
    Approve { incident, fingerprint: own(fingerprint), typed: own(typed) }
}

#[tokio::test]
async fn what_was_seen_and_typed_reaches_the_engine() {
    let bench = Bench::with(example::waiting().0).await;
    approve(&bench.context, &args(42, Some("7f3a9c"), Some("redis-test"))).await.unwrap();
    let reason = "not now".to_owned();
    let rejected = Reject { incident: 42, reason: reason.clone(), fingerprint: None };
    reject(&bench.context, &rejected).await.unwrap();
    retry(&bench.context, &Retry { incident: 42 }).await.unwrap();
    let approved = Command::Approve {
        incident: 42,
        fingerprint: "7f3a9c".into(),
        typed: Some("redis-test".into()),
        seen: None,
    };
    let rejected = Command::Reject { incident: 42, fingerprint: None, reason };
    assert_eq!(bench.end().await, [approved, rejected, Command::Retry { incident: 42 }]);
}

#[tokio::test]
async fn nothing_is_approved_by_accident() {
    let bench = Bench::with(example::waiting().0).await;
    for (args, words) in [
        // Tests have no terminal on standard input and output.
        (args(42, None, None), "`--fingerprint 7f3a9c --type redis-test`"),
        (args(42, None, Some("redis-test")), "there is no terminal"),
        (args(42, Some("7f3a9c"), None), "`--type redis-test` too"),
        (args(43, Some("7f3a9c"), Some("redis-test")), "no incident INC-0043; open: INC-0042"),
    ] {
        let error = approve(&bench.context, &args).await.unwrap_err();
        assert!(error.is::<BadInput>() && error.to_string().contains(words), "{error}");
    }
    let silent = Reject { incident: 42, reason: " ".into(), fingerprint: None };
    assert!(reject(&bench.context, &silent).await.unwrap_err().is::<BadInput>());
    assert_eq!(bench.end().await, []);
}

#[tokio::test]
async fn without_a_proposal_there_is_nothing_to_approve() {
    let bench = Bench::with(example::incident()).await;
    let seen = args(42, Some("7f3a9c"), Some("redis-test"));
    let error = approve(&bench.context, &seen).await.unwrap_err();
    assert!(!error.is::<BadInput>());
    let sentence = "nothing is proposed for INC-0042 right now; it is resolved";
    assert_eq!(error.to_string(), sentence);
    assert_eq!(bench.end().await, []);
}
