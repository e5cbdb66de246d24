//! One event, counted.

use std::sync::PoisonError;

use chrono::TimeDelta;
use prometheus_client::metrics::histogram::Histogram;
use uuid::Uuid;

use super::books::{Books, Known};
use super::{RESULTS, Tally, UNKNOWN};
use crate::api::metrics::labels;
use crate::domain::consult::Spend;
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Approval, Decision, StepRun};
use crate::domain::ids::CauseId;
use crate::domain::incident::Incident;
use crate::domain::step::actor;

impl Tally {
    /// Remembers incidents that were open before.
    pub(super) fn know<'a>(&self, incidents: impl Iterator<Item = &'a Incident>) {
        self.with_books(|books| {
            incidents.filter(|incident| incident.is_open()).for_each(|one| books.know(one));
        });
    }

    /// Counts one event; of most kinds nothing is counted.
    pub(in crate::api::metrics) fn note(&self, event: &Event) {
        match &event.body {
            EventBody::IncidentOpened { incident, .. } => self.opened(incident),
            EventBody::Diagnosed { diagnosis, .. } => {
                let cause = diagnosis.leading().map(|judged| judged.cause.clone());
                self.on_known(event, |known| known.cause = cause);
            }
            EventBody::Decided { approval, .. } => self.decided(event, approval),
            EventBody::IncidentResolved { .. } => self.resolved(event),
            EventBody::IncidentFailed { .. } => {
                let cause = self.on_known(event, |known| known.cause.clone()).flatten();
                self.failed.get_or_create(&labels([("cause", named(cause.as_ref()))])).inc();
            }
            EventBody::ActionStarted { run, .. } => self.started(event, run),
            EventBody::ActionFinished { run, end, .. } => self.finished(*run, end.ok),
            EventBody::Verified { verification, .. } => {
                let result = result(verification.passed());
                self.verifications.get_or_create(&labels([("result", result)])).inc();
            }
            EventBody::InjectionStarted { injection } => {
                let fault = injection.fault.as_str();
                self.injections.get_or_create(&labels([("fault", fault)])).inc();
            }
            EventBody::ModelAsked { exchange, .. } => self.paid(exchange.spend),
            EventBody::ModelJudged { verdict, .. } => {
                let result = if verdict.accepted { "accepted" } else { "refused" };
                self.model_answers.get_or_create(&labels([("result", result)])).inc();
            }
            _ => {}
        }
    }

    fn opened(&self, incident: &Incident) {
        let severity = incident.severity.as_str();
        self.opened.get_or_create(&labels([("severity", severity)])).inc();
        if incident.finding.is_measured() {
            observe(&self.detection, incident.opened_at - incident.first_bad_at);
        }
        self.with_books(|books| books.know(incident));
    }

    fn decided(&self, event: &Event, approval: &Approval) {
        let decision = approval.decision.as_str();
        self.decisions.get_or_create(&labels([("decision", decision)])).inc();
        if !matches!(approval.decision, Decision::Approved { .. } | Decision::Denied { .. }) {
            return;
        }
        let first = self.on_known(event, |known| {
            let is_first = !std::mem::replace(&mut known.is_acknowledged, true);
            is_first.then_some(known.opened_at)
        });
        if let Some(opened_at) = first.flatten() {
            observe(&self.acknowledgement, event.at - opened_at);
        }
    }

    fn resolved(&self, event: &Event) {
        let known = event.incident.and_then(|id| self.with_books(|books| books.close(id)));
        let by = match event.actor.as_str() {
            actor::AGENT => "agent",
            actor::DETECTOR | actor::ENGINE | actor::WATCHDOG => "itself",
            _ => "operator",
        };
        let cause = known.as_ref().and_then(|known| known.cause.as_ref());
        self.resolved.get_or_create(&labels([("by", by), ("cause", named(cause))])).inc();
        if let Some(known) = known {
            observe(&self.mitigation, event.at - known.opened_at);
        }
    }

    fn started(&self, event: &Event, run: &StepRun) {
        for result in RESULTS {
            let of = labels([("action", run.action.as_str()), ("result", result)]);
            drop(self.actions.get_or_create(&of));
        }
        if let Some(incident) = event.incident {
            self.with_books(|books| books.running.insert(run.id, (incident, run.action.clone())));
        }
    }

    fn finished(&self, run: Uuid, ok: bool) {
        let known = self.with_books(|books| books.running.remove(&run));
        let action = known.as_ref().map_or(UNKNOWN, |(_, action)| action.as_str());
        self.actions.get_or_create(&labels([("action", action), ("result", result(ok))])).inc();
    }

    fn paid(&self, spend: Spend) {
        self.model_calls.inc();
        let tokens = |direction, count| {
            self.model_tokens.get_or_create(&labels([("direction", direction)])).inc_by(count);
        };
        tokens("input", spend.tokens_in);
        tokens("output", spend.tokens_out);
        self.model_cost.inc_by(spend.micro_usd as f64 / 1e6);
    }

    fn with_books<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn on_known<T>(&self, event: &Event, change: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.with_books(|books| books.incidents.get_mut(&event.incident?).map(change))
    }
}

fn result(ok: bool) -> &'static str {
    RESULTS[usize::from(ok)]
}

fn named(cause: Option<&CauseId>) -> &str {
    cause.map_or(UNKNOWN, CauseId::as_str)
}

/// Clocks of two machines may disagree.
fn observe(histogram: &Histogram, took: TimeDelta) {
    histogram.observe(took.to_std().map_or(0.0, |took| took.as_secs_f64()));
}
