//! How the audit looks: the list, and the record in hand.

use chrono::{DateTime, Utc};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::detail::{self, digits, number};
use super::{AuditScreen, ChainState, Pane, Range};
use crate::domain::ids::incident_name;
use crate::tui::chrome::class;
use crate::tui::desk::Desk;
use crate::tui::size::Class;
use crate::tui::text::{Align, age, clean, wrap};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane;
use crate::tui::widgets::scroll::scroll_bar;
use crate::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};
use crate::tui::widgets::window::Window;

/// Where the panes are; one of them may be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub list: Option<Rect>,
    pub detail: Option<Rect>,
}

impl AuditScreen {
    /// The panes in a body of this area.
    pub(super) fn places(&self, desk: &Desk, body: Rect) -> Places {
        let both = |list: Rect, detail: Rect| Places { list: Some(list), detail: Some(detail) };
        let columns = |right: u16| {
            let left = body.width.saturating_sub(right);
            let list = Rect { width: left, ..body };
            both(list, Rect { x: body.x + left, width: body.width - left, ..body })
        };
        match (class(desk), self.pane) {
            _ if desk.zoomed => self.only(body),
            (Class::TooSmall | Class::Tiny, _) => self.only(body),
            (Class::Small, pane) => {
                let below = if pane == Pane::Detail { body.height * 3 / 5 } else { 6 };
                let above = body.height.saturating_sub(below);
                let list = Rect { height: above, ..body };
                both(list, Rect { y: body.y + above, height: body.height - above, ..body })
            }
            (Class::Standard, _) => columns(40),
            (Class::Wide, _) => columns(80),
        }
    }

    fn only(&self, body: Rect) -> Places {
        match self.pane {
            Pane::List => Places { list: Some(body), detail: None },
            Pane::Detail => Places { list: None, detail: Some(body) },
        }
    }

    pub(super) fn draw_list(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let pane = pane::Pane::new(self.title(desk)).focused(self.pane == Pane::List);
        let inner = pane.draw(area, buf, &desk.theme);
        if self.shown.is_empty() {
            let sentence = self.why_empty(desk);
            return sentences(&sentence, inner, buf, desk);
        }
        let height = VTable::height(inner);
        let mut window = Window { offset: self.offset() };
        let selected = self.selected_row();
        window.keep_visible(selected, self.shown.len(), height);
        let table =
            VTable { columns: &columns(self.range), sort: None, focused: self.pane == Pane::List };
        let shown = Shown { len: self.shown.len(), offset: window.offset, selected };
        let is_marked =
            |row: usize| self.shown.get(row).is_some_and(|seq| self.marks.contains(seq));
        table.draw(inner, buf, &desk.theme, shown, is_marked, |row| self.cells(row, desk));
    }

