//! One record of the ordered log. Everything durable is derived from these, and nothing else changes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::alert::Alert;
use super::consult::{Exchange, Verdict};
use super::diagnosis::Diagnosis;
use super::execution::{Approval, ExecutionState, PhaseLine, StepEnd, StepRun, Verification};
use super::finding::{Finding, Severity};
use super::health::Health;
use super::ids::{ExecutionId, IncidentId, InjectionId, TargetId};
use super::incident::{Incident, Status, Tried};
use super::injection::{Injection, InjectionState};
use super::job::{Job, JobEnd};
use super::proposal::{Proposal, hex};
use super::sample::RuntimeEvent;

/// What happened. The variant's name in snake case is the event's kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventBody {
    EngineStarted {
        version: String,
        holder: String,
    },
    EngineStopped {
        reason: String,
    },
    StoreLost {
        reason: String,
    },
    StoreReturned {
        merged: u64,
    },
    /// The settings of a healthy target that diagnoses compare with later.
    BaselineRecorded {
        settings: BTreeMap<String, String>,
    },
    RuntimeObserved {
        event: RuntimeEvent,
    },
    IncidentOpened {
        incident: Box<Incident>,
        finding: Finding,
    },
    /// The same problem reached a later stage.
    IncidentEscalated {
        finding: Finding,
        health: Health,
    },
    /// The symptom came back while the incident was open.
    IncidentRecurred {
        finding: Finding,
    },
    StatusChanged {
        from: Status,
        to: Status,
        reason: String,
    },
    IncidentNoted {
        text: String,
    },
    /// A person changed how bad it is or whose it is: as it is afterwards.
    IncidentAmended {
        severity: Severity,
        team: Option<String>,
        reason: String,
    },
    /// A monitoring system says that an alert about it fires, or is over.
    AlertReceived {
        alert: Box<Alert>,
    },
    IncidentResolved {
        health: Health,
        reason: String,
    },
    IncidentFailed {
        reason: String,
    },
    InvestigationStarted {
        execution: ExecutionId,
        agent: String,
        revision: u32,
    },
    Phase {
        execution: ExecutionId,
        line: PhaseLine,
    },
    /// One call to a model, the whole of it. Without an execution: in a person's name, beside investigations.
    ModelAsked {
        #[serde(default)]
        execution: Option<ExecutionId>,
        exchange: Box<Exchange>,
    },
    /// What became of a model's answer.
    ModelJudged {
        #[serde(default)]
        execution: Option<ExecutionId>,
        verdict: Verdict,
    },
    Diagnosed {
        execution: ExecutionId,
        agent: String,
        diagnosis: Diagnosis,
    },
    Proposed {
        execution: ExecutionId,
        proposal: Box<Proposal>,
    },
    Decided {
        execution: ExecutionId,
        approval: Approval,
    },
    /// A decision that was not accepted, and why.
    DecisionRefused {
        reason: String,
    },
    ExecutionMoved {
        execution: ExecutionId,
        to: ExecutionState,
    },
    ActionStarted {
        execution: ExecutionId,
        run: StepRun,
    },
    ActionFinished {
        execution: ExecutionId,
        run: Uuid,
        end: StepEnd,
    },
    /// A person ordered that nothing follows what runs now; with `kill`, that it is dropped too.
    StopOrdered {
        execution: ExecutionId,
        kill: bool,
    },
    Verified {
        execution: ExecutionId,
        verification: Verification,
    },
    /// A person ordered that what an execution did is taken back; `RolledBack` says how it went.
    UndoStarted {
        execution: ExecutionId,
    },
    RolledBack {
        execution: ExecutionId,
        ok: bool,
        detail: String,
    },
    ExecutionEnded {
        execution: ExecutionId,
        state: ExecutionState,
        error: Option<String>,
        tried: Option<Tried>,
    },
    ReportWritten {
        execution: Option<ExecutionId>,
        markdown: String,
    },
    InjectionStarted {
        injection: Injection,
    },
    InjectionMoved {
        injection: InjectionId,
        state: InjectionState,
    },
    /// A job of the workbench that changes something is about to begin.
    JobStarted {
        job: Job,
    },
    JobEnded {
        job: Uuid,
        end: JobEnd,
    },
}

