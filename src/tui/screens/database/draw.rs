//! How the database screen looks: the questions on the left, the answer in hand on the right.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{DatabaseScreen, Known, Pane};
use crate::inspect::{self, Grade, Inspection};
use crate::narrate::duration;
use crate::tui::chrome::class;
use crate::tui::desk::Desk;
use crate::tui::inspected::{Body, Inspected, Rows};
use crate::tui::size::Class;
use crate::tui::text::{Align, ago, cut, wrap};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane;
use crate::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};
use crate::tui::widgets::window::Window;

/// The questions' pane: a word, a grade, cursor and border.
const QUESTIONS: u16 = 27;

const LIST: &[Column<'static>] = &[
    Column {
        title: "question",
        width: Width::Columns(12),
        align: Align::Left,
        drop_below: 0,
        priority: Column::KEEP,
    },
    Column { title: "grade", width: Width::Rest, align: Align::Left, drop_below: 0, priority: 9 },
];

impl DatabaseScreen {
    pub(super) fn draw_all(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let is_narrow = desk.zoomed || class(desk) < Class::Small;
        let left = Rect { width: QUESTIONS.min(area.width), ..area };
        let right = Rect { x: left.right(), width: area.width - left.width, ..area };
        match (is_narrow, self.pane) {
            (true, Pane::Questions) => self.draw_questions(desk, area, buf),
            (true, Pane::Answer) => self.draw_answer(desk, area, buf),
            (false, _) => {
                self.draw_questions(desk, left, buf);
                self.draw_answer(desk, right, buf);
            }
        }
    }

    fn draw_questions(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let focused = self.pane == Pane::Questions;
        let found = self.target(desk);
        let title = found.map_or_else(|| "Database".to_owned(), |(id, _)| id.to_string());
        let inner = pane::Pane::new(title).focused(focused).draw(area, buf, &desk.theme);
        let Some((target, engine)) = found else {
            let text = "no target is watched yet";
            put(buf, inner, 0, text, desk.theme.style(Role::Muted));
            return;
        };
        let all: Vec<&Inspection> = inspect::of(engine).collect();
        let now = self.inspection(engine).map(|one| one.verb);
        let selected = all.iter().position(|one| Some(one.verb) == now);
        let mut window = Window::default();
        window.keep_visible(selected, all.len(), VTable::height(inner));
        let shown = Shown { len: all.len(), offset: window.offset, selected };
        let table = VTable { columns: LIST, sort: None, focused };
        table.draw(
            inner,
            buf,
            &desk.theme,
            shown,
            |_| false,
            |row| {
                let verb = all[row].verb;
                let known = self.known.get(&(target.clone(), verb));
                let (word, role) = grade_of(known);
                vec![Cell::from(verb), Cell::new(word, role)]
            },
        );
    }

    fn draw_answer(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let focused = self.pane == Pane::Answer;
        let found = self.target(desk);
        let inspection = found.and_then(|(_, engine)| self.inspection(engine));
        let Some(inspection) = inspection else {
            pane::Pane::new("Database").focused(focused).draw(area, buf, &desk.theme);
            return;
        };
        let known = self.known_of(desk);
        let seen = known.and_then(|known| known.seen.as_deref());
        let pane = pane::Pane::new(self.title(inspection, seen)).focused(focused);
        let inner = pane.right(self.state(known, desk)).draw(area, buf, &desk.theme);
        let trouble = known.and_then(|known| known.trouble.as_deref());
        match (seen, trouble) {
            (Some(seen), _) => self.draw_seen(seen, focused, desk, inner, buf),
            (None, Some(trouble)) => said(&[trouble, "ctrl-r asks again"], inner, buf, desk),
            (None, None) => said(&[inspection.about, "asking …"], inner, buf, desk),
        }
    }

    /// `Locks: Who waits 2/3`, with the filter that narrows it.
    fn title(&self, inspection: &Inspection, seen: Option<&Inspected>) -> String {
        let part = seen.and_then(|seen| Some((self.sheet.part(seen)?, seen.parts.len())));
        let part = part.map_or_else(String::new, |((at, part), count)| {
            format!(": {} {}/{count}", part.title, at + 1)
        });
        let filter = match self.sheet.filter.as_str() {
            "" => String::new(),
            text => format!("  /{text}"),
        };
        format!("{}{part}{filter}", inspection.title)
    }

