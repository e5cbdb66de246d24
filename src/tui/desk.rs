//! What the console knows and every screen shares: the newest snapshot, logs, the selection, messages, looks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::confirm::Opener;
use super::keymap::Keys;
use super::log::LogBook;
use super::message::{Effect, Link, Now, Question};
use super::past::Past;
use super::theme::Theme;
use crate::domain::effect::Command;
use crate::domain::event::{EventBody, Sealed};
use crate::domain::execution::ExecutionState;
use crate::domain::ids::IncidentId;
use crate::domain::incident::Incident;
use crate::domain::proposal::Proposal;
use crate::engine::handle::{Snapshot, TargetView};

/// How long a message stands in the footer.
const MESSAGE_MS: u64 = 3_000;
/// How many messages, and how many deeds, are kept.
const KEPT: usize = 100;
/// Incidents read from the store that are kept at hand.
const OPENED: usize = 64;

/// A message for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub at: Now,
    pub text: String,
    /// Stands until the next key.
    pub is_error: bool,
}

/// What a person may change about the console's behaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub read_only: bool,
    pub bell: bool,
    pub mouse: bool,
    /// Hides bars and blank lines.
    pub compact: bool,
    /// Approvals want the target's name typed even at low risk.
    pub always_type: bool,
    /// The lab's id, when there is a lab.
    pub lab: Option<String>,
    pub operator: String,
    /// How long an injection lasts at most, unless a person says otherwise.
    pub inject_ttl_s: u64,
    /// Where the console's own settings are read from.
    pub config_file: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            read_only: false,
            bell: true,
            mouse: false,
            compact: false,
            always_type: false,
            lab: None,
            operator: "operator".into(),
            inject_ttl_s: 120,
            config_file: "none".into(),
        }
    }
}

/// What every screen shares.
#[derive(Debug)]
pub struct Desk {
    pub now: Now,
    pub size: (u16, u16),
    pub theme: Theme,
    pub keys: Keys,
    pub settings: Settings,
    pub link: Link,
    /// The newest view of the world.
    pub newest: Arc<Snapshot>,
    /// The one on the screen: the newest, unless frozen.
    pub snapshot: Arc<Snapshot>,
    pub frozen: bool,
    pub zoomed: bool,
    pub logs: LogBook,
    /// The newest records that a person would call a deed, newest last.
    pub deeds: VecDeque<Arc<Sealed>>,
    pub past: Past,
    /// The incident in hand, on every screen.
    pub selected: Option<IncidentId>,
    /// The number of the incident that is to be in hand once it is known.
    pub wanted: Option<u64>,
    /// Older incidents that were opened from the store.
    opened: VecDeque<Arc<Incident>>,
    /// What setting up has come to, before there is an engine.
    pub progress: Vec<String>,
    pub messages: VecDeque<Message>,
    /// What was run from the palette, newest last.
    pub commands: Vec<String>,
    /// Orders without an answer yet: what was ordered and when.
    pub ordered: BTreeMap<u64, (Command, Now)>,
    next_number: u64,
    /// Whether the terminal has the focus, when it tells.
    pub has_focus: bool,
    /// The key that started the last action: a dialog keeps it dead until it was quiet.
    pub opener: Option<Opener>,
}

impl Desk {
    /// An empty desk.
    pub fn new(now: Now, size: (u16, u16), theme: Theme, settings: Settings) -> Self {
        let nothing = Arc::new(Snapshot {
            at: now.at,
            seq: 0,
            targets: Vec::new(),
            incidents: Vec::new(),
            injections: Vec::new(),
            store: crate::engine::handle::StoreView::default(),
        });
        Self {
            now,
            size,
            theme,
            keys: Keys::default(),
            settings,
            link: Link::Starting,
            newest: Arc::clone(&nothing),
            snapshot: nothing,
            frozen: false,
            zoomed: false,
            logs: LogBook::default(),
            deeds: VecDeque::new(),
            past: Past::default(),
            selected: None,
            wanted: None,
            opened: VecDeque::new(),
            progress: Vec::new(),
            messages: VecDeque::new(),
            commands: Vec::new(),
            ordered: BTreeMap::new(),
            next_number: 0,
            has_focus: true,
            opener: None,
        }
    }

    /// Says something in the footer.
    pub fn say(&mut self, text: impl Into<String>) {
        self.message(text.into(), false);
    }

