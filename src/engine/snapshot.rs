//! Makes the readers' view of the world; what did not change is shared with the view before.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::handle::{Snapshot, StoreView, TargetView};
use crate::domain::finding::FindingKind;
use crate::domain::health::Health;
use crate::domain::ids::IncidentId;
use crate::domain::incident::Incident;
use crate::domain::sample::Origin;
use crate::domain::world::{Watch, World};

/// The incidents of the last view, so that an unchanged one is not copied again.
#[derive(Debug, Default)]
pub(super) struct Views {
    incidents: BTreeMap<IncidentId, Arc<Incident>>,
}

impl Views {
    /// The world as readers see it now.
    pub(super) fn of(&mut self, world: &World, store: StoreView, at: DateTime<Utc>) -> Snapshot {
        self.refresh(world);
        let mut incidents: Vec<_> = self.incidents.values().cloned().collect();
        incidents.sort_by_key(|incident| incident.number);
        let mut injections: Vec<_> = world.ledger.injections.values().cloned().collect();
        injections.sort_by_key(|injection| injection.number);
        let targets = world.watches.values().map(|watch| target_view(world, watch)).collect();
        Snapshot { at, seq: world.ledger.seq, targets, incidents, injections, store }
    }

    fn refresh(&mut self, world: &World) {
        self.incidents.retain(|id, _| world.ledger.incidents.contains_key(id));
        for (id, incident) in &world.ledger.incidents {
            let is_current =
                self.incidents.get(id).is_some_and(|known| known.updated_at == incident.updated_at);
            if !is_current {
                self.incidents.insert(*id, Arc::new(incident.clone()));
            }
        }
    }
}

fn target_view(world: &World, watch: &Watch) -> TargetView {
    let health = watch.health();
    TargetView {
        target: watch.window.target.clone(),
        health,
        state: state_word(world, watch, health).to_owned(),
        held: watch.window.last(Origin::Held).cloned(),
        fresh: watch.window.last(Origin::Fresh).cloned(),
    }
}

/// The one word for a target: the worst open finding that a client feels, else its health.
fn state_word(world: &World, watch: &Watch, health: Health) -> &'static str {
    let open = world.ledger.open_on(&watch.window.target.id);
    let has = |kind| open.iter().any(|incident| incident.finding == kind);
    match health {
        Health::Starting => "starting",
        Health::Inconclusive => "inconclusive",
        Health::Score(_) if has(FindingKind::ServerDown) && !watch.client_is_content() => "DOWN",
        Health::Score(_) if has(FindingKind::ServerHung) && !watch.client_is_content() => "HUNG",
        Health::Score(0) if has(FindingKind::ClientsRefused) => "REFUSED",
        Health::Score(_) if !open.is_empty() => "DEGRADED",
        Health::Score(score)
            if f64::from(score) < watch.window.target.thresholds.open_below_score =>
        {
            "DEGRADED"
        }
        Health::Score(_) => "ok",
    }
}
