//! What can be done about a row of the database screen. Choosing one proposes it: it is previewed, and waits for an
//! approval.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Outcome, Overlay, Place, Then};
use crate::domain::ids::TargetId;
use crate::tui::desk::Desk;
use crate::tui::inspected::Remedy;
use crate::tui::screens::database::propose;
use crate::tui::text::Align;
use crate::tui::theme::Role;
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};
use crate::tui::widgets::window::{Move, Window};

/// The list.
#[derive(Debug)]
pub struct Remedies {
    target: TargetId,
    about: String,
    remedies: Vec<Remedy>,
    selected: usize,
    /// The key that opened it chooses nothing while it is held.
    guard_ms: u64,
}

const GUARD_MS: u64 = 400;

const fn fixed(title: &str, columns: u16, priority: u8) -> Column<'_> {
    let width = Width::Columns(columns);
    Column { title, width, align: Align::Left, drop_below: 0, priority }
}

impl Remedies {
    /// For one row of a target.
    pub fn new(target: TargetId, about: String, remedies: Vec<Remedy>, desk: &Desk) -> Self {
        Self { target, about, remedies, selected: 0, guard_ms: desk.now.ms + GUARD_MS }
    }

    fn moved(&mut self, by: Move) -> Outcome {
        let len = self.remedies.len();
        self.selected = Window::moved(Some(self.selected), by, len, len).unwrap_or(0);
        Outcome::stay()
    }

    fn choose(&self, desk: &mut Desk) -> Outcome {
        let Some(remedy) = self.remedies.get(self.selected) else { return Outcome::close() };
        if let Some(reason) = desk.refusal() {
            desk.warn(reason);
            return Outcome::stay();
        }
        Outcome { effects: propose(desk, &self.target, remedy), then: Then::Close }
    }
}

impl Overlay for Remedies {
    fn name(&self) -> &'static str {
        "remedies"
    }

    fn place(&self, _desk: &Desk, _body: Rect) -> Place {
        let rows = u16::try_from(self.remedies.len()).unwrap_or(u16::MAX).saturating_add(3);
        Place::Docked { rows }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let title = format!("Propose for {} on {}", desk.theme.shown(&self.about), self.target);
        let inner = Pane::new(title).focused(true).draw(area, buf, &desk.theme);
        let columns = [
            fixed("action", 24, Column::KEEP),
            fixed("risk", 11, 9),
            Column { width: Width::Rest, ..fixed("what it does", 1, 8) },
        ];
        let len = self.remedies.len();
        let mut window = Window::default();
        window.keep_visible(Some(self.selected), len, VTable::height(inner));
        let shown = Shown { len, offset: window.offset, selected: Some(self.selected) };
        let table = VTable { columns: &columns, sort: None, focused: true };
        table.draw(
            inner,
            buf,
            &desk.theme,
            shown,
            |_| false,
            |row| {
                let remedy = &self.remedies[row];
                vec![
                    Cell::from(remedy.action.as_str()),
                    Cell::new(remedy.risk.as_str(), Role::Text),
                    Cell::from(remedy.title.as_str()),
                ]
            },
        );
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if key.kind == KeyEventKind::Release {
            return Outcome::stay();
        }
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.moved(Move::Up),
            KeyCode::Down | KeyCode::Char('j') => self.moved(Move::Down),
            KeyCode::Enter if key.kind == KeyEventKind::Press && desk.now.ms >= self.guard_ms => {
                self.choose(desk)
            }
            KeyCode::Char('q') => Outcome::close(),
            _ => Outcome::stay(),
        }
    }

    fn unsettled(&mut self, desk: &Desk) {
        self.guard_ms = desk.now.ms + GUARD_MS;
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        [("enter", "propose"), ("j k", "move"), ("esc", "back")]
            .map(|(key, words)| (key.to_owned(), words.to_owned()))
            .into()
    }
}
