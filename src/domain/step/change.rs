//! What a person changes about an incident by hand, all of it or nothing.

use super::Turn;
use crate::domain::change::Change;
use crate::domain::effect::{Accepted, Refused};
use crate::domain::event::EventBody;
use crate::domain::ids::incident_name;
use crate::domain::incident::{Incident, Status};

impl Turn<'_> {
    pub(super) fn change(
        &mut self,
        by: &str,
        number: u64,
        change: Change,
    ) -> Result<Accepted, Refused> {
        change.check().map_err(Refused::because)?;
        let (id, _) = self.recent_incident(number)?;
        let Some(incident) = self.incident(id) else { return Err(gone(number)) };
        let name = incident_name(number);
        if change.as_of.is_some_and(|as_of| as_of != incident.updated_at) {
            return Err(Refused::because(format!("{name} changed meanwhile; read it again")));
        }
        if let Some(to) = change.status {
            self.may_move(incident, to)?;
        }
        let severity = change.severity.unwrap_or(incident.severity);
        let team = match change.team {
            Some(team) => Some(team).filter(|team| !team.is_empty()),
            None => incident.team.clone(),
        };
        let is_amended = severity != incident.severity || team != incident.team;
        let status = change.status.filter(|to| *to != incident.status);
        if let Some(to) = status {
            self.move_by_hand(by, number, to, &change.reason)?;
        }
        if is_amended {
            let reason = change.reason;
            self.emit_on(id, by, EventBody::IncidentAmended { severity, team, reason });
        }
        if let Some(text) = change.note {
            self.emit_on(id, by, EventBody::IncidentNoted { text });
        }
        let message = format!("{name} is changed");
        Ok(Accepted { message, incident: Some(number), injection: None })
    }

    /// Fixing is what an approval leads to and triage is where all begin; nobody sets them by hand.
    fn may_move(&self, incident: &Incident, to: Status) -> Result<(), Refused> {
        let (name, from) = (incident.name(), incident.status);
        if from == to {
            return Ok(());
        }
        let acting = self.world.ledger.acting_on(&incident.target);
        if acting.is_some_and(|(busy, _)| busy.id == incident.id) {
            return Err(Refused::because(format!(
                "an action still runs for {name}; wait for its end"
            )));
        }
        let by_hand = matches!(to, Status::Resolved | Status::Investigating | Status::Failed);
        if by_hand && from.may_become(to) {
            return Ok(());
        }
        let (from, to) = (from.as_str(), to.as_str());
        Err(Refused::because(format!("{name} is {from}; it cannot be made {to} by hand")))
    }

    fn move_by_hand(
        &mut self,
        by: &str,
        number: u64,
        to: Status,
        reason: &str,
    ) -> Result<(), Refused> {
        match to {
            Status::Resolved => self.resolve(by, number, reason).map(drop),
            Status::Investigating => self.retry(by, number).map(drop),
            Status::Failed => {
                let (id, _) = self.recent_incident(number)?;
                self.cancel_active(id, &format!("{by} takes it over"));
                let reason = if reason.is_empty() { "taken over by hand" } else { reason };
                self.fail(id, by, reason);
                Ok(())
            }
            Status::Triage | Status::Fixing => Ok(()),
        }
    }
}

fn gone(number: u64) -> Refused {
    Refused::because(format!("{} is gone", incident_name(number)))
}