impl EventBody {
    /// The event's kind, as the store and people name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EngineStarted { .. } => "engine_started",
            Self::EngineStopped { .. } => "engine_stopped",
            Self::StoreLost { .. } => "store_lost",
            Self::StoreReturned { .. } => "store_returned",
            Self::BaselineRecorded { .. } => "baseline_recorded",
            Self::RuntimeObserved { .. } => "runtime_observed",
            Self::IncidentOpened { .. } => "incident_opened",
            Self::IncidentEscalated { .. } => "incident_escalated",
            Self::IncidentRecurred { .. } => "incident_recurred",
            Self::StatusChanged { .. } => "status_changed",
            Self::IncidentNoted { .. } => "incident_noted",
            Self::IncidentAmended { .. } => "incident_amended",
            Self::AlertReceived { .. } => "alert_received",
            Self::IncidentResolved { .. } => "incident_resolved",
            Self::IncidentFailed { .. } => "incident_failed",
            Self::InvestigationStarted { .. } => "investigation_started",
            Self::Phase { .. } => "phase",
            Self::ModelAsked { .. } => "model_asked",
            Self::ModelJudged { .. } => "model_judged",
            Self::Diagnosed { .. } => "diagnosed",
            Self::Proposed { .. } => "proposed",
            Self::Decided { .. } => "decided",
            Self::DecisionRefused { .. } => "decision_refused",
            Self::ExecutionMoved { .. } => "execution_moved",
            Self::ActionStarted { .. } => "action_started",
            Self::ActionFinished { .. } => "action_finished",
            Self::StopOrdered { .. } => "stop_ordered",
            Self::Verified { .. } => "verified",
            Self::UndoStarted { .. } => "undo_started",
            Self::RolledBack { .. } => "rolled_back",
            Self::ExecutionEnded { .. } => "execution_ended",
            Self::ReportWritten { .. } => "report_written",
            Self::InjectionStarted { .. } => "injection_started",
            Self::InjectionMoved { .. } => "injection_moved",
            Self::JobStarted { .. } => "job_started",
            Self::JobEnded { .. } => "job_ended",
        }
    }
}

impl EventBody {
    /// The execution after whose event its actions have to wait, or count as failed.
    pub fn moves_breakers_of(&self) -> Option<ExecutionId> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "two kinds move breakers, and no others"
        )]
        match self {
            Self::ExecutionEnded { execution, .. } | Self::RolledBack { execution, .. } => {
                Some(*execution)
            }
            _ => None,
        }
    }
}

/// One record of the log, before it is sealed into the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3 … without a gap.
    pub seq: u64,
    /// Whole microseconds, so that every store keeps it exactly.
    pub at: DateTime<Utc>,
    pub incident: Option<IncidentId>,
    pub target: Option<TargetId>,
    /// `detector`, `agent`, `policy`, `engine`, `watchdog` or a person's name.
    pub actor: String,
    pub body: EventBody,
}

/// A record with its place in the hash chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sealed {
    pub event: Event,
    pub prev_hash: String,
    pub hash: String,
}

/// The end of the chain: what the next record continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub hash: String,
}

impl Head {
    /// Before the first record.
    pub fn genesis() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

/// The columns of a stored record, as they stand in the table: what its hash covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawEvent {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub incident: Option<Uuid>,
    pub target: Option<String>,
    pub actor: String,
    pub body: Value,
    pub prev_hash: String,
    pub hash: String,
}

impl Event {
    /// Places the event after `head`, whose sequence it must continue.
    pub fn seal(mut self, head: &Head) -> Sealed {
        self.seq = head.seq + 1;
        let raw = self.raw(head.hash.clone());
        Sealed { event: self, prev_hash: raw.prev_hash.clone(), hash: raw.expected_hash() }
    }

    fn raw(&self, prev_hash: String) -> RawEvent {
        RawEvent {
            seq: self.seq,
            at: self.at,
            kind: self.body.kind().to_owned(),
            incident: self.incident.map(|id| id.0),
            target: self.target.as_ref().map(|id| without_nul(id.as_str().to_owned())),
            actor: without_nul(self.actor.clone()),
            body: storable(serde_json::to_value(&self.body).unwrap_or_default()),
            prev_hash,
            hash: String::new(),
        }
    }
}

impl Sealed {
    /// The columns to store.
    pub fn raw(&self) -> RawEvent {
        RawEvent { hash: self.hash.clone(), ..self.event.raw(self.prev_hash.clone()) }
    }

    /// The end of the chain after this record.
    pub fn head(&self) -> Head {
        Head { seq: self.event.seq, hash: self.hash.clone() }
    }
}

impl RawEvent {
    /// The hash these columns must have. Object keys are sorted and numbers in their [`storable`] form, so it
    /// survives a store that reorders keys and writes numbers its own way.
    pub fn expected_hash(&self) -> String {
        let body = storable(self.body.clone());
        let covered = serde_json::json!([
            self.seq,
            self.at.timestamp_micros(),
            self.kind,
            self.incident,
            self.target,
            self.actor,
            body,
            self.prev_hash,
        ]);
        hex(&Sha256::digest(covered.to_string()))
    }

    /// Reads the record back as an event.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        Ok(Event {
            seq: self.seq,
            at: self.at,
            incident: self.incident.map(IncidentId),
            target: self.target.as_deref().map(TargetId::from),
            actor: self.actor.clone(),
            body: serde_json::from_value(self.body.clone())?,
        })
    }
}

/// The form of a JSON value that every store gives back unchanged. PostgreSQL's JSON has no NUL, no negative
/// zero and no difference between `5.0` and `5`; reading a decimal number back is exact to 15 digits only.
pub fn storable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(k, v)| (without_nul(k), storable(v))).collect())
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => storable_float(float),
            _ => Value::Number(number),
        },
        other @ (Value::Null | Value::Bool(_)) => other,
    }
}

