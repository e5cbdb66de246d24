//! Alerts of a monitoring system. One that stands for a symptom that is known here belongs to that incident; any
//! other opens one, as what somebody outside noticed, which a symptom of ours that is found later takes over.
//!
//! It ends when every alert of it is over and what is measured here is well too.

use super::{Turn, actor};
use crate::domain::alert::Alert;
use crate::domain::effect::{Accepted, Command, Refused};
use crate::domain::event::EventBody;
use crate::domain::finding::FindingKind;
use crate::domain::ids::{IncidentId, incident_name};
use crate::domain::incident::{Incident, Status};

/// More alerts than this are not kept apart in one incident.
const MOST: usize = 100;

impl Turn<'_> {
    pub(super) fn alert(&mut self, by: &str, alert: Alert) -> Result<Accepted, Refused> {
        alert.check().map_err(Refused::because)?;
        let known = self.world.ledger.incidents.values().find(|incident| incident.knows(&alert));
        let Some(known) = known else { return self.first_heard(by, alert) };
        let (id, number) = (known.id, known.number);
        let stands = known.alerts.iter().any(|one| one.is_of(&alert) && one.is_firing);
        let name = incident_name(number);
        if stands == alert.is_firing || !known.is_open() {
            return Ok(accepted(format!("{name} has that already"), Some(number)));
        }
        let over = !alert.is_firing;
        self.emit_on(id, by, EventBody::AlertReceived { alert: Box::new(alert) });
        if over {
            self.end_if_unwatched(id, by);
        }
        let message = if over { "is over" } else { "is firing again" };
        Ok(accepted(format!("noted on {name}: the alert {message}"), Some(number)))
    }

    fn first_heard(&mut self, by: &str, alert: Alert) -> Result<Accepted, Refused> {
        if !alert.is_firing {
            return Ok(accepted(format!("`{}` is over and was not known here", alert.name), None));
        }
        let ours =
            alert.finding.and_then(|kind| self.world.ledger.open_in_family(&alert.target, kind));
        if let Some((id, number)) = ours.map(|incident| (incident.id, incident.number)) {
            return Ok(self.attach(by, id, number, alert));
        }
        let open = self.world.ledger.open_in_family(&alert.target, FindingKind::Noticed);
        if let Some((id, number)) = open.map(|incident| (incident.id, incident.number)) {
            return Ok(self.attach(by, id, number, alert));
        }
        let opened = self.command(by, Command::Notice { notice: alert.as_notice() })?;
        let number = opened.incident.unwrap_or_default();
        if let Some(id) = self.world.ledger.by_number(number).map(|incident| incident.id) {
            self.emit_on(id, by, EventBody::AlertReceived { alert: Box::new(alert) });
        }
        Ok(opened)
    }

    fn attach(&mut self, by: &str, id: IncidentId, number: u64, alert: Alert) -> Accepted {
        let name = incident_name(number);
        let held = self.incident(id).map_or(0, |incident| incident.alerts.len());
        if held >= MOST {
            let message = format!("{name} has {held} alerts already; this one is not kept apart");
            return accepted(message, Some(number));
        }
        let message = format!("`{}` belongs to {name}", alert.name);
        self.emit_on(id, by, EventBody::AlertReceived { alert: Box::new(alert) });
        accepted(message, Some(number))
    }

    /// Where nothing is measured there is nothing to wait for.
    fn end_if_unwatched(&mut self, id: IncidentId, by: &str) {
        let Some(incident) = self.incident(id) else { return };
        if !incident.ends_with_its_alerts() || self.world.watches.contains_key(&incident.target) {
            return;
        }
        let health = self.world.health(&incident.target);
        let reason = format!("{by} says it is over; {} is not watched here", incident.target);
        self.emit_on(id, by, EventBody::IncidentResolved { health, reason });
        self.report(id);
    }

    /// A symptom of ours explains what was only said before: the incident goes on as that.
    pub(super) fn take_over(&mut self, id: IncidentId) {
        let is_failed = self.incident(id).is_some_and(|incident| incident.status == Status::Failed);
        if is_failed {
            let why = "a symptom that is measured explains it";
            self.move_to(id, actor::ENGINE, Status::Investigating, why);
            self.investigate(id, None);
        }
    }
}

impl Incident {
    fn knows(&self, alert: &Alert) -> bool {
        self.alerts.iter().any(|one| one.is_of(alert))
    }

    /// Whether alerts opened it, and every one of them is over.
    pub(super) fn ends_with_its_alerts(&self) -> bool {
        self.finding == FindingKind::Noticed
            && self.alerts.iter().any(|alert| alert.source == self.source)
            && !self.is_still_said()
    }

    /// Whether an alert about it fires.
    pub(super) fn is_still_said(&self) -> bool {
        self.alerts.iter().any(|alert| alert.is_firing)
    }
}

fn accepted(message: String, incident: Option<u64>) -> Accepted {
    Accepted { message, incident, injection: None }
}