    /// Says that something went wrong; it stands until the next key.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.message(text.into(), true);
    }

    fn message(&mut self, text: String, is_error: bool) {
        self.messages.push_back(Message { at: self.now, text, is_error });
        if self.messages.len() > KEPT {
            self.messages.pop_front();
        }
    }

    /// The message that stands in the footer now.
    pub fn message_now(&self) -> Option<&Message> {
        let last = self.messages.back()?;
        let is_recent = self.now.ms < last.at.ms + MESSAGE_MS;
        (last.is_error || is_recent).then_some(last)
    }

    /// Takes note of a record, if it is a deed and no line of a log.
    pub fn note_deed(&mut self, sealed: &Arc<Sealed>) {
        let is_chatter = matches!(
            sealed.event.body,
            EventBody::Phase { .. }
                | EventBody::BaselineRecorded { .. }
                | EventBody::ModelAsked { .. }
                | EventBody::ExecutionMoved { .. }
                | EventBody::StatusChanged { .. }
                | EventBody::RuntimeObserved { .. }
        );
        if !is_chatter {
            self.deeds.push_back(Arc::clone(sealed));
            if self.deeds.len() > KEPT {
                self.deeds.pop_front();
            }
        }
    }

    /// A key was pressed: the person has seen the error that stood.
    pub fn settle_error(&mut self) {
        if let Some(last) = self.messages.back_mut() {
            last.is_error = false;
        }
    }

    /// An order on its way to the engine.
    pub fn order(&mut self, command: Command) -> (u64, Effect) {
        let order = self.number();
        self.ordered.insert(order, (command.clone(), self.now));
        (order, Effect::Order { order, command: Box::new(command) })
    }

    /// A question on its way to the store.
    pub fn ask(&mut self, what: Question) -> (u64, Effect) {
        let question = self.number();
        (question, Effect::Ask { question, what })
    }

    /// The number of the newest order or question.
    pub fn numbered(&self) -> u64 {
        self.next_number
    }

    /// Goes on numbering after this one, as a recording did.
    pub fn number_from(&mut self, number: u64) {
        self.next_number = number;
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// An incident by id: a recent one as it stands on the screen, or an older one that was opened.
    pub fn incident(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        let recent = self.snapshot.incidents.iter().find(|incident| incident.id == id);
        recent.or_else(|| self.opened.iter().find(|incident| incident.id == id))
    }

    /// The incident as the engine last told it, frozen or not: what decisions rest on.
    pub fn incident_now(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        let recent = self.newest.incidents.iter().find(|incident| incident.id == id);
        recent.or_else(|| self.opened.iter().find(|incident| incident.id == id))
    }

    /// The incident in hand.
    pub fn selected(&self) -> Option<&Arc<Incident>> {
        self.incident(self.selected?)
    }

    /// Keeps an older incident at hand.
    pub fn keep(&mut self, incident: Incident) {
        self.opened.retain(|known| known.id != incident.id);
        self.opened.push_back(Arc::new(incident));
        if self.opened.len() > OPENED {
            self.opened.pop_front();
        }
    }

    /// A target by name.
    pub fn target(&self, name: &str) -> Option<&Arc<TargetView>> {
        self.snapshot.targets.iter().find(|view| view.target.id == *name)
    }

    /// Incidents that wait for a person's decision, oldest proposal first. Never frozen.
    pub fn waiting(&self) -> Vec<&Arc<Incident>> {
        let mut waiting: Vec<_> = self
            .newest
            .incidents
            .iter()
            .filter(|incident| proposal_of(incident).is_some())
            .collect();
        waiting.sort_by_key(|incident| proposal_of(incident).map(|proposal| proposal.created_at));
        waiting
    }

    /// Whether a live injection keeps the lab broken.
    pub fn is_injected(&self) -> bool {
        self.newest.injections.iter().any(|injection| injection.state.is_live())
    }

    /// Why nothing may be changed now, if so.
    pub fn refusal(&self) -> Option<String> {
        if self.settings.read_only {
            return Some("read-only; :write allows changes".into());
        }
        self.link.refusal()
    }
}

/// The proposal of an incident that waits for a decision.
pub fn proposal_of(incident: &Incident) -> Option<&Proposal> {
    let execution = incident.active_execution()?;
    let waits = execution.state == ExecutionState::AwaitingApproval;
    execution.proposal.as_ref().filter(|_| waits)
}
