//! What every request can reach: the engine's handle, the records, the servers, and the switch that ends streams.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::caller::Caller;
use super::metrics::Tally;
use super::problem::Problem;
use super::turns::{Turns, reading};
use super::workbench::agreed::Agreements;
use crate::config::alerts::AlertsConfig;
use crate::database::Workbench;
use crate::domain::effect::{Accepted, Command, Ordered};
use crate::domain::ids::{Ids, IncidentId, TargetId, parse_incident_name};
use crate::domain::incident::Incident;
use crate::engine::clock;
use crate::engine::handle::{Handle, Snapshot};
use crate::ports::store::Store;
use crate::targets::Server;

/// Cheap to clone; every handler gets one.
#[derive(Clone)]
pub struct Door {
    pub handle: Handle,
    /// Where records are read.
    pub store: Option<Arc<dyn Store>>,
    /// Who may be asked questions; empty where only the engine is reached.
    pub servers: Arc<[Server]>,
    pub state_dir: PathBuf,
    pub inject_ttl: Duration,
    /// One for each PostgreSQL, kept: they hold connections and figures.
    pub benches: Arc<[Workbench]>,
    pub agreements: Arc<Agreements>,
    pub ids: Arc<Mutex<Ids>>,
    pub turns: Arc<Turns>,
    /// What the alerts of others mean.
    pub alerts: Arc<AlertsConfig>,
    /// What is counted for `/metrics`.
    pub tally: Arc<Tally>,
    /// Ends the streams, which would otherwise keep a shutdown waiting for ever.
    pub stop: CancellationToken,
}

impl Door {
    /// The records, or that there are none at hand.
    pub(super) fn store(&self) -> Result<&dyn Store, Problem> {
        self.store.as_deref().ok_or_else(|| Problem::unavailable("there are no records at hand"))
    }

    /// A new id for what this door begins.
    pub(super) fn new_id(&self) -> Uuid {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(clock::now())
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.handle.snapshots.borrow())
    }

    /// Gives a command in the caller's name.
    pub(super) async fn order(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Accepted, Problem> {
        let ordered = Ordered { actor: caller.name.clone(), command };
        Ok(self.handle.order(ordered).await?)
    }

    /// The incident of a number, a name or an id, as it stands now; ended ones come from the records.
    pub(super) async fn incident(&self, named: &str) -> Result<Arc<Incident>, Problem> {
        let none = || Problem::not_found(format!("there is no incident `{}`", shortened(named)));
        let id = named.parse::<Uuid>().ok().map(IncidentId);
        let number = parse_incident_name(named);
        let snapshot = self.snapshot();
        let is_it = |known: &&Arc<Incident>| Some(known.id) == id || Some(known.number) == number;
        if let Some(known) = snapshot.incidents.iter().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let _turn = reading().await;
        let number = match (number, id) {
            (Some(number), _) if i64::try_from(number).is_ok() => number,
            (None, Some(id)) => self.number_of(id).await?.ok_or_else(none)?,
            _ => return Err(none()),
        };
        self.store()?.incident(number).await?.map(Arc::new).ok_or_else(none)
    }

    async fn number_of(&self, id: IncidentId) -> Result<Option<u64>, Problem> {
        use crate::domain::event::EventBody;
        let events = self.store()?.incident_events(id).await?;
        Ok(events.iter().find_map(|raw| match raw.event().ok()?.body {
            EventBody::IncidentOpened { incident, .. } => Some(incident.number),
            _ => None,
        }))
    }

    /// The server of a target's name.
    pub(super) fn server(&self, name: &str) -> Result<&Server, Problem> {
        let found = self.servers.iter().find(|server| server.target.id.as_str() == name);
        found.ok_or_else(|| Problem::not_found(self.no_target(name)))
    }

    /// "there is no target `x`; watched are: redis-test"
    pub(super) fn no_target(&self, name: &str) -> String {
        let snapshot = self.snapshot();
        let names: Vec<_> = snapshot.targets.iter().map(|view| view.target.id.as_str()).collect();
        format!("there is no target `{}`; watched are: {}", shortened(name), names.join(", "))
    }

    /// The watched target of that name.
    pub(super) fn watched(&self, name: &str) -> Option<TargetId> {
        let snapshot = self.snapshot();
        let mut ids = snapshot.targets.iter().map(|view| &view.target.id);
        ids.find(|id| id.as_str() == name).cloned()
    }
}

/// What somebody wrote, fit to be repeated in a sentence.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 64;
    let clean = crate::narrate::clean(text);
    if clean.chars().count() <= SHOWN {
        return clean;
    }
    clean.chars().take(SHOWN).chain(['…']).collect()
}
