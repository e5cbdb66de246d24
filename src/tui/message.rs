//! What reaches the console and what it asks of the world, as data.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use crossterm::event::{KeyEvent, MouseEvent};
use serde::{Deserialize, Serialize};

use super::inspected::Inspected;
use super::recorder::{key, mouse};
use crate::domain::effect::{Accepted, Command, Refused};
use crate::domain::event::{RawEvent, Sealed};
use crate::domain::ids::{IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::engine::handle::Snapshot;
use crate::metrics::Metrics;
use crate::ports::store::{HistoryPoint, IncidentFilter, IncidentLine};

/// The two clocks: what people read, and what intervals are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub at: DateTime<Utc>,
    /// Milliseconds since the console started; never goes back.
    pub ms: u64,
}

/// Everything that can reach the console, in one order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Msg {
    /// A key went down, repeats or was released.
    Key(#[serde(with = "key")] KeyEvent),
    Paste(String),
    Mouse(#[serde(with = "mouse")] MouseEvent),
    Resize(u16, u16),
    Focus(bool),
    /// Back from a suspension or from another program: everything on the screen is to be trusted anew.
    Resumed,
    Snapshot(Arc<Snapshot>),
    Event(Arc<Sealed>),
    /// So many events went by unread; they are in the store.
    Missed(u64),
    Link(Link),
    /// A step of setting up, before there is an engine.
    Progress(String),
    /// The answer to an order.
    Replied {
        order: u64,
        result: Result<Accepted, Refused>,
    },
    /// An order nobody answered in time.
    Unanswered {
        order: u64,
    },
    /// What was read from the store, or why it could not be.
    Answered {
        question: u64,
        result: Result<Answer, String>,
    },
    /// An effect on this machine ended: a sentence for the person.
    Done(Result<String, String>),
    /// A second passed while something on the screen depends on it.
    Tick,
    /// The process was told to stop (SIGTERM, SIGHUP …).
    Stop(String),
}

/// How the console reaches the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Nothing yet: servers, store and engine are being set up.
    Starting,
    /// The engine runs in this process.
    Here,
    /// The engine runs in another process.
    Attached,
    Lost {
        since: DateTime<Utc>,
        reason: String,
    },
}

impl Link {
    /// Why nothing can be ordered now.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Here | Self::Attached => None,
            Self::Starting => Some("the engine is still starting".into()),
            Self::Lost { since, reason } => {
                Some(format!("engine lost {}: {reason}", since.format("%H:%M:%S")))
            }
        }
    }
}

/// Something to read from the store, beside the loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// A page of incidents by the store's own filter.
    Incidents(IncidentFilter),
    Incident(u64),
    /// Every stored event of an incident, oldest first.
    Log(IncidentId),
    /// Records before a sequence number, newest first.
    Audit {
        before: Option<u64>,
        limit: u32,
    },
    VerifyChain,
    Metrics {
        since: Option<DateTime<Utc>>,
    },
    /// The targets' recorded history since then.
    History {
        since: DateTime<Utc>,
    },
    /// Past incidents like this one.
    Similar(Box<Incident>),
    /// The post-mortem.
    Report(u64),
    /// A read-only question to a target itself, by its word.
    Inspect {
        target: TargetId,
        verb: String,
    },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Incidents {
        filter: IncidentFilter,
        lines: Vec<IncidentLine>,
    },
    Incident(Option<Box<Incident>>),
    Log {
        incident: IncidentId,
        events: Vec<RawEvent>,
    },
    Audit {
        before: Option<u64>,
        events: Vec<RawEvent>,
    },
    Chain(Chain),
    Metrics {
        since: Option<DateTime<Utc>>,
        metrics: Box<Metrics>,
    },
    History(Vec<HistoryPoint>),
    /// One line each, newest first.
    Similar {
        incident: IncidentId,
        lines: Vec<String>,
    },
    Report {
        incident: u64,
        markdown: String,
    },
    Inspected {
        target: TargetId,
        verb: String,
        seen: Box<Inspected>,
    },
}

/// What a check of the hash chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    pub ok: bool,
    pub events: u64,
    /// The sentence a person reads.
    pub sentence: String,
}

/// What the console wants done outside; the runner does it and nothing here waits for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Give the engine a command; the answer comes back with the same number.
    Order {
        order: u64,
        command: Box<Command>,
    },
    Ask {
        question: u64,
        what: Question,
    },
    /// Put text on the clipboard; `what` names it (`1 line`).
    Copy {
        text: String,
        what: String,
    },
    /// Write a private file under the state directory and tell its path.
    Export {
        name: String,
        text: String,
    },
    /// Show text in $PAGER.
    Page {
        name: String,
        text: String,
    },
    /// Open text in $EDITOR.
    Edit {
        name: String,
        text: String,
    },
    /// Write the screen as text.
    SaveScreen,
    /// Write what led here to a file that does not exist yet.
    Record {
        file: String,
    },
    Suspend,
    /// Draw everything anew.
    Redraw,
    Bell,
    /// Tell the desktop, when the terminal does not have the focus.
    Notify(String),
    Mouse(bool),
    Quit,
}
