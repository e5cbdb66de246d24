//! Makes the readers' view of the world; what did not change is shared with the view before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::abilities::Cannot;
use super::handle::{Snapshot, StoreView, TargetView};
use crate::domain::finding::FindingKind;
use crate::domain::health::Health;
use crate::domain::ids::{IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::domain::sample::Origin;
use crate::domain::world::{Watch, World};

/// The parts of the last view, so that what did not change is not copied again.
#[derive(Debug, Default)]
pub(super) struct Views {
    targets: BTreeMap<TargetId, Arc<TargetView>>,
    incidents: BTreeMap<IncidentId, Arc<Incident>>,
    changed: BTreeSet<TargetId>,
    cannot: BTreeMap<TargetId, Arc<Cannot>>,
}

impl Views {
    /// Remembers that a target's view is out of date.
    pub(super) fn touch(&mut self, target: &TargetId) {
        if !self.changed.contains(target) {
            self.changed.insert(target.clone());
        }
    }

    /// Remembers which faults a target cannot have.
    pub(super) fn note_abilities(&mut self, target: TargetId, cannot: Cannot) {
        self.touch(&target);
        self.cannot.insert(target, Arc::new(cannot));
    }

    /// The world as readers see it now.
    pub(super) fn of(&mut self, world: &World, store: StoreView, at: DateTime<Utc>) -> Snapshot {
        self.refresh_targets(world);
        self.refresh_incidents(world);
        let mut incidents: Vec<_> = self.incidents.values().cloned().collect();
        incidents.sort_by_key(|incident| incident.number);
        let mut injections: Vec<_> = world.ledger.injections.values().cloned().collect();
        injections.sort_by_key(|injection| injection.number);
        let targets = self.targets.values().cloned().collect();
        Snapshot { at, seq: world.ledger.seq, targets, incidents, injections, store }
    }

    /// Targets are neither added nor removed while an engine runs.
    fn refresh_targets(&mut self, world: &World) {
        if self.targets.is_empty() {
            self.changed = world.watches.keys().cloned().collect();
        }
        for id in std::mem::take(&mut self.changed) {
            if let Some(watch) = world.watches.get(&id) {
                let cannot = self.cannot.get(&id).cloned().unwrap_or_default();
                let view = TargetView { cannot, ..target_view(world, watch) };
                self.targets.insert(id, Arc::new(view));
            }
        }
    }

    fn refresh_incidents(&mut self, world: &World) {
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

/// Samples alone are shown this often at most; with a thousand targets there is one every half millisecond.
const PERIOD: Duration = Duration::from_millis(50);

/// When the next view is due.
#[derive(Debug)]
pub(super) struct Pace {
    last: Instant,
    due: Option<Instant>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, due: None }
    }

    /// Something changed: whether to show it now, or else later.
    pub(super) fn is_due(&mut self, urgent: bool, now: Instant) -> bool {
        let next = self.last + PERIOD;
        let is_due = urgent || now >= next;
        if is_due {
            *self = Self::new(now);
        } else {
            self.due = Some(next);
        }
        is_due
    }

    /// Returns when what was put off is due; never, while nothing was.
    pub(super) async fn until_due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
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
        cannot: Arc::default(),
    }
}

/// The one word for a target: the worst open finding that a client feels, else its health.
fn state_word(world: &World, watch: &Watch, health: Health) -> &'static str {
    let mut open = world.ledger.open_on(&watch.window.target.id);
    // What a person asked for is no trouble.
    open.retain(|incident| incident.request.is_none());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::{Ledger, Limits};
    use crate::domain::policy::Policy;
    use crate::domain::readings::Readings;
    use crate::domain::sample::{Answer, Sample};
    use crate::domain::target::{Engine, Profile, Target, Thresholds};

    fn target(name: &str) -> Target {
        Target {
            id: TargetId::from(name),
            engine: Engine::Redis,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        }
    }

    fn refused() -> Sample {
        Sample {
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            origin: Origin::Held,
            took_ms: 0.1,
            connect: Answer::Ok,
            read: Answer::Ok,
            write: Answer::Error { code: "OOM".into(), text: "OOM".into() },
            readings: Readings::default(),
        }
    }

    #[test]
    fn only_a_touched_target_is_made_anew() {
        let policy = Policy { rules: vec![], version: "v".into() };
        let targets = vec![target("a"), target("b")];
        let mut world = World::new(Ledger::default(), targets, policy, Limits::default());
        let (mut views, at) = (Views::default(), refused().at);
        let first = views.of(&world, StoreView::default(), at);
        let b = TargetId::of("b");
        world.watches.get_mut(&b).unwrap().window.push(refused());
        views.touch(&b);
        let second = views.of(&world, StoreView::default(), at);
        let [old_a, old_b] = first.targets.as_slice() else { panic!("two targets") };
        let [new_a, new_b] = second.targets.as_slice() else { panic!("two targets") };
        assert!(Arc::ptr_eq(old_a, new_a), "a did not change");
        assert_eq!((old_b.health, new_b.health), (Health::Inconclusive, Health::Score(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_urgent_is_shown_at_once_and_the_rest_once_per_period() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let after = |ms| start + Duration::from_millis(ms);
        let shown: Vec<bool> =
            [10, 49, 50, 60].iter().map(|ms| pace.is_due(false, after(*ms))).collect();
        assert_eq!(shown, [false, false, true, false]);
        pace.until_due().await;
        assert_eq!(Instant::now(), after(100), "what was put off is shown when the period is over");
        assert!(pace.is_due(true, after(101)), "urgent things do not wait");
        let nothing = tokio::time::timeout(Duration::from_mins(1), pace.until_due());
        assert!(nothing.await.is_err(), "nothing is put off any more");
    }
}
