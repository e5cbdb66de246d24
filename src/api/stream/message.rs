//! What a stream tells: every event with a sentence, a line of the agent's log with everything that belongs to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::events::CutOff;
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{ExecutionState, Phase, PhaseLine};
use crate::domain::health::Health;
use crate::domain::ids::{ExecutionId, IncidentId, incident_name};
use crate::domain::incident::Incident;
use crate::narrate;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub(super) enum Message {
    Event(EventMessage),
    Phase(Box<PhaseMessage>),
    /// What was asked for by a message is under way.
    Accepted {
        message: String,
    },
    /// The execution that was followed is over.
    End {
        /// The last event of it.
        seq: u64,
        incident: String,
        state: ExecutionState,
        error: Option<String>,
    },
    /// The stream could not go on: `after` is where to go on from.
    CutOff {
        missed: Option<u64>,
        reason: String,
        after: Option<u64>,
    },
    /// What was asked for was not done.
    Problem {
        status: u16,
        detail: String,
    },
}

impl Message {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The event it tells of, where a reader goes on from.
    pub(super) fn seq(&self) -> Option<u64> {
        match self {
            Self::Event(event) => Some(event.seq),
            Self::Phase(phase) => Some(phase.seq),
            Self::End { seq, .. } => Some(*seq),
            Self::Accepted { .. } | Self::CutOff { .. } | Self::Problem { .. } => None,
        }
    }

    /// The word in front of it where it is not in the message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Phase(_) => "phase",
            Self::Accepted { .. } => "accepted",
            Self::End { .. } => "end",
            Self::CutOff { .. } => "cut_off",
            Self::Problem { .. } => "problem",
        }
    }

    pub(super) fn cut_off(cut: CutOff, after: Option<u64>) -> Self {
        Self::CutOff { missed: cut.missed, reason: cut.reason, after }
    }
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct EventMessage {
    seq: u64,
    at: DateTime<Utc>,
    kind: String,
    incident: Option<String>,
    incident_id: Option<Uuid>,
    target: Option<String>,
    actor: String,
    /// What it says to a person; `null` for what tells nobody anything.
    text: Option<String>,
    #[schema(value_type = Object)]
    body: Value,
}

/// One line of the agent's log, with what ran and what it left behind.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct PhaseMessage {
    pub(super) seq: u64,
    timestamp: DateTime<Utc>,
    incident: Option<String>,
    incident_id: Option<Uuid>,
    execution_id: Uuid,
    target: Option<String>,
    actor: String,
    pub(super) phase: Phase,
    text: String,
    /// `running`, `success` or `failed`, where something runs or ran.
    status: Option<&'static str>,
    command: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    exit_code: Option<i64>,
    duration_ms: Option<u64>,
    health: Option<u8>,
    health_before: Option<u8>,
    health_after: Option<u8>,
}

/// The action of an execution that runs, or ran last.
#[derive(Clone, Debug, Default)]
struct Running {
    command: String,
    ok: Option<bool>,
    before: Option<u8>,
    after: Option<u8>,
}

/// Turns events into messages; what a message needs of earlier events it remembers.
#[derive(Debug, Default)]
pub(super) struct Teller {
    names: BTreeMap<IncidentId, String>,
    running: BTreeMap<ExecutionId, Running>,
}

