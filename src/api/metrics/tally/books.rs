//! What has to be remembered of open incidents, so that their end can be counted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::ids::{ActionId, CauseId, IncidentId};
use crate::domain::incident::Incident;

/// Open incidents, and actions that run.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) incidents: BTreeMap<IncidentId, Known>,
    pub(super) running: BTreeMap<Uuid, (IncidentId, ActionId)>,
}

/// What is remembered of an open incident.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) opened_at: DateTime<Utc>,
    pub(super) is_acknowledged: bool,
    pub(super) cause: Option<CauseId>,
}

impl Known {
    pub(super) fn of(incident: &Incident) -> Self {
        Self {
            opened_at: incident.opened_at,
            is_acknowledged: incident.acknowledged_at.is_some(),
            cause: incident.cause().cloned(),
        }
    }
}

impl Books {
    /// Takes over an incident from before, with the action that runs for it.
    pub(super) fn know(&mut self, incident: &Incident) {
        self.incidents.entry(incident.id).or_insert_with(|| Known::of(incident));
        let steps = incident.executions.iter().flat_map(|execution| &execution.steps);
        for run in steps.filter(|run| run.end.is_none()) {
            self.running.insert(run.id, (incident.id, run.action.clone()));
        }
    }

    /// The incident is over, and with it whatever still seemed to run.
    pub(super) fn close(&mut self, incident: IncidentId) -> Option<Known> {
        self.running.retain(|_, (of, _)| *of != incident);
        self.incidents.remove(&incident)
    }
}
