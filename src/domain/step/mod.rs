//! The decision: one input in, events and effects out. No I/O, no clock, no randomness of its own.
//!
//! | file | decides about |
//! |---|---|
//! | `watch` | samples, findings, opening, escalating and clearing of incidents |
//! | `notice` | what others say is wrong |
//! | `alert` | what monitoring systems say is wrong, and is not any more |
//! | `change` | what people change about an incident by hand |
//! | `request` | what a person asks for: guards, opening, the end of what never ran |
//! | `investigate` | starting an investigation, its result, the proposal |
//! | `decide` | approval, denial, expiry |
//! | `again` | asking and measuring once more because a person wants to know |
//! | `execute` | the steps, the proof, taking back, what comes next |
//! | `inject` | faults we cause: guards, deadline, clearing |
//! | `stop` | ending what goes on because a person says so |
//! | `take_back` | undoing what was done because a person says so |
//! | `recover` | what a new engine does with what it finds, and what takes too long |

use chrono::{DateTime, TimeDelta, Utc};

use super::consult::Record;
use super::effect::{Accepted, Command, Effect, Input, Ordered, Refused};
use super::event::{Event, EventBody};
use super::ids::{ExecutionId, Ids, IncidentId, TargetId};
use super::incident::{Incident, Status};
use super::world::World;
use decide::Read;

mod again;
mod alert;
mod change;
mod decide;
mod execute;
mod inject;
mod investigate;
mod notice;
mod recover;
mod request;
mod stop;
mod take_back;
pub(crate) mod watch;

#[cfg(test)]
mod tests;

/// What one input led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In order; already applied to the world's ledger. Must be durable before any effect is performed.
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    /// The answer to a command, to be given once the events are durable.
    pub reply: Option<Result<Accepted, Refused>>,
}

/// Who an event is from, when no person gave an order.
pub(crate) mod actor {
    pub(crate) const DETECTOR: &str = "detector";
    pub(crate) const AGENT: &str = "agent";
    pub(crate) const POLICY: &str = "policy";
    pub(crate) const ENGINE: &str = "engine";
    pub(crate) const WATCHDOG: &str = "watchdog";
    const THROUGH_AN_AGENT: &str = " through an agent";

    /// What an agent does in somebody's name.
    pub(crate) fn through_an_agent(name: &str) -> String {
        format!("{name}{THROUGH_AN_AGENT}")
    }

    /// Whose doing it is, by their own hands or an agent's.
    pub(crate) fn answerable(name: &str) -> &str {
        name.strip_suffix(THROUGH_AN_AGENT).unwrap_or(name)
    }
}

/// One decision in the making: events are applied as they are emitted, so later parts see earlier ones.
struct Turn<'a> {
    world: &'a mut World,
    now: DateTime<Utc>,
    ids: &'a mut Ids,
    outcome: Outcome,
}

/// Decides what follows from `input`.
pub fn step(world: &mut World, input: Input, now: DateTime<Utc>, ids: &mut Ids) -> Outcome {
    let mut turn = Turn { world, now, ids, outcome: Outcome::default() };
    turn.take(input);
    turn.outcome
}