    /// `CRIT  3 s ago  12 ms`, and what goes on.
    fn state(&self, known: Option<&Known>, desk: &Desk) -> Line<'static> {
        let mut spans = Vec::new();
        if let Some(seen) = known.and_then(|known| known.seen.as_deref()) {
            let (word, role) = (seen.grade.as_str(), role_of(seen.grade));
            spans.push(Span::styled(word, desk.theme.style(role)));
            let took = duration(seen.took_ms.max(0.0) as u64);
            let since = ago(desk.now.at - seen.at);
            spans.push(Span::raw(format!("  {}  {took}", since.trim())));
        }
        if known.is_some_and(|known| known.trouble.is_some() && known.seen.is_some()) {
            spans.push(Span::styled("  not asked since", desk.theme.style(Role::Warn)));
        } else if self.asked.is_some() {
            spans.push(Span::styled(
                format!("  {}", desk.theme.glyphs.more),
                desk.theme.style(Role::Muted),
            ));
        }
        Line::from(spans)
    }

    fn draw_seen(
        &self,
        seen: &Inspected,
        focused: bool,
        desk: &Desk,
        area: Rect,
        buf: &mut Buffer,
    ) {
        let room = match area.height {
            0..8 => 0,
            8..16 => 2,
            _ => 4,
        };
        let troubles = seen.troubles.len().min(room);
        let top = u16::try_from(troubles).unwrap_or(0);
        for ((grade, text), line) in seen.troubles.iter().take(troubles).zip(rows(area)) {
            let width = usize::from(line.width.saturating_sub(13));
            let text = desk.theme.shown(text).into_owned();
            put(buf, line, 0, grade.as_str(), desk.theme.style(role_of(*grade)));
            let text = cut(&text, width, desk.theme.glyphs.cut).into_owned();
            put(buf, line, 13, &text, desk.theme.style(Role::Text));
        }
        let foot = u16::from(area.height >= 6);
        let height = area.height.saturating_sub(top + foot);
        let body = Rect { y: area.y + top, height, ..area };
        match self.sheet.part(seen).map(|(_, part)| &part.body) {
            Some(Body::Rows(table)) => self.draw_rows(seen, table, focused, desk, body, buf),
            Some(Body::Unknown { sentence, remedy }) => {
                said(&[sentence.as_str(), remedy.as_str()], body, buf, desk);
            }
            None => {}
        }
        if foot > 0 {
            let line = Rect { y: area.bottom() - 1, height: 1, ..area };
            self.draw_foot(desk, line, buf);
        }
    }

    fn draw_rows(
        &self,
        seen: &Inspected,
        table: &Rows,
        focused: bool,
        desk: &Desk,
        area: Rect,
        buf: &mut Buffer,
    ) {
        let order = &self.sheet.order;
        if order.is_empty() {
            let text = if table.rows.is_empty() { "none" } else { "nothing passes the filter" };
            return said(&[text], area, buf, desk);
        }
        // The first column stays, so that a row keeps its name.
        let aside = self.sheet.aside;
        let kept: Vec<usize> =
            (0..table.columns.len()).filter(|at| *at == 0 || *at > aside).collect();
        let columns: Vec<Column<'_>> =
            kept.iter().map(|at| column(table, *at, &kept, area.width)).collect();
        let selected = self.sheet.place(seen);
        let mut window = Window::default();
        window.keep_visible(selected, order.len(), VTable::height(area));
        let shown = Shown { len: order.len(), offset: window.offset, selected };
        let sort = self.sheet.sorted(table).and_then(|sort| {
            let column = kept.iter().position(|at| *at == sort.column)?;
            Some(crate::tui::widgets::vtable::Sort { column, ..sort })
        });
        let grid = VTable { columns: &columns, sort, focused };
        grid.draw(
            area,
            buf,
            &desk.theme,
            shown,
            |_| false,
            |row| {
                let Some(row) = order.get(row).and_then(|at| table.rows.get(*at)) else {
                    return Vec::new();
                };
                let role = row.grade.map_or(Role::Text, role_of);
                let cell = |at: &usize| {
                    let text = row.cells.get(*at).map_or("", String::as_str);
                    Cell::new(text, if *at == 0 { role } else { Role::Text })
                };
                kept.iter().map(cell).collect()
            },
        );
    }

    /// What can be done about the row in hand, or how many rows there are.
    fn draw_foot(&self, desk: &Desk, line: Rect, buf: &mut Buffer) {
        let remedies = self.remedies(desk);
        let names: Vec<&str> = remedies.iter().map(|remedy| remedy.action.as_str()).collect();
        let total = self.seen(desk).and_then(|seen| self.sheet.rows(seen)).map(|rows| {
            let all = rows.total.unwrap_or(rows.rows.len() as u64);
            format!("{} of {all}", self.sheet.order.len())
        });
        let text = if names.is_empty() {
            total.map_or_else(String::new, |total| format!("{total} rows, no action fits this one"))
        } else {
            format!("{}: enter: {}", total.unwrap_or_default(), names.join(", "))
        };
        let text = cut(&text, usize::from(line.width), desk.theme.glyphs.cut).into_owned();
        put(buf, line, 0, &text, desk.theme.style(Role::Muted));
    }
}

fn column<'r>(table: &'r Rows, at: usize, kept: &[usize], area: u16) -> Column<'r> {
    let column = &table.columns[at];
    let is_last = kept.last() == Some(&at);
    let place = u8::try_from(at).unwrap_or(u8::MAX);
    Column {
        title: &column.title,
        width: if is_last && !column.is_number {
            Width::Rest
        } else {
            // One long text leaves room for the others.
            Width::Columns(column.width.min((area / 3).max(12)))
        },
        align: if column.is_number { Align::Right } else { Align::Left },
        drop_below: 0,
        priority: if at == 0 { Column::KEEP } else { 200_u8.saturating_sub(place) },
    }
}

fn grade_of(known: Option<&Known>) -> (&'static str, Role) {
    match known {
        None => ("", Role::Muted),
        Some(Known { seen: Some(seen), .. }) => (seen.grade.as_str(), role_of(seen.grade)),
        Some(Known { seen: None, .. }) => ("no answer", Role::Warn),
    }
}

fn role_of(grade: Grade) -> Role {
    match grade {
        Grade::Ok => Role::Ok,
        Grade::Inconclusive | Grade::Warn => Role::Warn,
        Grade::Crit => Role::Bad,
    }
}

/// Sentences, one under the other.
fn said(sentences: &[&str], area: Rect, buf: &mut Buffer, desk: &Desk) {
    let mut lines = rows(area);
    for sentence in sentences {
        let text = desk.theme.shown(sentence).into_owned();
        for text in wrap(&text, usize::from(area.width), 0) {
            let Some(line) = lines.next() else { return };
            put(buf, line, 0, text, desk.theme.style(Role::Text));
        }
    }
}
