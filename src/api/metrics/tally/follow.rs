//! Keeps the tally: follows the events from the engine's start on, and looks at the store now and then.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Tally;
use crate::api::events::{Line, follow};
use crate::engine::handle::Handle;
use crate::ports::store::Store;

/// The store is looked at this often.
const PERIOD: Duration = Duration::from_secs(15);
/// A store that takes longer has not answered.
const PATIENCE: Duration = Duration::from_secs(5);

impl Tally {
    /// Counts what happened after the event `before`, until the engine ends.
    pub async fn follow(&self, handle: Handle, store: Arc<dyn Store>, before: u64) {
        let snapshot = Arc::clone(&handle.snapshots.borrow());
        self.know(snapshot.incidents.iter().map(AsRef::as_ref));
        let mut after = Some(before);
        loop {
            let mut lines = pin!(follow(&handle, Some(Arc::clone(&store)), after));
            let missed = loop {
                match lines.next().await {
                    Some(Line::Event(sealed)) => self.note(&sealed.event),
                    Some(Line::CutOff(cut)) => break cut.missed,
                    None => return,
                }
            };
            self.missed.inc_by(missed.unwrap_or(1));
            after = None;
        }
    }

    /// Asks the store for the end of its log, which costs it next to nothing.
    pub async fn watch_store(&self, store: Arc<dyn Store>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began = Instant::now();
            let answered = matches!(timeout(PATIENCE, store.head()).await, Ok(Ok(_)));
            if !answered {
                self.store_failures.inc();
            }
            let took = answered.then(|| began.elapsed());
            *self.store_took.lock().unwrap_or_else(PoisonError::into_inner) = took;
        }
    }
}
