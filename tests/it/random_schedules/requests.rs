//! Whether the schedules reach what people ask for.

use std::collections::BTreeSet;

use simctl::domain::event::{Event, EventBody};
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::IncidentId;

/// How what people asked for went, over all schedules.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) opened: BTreeSet<IncidentId>,
    pub(super) ran: usize,
    pub(super) withdrawn: usize,
    pub(super) failed: usize,
}

impl Requests {
    pub(super) fn note(&mut self, event: &Event) {
        let Some(id) = event.incident else { return };
        match &event.body {
            EventBody::IncidentOpened { incident, .. }
                if incident.finding == FindingKind::Requested =>
            {
                self.opened.insert(id);
            }
            body if self.opened.contains(&id) => match body {
                EventBody::ActionStarted { .. } => self.ran += 1,
                EventBody::IncidentFailed { .. } => self.failed += 1,
                EventBody::IncidentResolved { reason, .. } if reason.starts_with("nothing ran") => {
                    self.withdrawn += 1;
                }
                _ => {}
            },
            _ => {}
        }
    }
}
