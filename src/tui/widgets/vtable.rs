//! A table of any length that builds only the rows on the screen.
//!
//! Which columns fit is decided before a row is built: a column is drawn at its width or not at all, so that an
//! id is never squeezed.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::draw::{blank, put, rows};
use super::scroll::scroll_bar;
use crate::tui::text::{Align, fit};
use crate::tui::theme::{Role, Theme};

/// Before the first column: the cursor, and the mark.
const MARGIN: u16 = 2;

/// How wide a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Columns(u16),
    /// What the others leave; for the last column.
    Rest,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub title: &'a str,
    pub width: Width,
    pub align: Align,
    /// Not shown in a table narrower than this.
    pub drop_below: u16,
    /// Among those that do not fit all the same, the lowest goes first; [`Column::KEEP`] never goes.
    pub priority: u8,
}

impl Column<'_> {
    /// The priority of a column that is cut at the edge rather than left out.
    pub const KEEP: u8 = u8::MAX;

    fn least(&self) -> u16 {
        match self.width {
            Width::Columns(columns) => columns,
            Width::Rest => 1,
        }
    }
}

/// What stands in one column of one row.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    pub text: Cow<'a, str>,
    pub role: Role,
}

impl<'a> Cell<'a> {
    pub fn new(text: impl Into<Cow<'a, str>>, role: Role) -> Self {
        Self { text: text.into(), role }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Cell<'a> {
    fn from(text: T) -> Self {
        Self::new(text, Role::Text)
    }
}

/// The column that is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub column: usize,
    pub descending: bool,
}

/// A table to draw.
#[derive(Clone, Copy, Debug)]
pub struct VTable<'a> {
    pub columns: &'a [Column<'a>],
    pub sort: Option<Sort>,
    /// Whether keys go here; without it the selected row has its cursor but is not reversed.
    pub focused: bool,
}

/// Which rows there are and which of them are on the screen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    pub len: usize,
    pub offset: usize,
    pub selected: Option<usize>,
}

/// A kept column: which, where and how wide.
type Place = (usize, u16, u16);

impl VTable<'_> {
    /// How many rows fit under the header.
    pub fn height(area: Rect) -> usize {
        usize::from(area.height.saturating_sub(1))
    }

    /// The columns that are shown in a table so wide, by their place in the list.
    pub fn kept(&self, width: u16) -> Vec<usize> {
        self.places(width).into_iter().map(|(index, _, _)| index).collect()
    }

    /// Draws header, visible rows and scroll bar (in the column right of `area`). `row` is asked for visible rows
    /// only, and answers with a cell per column, shown or not.
    pub fn draw<'r>(
        &self,
        area: Rect,
        buf: &mut Buffer,
        theme: &Theme,
        shown: Shown,
        is_marked: impl Fn(usize) -> bool,
        row: impl Fn(usize) -> Vec<Cell<'r>>,
    ) {
        let area = area.intersection(buf.area);
        blank(buf, area);
        let places = self.places(area.width);
        let mut lines = rows(area);
        let Some(header) = lines.next() else { return };
        self.draw_header(header, buf, theme, &places);
        let visible = Self::height(area);
        let indices = shown.offset.min(shown.len)..shown.len;
        for (index, line) in indices.zip(lines) {
            let line = Drawn { area: line, theme, places: &places, columns: self.columns };
            let is_selected = shown.selected == Some(index);
            line.draw(buf, &row(index), is_marked(index), is_selected, self.focused);
        }
        scroll_bar(area, buf, theme, (shown.len, shown.offset, visible));
    }

    fn draw_header(&self, area: Rect, buf: &mut Buffer, theme: &Theme, places: &[Place]) {
        let style = theme.style(Role::Title);
        for &(index, at, width) in places {
            let column = &self.columns[index];
            let mark = match self.sort.filter(|sort| sort.column == index) {
                Some(sort) if sort.descending => theme.glyphs.descending,
                Some(_) => theme.glyphs.ascending,
                None => "",
            };
            let title = format!("{}{mark}", column.title);
            let title = fit(&title, usize::from(width), column.align, theme.glyphs.cut);
            put(buf, area, at, &title, style);
        }
    }

    fn places(&self, width: u16) -> Vec<Place> {
        let mut kept: Vec<usize> = (0..self.columns.len())
            .filter(|&index| width >= self.columns[index].drop_below)
            .collect();
        while self.needed(&kept) > u32::from(width) {
            let droppable = |index: &usize| self.columns[*index].priority < Column::KEEP;
            let lowest = (0..kept.len())
                .rev()
                .filter(|&at| droppable(&kept[at]))
                .min_by_key(|&at| self.columns[kept[at]].priority);
            let Some(lowest) = lowest else { break };
            kept.remove(lowest);
        }
        let mut at = MARGIN;
        let mut places = Vec::with_capacity(kept.len());
        for index in kept {
            let left = width.saturating_sub(at);
            let columns = match self.columns[index].width {
                Width::Columns(columns) => columns,
                Width::Rest => left,
            };
            places.push((index, at, columns));
            at = at.saturating_add(columns).saturating_add(1);
        }
        places
    }

    /// The columns these take, with a blank between them.
    fn needed(&self, kept: &[usize]) -> u32 {
        let columns: u32 =
            kept.iter().map(|&index| u32::from(self.columns[index].least()) + 1).sum();
        u32::from(MARGIN) + columns.saturating_sub(1)
    }
}

/// One row's place and look.
struct Drawn<'a> {
    area: Rect,
    theme: &'a Theme,
    places: &'a [Place],
    columns: &'a [Column<'a>],
}

impl Drawn<'_> {
    fn draw(
        &self,
        buf: &mut Buffer,
        cells: &[Cell<'_>],
        marked: bool,
        selected: bool,
        focused: bool,
    ) {
        let reversed = (selected && focused).then(|| self.theme.style(Role::Selection));
        if let Some(style) = reversed {
            buf.set_style(self.area, style);
        }
        let look = |role| reversed.unwrap_or_else(|| self.theme.style(role));
        let glyphs = self.theme.glyphs;
        if selected {
            put(buf, self.area, 0, glyphs.cursor, look(Role::Focus));
        }
        if marked {
            put(buf, self.area, 1, glyphs.mark, look(Role::Key));
        }
        for &(index, at, width) in self.places {
            let Some(cell) = cells.get(index) else { continue };
            let text = fit(
                &self.theme.shown(&cell.text),
                usize::from(width),
                self.columns[index].align,
                glyphs.cut,
            );
            let style: Style = look(cell.role);
            put(buf, self.area, at, &text, style);
        }
    }
}

#[cfg(test)]
mod tests;
