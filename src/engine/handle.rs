//! What everybody but the engine holds: the newest snapshot, the stream of events, a way to give commands.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::domain::effect::{Accepted, Ordered, Refused};
use crate::domain::event::Sealed;
use crate::domain::health::Health;
use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::domain::sample::Sample;
use crate::domain::target::Target;

/// The world as readers see it: immutable, shared, replaced as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: DateTime<Utc>,
    /// The newest event in here.
    pub seq: u64,
    pub targets: Vec<Arc<TargetView>>,
    /// Open ones and the most recently ended, by number.
    pub incidents: Vec<Arc<Incident>>,
    /// Live ones and the most recently ended, by number.
    pub injections: Vec<Injection>,
    pub store: StoreView,
}

/// One target as readers see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetView {
    pub target: Target,
    pub health: Health,
    /// `ok DEGRADED DOWN HUNG REFUSED starting inconclusive`.
    pub state: String,
    pub held: Option<Sample>,
    pub fresh: Option<Sample>,
}

/// How the store is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreView {
    pub url: String,
    pub reachable: bool,
    /// Events that wait in the local journal.
    pub journaled: u64,
}

/// A command on its way to the engine.
#[derive(Debug)]
pub struct Request {
    pub ordered: Ordered,
    pub reply: oneshot::Sender<Result<Accepted, Refused>>,
}

/// The engine, from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Every event as it becomes durable; a slow reader is told how many it missed and reads them from the store.
    pub events: broadcast::Sender<Arc<Sealed>>,
    pub requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Gives a command and waits for the engine's answer.
    pub async fn order(&self, ordered: Ordered) -> Result<Accepted, Refused> {
        let gone =
            || Refused::because("the engine has stopped; start `simctl run` or `simctl tui`");
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { ordered, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
