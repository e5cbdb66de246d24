//! A text to read, over the whole body: a full proposal, a report, messages. It scrolls, searches, copies and
//! leaves the terminal whole; only what is on the screen is wrapped.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Outcome, Overlay, Place};
use crate::tui::desk::Desk;
use crate::tui::keymap::{self, Action, Focus};
use crate::tui::message::{Answer, Effect, Msg};
use crate::tui::text::wrap;
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::scroll::scroll_bar;
use crate::tui::widgets::window::Move;
use search::Search;

mod search;

/// The overlay.
#[derive(Debug)]
pub struct Text {
    title: String,
    /// What is copied and exported.
    text: String,
    lines: Vec<String>,
    file: String,
    /// The first row on the screen: a line, and a row of it. It survives a resize.
    top: (usize, usize),
    search: Search,
    /// The question whose answer is to be read here.
    waits_for: Option<u64>,
}

impl Text {
    /// A text that is here already.
    pub fn new(title: impl Into<String>, text: &str) -> Self {
        let mut this = Self {
            title: title.into(),
            text: String::new(),
            lines: Vec::new(),
            file: "text.txt".into(),
            top: (0, 0),
            search: Search::default(),
            waits_for: None,
        };
        this.fill(text);
        this
    }

    /// A text that the store was asked for.
    pub fn waiting(title: impl Into<String>, question: u64) -> Self {
        let mut this = Self::new(title, "reading it from the store");
        this.waits_for = Some(question);
        this
    }

    /// The name of the file it is exported to.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>) -> Self {
        self.file = name.into();
        self
    }

    /// Opens where the text ends.
    #[must_use]
    pub fn at_end(mut self) -> Self {
        self.top = (usize::MAX, 0);
        self
    }

    fn fill(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.lines = text.lines().map(str::to_owned).collect();
        if self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.top = (0, 0);
    }

    // ---- where it stands --------------------------------------------------------------------------------

    fn rows_of(&self, line: usize, columns: usize, desk: &Desk) -> usize {
        let Some(text) = self.lines.get(line) else { return 1 };
        wrap(&desk.theme.shown(text), columns, 0).count().max(1)
    }

    /// The top that shows the last row at the bottom.
    fn last_top(&self, (columns, height): (usize, usize), desk: &Desk) -> (usize, usize) {
        let mut left = height;
        for line in (0..self.lines.len()).rev() {
            let has = self.rows_of(line, columns, desk);
            if has >= left {
                return (line, has - left);
            }
            left -= has;
        }
        (0, 0)
    }

    /// The top as it can be shown in this room.
    fn clamped(&self, room: (usize, usize), desk: &Desk) -> (usize, usize) {
        let line = self.top.0.min(self.lines.len() - 1);
        let row = self.top.1.min(self.rows_of(line, room.0, desk) - 1);
        (line, row).min(self.last_top(room, desk))
    }

    fn scroll(&mut self, by: Move, desk: &Desk) {
        let room = room(desk);
        let (mut line, mut row) = self.clamped(room, desk);
        match by {
            Move::Top => (line, row) = (0, 0),
            Move::Bottom => line = usize::MAX,
            Move::Up
            | Move::Down
            | Move::HalfUp
            | Move::HalfDown
            | Move::PageUp
            | Move::PageDown => {
                let wanted = by.rows(room.1);
                for _ in 0..wanted.unsigned_abs() {
                    (line, row) = self.next_row((line, row), wanted < 0, room.0, desk);
                }
            }
        }
        self.top = (line, row);
        self.top = self.clamped(room, desk);
    }

    fn next_row(
        &self,
        (line, row): (usize, usize),
        back: bool,
        columns: usize,
        desk: &Desk,
    ) -> (usize, usize) {
        match (back, row) {
            (true, 0) if line == 0 => (0, 0),
            (true, 0) => (line - 1, self.rows_of(line - 1, columns, desk) - 1),
            (true, row) => (line, row - 1),
            (false, row) if row + 1 < self.rows_of(line, columns, desk) => (line, row + 1),
            (false, row) if line + 1 >= self.lines.len() => (line, row),
            (false, _) => (line + 1, 0),
        }
    }

    // ---- what a person does -----------------------------------------------------------------------------

    fn act(&mut self, action: Action, desk: &mut Desk) -> Outcome {
        match action {
            Action::Up => self.scroll(Move::Up, desk),
            Action::Down => self.scroll(Move::Down, desk),
            Action::First => self.scroll(Move::Top, desk),
            Action::Last => self.scroll(Move::Bottom, desk),
            Action::HalfUp => self.scroll(Move::HalfUp, desk),
            Action::HalfDown => self.scroll(Move::HalfDown, desk),
            Action::PageUp => self.scroll(Move::PageUp, desk),
            Action::PageDown | Action::Mark => self.scroll(Move::PageDown, desk),
            Action::Filter => self.search.open(),
            Action::NextMatch => self.jump(false, desk),
            Action::PrevMatch => self.jump(true, desk),
            Action::Copy | Action::CopyMarked => {
                let what = match self.lines.len() {
                    1 => "1 line".into(),
                    lines => format!("{lines} lines"),
                };
                return Outcome::with(vec![Effect::Copy { text: self.text.clone(), what }]);
            }
            Action::Export => return Outcome::with(vec![self.sent(Out::File)]),
            Action::Pager => return Outcome::with(vec![self.sent(Out::Pager)]),
            Action::Editor => return Outcome::with(vec![self.sent(Out::Editor)]),
            _ => desk.say("not here; esc goes back"),
        }
        Outcome::stay()
    }

    fn sent(&self, out: Out) -> Effect {
        let (name, text) = (self.file.clone(), self.text.clone());
        match out {
            Out::File => Effect::Export { name, text },
            Out::Pager => Effect::Page { name, text },
            Out::Editor => Effect::Edit { name, text },
        }
    }

    fn jump(&mut self, back: bool, desk: &mut Desk) {
        let from = self.clamped(room(desk), desk).0;
        match self.search.next(&self.lines, from, back) {
            Ok(line) => {
                self.top = (line, 0);
                self.top = self.clamped(room(desk), desk);
            }
            Err(reason) => desk.say(reason),
        }
    }
}

