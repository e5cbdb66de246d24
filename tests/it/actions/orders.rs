//! What a person orders besides deciding, through a whole engine on a real server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use simctl::config::secret::Secret;
use simctl::domain::effect::{Accepted, Command, Ordered, Refused};
use simctl::domain::execution::ExecutionState;
use simctl::domain::finding::FindingKind;
use simctl::domain::incident::{Incident, RemediationMode, Status};
use simctl::domain::ledger::Limits;
use simctl::domain::policy::Policy;
use simctl::domain::undo::undoable;
use simctl::engine::{Parts, Running, clock, start_with};

use super::harness::{RedisServer, Way};

const MB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

struct Watched {
    engine: Running,
    redis: RedisServer,
    _dir: tempfile::TempDir,
}

impl Watched {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let redis = RedisServer::start(&["--maxmemory", "50mb"]).await;
        let store = simctl::store::open(&Secret::new("sqlite:"), dir.path()).await.expect("store");
        let parts = Parts {
            servers: vec![redis.server(Way::Inside)],
            store,
            policy: Policy { rules: vec![], version: "v1".into() },
            limits: Limits::default(),
            remediation: RemediationMode::Approval,
            state_dir: dir.path().to_owned(),
            inject_ttl: Duration::from_mins(2),
            holder: "tests".into(),
            seed: 1,
        };
        let engine = start_with(parts).await.expect("an engine");
        Self { engine, redis, _dir: dir }
    }

    async fn order(&self, command: Command) -> Result<Accepted, Refused> {
        self.engine.handle.order(Ordered { actor: "ops1".into(), command }).await
    }

    /// The incident of that number, once it is as wanted.
    async fn incident(&self, number: u64, is: impl Fn(&Incident) -> bool) -> Arc<Incident> {
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

    async fn maxmemory(&self) -> u64 {
        let mut client = self.redis.client("").await;
        let mut get = redis::cmd("CONFIG");
        let get = get.arg("GET").arg("maxmemory");
        let pair: BTreeMap<String, u64> = get.query_async(&mut client).await.expect("a setting");
        pair["maxmemory"]
    }

    /// Fills a part of the memory and then allows only less than that.
    async fn lower_the_limit(&self) {
        let mut client = self.redis.client("").await;
        let mut grow = redis::cmd("SETRANGE");
        let () = grow.arg("big").arg(6 * MB).arg("x").query_async(&mut client).await.expect("grow");
        let mut set = redis::cmd("CONFIG");
        let set = set.arg("SET").arg("maxmemory").arg(5 * MB);
        let () = set.query_async(&mut client).await.expect("set");
    }

    async fn wait_until_calm(&self) {
        let mut snapshots = self.engine.handle.snapshots.clone();
        let calm = snapshots.wait_for(|known| known.targets.iter().all(|t| t.state == "ok"));
        tokio::time::timeout(PATIENCE, calm).await.expect("in time").expect("the engine runs");
    }
}

fn fingerprint(incident: &Incident) -> String {
    let proposal = incident.active_execution().and_then(|e| e.proposal.as_ref());
    proposal.expect("a proposal waits").fingerprint.0.clone()
}

fn waits(incident: &Incident) -> bool {
    let active = incident.active_execution();
    active.is_some_and(|active| active.state == ExecutionState::AwaitingApproval)
}

#[tokio::test]
async fn what_was_approved_and_proven_is_taken_back_and_the_trouble_is_a_new_incident() {
    let watched = Watched::start().await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    let target = waiting.target.to_string();
    assert_eq!(waiting.finding, FindingKind::WritesRefused);

    let fingerprint = fingerprint(&waiting);
    let dry = Command::DryRun { incident: 1, fingerprint: fingerprint.clone() };
    watched.order(dry).await.expect("a dry run");
    assert_eq!(watched.maxmemory().await, 5 * MB, "nothing ran");
    let typed = Some(target.clone());
    let approve = Command::Approve { incident: 1, fingerprint, typed: typed.clone(), seen: None };
    watched.order(approve).await.expect("approved");
    let resolved = watched.incident(1, |incident| incident.status == Status::Resolved).await;
    assert_eq!(watched.maxmemory().await, 50 * MB);

    let plan = undoable(&resolved, clock::now()).expect("it can be taken back");
    let [command] = plan.lines.as_slice() else { panic!("{:?}", plan.lines) };
    assert!(command.ends_with(&format!("CONFIG SET maxmemory {}", 5 * MB)), "{command}");
    let mistyped = Command::Undo { incident: 1, typed: Some("elsewhere".into()) };
    let refused = watched.order(mistyped).await.expect_err("another name").reason;
    assert!(refused.contains("`elsewhere` was typed"), "{refused}");
    watched.order(Command::Undo { incident: 1, typed }).await.expect("taken back");
    let undone = watched.incident(1, |incident| incident.executions[0].rolled_back).await;
    assert_eq!(watched.maxmemory().await, 5 * MB);
    assert_eq!(undone.status, Status::Resolved);

    let again = watched.incident(2, waits).await;
    assert_eq!(again.finding, FindingKind::WritesRefused);
    watched.order(Command::Stop { incident: 2 }).await.expect("stopped");
    let stopped = watched.incident(2, |incident| incident.status == Status::Failed).await;
    let reason = stopped.failure_reason.clone().unwrap_or_default();
    assert_eq!(reason, "needs a person: stopped by ops1 before anything ran");
    watched.engine.stop("the test is over").await;
}
