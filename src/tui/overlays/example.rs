//! A console to open overlays on in tests, and a keyboard that types as a person does.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::domain::effect::Command;
use crate::engine::handle::Snapshot;
use crate::tui::console::Console;
use crate::tui::desk::Desk;
use crate::tui::example;
use crate::tui::keymap::{Action, Focus};
use crate::tui::message::{Effect, Msg};
use crate::tui::screens::{Screen, Wish};

/// The sizes every overlay is drawn in.
pub(crate) const SIZES: [(u16, u16); 5] = [(80, 24), (120, 35), (200, 50), (60, 16), (40, 8)];

/// A screen that shows nothing and has a list under the cursor.
struct Blank(&'static str);

impl Screen for Blank {
    fn title(&self) -> &'static str {
        self.0
    }

    fn focus(&self, _desk: &Desk) -> Focus {
        Focus::List
    }

    fn draw(&self, _desk: &Desk, _area: Rect, _buf: &mut Buffer) {}

    fn act(&mut self, _action: Action, _desk: &mut Desk) -> Wish {
        Wish::default()
    }
}

/// A console with a person at its keys.
pub(crate) struct Seat {
    pub(crate) console: Console,
    /// Milliseconds since the example's moment.
    pub(crate) ms: u64,
    pub(crate) effects: Vec<Effect>,
}

impl Seat {
    /// With the console's own screens.
    pub(crate) fn real(size: (u16, u16), ascii: bool, snapshot: Snapshot) -> Self {
        let desk = example::with(example::desk(size, ascii), snapshot);
        Self { console: Console::new(desk), ms: 0, effects: Vec::new() }
    }

    /// With blank screens of the usual names.
    pub(crate) fn new(size: (u16, u16), ascii: bool, snapshot: Snapshot) -> Self {
        let mut seat = Self::real(size, ascii, snapshot);
        seat.console.screens = ["Overview", "Incident", "Audit", "Metrics"]
            .into_iter()
            .map(|title| Box::new(Blank(title)) as Box<dyn Screen>)
            .collect();
        seat
    }

    pub(crate) fn tell(&mut self, msg: Msg) {
        let effects = self.console.update(msg, example::later(self.ms));
        self.effects.extend(effects);
    }

    /// A key event right now.
    pub(crate) fn event(&mut self, code: KeyCode, modifiers: KeyModifiers, kind: KeyEventKind) {
        self.tell(Msg::Key(KeyEvent::new_with_kind(code, modifiers, kind)));
    }

    /// Presses a key as the table names it, a while after the last one.
    pub(crate) fn press(&mut self, name: &str) -> &mut Self {
        self.ms += 50;
        let (name, modifiers) = match name.strip_prefix("ctrl-") {
            Some(name) => (name, KeyModifiers::CONTROL),
            None => (name, KeyModifiers::NONE),
        };
        self.event(code(name), modifiers, KeyEventKind::Press);
        self
    }

    /// Types letters, one after another.
    pub(crate) fn typed(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.press(&c.to_string());
        }
        self
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, ms: u64) -> &mut Self {
        self.ms += ms;
        self
    }

    pub(crate) fn seen(&mut self) -> String {
        self.console.desk.now = example::later(self.ms);
        example::drawn(self.console.desk.size, |area, buf| self.console.draw(area, buf))
    }

    /// The commands that were ordered so far.
    pub(crate) fn orders(&self) -> Vec<(u64, Command)> {
        let order = |effect: &Effect| match effect {
            Effect::Order { order, command } => Some((*order, (**command).clone())),
            _ => None,
        };
        self.effects.iter().filter_map(order).collect()
    }
}

/// The key of a name.
pub(crate) fn code(name: &str) -> KeyCode {
    crate::tui::keymap::key_of(name).unwrap().code
}

/// The name of a size in a snapshot's file.
pub(crate) fn at((columns, rows): (u16, u16)) -> String {
    format!("{columns}x{rows}")
}
