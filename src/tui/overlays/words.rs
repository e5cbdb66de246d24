//! A question for one line of words: why a proposal is rejected, a note, why an incident is declared over.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Outcome, Overlay, Place};
use crate::domain::effect::Command;
use crate::tui::confirm::Guard;
use crate::tui::desk::Desk;
use crate::tui::message::Msg;
use crate::tui::text::{clean, width};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::put;
use crate::tui::widgets::pane::Pane;

/// No reason is longer.
const LONGEST: usize = 500;

/// What the words are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordsFor {
    Reject { incident: u64, fingerprint: String },
    Note { incident: u64 },
    Resolve { incident: u64 },
}

impl WordsFor {
    fn command(&self, words: String) -> Command {
        match self.clone() {
            Self::Reject { incident, fingerprint } => {
                Command::Reject { incident, fingerprint: Some(fingerprint), reason: words }
            }
            Self::Note { incident } => Command::Note { incident, text: words },
            Self::Resolve { incident } => Command::Resolve { incident, reason: words },
        }
    }

    fn question(&self) -> &'static str {
        match self {
            Self::Reject { .. } => "Why not? (may be empty)",
            Self::Note { .. } => "What is to be remembered?",
            Self::Resolve { .. } => "Why is it over?",
        }
    }

    fn deed(&self) -> &'static str {
        match self {
            Self::Reject { .. } => "reject",
            Self::Note { .. } => "note",
            Self::Resolve { .. } => "declare over",
        }
    }

    fn may_be_empty(&self) -> bool {
        matches!(self, Self::Reject { .. })
    }
}

/// The dialog.
#[derive(Debug)]
pub struct Words {
    title: String,
    of: WordsFor,
    words: String,
    guard: Guard,
    note: Option<String>,
    order: Option<u64>,
}

impl Words {
    /// A dialog that opens now.
    pub fn new(title: impl Into<String>, of: WordsFor, desk: &mut Desk) -> Self {
        let guard = Guard::new(desk.opener.take(), desk.now);
        Self { title: title.into(), of, words: String::new(), guard, note: None, order: None }
    }

    fn send(&mut self, desk: &mut Desk) -> Outcome {
        if self.words.trim().is_empty() && !self.of.may_be_empty() {
            self.note = Some("some words are needed".into());
            return Outcome::stay();
        }
        if let Some(reason) = desk.refusal() {
            self.note = Some(reason);
            return Outcome::stay();
        }
        let (order, effect) = desk.order(self.of.command(self.words.trim().to_owned()));
        self.order = Some(order);
        self.note = Some("sent, waiting for the engine".into());
        Outcome::with(vec![effect])
    }

    fn add(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.words.chars().count());
        self.words.extend(text.chars().filter(|c| !c.is_control()).take(room));
        self.note = None;
    }
}

impl Overlay for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn place(&self, _desk: &Desk, _body: Rect) -> Place {
        Place::Docked { rows: 5 }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let inner = Pane::new(self.title.as_str()).focused(true).draw(area, buf, theme);
        let mut rows = crate::tui::widgets::draw::rows(inner);
        if let Some(row) = rows.next() {
            put(buf, row, 0, self.of.question(), theme.style(Role::Text));
        }
        if let Some(row) = rows.next() {
            // The end of a long line stays in view.
            let room = usize::from(row.width).saturating_sub(1);
            let shown = clean(&self.words);
            let over = width(&shown).saturating_sub(room);
            let tail = crate::tui::text::skip(&shown, over);
            let line = format!("{tail}{}", theme.glyphs.caret);
            put(buf, row, 0, &line, theme.style(Role::Text));
        }
        if let (Some(row), Some(note)) = (rows.next(), &self.note) {
            put(buf, row, 0, note, theme.style(Role::Warn));
        }
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if !self.guard.lets(key, desk.now) || self.order.is_some() {
            return Outcome::stay();
        }
        let is_press = key.kind == KeyEventKind::Press;
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter if is_press => return self.send(desk),
            KeyCode::Backspace => drop(self.words.pop()),
            KeyCode::Char('u') if ctrl => self.words.clear(),
            KeyCode::Char(c) if is_press && !ctrl => self.add(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Outcome::stay()
    }

    fn paste(&mut self, text: &str, _desk: &mut Desk) -> Outcome {
        self.add(text);
        Outcome::stay()
    }

    fn told(&mut self, msg: &Msg, _desk: &mut Desk) -> Outcome {
        match msg {
            Msg::Replied { order, result } if Some(*order) == self.order => match result {
                Ok(_) => Outcome::close(),
                Err(refused) => {
                    self.order = None;
                    self.note = Some(refused.reason.clone());
                    Outcome::stay()
                }
            },
            _ => Outcome::stay(),
        }
    }

    fn unsettled(&mut self, desk: &Desk) {
        self.guard.unsettle(desk.now);
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        vec![("enter".into(), self.of.deed().into()), ("esc".into(), "back".into())]
    }
}
