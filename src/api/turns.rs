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

/// More at once would only wait for each other in the store, and run out of time there.
const READERS: usize = 8;

/// Whose turn it is to read the records.
#[derive(Debug)]
pub struct Reads(Semaphore);

impl Default for Reads {
    fn default() -> Self {
        Self(Semaphore::new(READERS))
    }
}

impl Reads {
    /// Waits for a turn, which lasts as long as what is returned.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}
