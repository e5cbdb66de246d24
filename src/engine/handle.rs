//! What everybody but the engine holds: the newest snapshot, the stream of events, a way to give commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use utoipa::ToSchema;

use crate::domain::effect::{Accepted, Ordered, Refused};
use crate::domain::event::Sealed;
use crate::domain::execution::Execution;
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

impl Snapshot {
    /// For readers who need not have the servers' own data.
    pub fn without_undo_data(mut self) -> Self {
        for incident in &mut self.incidents {
            if incident.executions.iter().any(crate::domain::execution::Execution::has_acted) {
                let incident = Arc::make_mut(incident);
                incident.executions.iter_mut().for_each(Execution::forget_undo_data);
            }
        }
        self
    }
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
    /// Which faults this server of the lab cannot have, and why; empty until that was looked at.
    #[serde(default)]
    pub cannot: Arc<BTreeMap<String, String>>,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// How many events a reader may be behind before it misses some. An incident is a few dozen from its opening to
/// its end.
pub const EVENTS_KEPT: usize = 4_096;

/// The engine, from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Every event as it becomes durable, before the snapshot that shows it. Subscribe, then read the snapshot:
    /// what is not in its `seq` yet will come here.
    ///
    /// The channel keeps the newest [`EVENTS_KEPT`] (rounded up to a power of two) for readers that are behind.
    /// `RecvError::Lagged(missed)` is no end: the reader was further behind than that, the `missed` oldest are
    /// gone from the channel, and the next `recv` gives the oldest that is still there. With `last` the sequence
    /// number of the last event it has, a console goes on without a gap by reading the `missed` events from
    /// `last + 1` on: `Store::events(last, …)` where the store is at hand, else the stream
    /// `/api/v1/events?after=last` (`api::client::Client::events`). It then skips what it receives up to what it
    /// has read. The same holds for any gap: the numbers are 1, 2, 3 …, so an event that is not `last + 1` tells
    /// where to go on. Snapshots never lag: the watch channel has only the newest.
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
