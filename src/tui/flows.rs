//! What starts from any screen: decisions, injections, going to what waits, and being told about it.

use std::sync::Arc;

use super::console::Console;
use super::desk::{Desk, proposal_of};
use super::keymap::Action;
use super::message::{Effect, Link};
use super::overlays;
use super::overlays::approve::{self, Approve};
use super::overlays::ask::{Ask, Deed};
use super::overlays::words::{Words, WordsFor};
use super::screens::Wish;
use crate::domain::effect::Command;
use crate::domain::event::{RawEvent, Sealed};
use crate::domain::execution::ExecutionState;
use crate::domain::incident::Incident;
use crate::engine::handle::Snapshot;

/// Starts an action that means the same on every screen; `None` leaves it to the screen.
pub fn start(action: Action, console: &mut Console) -> Option<Wish> {
    if let Some(wish) = overlays::open(action, console) {
        return Some(wish);
    }
    if action == Action::Refresh {
        return Some(refresh(console));
    }
    let desk = &mut console.desk;
    let wish = match action {
        Action::Approve => match approve::open(desk) {
            Ok(dialog) => Wish::open(dialog),
            Err(reason) => said(desk, reason),
        },
        Action::Reject => reject(desk),
        Action::Note => words(desk, "Note on", |incident| WordsFor::Note { incident }),
        Action::Resolve => words(desk, "Declare over", |incident| WordsFor::Resolve { incident }),
        Action::Retry => start_over(desk),
        Action::Undo => undo(desk),
        Action::Stop => stop(desk, false),
        Action::Kill => stop(desk, true),
        Action::Verify => with_incident(desk, |desk, incident| {
            let command = Command::Reverify { incident: incident.number };
            Wish::of(vec![desk.order(command).1])
        }),
        Action::Clear => {
            Wish::of(vec![desk.order(Command::Clear { injection: None, target: None }).1])
        }
        Action::ReadOnly => {
            desk.settings.read_only = true;
            said(desk, "read-only from now on; :write allows changes again")
        }
        Action::ReadWrite => Wish::open(Ask::new(
            "Allow changes",
            "Approvals and injections will be possible from this console.",
            Deed::AllowChanges,
            desk,
        )),
        Action::Quit => quit(desk),
        _ => return None,
    };
    Some(wish)
}

/// Every target is asked now, and what the screen shows is asked for again.
fn refresh(console: &mut Console) -> Wish {
    let screen = console.screens.get_mut(console.current);
    let mut wish =
        screen.map(|one| one.act(Action::Refresh, &mut console.desk)).unwrap_or_default();
    wish.effects.push(console.desk.order(Command::Probe { target: None }).1);
    wish
}

/// What was asked for has an incident: it is the one in hand as soon as a snapshot shows it.
pub fn asked_for(desk: &mut Desk, command: Option<&Command>, incident: Option<u64>) {
    if matches!(command, Some(Command::Propose { .. })) {
        desk.wanted = incident;
        take_in_hand(desk);
    }
}

/// Takes the incident in hand that was waited for.
pub fn take_in_hand(desk: &mut Desk) {
    let Some(number) = desk.wanted else { return };
    let found = desk.newest.incidents.iter().find(|incident| incident.number == number);
    if let Some(incident) = found {
        desk.selected = Some(incident.id);
        desk.wanted = None;
    }
}

fn said(desk: &mut Desk, text: impl Into<String>) -> Wish {
    desk.say(text);
    Wish::default()
}

fn in_hand(desk: &Desk) -> Option<Arc<Incident>> {
    desk.incident_now(desk.selected?).cloned()
}

fn with_incident(desk: &mut Desk, then: impl FnOnce(&mut Desk, &Incident) -> Wish) -> Wish {
    match in_hand(desk) {
        Some(incident) => then(desk, &incident),
        None => Wish::default(),
    }
}

fn undo(desk: &mut Desk) -> Wish {
    with_incident(desk, |desk, incident| match Approve::undo(incident, desk) {
        Ok(dialog) => Wish::open(dialog),
        Err(reason) => said(desk, reason),
    })
}