/// Text without NUL, which PostgreSQL cannot hold; server-borne text may have it.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Whole numbers as integers, others to 15 digits; magnitudes beyond 1e300 either way are cut.
fn storable_float(float: f64) -> Value {
    const HUGE: f64 = 1e300;
    const FITS_U64: f64 = 18_446_744_073_709_551_616.0;
    if float.abs() < HUGE.recip() {
        return Value::from(0);
    }
    let cut = float.clamp(-HUGE, HUGE);
    let short: f64 = format!("{cut:.14e}").parse().unwrap_or(cut);
    if short.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and in range by the guard")]
        #[expect(clippy::cast_sign_loss, reason = "positive by the guard")]
        if (0.0..FITS_U64).contains(&short) {
            return Value::from(short as u64);
        } else if (-FITS_U64 / 2.0..0.0).contains(&short) {
            return Value::from(short as i64);
        }
    }
    Value::from(short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_take_the_form_that_every_store_gives_back() {
        for (given, kept) in [
            (0.1, "0.1"),
            (-0.0, "0"),
            (5.0, "5"),
            (-3.0, "-3"),
            (1e16, "10000000000000000"),
            (1e19, "10000000000000000000"),
            (-1e19, "-1e+19"),
            (1e21, "1e+21"),
            (0.1 + 0.2, "0.3"),
            (5e-324, "0"),
            (f64::MAX, "1e+300"),
            (1.0 / 3.0, "0.333333333333333"),
        ] {
            assert_eq!(storable(Value::from(given)).to_string(), kept, "{given:e}");
        }
        let exact = Value::from(u64::MAX);
        assert_eq!(storable(exact.clone()), exact);
    }

    #[test]
    fn nul_never_reaches_a_store() {
        let kept = storable(serde_json::json!({ "a\0": ["b\0c"] }));
        assert_eq!(kept, serde_json::json!({ "a\u{fffd}": ["b\u{fffd}c"] }));
    }

    proptest! {
        #[test]
        fn any_number_keeps_its_form_through_text(float in any::<f64>().prop_filter("JSON has no such number", |f| f.is_finite())) {
            let once = storable(Value::from(float));
            let read: Value = serde_json::from_str(&once.to_string()).expect("valid JSON");
            prop_assert_eq!(storable(read), once);
        }

        #[test]
        fn any_decimal_notation_of_a_number_keeps_its_form(mantissa in -999_999_999_999_999i64..999_999_999_999_999, places in 0usize..40) {
            let once = storable(Value::from(mantissa as f64 / 10f64.powi(places as i32)));
            // PostgreSQL writes numbers without an exponent.
            let plain = once.as_f64().map_or_else(String::new, |f| format!("{f:.60}"));
            let read: Value = serde_json::from_str(plain.trim_end_matches('0').trim_end_matches('.')).expect("valid JSON");
            prop_assert_eq!(storable(read), once);
        }
    }

    fn event(text: &str) -> Event {
        Event {
            seq: 0,
            at: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            incident: None,
            target: Some(TargetId::of("redis-test")),
            actor: "ops1".into(),
            body: EventBody::IncidentNoted { text: text.into() },
        }
    }

    #[test]
    fn a_chain_continues_from_its_head() {
        let first = event("one").seal(&Head::genesis());
        let second = event("two").seal(&first.head());
        assert_eq!((first.event.seq, second.event.seq), (1, 2));
        assert_eq!(second.prev_hash, first.hash);
        assert_eq!(second.raw().expected_hash(), second.hash);
        assert_eq!(second.raw().event().unwrap(), second.event);
    }

    #[test]
    fn a_change_to_any_column_shows() {
        let sealed = event("one").seal(&Head::genesis());
        let changes: [&dyn Fn(&mut RawEvent); 7] = [
            &|raw| raw.seq = 2,
            &|raw| raw.at += chrono::TimeDelta::microseconds(1),
            &|raw| raw.kind = "phase".into(),
            &|raw| raw.incident = Some(Uuid::nil()),
            &|raw| raw.target = None,
            &|raw| raw.actor = "ops2".into(),
            &|raw| raw.body = serde_json::json!({"kind": "incident_noted", "text": "other"}),
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut raw = sealed.raw();
            change(&mut raw);
            assert_ne!(raw.expected_hash(), sealed.hash, "change {n}");
        }
    }

    #[test]
    fn the_order_of_keys_in_the_body_does_not_matter() {
        let mut raw = event("one").seal(&Head::genesis()).raw();
        raw.body = serde_json::from_str(r#"{"text":"one","kind":"incident_noted"}"#).unwrap();
        assert_eq!(raw.expected_hash(), raw.hash);
    }

    #[test]
    fn text_that_a_store_cannot_hold_is_replaced_before_it_is_hashed() {
        let sealed = event("a\0b").seal(&Head::genesis());
        assert_eq!(sealed.raw().body["text"], "a\u{fffd}b");
        assert_eq!(sealed.raw().expected_hash(), sealed.hash);
    }

    #[test]
    fn the_kind_is_the_name_that_serde_writes() {
        let body = EventBody::EngineStopped { reason: "done".into() };
        assert_eq!(serde_json::to_value(&body).unwrap()["kind"], body.kind());
    }
}
