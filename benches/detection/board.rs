//! What each side said and when: incidents of simctl, alerts of Alertmanager.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use simctl::engine::clock::now;
use tokio::time::{Instant, sleep};

use crate::failures::Failure;

/// Shared between those who listen and the one who waits.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    /// simctl lives and has given both servers a clean bill.
    simctl_is_up: bool,
    open: BTreeSet<String>,
    firing: BTreeSet<String>,
    opened: Vec<Opened>,
    fired: Vec<(String, DateTime<Utc>)>,
}

struct Opened {
    target: String,
    /// By the event's own clock.
    at: DateTime<Utc>,
    arrived: DateTime<Utc>,
}

/// When each side noticed a failure.
pub(crate) struct Noticed {
    pub(crate) event: DateTime<Utc>,
    pub(crate) event_arrived: DateTime<Utc>,
    pub(crate) webhook: DateTime<Utc>,
}

impl Board {
    pub(crate) fn simctl_is_up(&self) {
        self.lock().simctl_is_up = true;
    }

    pub(crate) fn incident_opened(&self, incident: &str, target: &str, at: DateTime<Utc>) {
        let mut said = self.lock();
        said.open.insert(incident.to_owned());
        said.opened.push(Opened { target: target.to_owned(), at, arrived: now() });
    }

    pub(crate) fn incident_ended(&self, incident: &str) {
        self.lock().open.remove(incident);
    }

    pub(crate) fn alert(&self, name: &str, is_firing: bool) {
        let mut said = self.lock();
        if is_firing {
            said.firing.insert(name.to_owned());
            said.fired.push((name.to_owned(), now()));
        } else {
            said.firing.remove(name);
        }
    }

    /// Forgets what was said about earlier failures.
    pub(crate) fn clear(&self) {
        let mut said = self.lock();
        said.opened.clear();
        said.fired.clear();
    }

    /// Waits until both sides said that something is wrong.
    pub(crate) async fn wait_noticed(
        &self,
        failure: Failure,
        within: Duration,
    ) -> anyhow::Result<Noticed> {
        let until = Instant::now() + within;
        loop {
            if let Some(noticed) = self.lock().noticed(failure) {
                return Ok(noticed);
            }
            if Instant::now() > until {
                let said = self.lock();
                bail!(
                    "not noticed by both within {within:?}: incidents {:?}, alerts {:?}",
                    said.open,
                    said.firing
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until no incident is open and no alert fires.
    pub(crate) async fn wait_calm(&self, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            if self.lock().is_calm() {
                return Ok(());
            }
            if Instant::now() > until {
                let said = self.lock();
                bail!("still open: incidents {:?}, alerts {:?}", said.open, said.firing);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().expect("no holder of the board panics")
    }
}

impl Said {
    fn is_calm(&self) -> bool {
        self.simctl_is_up && self.open.is_empty() && self.firing.is_empty()
    }

    /// The first incident on the broken server and the alert that is meant for the failure.
    fn noticed(&self, failure: Failure) -> Option<Noticed> {
        let opened = self.opened.iter().find(|opened| opened.target.ends_with(failure.server()))?;
        let (_, webhook) = self.fired.iter().find(|(name, _)| name == failure.alert())?;
        Some(Noticed { event: opened.at, event_arrived: opened.arrived, webhook: *webhook })
    }
}
