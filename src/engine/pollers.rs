//! Asks the targets, each over its held and its fresh connection, and passes the answers to the inbox.
//!
//! Loops per target: held (every 250 ms), fresh (every second), settings (every minute), closed (at once when
//! the held connection ends). One per runtime: its event stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::tasks::Tasks;
use crate::domain::effect::Input;
use crate::domain::ids::TargetId;
use crate::domain::sample::{Origin, RuntimeEvent};
use crate::ports::probe::Probe;
use crate::ports::runtime::{Runtime, Unit};
use crate::targets::Server;

/// Settings change seldom; this only has to beat the next diagnosis after a quiet time.
const SETTINGS_PERIOD: Duration = Duration::from_secs(60);

/// The ways to ask a target ahead of its period.
#[derive(Debug, Default)]
pub struct Nudges {
    held: Notify,
    fresh: Notify,
}

impl Nudges {
    /// Asks over both connections now.
    pub fn both(&self) {
        self.held.notify_one();
        self.fresh.notify_one();
    }

    /// Asks over one connection now.
    pub fn one(&self, origin: Origin) {
        match origin {
            Origin::Held => self.held.notify_one(),
            Origin::Fresh => self.fresh.notify_one(),
        }
    }
}

/// A target's probe, and how to hurry it.
#[derive(Clone)]
pub struct Watched {
    pub server: Server,
    pub probe: Arc<dyn Probe>,
    pub nudges: Arc<Nudges>,
}

/// Starts the loops of every target.
pub fn start(
    tasks: &mut Tasks,
    watched: &BTreeMap<TargetId, Watched>,
    inbox: &mpsc::Sender<Input>,
) {
    for one in watched.values() {
        tasks.spawn("poll held", poll(one.clone(), Origin::Held, inbox.clone()));
        tasks.spawn("poll fresh", poll(one.clone(), Origin::Fresh, inbox.clone()));
        tasks.spawn("read settings", read_settings(one.clone(), inbox.clone()));
        tasks.spawn("watch the held connection", watch_closed(one.clone()));
    }
    start_runtime_events(tasks, watched, inbox);
}

async fn poll(watched: Watched, origin: Origin, inbox: mpsc::Sender<Input>) {
    let period = match origin {
        Origin::Held => watched.server.periods.held,
        Origin::Fresh => watched.server.periods.fresh,
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let nudge = match origin {
        Origin::Held => &watched.nudges.held,
        Origin::Fresh => &watched.nudges.fresh,
    };
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = nudge.notified() => {}
        }
        let sample = match origin {
            Origin::Held => watched.probe.held().await,
            Origin::Fresh => watched.probe.fresh().await,
        };
        let target = watched.server.target.id.clone();
        if inbox.send(Input::Sampled { target, sample }).await.is_err() {
            return;
        }
    }
}

async fn read_settings(watched: Watched, inbox: mpsc::Sender<Input>) {
    loop {
        match watched.probe.settings().await {
            Ok(mut settings) => {
                settings.extend(watched.server.unit_settings().await);
                let target = watched.server.target.id.clone();
                if inbox.send(Input::SettingsRead { target, settings }).await.is_err() {
                    return;
                }
                sleep(SETTINGS_PERIOD).await;
            }
            Err(error) => {
                tracing::debug!(target = %watched.server.target.id, %error, "settings not read");
                sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

/// The fastest sign of a dead server is its closed socket. Rests after each, so that a server that closes
/// every connection does not turn this into a storm.
async fn watch_closed(watched: Watched) {
    loop {
        watched.probe.closed().await;
        watched.nudges.both();
        sleep(Duration::from_millis(200)).await;
    }
}

/// Which target each unit is.
type Units = Vec<(Unit, TargetId)>;

fn start_runtime_events(
    tasks: &mut Tasks,
    watched: &BTreeMap<TargetId, Watched>,
    inbox: &mpsc::Sender<Input>,
) {
    let mut by_runtime: Vec<(Arc<dyn Runtime>, Units)> = Vec::new();
    for one in watched.values() {
        let Some(place) = &one.server.place else { continue };
        let entry = (place.unit.clone(), one.server.target.id.clone());
        match by_runtime.iter_mut().find(|(runtime, _)| Arc::ptr_eq(runtime, &place.runtime)) {
            Some((_, units)) => units.push(entry),
            None => by_runtime.push((Arc::clone(&place.runtime), vec![entry])),
        }
    }
    for (runtime, units) in by_runtime {
        tasks.spawn("runtime events", follow_runtime(runtime, units, inbox.clone()));
    }
}

async fn follow_runtime(runtime: Arc<dyn Runtime>, units: Units, inbox: mpsc::Sender<Input>) {
    let names: Vec<Unit> = units.iter().map(|(unit, _)| unit.clone()).collect();
    loop {
        let mut events = runtime.events(&names);
        while let Some(event) = events.next().await {
            let Some((_, target)) = units.iter().find(|(unit, _)| unit.name == event.unit) else {
                continue;
            };
            let event = RuntimeEvent { at: event.at, kind: event.kind, detail: event.detail };
            if inbox.send(Input::Runtime { target: target.clone(), event }).await.is_err() {
                return;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}