fn stop(desk: &mut Desk, kill: bool) -> Wish {
    with_incident(desk, |desk, incident| {
        let (name, incident) = (incident.name(), incident.number);
        let (title, text, command) = if kill {
            (
                format!("Kill what runs for {name}"),
                "The running action is dropped where it is; what it did so far is not known until it is looked at.",
                Command::Kill { incident },
            )
        } else {
            (
                format!("Stop {name} after this step"),
                "The running action may end; nothing begins after it, and a person decides what follows.",
                Command::Stop { incident },
            )
        };
        Wish::open(Ask::new(title, text, Deed::Order(command), desk))
    })
}

fn reject(desk: &mut Desk) -> Wish {
    let Some(incident) = in_hand(desk) else { return Wish::default() };
    let Some(proposal) = proposal_of(&incident) else { return Wish::default() };
    let title = format!("Reject {} of {}", proposal.fingerprint.short(), incident.name());
    let fingerprint = proposal.fingerprint.0.clone();
    let of = WordsFor::Reject { incident: incident.number, fingerprint };
    Wish::open(Words::new(title, of, desk))
}

fn words(desk: &mut Desk, title: &str, of: impl Fn(u64) -> WordsFor) -> Wish {
    let Some(incident) = in_hand(desk) else { return Wish::default() };
    let title = format!("{title} {}", incident.name());
    Wish::open(Words::new(title, of(incident.number), desk))
}

fn start_over(desk: &mut Desk) -> Wish {
    let Some(incident) = in_hand(desk) else { return Wish::default() };
    let title = format!("Start over on {}", incident.name());
    let text = "The agent investigates again and may propose again; nothing runs without approval.";
    let deed = Deed::Order(Command::Retry { incident: incident.number });
    Wish::open(Ask::new(title, text, deed, desk))
}

/// Quitting asks when an action runs in this very process.
fn quit(desk: &mut Desk) -> Wish {
    let acting = desk.newest.incidents.iter().find(|incident| {
        let state = incident.active_execution().map(|execution| execution.state);
        matches!(state, Some(ExecutionState::Executing | ExecutionState::Verifying))
    });
    let Some(acting) = acting.filter(|_| desk.link == Link::Here).cloned() else {
        return Wish::of(vec![Effect::Quit]);
    };
    let name = acting.name();
    let text = format!(
        "An execution for {name} runs in this console. Quitting leaves it where it stands; the next start looks \
         at what it did and finishes or undoes it. Deadlines of injections are kept either way."
    );
    Wish::open(Ask::new(format!("Quit while {name} is being fixed"), text, Deed::Quit, desk))
}

/// Selects the next incident that waits for a person, and opens nothing.
pub fn next_waiting(desk: &mut Desk) -> Wish {
    let waiting: Vec<_> = desk.waiting().iter().map(|incident| incident.id).collect();
    let at = waiting.iter().position(|id| Some(*id) == desk.selected);
    let next = at.map_or(0, |at| (at + 1) % waiting.len().max(1));
    desk.selected = waiting.get(next).copied().or(desk.selected);
    Wish::default()
}

/// A new snapshot is about to be shown: a proposal that was not there before rings once.
pub fn arrived(desk: &mut Desk, snapshot: &Arc<Snapshot>) -> Vec<Effect> {
    let known: Vec<_> = desk
        .newest
        .incidents
        .iter()
        .filter_map(|incident| proposal_of(incident).map(|proposal| proposal.fingerprint.clone()))
        .collect();
    let new = snapshot.incidents.iter().find_map(|incident| {
        let proposal = proposal_of(incident)?;
        (!known.contains(&proposal.fingerprint))
            .then(|| format!("{} waits for a decision on {}", incident.name(), incident.target))
    });
    let first = desk.newest.seq == 0;
    match new {
        Some(text) if !first => {
            let bell = desk.settings.bell.then_some(Effect::Bell);
            let notify = (!desk.has_focus).then_some(Effect::Notify(text));
            bell.into_iter().chain(notify).collect()
        }
        _ => Vec::new(),
    }
}

/// Events of an incident out of the store, into its log.
pub fn recall(desk: &mut Desk, events: &[RawEvent]) {
    for raw in events {
        if let Ok(event) = raw.event() {
            let (prev_hash, hash) = (raw.prev_hash.clone(), raw.hash.clone());
            desk.logs.push(&Arc::new(Sealed { event, prev_hash, hash }));
        }
    }
}

/// Events went by faster than they could be read: the log in hand says so and is read from the store again.
pub fn missed(desk: &mut Desk, count: u64) {
    if let Some(id) = desk.selected {
        desk.logs.gap(id, count);
    }
}
