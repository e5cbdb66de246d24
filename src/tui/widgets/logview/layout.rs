//! The rows of one entry at one width: bounded work, whatever the entry holds.

use std::ops::Range;

use super::lines::Item;
use super::{LogState, Viewport};
use crate::domain::words::count;
use crate::tui::log::{Entry, FOLDED_LINES, Line, Ring};
use crate::tui::text::{cut, skip, width, wrap};
use crate::tui::theme::{Role, Theme};

/// An entry draws at most so many rows …
const MOST_ROWS: usize = 20;
/// … or so many when a person unfolded it.
const MOST_ROWS_UNFOLDED: usize = 400;
/// From this width the clock shows milliseconds.
const WIDE: u16 = 100;
/// Below these widths the word, then the time too, leaves room for the text.
const ROOM_FOR_WORD: u16 = 48;
const ROOM_FOR_TIME: u16 = 28;
/// The longest phase word.
const WORD: usize = 12;

/// What stands before the text of each entry, in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Margin {
    /// The time; 0 when there is none.
    pub(super) time: usize,
    /// The word; 0 when there is none.
    pub(super) word: usize,
}

impl Margin {
    pub(super) fn of(width: u16) -> Self {
        let time = match width {
            0..ROOM_FOR_TIME => 0,
            ROOM_FOR_TIME..WIDE => 8,
            WIDE.. => 12,
        };
        Self { time, word: if width < ROOM_FOR_WORD { 0 } else { WORD } }
    }

    /// Time, blank or mark, glyph, blank, word, blank.
    pub(super) fn columns(self) -> usize {
        let time = if self.time > 0 { self.time + 1 } else { 0 };
        let word = if self.word > 0 { self.word + 1 } else { 0 };
        time + 2 + word
    }
}

/// A piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) role: Role,
}

/// One row of the text beside the margin.
pub(super) type Row = Vec<Piece>;

/// How entries are laid out.
pub(super) struct Layout<'a> {
    state: &'a LogState,
    ring: &'a Ring,
    theme: &'a Theme,
    columns: usize,
}

impl<'a> Layout<'a> {
    pub(super) fn new(state: &'a LogState, ring: &'a Ring, view: &'a Viewport) -> Self {
        let columns = usize::from(view.width).saturating_sub(Margin::of(view.width).columns());
        Self { state, ring, theme: &view.theme, columns }
    }

    /// The rows of an item, at least one.
    pub(super) fn rows(&self, item: Item<'_>) -> Vec<Row> {
        let mut rows = match item {
            Item::Older(lines) => {
                vec![self.note(&format!("{} older lines, o opens them", count(lines)), Role::Muted)]
            }
            Item::Entry(entry, missed) => {
                let mut rows = self.entry_rows(entry);
                if missed > 0 {
                    let text = format!(
                        "{} lines skipped here, o reads them from the store",
                        count(missed)
                    );
                    rows.push(self.note(&text, Role::Warn));
                }
                rows
            }
        };
        if rows.is_empty() {
            rows.push(Row::new());
        }
        rows
    }

    pub(super) fn height(&self, item: Item<'_>) -> usize {
        self.rows(item).len()
    }

    fn note(&self, text: &str, role: Role) -> Row {
        let text = self.theme.shown(text);
        let text = cut(&text, self.columns, self.theme.glyphs.cut).into_owned();
        vec![Piece { text, role }]
    }

    fn entry_rows(&self, entry: &Entry) -> Vec<Row> {
        let unfolded = self.state.unfolded.contains(&entry.seq);
        let most = if unfolded { MOST_ROWS_UNFOLDED } else { MOST_ROWS };
        let lines = if unfolded { MOST_ROWS_UNFOLDED } else { FOLDED_LINES };
        let mut rows = Vec::new();
        let mut hidden = 0;
        for line in entry.lines(lines, self.ring.health_before(entry.seq)) {
            let left = most - rows.len();
            hidden += if left == 0 { characters(&line) } else { self.add(&mut rows, &line, left) };
        }
        if hidden > 0 {
            let more = format!("… {} more characters (o)", count(hidden as u64));
            rows.push(self.note(&more, Role::Muted));
        }
        rows
    }