#[derive(Clone, Copy)]
enum Out {
    File,
    Pager,
    Editor,
}

/// The columns and rows of the text, when it has the whole body.
fn room(desk: &Desk) -> (usize, usize) {
    let (columns, rows) = desk.size;
    (usize::from(columns.saturating_sub(2)).max(1), usize::from(rows.saturating_sub(4)).max(1))
}

impl Overlay for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn place(&self, _desk: &Desk, _body: Rect) -> Place {
        Place::Full
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let space = (
            usize::from(area.width.saturating_sub(2)).max(1),
            usize::from(area.height.saturating_sub(2)).max(1),
        );
        let (first, skipped) = self.clamped(space, desk);
        let right = match self.search.said(&self.lines) {
            Some(said) => said,
            None => format!("line {} of {}", first + 1, self.lines.len()),
        };
        let inner =
            Pane::new(self.title.as_str()).right(right).focused(true).draw(area, buf, theme);
        let mut free = rows(inner);
        for (number, line) in self.lines.iter().enumerate().skip(first) {
            let shown = theme.shown(line);
            for row in wrap(&shown, space.0, 0).skip(if number == first { skipped } else { 0 }) {
                let Some(area) = free.next() else { break };
                put(buf, area, 0, row, theme.style(Role::Text));
                for found in self.search.matches(row) {
                    let before = u16::try_from(crate::tui::text::width(&row[..found.start]));
                    put(buf, area, before.unwrap_or(0), &row[found], theme.style(Role::Match));
                }
            }
        }
        scroll_bar(inner, buf, theme, (self.lines.len(), first, space.1));
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if key.kind == KeyEventKind::Release {
            return Outcome::stay();
        }
        if self.search.is_open() {
            if key.code == KeyCode::Enter && key.kind == KeyEventKind::Press {
                self.search.close();
                self.jump(false, desk);
            } else {
                self.search.typed(key);
            }
            return Outcome::stay();
        }
        let name = keymap::name_of(key).unwrap_or_default();
        match desk.keys.action(&name, "", Focus::Log) {
            Some(action) => self.act(action, desk),
            None => Outcome::stay(),
        }
    }

    fn paste(&mut self, text: &str, _desk: &mut Desk) -> Outcome {
        self.search.pasted(text);
        Outcome::stay()
    }

    fn told(&mut self, msg: &Msg, _desk: &mut Desk) -> Outcome {
        if let Msg::Answered { question, result } = msg
            && self.waits_for == Some(*question)
        {
            self.waits_for = None;
            match result {
                Ok(Answer::Report { markdown, .. }) => self.fill(markdown),
                Ok(_) => self.fill("the store answered something else; esc, then ask again"),
                Err(reason) => self.fill(reason),
            }
        }
        Outcome::stay()
    }

    fn back(&mut self, _desk: &mut Desk) -> Outcome {
        if self.search.clear() { Outcome::stay() } else { Outcome::close() }
    }

    fn hints(&self, desk: &Desk) -> Vec<(String, String)> {
        if let Some(prompt) = self.search.prompt() {
            let text = format!("{prompt}{}", desk.theme.glyphs.caret);
            return [("search:".to_owned(), text), ("enter".into(), "find".into())].into();
        }
        [
            ("j/k", "scroll"),
            ("/", "search"),
            ("y", "copy all"),
            ("o", "pager"),
            ("e", "export"),
            ("esc", "back"),
        ]
        .map(|(key, words)| (key.to_owned(), words.to_owned()))
        .into()
    }
}

#[cfg(test)]
mod tests;
