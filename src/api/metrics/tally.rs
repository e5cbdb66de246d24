//! What is counted as events happen, since this engine started, and how the store answers.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Series, labels};
use crate::domain::finding::Severity;
use books::Books;

mod books;
mod follow;
mod note;

const UNKNOWN: &str = "unknown";
const RESULTS: [&str; 2] = ["failed", "success"];
const DETECTION: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const MINUTES: [f64; 11] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];

type Counts = Series<Counter>;

/// Everything that is counted.
#[derive(Debug)]
pub struct Tally {
    opened: Counts,
    resolved: Counts,
    failed: Counts,
    detection: Histogram,
    acknowledgement: Histogram,
    mitigation: Histogram,
    actions: Counts,
    decisions: Counts,
    verifications: Counts,
    injections: Counts,
    model_calls: Counter,
    model_answers: Counts,
    model_tokens: Counts,
    model_cost: Counter<f64, AtomicU64>,
    missed: Counter,
    store_failures: Counter,
    /// How long the store took to answer last; none before it has.
    store_took: Mutex<Option<Duration>>,
    books: Mutex<Books>,
}

impl Default for Tally {
    fn default() -> Self {
        let tally = Self {
            opened: Counts::default(),
            resolved: Counts::default(),
            failed: Counts::default(),
            detection: Histogram::new(DETECTION),
            acknowledgement: Histogram::new(MINUTES),
            mitigation: Histogram::new(MINUTES),
            actions: Counts::default(),
            decisions: Counts::default(),
            verifications: Counts::default(),
            injections: Counts::default(),
            model_calls: Counter::default(),
            model_answers: Counts::default(),
            model_tokens: Counts::default(),
            model_cost: Counter::default(),
            missed: Counter::default(),
            store_failures: Counter::default(),
            store_took: Mutex::default(),
            books: Mutex::default(),
        };
        tally.begin();
        tally
    }
}

impl Tally {
    /// What there is few of begins at zero, so that the first one shows as a rise.
    fn begin(&self) {
        let begin = |counts: &Counts, label: &'static str, values: &[&str]| {
            for value in values {
                drop(counts.get_or_create(&labels([(label, value)])));
            }
        };
        begin(&self.opened, "severity", &Severity::ALL.map(Severity::as_str));
        let decisions = ["approved", "automatic", "denied", "expired", "superseded"];
        begin(&self.decisions, "decision", &decisions);
        begin(&self.verifications, "result", &RESULTS);
        begin(&self.model_tokens, "direction", &["input", "output"]);
        begin(&self.model_answers, "result", &["accepted", "refused"]);
        for by in ["agent", "operator", "itself"] {
            drop(self.resolved.get_or_create(&labels([("by", by), ("cause", UNKNOWN)])));
        }
    }

    /// Adds all of it; what is counted goes on counting.
    pub(super) fn register(&self, to: &mut Registry) {
        self.register_incidents(to);
        self.register_agent(to);
        let help = "Events that the counters here missed, because they came too fast";
        to.register("simctl_events_missed", help, self.missed.clone());
        let help = "Looks at the store that failed or took too long";
        to.register("simctl_store_failures", help, self.store_failures.clone());
        let took = *self.store_took.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(took) = took {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(took.as_secs_f64());
            let help = "How long the store took to answer when it was last looked at";
            to.register_with_unit("simctl_store_round_trip", help, Unit::Seconds, gauge);
        }
    }

    fn register_incidents(&self, to: &mut Registry) {
        let help = "Incidents that were opened";
        to.register("simctl_incidents_opened", help, self.opened.clone());
        let help = "Incidents that were resolved, by what ended them";
        to.register("simctl_incidents_resolved", help, self.resolved.clone());
        let help = "Incidents that were handed to a person";
        to.register("simctl_incidents_failed", help, self.failed.clone());
        let mut seconds = |name: &str, help: &str, histogram: &Histogram| {
            to.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        let help = "From the first bad sample to the incident";
        seconds("simctl_incident_detection", help, &self.detection);
        let help = "From the incident to the first decision of a person";
        seconds("simctl_incident_acknowledgement", help, &self.acknowledgement);
        let help = "From the incident to its end";
        seconds("simctl_incident_mitigation", help, &self.mitigation);
        to.register("simctl_injections_started", "Faults caused", self.injections.clone());
    }

    fn register_agent(&self, to: &mut Registry) {
        to.register("simctl_actions", "Actions that ended, by result", self.actions.clone());
        to.register("simctl_approvals", "Decisions about proposals", self.decisions.clone());
        let help = "Proofs of a fix by measurement, by result";
        to.register("simctl_verifications", help, self.verifications.clone());
        to.register("simctl_agent_requests", "Calls to a model", self.model_calls.clone());
        let help = "Answers of a model, by whether the playbook took them";
        to.register("simctl_agent_answers", help, self.model_answers.clone());
        let help = "Tokens that a model read and wrote";
        to.register("simctl_agent_tokens", help, self.model_tokens.clone());
        let dollars = Unit::Other("dollars".into());
        let help = "What asking models cost, by the prices of the configuration";
        to.register_with_unit("simctl_agent_cost", help, dollars, self.model_cost.clone());
    }
}