    /// Adds the rows of one line; returns how many characters did not fit into `left` rows.
    fn add(&self, rows: &mut Vec<Row>, line: &Line<'_>, left: usize) -> usize {
        if self.columns == 0 {
            rows.push(Row::new());
            return 0;
        }
        if !self.state.wrap {
            rows.push(self.unwrapped(line));
            return 0;
        }
        let (shown, mut hidden) = self.clean(line, (left + 1) * self.columns);
        let mut end = 0;
        let mut wrapped = wrap(&shown.text, self.columns, 0);
        for row in wrapped.by_ref().take(left) {
            let start = row.as_ptr().addr() - shown.text.as_ptr().addr();
            end = start + row.len();
            rows.push(shown.pieces(start..end));
        }
        if wrapped.next().is_some() {
            hidden += shown.raw_characters(shown.text[end..].trim_start());
        }
        hidden
    }

    /// One row: what the sideways offset leaves of the line.
    fn unwrapped(&self, line: &Line<'_>) -> Row {
        let (shown, hidden) = self.clean(line, (self.state.side + self.columns) * 2 + 16);
        let rest = skip(&shown.text, self.state.side);
        let ellipsis = self.theme.glyphs.cut;
        let is_whole = hidden == 0 && width(&rest) <= self.columns;
        let room =
            if is_whole { self.columns } else { self.columns.saturating_sub(width(ellipsis)) };
        let kept = cut(&rest, room, "");
        // A half character at the left edge became a blank that is not in the line.
        let blank = usize::from(matches!(rest, std::borrow::Cow::Owned(_)));
        let start = shown.text.len() - (rest.len() - blank);
        let mut row =
            if blank > 0 { vec![Piece { text: " ".into(), role: Role::Text }] } else { Row::new() };
        row.extend(shown.pieces(start..start + kept.len().saturating_sub(blank)));
        if !is_whole && !rest.is_empty() {
            row.push(Piece { text: ellipsis.to_owned(), role: Role::Muted });
        }
        row
    }

    /// The first so many characters of a line, cleaned, with what a search finds in them; and how many are left.
    fn clean(&self, line: &Line<'_>, budget: usize) -> (Shown, usize) {
        let mut shown = Shown::default();
        let (mut budget, mut hidden) = (budget, 0);
        for part in &line.0 {
            let end = part.text.char_indices().nth(budget).map_or(part.text.len(), |(at, _)| at);
            let (text, rest) = part.text.split_at(end);
            budget -= text.chars().count();
            hidden += rest.chars().count();
            shown.raw += text.chars().count();
            shown.text.push_str(&self.theme.shown(text));
            shown.roles.push((shown.text.len(), part.role));
        }
        if let Some(search) = &self.state.search {
            shown.found = search.ranges(&shown.text);
        }
        (shown, hidden)
    }
}

fn characters(line: &Line<'_>) -> usize {
    line.0.iter().map(|part| part.text.chars().count()).sum()
}

/// A cleaned line with the look of its parts.
#[derive(Default)]
struct Shown {
    text: String,
    /// How many characters it had before it was cleaned.
    raw: usize,
    /// Where each part ends, and its role.
    roles: Vec<(usize, Role)>,
    found: Vec<Range<usize>>,
}

impl Shown {
    /// About how many characters this end of the text was; exact where nothing became an escape.
    fn raw_characters(&self, end: &str) -> usize {
        self.raw * end.chars().count() / self.text.chars().count().max(1)
    }

    /// This range in pieces that look the same throughout.
    fn pieces(&self, range: Range<usize>) -> Row {
        let mut row = Row::new();
        let mut at = range.start;
        while at < range.end {
            let part = self.roles.iter().find(|(end, _)| *end > at);
            let (part_end, role) = part.copied().unwrap_or((range.end, Role::Text));
            let next = self.found.partition_point(|found| found.end <= at);
            let (end, role) = match self.found.get(next) {
                Some(found) if found.start <= at => (found.end, Role::Match),
                Some(found) => (found.start.min(part_end), role),
                None => (part_end, role),
            };
            let end = end.min(range.end);
            row.push(Piece { text: self.text[at..end].to_owned(), role });
            at = end;
        }
        row
    }
}
