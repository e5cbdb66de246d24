//! A question that `y` answers: stop, kill, allow changes, quit while something runs.

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Outcome, Overlay, Place, Then};
use crate::domain::effect::Command;
use crate::tui::confirm::{Confirm, Demand, Verdict};
use crate::tui::desk::Desk;
use crate::tui::message::Effect;
use crate::tui::text::wrap;
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;

/// What a yes does.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Order(Command),
    AllowChanges,
    Quit,
    /// Stop the execution after its step, and quit.
    StopAndQuit(Command),
}

/// The dialog.
#[derive(Debug)]
pub struct Ask {
    title: String,
    text: String,
    deed: Deed,
    confirm: Confirm,
}

const BUTTONS: &[&str] = &["Yes", "Back"];

impl Ask {
    /// A question that opens now.
    pub fn new(
        title: impl Into<String>,
        text: impl Into<String>,
        deed: Deed,
        desk: &mut Desk,
    ) -> Self {
        let confirm = Confirm::new(Demand::Yes, "", BUTTONS, desk.opener.take(), desk.now);
        Self { title: title.into(), text: text.into(), deed, confirm }
    }

    fn done(&self, desk: &mut Desk) -> Outcome {
        let effects = match self.deed.clone() {
            Deed::Order(command) => vec![desk.order(command).1],
            Deed::AllowChanges => {
                desk.settings.read_only = false;
                Vec::new()
            }
            Deed::Quit => vec![Effect::Quit],
            Deed::StopAndQuit(command) => vec![desk.order(command).1, Effect::Quit],
        };
        Outcome { effects, then: Then::Close }
    }
}

impl Overlay for Ask {
    fn name(&self) -> &'static str {
        "ask"
    }

    fn place(&self, _desk: &Desk, body: Rect) -> Place {
        let lines = wrap(&self.text, usize::from(body.width.saturating_sub(2)), 0).count();
        Place::Docked { rows: u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(3) }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let inner = Pane::new(self.title.as_str()).focused(true).draw(area, buf, theme);
        let lines = wrap(&self.text, usize::from(inner.width), 0);
        for (row, line) in rows(inner).zip(lines) {
            put(buf, row, 0, line, theme.style(Role::Text));
        }
        if inner.height > 0 {
            let last = Rect { y: inner.bottom() - 1, height: 1, ..inner };
            self.confirm.draw_buttons(last, buf, theme);
        }
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        match self.confirm.key(key, desk.now) {
            Verdict::Confirmed { .. } => self.done(desk),
            Verdict::Button(_) => Outcome::close(),
            Verdict::Nothing | Verdict::Other => Outcome::stay(),
        }
    }

    fn unsettled(&mut self, desk: &Desk) {
        self.confirm.unsettle(desk.now);
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        [("y", "yes"), ("tab", "buttons"), ("esc", "back")]
            .map(|(key, words)| (key.to_owned(), words.to_owned()))
            .into()
    }
}
