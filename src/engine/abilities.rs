//! Finds out, once each server of the lab is in order, which faults it cannot have and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::handle::Snapshot;
use crate::domain::ids::TargetId;
use crate::faults::abilities;
use crate::targets::Server;

/// Reasons by the fault's name; one that is possible has none.
pub(super) type Cannot = BTreeMap<String, String>;

/// Tells it for each of these servers.
pub(super) async fn find_out(
    servers: Vec<Server>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    found: mpsc::Sender<(TargetId, Cannot)>,
) {
    for server in servers {
        let id = server.target.id.clone();
        let well = |snapshot: &Arc<Snapshot>| {
            snapshot.targets.iter().any(|view| view.target.id == id && view.state == "ok")
        };
        if snapshots.wait_for(well).await.is_err() {
            return;
        }
        let asked = abilities(&server).await;
        let cannot = asked.into_iter().filter_map(|ability| {
            Some((ability.fault.descriptor().id.to_owned(), ability.available.err()?))
        });
        if found.send((id, cannot.collect())).await.is_err() {
            return;
        }
    }
}
