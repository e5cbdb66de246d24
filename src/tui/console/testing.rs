//! A console on a stage: keys at times, snapshots when they come, and what it wants done.

use std::sync::Arc;

use crossterm::event::{KeyEvent, KeyEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Console;
use crate::domain::effect::Command;
use crate::engine::handle::Snapshot;
use crate::tui::example;
use crate::tui::keymap::key_of;
use crate::tui::message::{Effect, Msg};

/// The console, the clock, and every effect so far.
pub(crate) struct Stage {
    pub(crate) console: Console,
    pub(crate) ms: u64,
    pub(crate) effects: Vec<Effect>,
}

/// A key as people read it.
pub(crate) fn key(name: &str) -> KeyEvent {
    key_of(name).unwrap()
}

impl Stage {
    /// A console of this size that was shown a snapshot.
    pub(crate) fn new(size: (u16, u16), snapshot: Snapshot) -> Self {
        Self::plain(size, false, snapshot)
    }

    /// The same, in ASCII if asked.
    pub(crate) fn plain(size: (u16, u16), ascii: bool, snapshot: Snapshot) -> Self {
        let console = Console::new(example::desk(size, ascii));
        let mut stage = Self { console, ms: 0, effects: Vec::new() };
        stage.tell(Msg::Snapshot(Arc::new(snapshot)));
        stage
    }

    /// Something arrives now.
    pub(crate) fn tell(&mut self, msg: Msg) -> &mut Self {
        let effects = self.console.update(msg, example::later(self.ms));
        self.effects.extend(effects);
        self
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, ms: u64) -> &mut Self {
        self.ms += ms;
        self
    }

    /// A key is pressed, a tenth of a second after what was before.
    pub(crate) fn press(&mut self, name: &str) -> &mut Self {
        self.wait(100).at_once(key(name))
    }

    /// A key event without any time between.
    pub(crate) fn at_once(&mut self, event: KeyEvent) -> &mut Self {
        self.tell(Msg::Key(event))
    }

    /// The key repeats, as terminals that tell repeats from presses say.
    pub(crate) fn repeat(&mut self, name: &str) -> &mut Self {
        let event = KeyEvent { kind: KeyEventKind::Repeat, ..key(name) };
        self.at_once(event)
    }

    /// Letters, a tenth of a second apart.
    pub(crate) fn write(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.press(&c.to_string());
        }
        self
    }

    /// The commands that were ordered.
    pub(crate) fn orders(&self) -> Vec<Command> {
        let ordered = self.effects.iter().filter_map(|effect| match effect {
            Effect::Order { command, .. } => Some((**command).clone()),
            _ => None,
        });
        ordered.collect()
    }

    /// The screen as text.
    pub(crate) fn screen(&self) -> String {
        let (columns, rows) = self.console.desk.size;
        let area = Rect::new(0, 0, columns, rows);
        let mut buf = Buffer::empty(area);
        self.console.draw(area, &mut buf);
        example::text_of(&buf)
    }
}
