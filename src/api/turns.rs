//! One question at a time for each server, and a few readers of the records at once: however many ask, what is in
//! trouble is not troubled more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::domain::ids::TargetId;

/// Whoever waits longer is better told to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose turn it is, by server.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<TargetId, Arc<Semaphore>>>);

impl Turns {
    /// Waits for a turn, and not for ever.
    pub(super) async fn take(&self, target: &TargetId) -> Option<OwnedSemaphorePermit> {
        let line = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let line = lines.entry(target.clone()).or_insert_with(|| Arc::new(Semaphore::new(1)));
            Arc::clone(line)
        };
        timeout(PATIENCE, line.acquire_owned()).await.ok()?.ok()
    }
}

/// Who reads the records. More at once would only wait for each other in the store, or find no place there.
static READERS: Semaphore = Semaphore::const_new(8);

/// Waits for a turn to read the records; it lasts as long as what is returned.
pub(super) async fn reading() -> Option<SemaphorePermit<'static>> {
    READERS.acquire().await.ok()
}