impl Teller {
    pub(super) fn knowing<'a>(incidents: impl IntoIterator<Item = &'a Incident>) -> Self {
        let names = incidents.into_iter().map(|one| (one.id, one.name())).collect();
        Self { names, running: BTreeMap::new() }
    }

    pub(super) fn tell(&mut self, event: &Event) -> Message {
        self.learn(event);
        match &event.body {
            EventBody::Phase { execution, line } => {
                Message::Phase(Box::new(self.phase(event, *execution, line)))
            }
            _ => Message::Event(self.event(event)),
        }
    }

    fn learn(&mut self, event: &Event) {
        match &event.body {
            EventBody::IncidentOpened { incident, .. } => {
                self.names.insert(incident.id, incident_name(incident.number));
            }
            EventBody::ActionStarted { execution, run } => {
                let (command, before) = (run.command.clone(), run.health_before.score());
                let running = Running { command, before, ..Running::default() };
                self.running.insert(*execution, running);
            }
            EventBody::ActionFinished { execution, end, .. } => {
                if let Some(running) = self.running.get_mut(execution) {
                    running.ok = Some(end.ok);
                    running.after = end.health_after.score();
                }
            }
            EventBody::ExecutionEnded { execution, .. } => {
                self.running.remove(execution);
            }
            _ => {}
        }
    }

    fn name(&self, event: &Event) -> Option<String> {
        event.incident.and_then(|id| self.names.get(&id).cloned())
    }

    fn event(&self, event: &Event) -> EventMessage {
        EventMessage {
            seq: event.seq,
            at: event.at,
            kind: event.body.kind().to_owned(),
            incident: self.name(event),
            incident_id: event.incident.map(|id| id.0),
            target: event.target.as_ref().map(ToString::to_string),
            actor: event.actor.clone(),
            text: narrate::words(event).map(|(_, text)| text),
            body: without_undo_data(&event.body),
        }
    }

    fn phase(&self, event: &Event, execution: ExecutionId, line: &PhaseLine) -> PhaseMessage {
        let running = self.running.get(&execution);
        let about = running.filter(|_| matches!(line.phase, Phase::Executing | Phase::Result));
        let output = line.output.as_ref();
        PhaseMessage {
            seq: event.seq,
            timestamp: event.at,
            incident: self.name(event),
            incident_id: event.incident.map(|id| id.0),
            execution_id: execution.0,
            target: event.target.as_ref().map(ToString::to_string),
            actor: event.actor.clone(),
            phase: line.phase,
            text: line.text.clone(),
            status: status(line.phase, running),
            command: line.command.clone().or_else(|| about.map(|one| one.command.clone())),
            stdout: output.map(|output| output.stdout.clone()),
            stderr: output.map(|output| output.stderr.clone()),
            exit_code: output.and_then(|output| output.exit_code),
            duration_ms: output.map(|output| output.duration_ms),
            health: line.health.and_then(Health::score),
            health_before: running.and_then(|one| one.before),
            health_after: running.and_then(|one| one.after),
        }
    }
}

fn status(phase: Phase, running: Option<&Running>) -> Option<&'static str> {
    match phase {
        Phase::Executing | Phase::Verifying => Some("running"),
        Phase::Result => Some(match running?.ok {
            Some(true) => "success",
            Some(false) => "failed",
            None => "running",
        }),
        Phase::Complete => Some("success"),
        Phase::Error => Some("failed"),
        Phase::Thinking | Phase::Command | Phase::Verification | Phase::Operator => None,
    }
}

/// What was saved for an undo is the server's own data, and stays in the records.
fn without_undo_data(body: &EventBody) -> Value {
    let mut value = json!(body);
    for pointer in ["/run/undo_data"] {
        if let Some(saved) = value.pointer_mut(pointer) {
            *saved = json!({});
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn phase(seq: u64, line: PhaseLine) -> Event {
        let execution = ExecutionId(Uuid::from_u128(4));
        let mut event = example::event(0, "agent", EventBody::Phase { execution, line });
        event.seq = seq;
        event
    }

    fn told(teller: &mut Teller, event: &Event) -> Value {
        serde_json::from_str(&teller.tell(event).text()).unwrap()
    }

    #[test]
    fn a_line_of_the_log_says_what_ran_and_what_it_changed() {
        let incident = example::incident();
        let mut teller = Teller::knowing([&incident]);
        let execution = ExecutionId(Uuid::from_u128(4));
        let run = example::step_run();
        let started = EventBody::ActionStarted { execution, run: run.clone() };
        told(&mut teller, &example::event(0, "agent", started));
        let line = PhaseLine::say(Phase::Executing, "action 1/1  unlink_keys");
        let executing = told(&mut teller, &phase(7, line));
        assert_eq!(executing["type"], "phase");
        assert_eq!((&executing["seq"], &executing["status"]), (&json!(7), &json!("running")));
        assert_eq!(executing["command"], run.command);
        assert_eq!(executing["health_before"], 0);

        let end = example::step_end();
        let output = Some(end.output.clone());
        let finished = EventBody::ActionFinished { execution, run: run.id, end };
        told(&mut teller, &example::event(0, "agent", finished));
        let line = PhaseLine { output, ..PhaseLine::say(Phase::Result, "ok") };
        let result = told(&mut teller, &phase(8, line));
        assert_eq!((&result["status"], &result["exit_code"]), (&json!("success"), &json!(0)));
        assert_eq!((&result["health_after"], &result["duration_ms"]), (&json!(96), &json!(1352)));
    }

    #[test]
    fn what_an_undo_needs_stays_in_the_records() {
        let execution = ExecutionId(Uuid::from_u128(4));
        let mut run = example::step_run();
        run.undo_data.insert("acl".into(), json!("user app on >hunter2"));
        let event = example::event(0, "agent", EventBody::ActionStarted { execution, run });
        let text = Teller::default().tell(&event).text();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("\"kind\":\"action_started\""), "{text}");
    }
}