impl Turn<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Started { version, holder } => self.started(version, holder),
            Input::Stopping { reason } => self.engine_says(EventBody::EngineStopped { reason }),
            Input::StoreLost { reason } => {
                self.world.store_is_away = true;
                self.engine_says(EventBody::StoreLost { reason });
            }
            Input::StoreReturned { merged } => {
                self.world.store_is_away = false;
                self.engine_says(EventBody::StoreReturned { merged });
            }
            Input::Tick => self.tick(),
            Input::Sampled { target, sample } => self.sampled(&target, sample),
            Input::SettingsRead { target, settings } => self.settings_read(&target, settings),
            Input::Runtime { target, event } => self.runtime_spoke(&target, event),
            Input::Command(Ordered { actor, command }) => {
                let reply = self.command(&actor, command);
                self.outcome.reply = Some(reply);
            }
            Input::Inject { actor, fault, target, params, ttl, undo, beside } => {
                let wanted = inject::Wanted { fault, target, params, ttl, undo, beside };
                let reply = self.inject(&actor, wanted);
                self.outcome.reply = Some(reply);
            }
            Input::Requested { actor, target, request, draft } => {
                let reply = self.requested(&actor, &target, request, draft);
                self.outcome.reply = Some(reply);
            }
            Input::InjectionMoved { injection, state } => self.injection_moved(injection, state),
            Input::Phase { incident, execution, line } => {
                if self.is_active(incident, execution) {
                    self.emit_on(incident, actor::AGENT, EventBody::Phase { execution, line });
                }
            }
            Input::Consulted { incident, execution, record } => {
                self.emit_on(incident, actor::AGENT, consulted(Some(execution), record));
            }
            Input::Diagnosed { incident, execution, revision, result } => {
                self.diagnosed(incident, execution, revision, result);
            }
            Input::Rechecked { incident, execution, step, result } => {
                self.rechecked(incident, execution, step, result);
            }
            Input::DryRan { incident, execution, fingerprint, result } => {
                self.dry_ran(incident, execution, &fingerprint, result);
            }
            Input::StepFinished { incident, execution, step, ok, output, health } => {
                self.step_finished(incident, execution, step, ok, output, health);
            }
            Input::Verified { incident, execution, verification } => {
                self.verified(incident, execution, verification);
            }
            Input::Undone { incident, execution, ok, detail } => {
                self.undone(incident, execution, ok, detail);
            }
            Input::Reported { incident, markdown } => {
                let execution =
                    self.incident(incident).and_then(|i| i.executions.last()).map(|e| e.id);
                self.emit_on(
                    incident,
                    actor::ENGINE,
                    EventBody::ReportWritten { execution, markdown },
                );
            }
        }
    }

    fn command(&mut self, by: &str, command: Command) -> Result<Accepted, Refused> {
        match command {
            Command::Approve { incident, fingerprint, typed, seen } => {
                self.approve(by, incident, &fingerprint, Read { typed, seen })
            }
            Command::Reject { incident, fingerprint, reason } => {
                self.reject(by, incident, fingerprint.as_deref(), &reason)
            }
            Command::Notice { notice } => self.notice(by, notice),
            Command::Alert { alert } => self.alert(by, alert),
            Command::Change { incident, change } => self.change(by, incident, change),
            Command::Retry { incident } => self.retry(by, incident),
            Command::Note { incident, text } => self.note(by, incident, text),
            Command::Resolve { incident, reason } => self.resolve(by, incident, &reason),
            Command::Reverify { incident } => self.reverify(by, incident),
            Command::DryRun { incident, fingerprint } => self.dry_run(by, incident, &fingerprint),
            Command::Probe { target } => self.probe(target),
            Command::Record { target, entry } => {
                self.emit(None, Some(target), by, entry.into());
                Ok(Accepted { message: "recorded".into(), ..Accepted::default() })
            }
            Command::Stop { incident } => self.stop(by, incident),
            Command::Kill { incident } => self.kill(by, incident),
            Command::Undo { incident, typed } => self.undo(by, incident, typed.as_deref()),
            Command::Clear { injection, target } => self.clear(by, injection, target.as_ref()),
            Command::Consulted { incident, target, record } => {
                self.emit(incident, target, by, consulted(None, record));
                Ok(Accepted { message: "it is on record".into(), ..Accepted::default() })
            }
            // The engine completes an injection from the catalogue first and sends `Input::Inject`.
            Command::Inject { fault, .. } => Err(Refused::because(format!(
                "{fault} was not looked up in the catalogue; this is a defect of simctl"
            ))),
            // The engine previews it on the live server first and sends `Input::Requested`.
            Command::Propose { action, .. } => Err(Refused::because(format!(
                "{action} was not previewed; this is a defect of simctl"
            ))),
        }
    }

    fn emit(
        &mut self,
        incident: Option<IncidentId>,
        target: Option<TargetId>,
        actor: &str,
        body: EventBody,
    ) {
        let seq = self.world.ledger.seq + 1;
        let at = self.now.max(self.world.last_at + TimeDelta::microseconds(1));
        self.world.last_at = at;
        let event = Event { seq, at, incident, target, actor: actor.to_owned(), body };
        self.world.ledger.apply(&event);
        self.outcome.events.push(event);
    }

    fn emit_on(&mut self, incident: IncidentId, actor: &str, body: EventBody) {
        let target = self.incident(incident).map(|i| i.target.clone());
        self.emit(Some(incident), target, actor, body);
    }

    fn engine_says(&mut self, body: EventBody) {
        self.emit(None, None, actor::ENGINE, body);
    }

    fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.world.ledger.incidents.get(&id)
    }

    fn is_active(&self, incident: IncidentId, execution: ExecutionId) -> bool {
        self.incident(incident)
            .and_then(Incident::active_execution)
            .is_some_and(|active| active.id == execution)
    }

    /// Moves an incident along; a move that is not allowed is a defect and changes nothing.
    fn move_to(&mut self, incident: IncidentId, actor: &str, to: Status, reason: &str) {
        let Some(from) = self.incident(incident).map(|i| i.status) else { return };
        if from != to && from.may_become(to) {
            self.emit_on(
                incident,
                actor,
                EventBody::StatusChanged { from, to, reason: reason.to_owned() },
            );
        }
    }

    /// The open incident a command names.
    fn open_incident(&self, number: u64) -> Result<&Incident, Refused> {
        let name = super::ids::incident_name(number);
        match self.world.ledger.by_number(number) {
            Some(incident) if incident.is_open() => Ok(incident),
            Some(_) => {
                Err(Refused::because(format!("{name} is resolved; nothing is left to decide")))
            }
            None => Err(Refused::because(format!(
                "{name} is not open; `simctl incidents` lists those that are"
            ))),
        }
    }

    /// An incident that ended, well or not, gets its post-mortem.
    fn report(&mut self, incident: IncidentId) {
        if let Some(number) = self.incident(incident).map(|known| known.number) {
            self.outcome.effects.push(Effect::Report { incident, number });
        }
    }

    fn work_began(&mut self, execution: ExecutionId) {
        self.world.agenda.insert(execution, self.now);
    }
}

/// What is recorded of asking a model; beside any investigation it belongs to no execution.
fn consulted(execution: Option<ExecutionId>, record: Record) -> EventBody {
    match record {
        Record::Asked(exchange) => EventBody::ModelAsked { execution, exchange },
        Record::Judged(verdict) => EventBody::ModelJudged { execution, verdict },
    }
}