    fn cells(&self, row: usize, desk: &Desk) -> Vec<Cell<'_>> {
        let Some(entry) = self.shown.get(row).and_then(|seq| self.book.get(*seq)) else {
            return Vec::new();
        };
        let deed = &entry.deed;
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        vec![
            Cell::from(time(deed.at, self.range)),
            Cell::new(deed.actor.as_str(), actor_role(&deed.actor)),
            Cell::from(deed.action.as_str()),
            Cell::from(deed.target.as_deref().unwrap_or("-")),
            Cell::from(dash(number(deed, &self.book, desk).map(incident_name))),
            Cell::from(dash(digits(deed, &self.book))),
            Cell::new(self.result(row), deed.role),
        ]
    }

    /// The result with how long a decision took, where the proposal is known.
    pub(super) fn result(&self, row: usize) -> String {
        let Some(entry) = self.shown.get(row).and_then(|seq| self.book.get(*seq)) else {
            return String::new();
        };
        let deed = &entry.deed;
        let proposed = || self.book.execution(deed.execution?)?.proposed_at;
        match proposed().filter(|_| deed.kind == "decided" && deed.action != "supersede") {
            Some(proposed) => {
                let waited = u64::try_from((deed.at - proposed).num_milliseconds()).unwrap_or(0);
                format!("{}, waited {}", deed.result, crate::narrate::duration(waited))
            }
            None => deed.result.clone(),
        }
    }

    fn title(&self, desk: &Desk) -> Line<'static> {
        let theme = &desk.theme;
        let filter =
            if self.filter.is_empty() { "filter:none".into() } else { self.filter.text.clone() };
        let more = if self.is_complete(desk) { "" } else { "+" };
        let folded = if self.chatter { "  unfolded" } else { "" };
        let count = self.shown.len();
        let noun = if count == 1 { "entry" } else { "entries" };
        let text = format!("Audit  {}  {filter}{folded}  {count}{more} {noun}", self.range.word());
        let mut spans = vec![Span::raw(text)];
        let state = match &self.chain {
            // What was read stands; that more cannot be read is said beside it.
            _ if self.trouble.is_some() => {
                self.trouble.as_ref().map(|trouble| (format!("store: {trouble}"), Role::Bad))
            }
            ChainState::Unknown => None,
            ChainState::Checking => Some(("checking the chain".into(), Role::Warn)),
            ChainState::Known(chain) if chain.ok => {
                Some((format!("chain ok #{}", chain.events), Role::Ok))
            }
            ChainState::Known(chain) => {
                Some((format!("chain BROKEN {}", chain.sentence), Role::Bad))
            }
        };
        if let Some((text, role)) = state {
            spans.push(Span::styled(format!("  {text}"), theme.style(role)));
        }
        Line::from(spans)
    }

    /// What to do when nothing is listed.
    fn why_empty(&self, desk: &Desk) -> String {
        if let Some(trouble) = &self.trouble {
            return format!("The records cannot be read: {trouble}. Any movement asks again.");
        }
        if self.asking.page.is_some() {
            return "Reading the records.".into();
        }
        if !self.filter.is_empty() {
            let so_far = self.read_back_to(desk);
            return format!("Nothing matches{so_far}. / changes the filter, esc clears it.");
        }
        if self.book.is_empty() {
            return "Nothing was recorded yet. i breaks something in the lab; what is done about it \
                    stands here."
                .into();
        }
        "Nothing in this time. ] widens it; right unfolds what lies between deeds.".into()
    }

    fn read_back_to(&self, desk: &Desk) -> String {
        match self.book.oldest().filter(|_| !self.is_complete(desk)) {
            Some(oldest) => {
                format!(" in the last {}; G looks further back", age(desk.now.at - oldest.deed.at))
            }
            None => String::new(),
        }
    }

    pub(super) fn draw_detail(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let focused = self.pane == Pane::Detail;
        let entry = self.selected_entry();
        let title = entry.map_or("Entry".into(), |entry| {
            format!("Entry {}  {}", entry.deed.seq, entry.deed.at.format("%Y-%m-%d"))
        });
        let inner = pane::Pane::new(title).focused(focused).draw(area, buf, &desk.theme);
        let Some(entry) = entry else {
            return sentences("Nothing is selected.", inner, buf, desk);
        };
        let lines = detail::lines(entry, &self.book, desk, focused);
        let top = if focused { self.detail_top } else { 0 };
        let shown = wrapped(&lines, usize::from(inner.width));
        let top = top.min(shown.len().saturating_sub(usize::from(inner.height)));
        for (row, (text, role)) in rows(inner).zip(shown.iter().skip(top)) {
            put(buf, row, 0, text, desk.theme.style(*role));
        }
        scroll_bar(inner, buf, &desk.theme, (shown.len(), top, usize::from(inner.height)));
    }

    /// How many rows the record in hand takes, so that scrolling stops at its end.
    pub(super) fn detail_rows(&self, desk: &Desk, inner: Rect) -> usize {
        let Some(entry) = self.selected_entry() else { return 0 };
        let lines = detail::lines(entry, &self.book, desk, true);
        wrapped(&lines, usize::from(inner.width)).len()
    }
}

/// Sentences where a list would be.
fn sentences(text: &str, inner: Rect, buf: &mut Buffer, desk: &Desk) {
    let text = clean(text);
    for (row, line) in rows(inner).zip(wrap(&text, usize::from(inner.width), 0)) {
        put(buf, row, 0, line, desk.theme.style(Role::Text));
    }
}

fn wrapped(lines: &[detail::Line], columns: usize) -> Vec<(String, Role)> {
    const HANGING: usize = 2;
    let mut all = Vec::new();
    for (text, role) in lines {
        let text = clean(text);
        for (index, row) in wrap(&text, columns, HANGING).enumerate() {
            let indent = if index > 0 { " ".repeat(HANGING) } else { String::new() };
            all.push((format!("{indent}{row}"), *role));
        }
    }
    all
}

fn actor_role(actor: &str) -> Role {
    match actor {
        "agent" | "policy" | "detector" | "engine" | "watchdog" => Role::Text,
        _ => Role::Operator,
    }
}

/// Times of days that are not today have their date.
pub(super) fn time(at: DateTime<Utc>, range: Range) -> String {
    match range {
        Range::Today | Range::Day => at.format("%H:%M:%S").to_string(),
        Range::Week | Range::All => at.format("%m-%d %H:%M").to_string(),
    }
}

fn columns(range: Range) -> [Column<'static>; 7] {
    let column = |title, width, drop_below, priority| Column {
        title,
        width: Width::Columns(width),
        align: Align::Left,
        drop_below,
        priority,
    };
    let time = if matches!(range, Range::Today | Range::Day) { 8 } else { 11 };
    [
        column("TIME", time, 0, Column::KEEP),
        column("ACTOR", 8, 46, 4),
        column("ACTION", 9, 0, Column::KEEP),
        column("TARGET", 13, 100, 2),
        column("INCIDENT", 9, 52, 3),
        column("PROPOSAL", 8, 100, 1),
        Column { width: Width::Rest, ..column("RESULT", 0, 0, Column::KEEP) },
    ]
}
