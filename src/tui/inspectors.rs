//! Asks the servers for the database screen, in this process and by its own configuration, also when the engine runs in
//! another one. One session a target, kept while somebody looks and for a minute after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turns;
use tokio::time::{Instant, sleep_until};

use super::inspected::Inspected;
use super::message::Answer;
use crate::domain::ids::TargetId;
use crate::domain::target::Engine;
use crate::inspect::{self, Desk, Given};
use crate::ports::store::Store;
use crate::targets::Server;

/// A session nobody asked over for so long is closed.
const IDLE: Duration = Duration::from_mins(1);

/// The open sessions.
#[derive(Clone, Default)]
pub struct Inspectors(Arc<Mutex<BTreeMap<TargetId, Open>>>);

struct Open {
    desk: Arc<Turns<Desk>>,
    used: Instant,
}

impl Inspectors {
    /// Asks one question about a target; one question at a time each.
    pub async fn ask(
        &self,
        servers: &[Server],
        store: Option<&dyn Store>,
        target: TargetId,
        verb: String,
    ) -> Result<Answer, String> {
        let Some(server) = servers.iter().find(|server| server.target.id == target) else {
            return Err(format!(
                "the configuration of this console does not know {target}; start it with the one of the engine"
            ));
        };
        let engine = server.target.engine;
        let Some(inspection) = inspect::find(engine, &verb) else {
            return Err(format!("there is no inspection `{verb}` of a {}", engine.as_str()));
        };
        let desk = match self.known(&target) {
            Some(desk) => desk,
            None => self.open(server, store).await,
        };
        let report = desk.lock().await.report(inspection, &Given::nothing(inspection.args)).await;
        self.touch(&target);
        let seen = Box::new(Inspected::of(&report));
        Ok(Answer::Inspected { target, verb, seen })
    }

    fn known(&self, target: &TargetId) -> Option<Arc<Turns<Desk>>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.get_mut(target)?;
        known.used = Instant::now();
        Some(Arc::clone(&known.desk))
    }

    async fn open(&self, server: &Server, store: Option<&dyn Store>) -> Arc<Turns<Desk>> {
        let target = server.target.id.clone();
        // A Redis is held against what was recorded of it while it was well.
        let baseline = match (server.target.engine, store) {
            (Engine::Redis, Some(store)) => {
                store.load().await.ok().and_then(|mut ledger| ledger.baselines.remove(&target))
            }
            _ => None,
        };
        let desk = Arc::new(Turns::new(Desk::new(server.clone()).with_baseline(baseline)));
        let open = Open { desk: Arc::clone(&desk), used: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target, open);
        desk
    }

    fn touch(&self, target: &TargetId) {
        if let Some(open) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(target) {
            open.used = Instant::now();
        }
    }

    /// Returns once a session was idle for a minute and is closed; never, while none is open.
    pub async fn close_idle(&self) {
        let next = {
            let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().map(|one| one.used).min()
        };
        match next {
            Some(used) => sleep_until(used + IDLE).await,
            None => std::future::pending().await,
        }
        let now = Instant::now();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is being asked over is in use, however long that takes.
        open.retain(|_, one| Arc::strong_count(&one.desk) > 1 || now < one.used + IDLE);
        for one in open.values_mut().filter(|one| Arc::strong_count(&one.desk) > 1) {
            one.used = now;
        }
    }
}
