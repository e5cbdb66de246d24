//! Drawing the rows on the screen, and the words in the title.

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::layout::{Margin, Row};
use super::lines::Item;
use super::moves::Ground;
use super::{LogState, Times, Viewport};
use crate::domain::execution::Phase;
use crate::domain::words::count;
use crate::tui::log::{Entry, Ring};
use crate::tui::text::{Align, age, fit};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::draw::{blank, put, rows};

/// What stands on the right of the pane's title: `FOLLOW ▼`, `PAUSED ▼37 new, f follows`, before it the count of a
/// search.
pub fn title(state: &LogState, ring: &Ring, theme: &Theme) -> String {
    let down = if theme.glyphs.is_ascii { "" } else { theme.glyphs.down };
    let found = state.search().map(|search| format!("{}  ", search.count())).unwrap_or_default();
    let view = if state.is_following() {
        format!("FOLLOW {down}")
    } else {
        match state.new_lines(ring) {
            0 => "PAUSED, f follows".to_owned(),
            new => format!("PAUSED {down}{} new, f follows", count(new)),
        }
    };
    format!("{found}{}", view.trim_end())
}

/// Draws the part of the log that the state shows. `now` is for ages, and for what runs.
pub fn draw(
    state: &LogState,
    ring: &Ring,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
    (now, focused): (DateTime<Utc>, bool),
) {
    let area = area.intersection(buf.area);
    blank(buf, area);
    if area.is_empty() {
        return;
    }
    let view = Viewport { width: area.width, height: area.height, theme: *theme };
    let ground = Ground::new(state, ring, &view);
    if ground.lines.len() == 0 {
        put(buf, area, 0, "nothing logged yet", theme.style(Role::Muted));
        return;
    }
    let top = ground.top(state);
    let chosen = (focused && !state.is_following()).then(|| state.cursor(ring)).flatten();
    let pen = Pen { state, ring, theme, margin: Margin::of(area.width), now, chosen };
    let mut lines = rows(area);
    let mut skipped = top.row;
    for index in top.index..ground.lines.len() {
        let Some(item) = ground.lines.item(index) else { return };
        let laid_out = ground.layout.rows(item);
        let last = laid_out.len() - 1;
        for (number, row) in laid_out.iter().enumerate().skip(std::mem::take(&mut skipped)) {
            let Some(line) = lines.next() else { return };
            if let (0, Item::Entry(entry, _)) = (number, item) {
                let before = index.checked_sub(1).and_then(|index| ground.lines.entry(index));
                pen.margin(buf, line, entry, before);
            }
            let used = pen.row(buf, line, row);
            if let (true, Item::Entry(entry, _)) = (number == last, item) {
                pen.seconds(buf, line, used, entry);
            }
        }
    }
}

/// What all rows of a frame share.
struct Pen<'a> {
    state: &'a LogState,
    ring: &'a Ring,
    theme: &'a Theme,
    margin: Margin,
    now: DateTime<Utc>,
    chosen: Option<u64>,
}

impl Pen<'_> {
    /// Time, mark, glyph and word.
    fn margin(&self, buf: &mut Buffer, line: Rect, entry: &Entry, before: Option<&Entry>) {
        let line = Rect { width: line.width.min(columns(self.margin.columns())), ..line };
        let (glyph, usual) = self.theme.phase(entry.phase);
        let glyph = if entry.is_failed_proof() { self.theme.phase(Phase::Error).0 } else { glyph };
        let chosen = self.chosen == Some(entry.seq);
        let style = |role| {
            let role = if chosen { Role::Selection } else { role };
            self.theme.style(role)
        };
        if chosen {
            buf.set_style(line, style(Role::Selection));
        }
        let mut x = 0;
        if self.margin.time > 0 {
            let time = fit(&self.time(entry, before), self.margin.time, Align::Right, "");
            x += put(buf, line, x, &time, style(Role::Muted));
        }
        let mark =
            if self.state.marks().contains(&entry.seq) { self.theme.glyphs.mark } else { " " };
        if self.margin.time > 0 || mark != " " {
            x += put(buf, line, x, mark, style(Role::Key));
        }
        let role = style(entry.role(usual));
        x += put(buf, line, x, glyph, role) + 1;
        put(buf, line, x, &fit(entry.phase.as_str(), self.margin.word, Align::Left, ""), role);
    }

    fn time(&self, entry: &Entry, before: Option<&Entry>) -> String {
        match self.state.times() {
            Times::Clock if self.margin.time > 8 => entry.at.format("%H:%M:%S%.3f").to_string(),
            Times::Clock => entry.at.format("%H:%M:%S").to_string(),
            Times::Age => age(self.now - entry.at),
            Times::Delta => {
                before.map_or_else(|| "-".to_owned(), |before| delta(entry.at - before.at))
            }
        }
    }

    fn row(&self, buf: &mut Buffer, line: Rect, row: &Row) -> u16 {
        let mut x = columns(self.margin.columns());
        for piece in row {
            x = x.saturating_add(put(buf, line, x, &piece.text, self.theme.style(piece.role)));
        }
        x
    }

    /// How long it has been running, behind the last row of what runs.
    fn seconds(&self, buf: &mut Buffer, line: Rect, used: u16, entry: &Entry) {
        if self.ring.is_running(entry) {
            let seconds = (self.now - entry.at).num_seconds().max(0);
            let text = format!("   {seconds} s");
            if usize::from(line.width.saturating_sub(used)) >= text.len() {
                put(
                    buf,
                    line,
                    used,
                    &text,
                    Style::patch(self.theme.style(Role::Muted), Style::new()),
                );
            }
        }
    }
}

fn columns(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// `+0.015`, at most eight columns.
fn delta(span: TimeDelta) -> String {
    let millis = span.num_milliseconds().max(0);
    if millis < 1_000_000 {
        format!("+{}.{:03}", millis / 1_000, millis % 1_000)
    } else {
        format!("+{}", age(span).trim_start())
    }
}
