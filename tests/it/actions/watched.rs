//! A whole engine that watches a Redis of one test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use simctl::agent::model::Advisor;
use simctl::config::secret::Secret;
use simctl::domain::effect::{Accepted, Command, Ordered, Refused};
use simctl::domain::event::RawEvent;
use simctl::domain::execution::ExecutionState;
use simctl::domain::incident::{Incident, RemediationMode};
use simctl::domain::ledger::Limits;
use simctl::domain::policy::Policy;
use simctl::engine::{Parts, Running, start_with};
use simctl::ports::store::Store;
use simctl::targets::Server;

use super::harness::{RedisServer, Way};

pub(super) const MB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Watched<S> {
    pub(super) engine: Running,
    pub(super) server: S,
    pub(super) store: Arc<dyn Store>,
    _dir: tempfile::TempDir,
}

impl Watched<RedisServer> {
    pub(super) async fn start() -> Self {
        Self::advised(None, &[]).await
    }

    /// With a model in the playbook's place, and settings of the server's own.
    pub(super) async fn advised(advisor: Option<Advisor>, settings: &[&str]) -> Self {
        let settings = [&["--maxmemory", "50mb"], settings].concat();
        let redis = RedisServer::start(&settings).await;
        let view = redis.server(Way::Inside);
        Self::on(redis, view, advisor).await
    }

    pub(super) async fn maxmemory(&self) -> u64 {
        let mut client = self.server.client("").await;
        let mut get = redis::cmd("CONFIG");
        let get = get.arg("GET").arg("maxmemory");
        let pair: BTreeMap<String, u64> = get.query_async(&mut client).await.expect("a setting");
        pair["maxmemory"]
    }

    /// Fills a part of the memory and then allows only less than that.
    pub(super) async fn lower_the_limit(&self) {
        let mut client = self.server.client("").await;
        let mut grow = redis::cmd("SETRANGE");
        let () = grow.arg("big").arg(6 * MB).arg("x").query_async(&mut client).await.expect("grow");
        let mut set = redis::cmd("CONFIG");
        let set = set.arg("SET").arg("maxmemory").arg(5 * MB);
        let () = set.query_async(&mut client).await.expect("set");
    }
}

impl<S> Watched<S> {
    /// An engine that watches one server.
    pub(super) async fn on(server: S, view: Server, advisor: Option<Advisor>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = simctl::store::open(&Secret::new("sqlite:"), dir.path()).await.expect("store");
        let parts = Parts {
            servers: vec![view],
            store: Arc::clone(&store),
            policy: Policy { rules: vec![], version: "v1".into() },
            limits: Limits::default(),
            remediation: RemediationMode::Approval,
            state_dir: dir.path().to_owned(),
            inject_ttl: Duration::from_mins(2),
            advisor: advisor.map(Arc::new),
            holder: "tests".into(),
            seed: 1,
        };
        let engine = start_with(parts).await.expect("an engine");
        Self { engine, server, store, _dir: dir }
    }

    pub(super) async fn order(&self, command: Command) -> Result<Accepted, Refused> {
        self.engine.handle.order(Ordered { actor: "ops1".into(), command }).await
    }

    /// The incident of that number, once it is as wanted.
    pub(super) async fn incident(
        &self,
        number: u64,
        is: impl Fn(&Incident) -> bool,
    ) -> Arc<Incident> {
        let mut snapshots = self.engine.handle.snapshots.clone();
        let found = |known: &simctl::engine::handle::Snapshot| {
            let mut all = known.incidents.iter();
            all.find(|incident| incident.number == number && is(incident)).cloned()
        };
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(incident) = found(&snapshots.borrow_and_update()) {
                return incident;
            }
            if tokio::time::timeout_at(until, snapshots.changed()).await.is_err() {
                let incidents = snapshots.borrow().incidents.clone();
                panic!("waited in vain for incident {number}: {incidents:#?}");
            }
        }
    }

    /// Everything that is on record.
    pub(super) async fn records(&self) -> Vec<RawEvent> {
        self.store.events(0, 10_000).await.expect("the store answers")
    }

    pub(super) async fn wait_until_calm(&self) {
        let mut snapshots = self.engine.handle.snapshots.clone();
        let calm = snapshots.wait_for(|known| known.targets.iter().all(|t| t.state == "ok"));
        tokio::time::timeout(PATIENCE, calm).await.expect("in time").expect("the engine runs");
    }
}

pub(super) fn fingerprint(incident: &Incident) -> String {
    let proposal = incident.active_execution().and_then(|e| e.proposal.as_ref());
    proposal.expect("a proposal waits").fingerprint.0.clone()
}

pub(super) fn waits(incident: &Incident) -> bool {
    let active = incident.active_execution();
    active.is_some_and(|active| active.state == ExecutionState::AwaitingApproval)
}
