//! Everything decisions rest on: the durable ledger, the recent samples, the rules.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::health::{self, Health};
use super::ids::{ExecutionId, IncidentId, TargetId};
use super::incident::RemediationMode;
use super::ledger::{Ledger, Limits};
use super::policy::Policy;
use super::sample::Origin;
use super::target::Target;
use super::window::Window;

/// The world as the engine knows it. Only `ledger` survives a restart; the rest is measured again.
#[derive(Debug)]
pub struct World {
    pub ledger: Ledger,
    pub watches: BTreeMap<TargetId, Watch>,
    /// When the work of an execution that is out there now began; what takes too long is given up.
    pub agenda: BTreeMap<ExecutionId, DateTime<Utc>>,
    /// Executions that are over and are measured once more, and who wants to know.
    pub verified_again: BTreeMap<ExecutionId, String>,
    pub policy: Policy,
    pub limits: Limits,
    pub remediation: RemediationMode,
    /// Whether events go to the local journal for now; what is hard to take back waits until they do not.
    pub store_is_away: bool,
    /// When the newest event happened: the next one is later, so that sorting by time is sorting by order.
    pub last_at: DateTime<Utc>,
}

/// One target under watch.
#[derive(Debug)]
pub struct Watch {
    pub window: Window,
    /// The last score while nothing was wrong: the level to come back to.
    pub calm_level: Option<u8>,
    /// Since when each open incident's symptom is gone.
    pub clear_since: BTreeMap<IncidentId, DateTime<Utc>>,
}

impl World {
    /// A world with these targets and nothing measured yet.
    pub fn new(ledger: Ledger, targets: Vec<Target>, policy: Policy, limits: Limits) -> Self {
        let watches =
            targets.into_iter().map(|target| (target.id.clone(), Watch::new(target))).collect();
        Self {
            ledger,
            watches,
            agenda: BTreeMap::new(),
            verified_again: BTreeMap::new(),
            policy,
            limits,
            remediation: RemediationMode::default(),
            store_is_away: false,
            last_at: DateTime::UNIX_EPOCH,
        }
    }

    /// A target by name.
    pub fn target(&self, id: &TargetId) -> Option<&Target> {
        self.watches.get(id).map(|watch| &watch.window.target)
    }

    /// A target's health now.
    pub fn health(&self, id: &TargetId) -> Health {
        self.watches.get(id).map_or(Health::Inconclusive, Watch::health)
    }
}

impl Watch {
    fn new(target: Target) -> Self {
        Self { window: Window::new(target), calm_level: None, clear_since: BTreeMap::new() }
    }

    /// Health from the newest sample of each connection.
    pub fn health(&self) -> Health {
        let window = &self.window;
        health::judge(&window.target, window.last(Origin::Held), window.last(Origin::Fresh))
    }

    /// Whether both connections' newest samples found a content client.
    pub fn client_is_content(&self) -> bool {
        [Origin::Held, Origin::Fresh]
            .into_iter()
            .all(|origin| self.window.last(origin).is_some_and(super::sample::Sample::is_clean))
    }
}
