//! Waiting for the store's lease when an engine that is no more still seems to hold it.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use super::clock::now;
use super::keeper::LEASE_TTL;
use crate::ports::store::{Lease, Store};

const LOOK: Duration = Duration::from_millis(250);

/// Returns when nobody holds the lease. A dead engine's runs out; one that is renewed meanwhile is a living
/// engine's, and ends the wait with a sentence that names it.
pub async fn wait_until_free(
    store: &dyn Store,
    say: &(dyn Fn(String) + Send + Sync),
) -> anyhow::Result<()> {
    let mut first: Option<Lease> = None;
    // One that lasts longer was given out by another clock; taking it says so.
    let until = Instant::now() + LEASE_TTL + LOOK;
    while Instant::now() < until
        && let Some(held) = store.lease(now()).await?
    {
        let Some(first) = &first else {
            say(format!(
                "another engine ({}) held the lease until {}; waiting",
                held.holder,
                held.until.format("%H:%M:%S")
            ));
            first = Some(held);
            continue;
        };
        if held != *first {
            bail!(
                "{} runs on this store and renews its lease; stop that engine, or name another store with --store",
                held.holder
            );
        }
        sleep(LOOK).await;
    }
    Ok(())
}
