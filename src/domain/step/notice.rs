//! An incident from outside. What is watched is looked into like anything else; for the rest it waits for a person.
//!
//! One is open for each target at most: what is said meanwhile adds to it. No symptom of ours opened it, so none that
//! is gone ends it: people do, and whoever said so when they take it back.

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Refused};
use crate::domain::event::EventBody;
use crate::domain::finding::{Finding, FindingKind};
use crate::domain::ids::incident_name;
use crate::domain::incident::{Incident, RemediationMode};
use crate::domain::notice::Notice;

impl Turn<'_> {
    pub(super) fn notice(&mut self, by: &str, notice: Notice) -> Result<Accepted, Refused> {
        notice.check().map_err(Refused::because)?;
        let Notice { target, severity, message, source, team, error_lines } = notice;
        let sentence = message;
        let finding = Finding {
            kind: FindingKind::Noticed,
            severity,
            sentence,
            error_lines,
            since: self.now,
        };
        let known = self.world.ledger.open_in_family(&target, finding.kind);
        if let Some((id, number)) = known.map(|known| (known.id, known.number)) {
            self.emit_on(id, by, EventBody::IncidentRecurred { finding });
            let name = incident_name(number);
            let message = format!("{name} is open for {target} already; this was added to it");
            return Ok(Accepted { message, incident: Some(number), injection: None });
        }
        let opened = self.new_incident(&target, &finding);
        let incident = Incident {
            source: said(source).unwrap_or_else(|| by.to_owned()),
            team: said(team),
            remediation: with_a_person(opened.remediation),
            ..opened
        };
        let (id, number) = (incident.id, incident.number);
        let is_watched = self.world.watches.contains_key(&target);
        let looks = is_watched && incident.remediation != RemediationMode::Manual;
        let body = EventBody::IncidentOpened { incident: Box::new(incident), finding };
        self.emit(Some(id), Some(target.clone()), by, body);
        if looks {
            self.investigate(id, None);
        } else if !is_watched {
            self.fail(id, actor::ENGINE, &format!("{target} is not watched here"));
        }
        let name = incident_name(number);
        let next = if looks { "it is being looked into" } else { "it waits for a person" };
        let message = format!("{name} is open for {target}; {next}");
        Ok(Accepted { message, incident: Some(number), injection: None })
    }
}

/// A name of nothing but blanks is none.
fn said(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.trim().is_empty())
}

/// What somebody said starts nothing by itself, whatever the policy calls automatic.
fn with_a_person(mode: RemediationMode) -> RemediationMode {
    match mode {
        RemediationMode::Automatic => RemediationMode::Approval,
        RemediationMode::Approval | RemediationMode::Advisory | RemediationMode::Manual => mode,
    }
}
