//! Keeps a thin history of every target in the store: one point every ten seconds, for a week.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::handle::Snapshot;
use crate::ports::store::{HistoryPoint, Store};

const PERIOD: Duration = Duration::from_secs(10);
const KEPT: TimeDelta = TimeDelta::days(7);

/// Records until the engine stops. A store that is away loses these points; they are no records of deeds.
pub(super) async fn record(snapshots: watch::Receiver<Arc<Snapshot>>, store: Arc<dyn Store>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let snapshot = Arc::clone(&snapshots.borrow());
        let points: Vec<HistoryPoint> = snapshot
            .targets
            .iter()
            .map(|view| HistoryPoint {
                at: snapshot.at,
                target: view.target.id.as_str().to_owned(),
                health: view.health.score(),
                readings: view
                    .held
                    .as_ref()
                    .map(|sample| sample.readings.clone())
                    .unwrap_or_default(),
            })
            .collect();
        if let Err(error) = store.record_history(&points, snapshot.at - KEPT).await {
            tracing::debug!(%error, "a point of history was not recorded");
        }
    }
}
