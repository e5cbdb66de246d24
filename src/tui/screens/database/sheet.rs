//! Where a person is in an answer: which part, which rows by filter and order, which one in hand. Rows are known by
//! what they are about, so that a new answer moves nothing.

use std::cmp::Ordering;

use serde_json::Value;

use crate::tui::inspected::{Body, Inspected, Part, Row, Rows};
use crate::tui::widgets::vtable::Sort;
use crate::tui::widgets::window::{Move, Window};

/// A page of rows, for the keys that go by pages.
const PAGE: usize = 10;

/// The place in an answer.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// The part in hand, by its title; else the first.
    part: Option<String>,
    pub(super) filter: String,
    /// By which column, by its title, and whether downwards.
    sort: Option<(String, bool)>,
    /// The row in hand.
    selected: Option<String>,
    /// Columns after the first that are scrolled past.
    pub(super) aside: usize,
    /// The rows that are listed, in their order.
    pub(super) order: Vec<usize>,
}

impl Sheet {
    pub(super) fn clear(&mut self) {
        self.order.clear();
    }

    /// The part in hand, with its place.
    pub(super) fn part<'a>(&self, seen: &'a Inspected) -> Option<(usize, &'a Part)> {
        let named = |part: &&Part| Some(&part.title) == self.part.as_ref();
        let at = seen.parts.iter().position(|part| named(&part)).unwrap_or(0);
        seen.parts.get(at).map(|part| (at, part))
    }

    pub(super) fn rows<'a>(&self, seen: &'a Inspected) -> Option<&'a Rows> {
        match &self.part(seen)?.1.body {
            Body::Rows(rows) => Some(rows),
            Body::Unknown { .. } => None,
        }
    }

    /// Where the row in hand is among those that are listed.
    pub(super) fn place(&self, seen: &Inspected) -> Option<usize> {
        let rows = self.rows(seen)?;
        let is_it = |at: &usize| rows.rows.get(*at).map(|row| &row.id) == self.selected.as_ref();
        self.order.iter().position(is_it).or((!self.order.is_empty()).then_some(0))
    }

    /// The row in hand.
    pub(super) fn row<'a>(&self, seen: &'a Inspected) -> Option<&'a Row> {
        let at = *self.order.get(self.place(seen)?)?;
        self.rows(seen)?.rows.get(at)
    }

    /// The column that is sorted by.
    pub(super) fn sorted(&self, rows: &Rows) -> Option<Sort> {
        let (title, descending) = self.sort.as_ref()?;
        let column = rows.columns.iter().position(|column| column.title == *title)?;
        Some(Sort { column, descending: *descending })
    }

    /// Lists anew. The row in hand stays in hand while it is there.
    pub(super) fn lay_out(&mut self, seen: &Inspected) {
        self.order.clear();
        let Some(rows) = self.rows(seen) else { return };
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let mut order: Vec<usize> =
            (0..rows.rows.len()).filter(|at| passes(&rows.rows[*at], &words)).collect();
        if let Some(sort) = self.sorted(rows) {
            let value = |at: usize| rows.rows[at].values.get(sort.column).unwrap_or(&Value::Null);
            order.sort_by(|a, b| {
                let way = compare(value(*a), value(*b));
                if sort.descending { way.reverse() } else { way }
            });
        }
        self.aside = self.aside.min(rows.columns.len().saturating_sub(2));
        self.order = order;
    }

    pub(super) fn moved(&mut self, by: Move, seen: &Inspected) {
        let row = Window::moved(self.place(seen), by, self.order.len(), PAGE);
        let at = row.and_then(|row| self.order.get(row));
        let id = at.and_then(|at| self.rows(seen)?.rows.get(*at)).map(|row| row.id.clone());
        self.selected = id.or(self.selected.take());
    }

    /// The part after, or before, the one in hand.
    pub(super) fn step(&mut self, by: isize, seen: &Inspected) {
        let (at, count) = (self.part(seen).map_or(0, |(at, _)| at), seen.parts.len().max(1));
        let step = by.rem_euclid(isize::try_from(count).unwrap_or(isize::MAX));
        let next = (at + usize::try_from(step).unwrap_or(0)) % count;
        self.part = seen.parts.get(next).map(|part| part.title.clone());
        (self.sort, self.aside) = (None, 0);
        self.lay_out(seen);
    }

    /// Another question: its first part, unsorted.
    pub(super) fn begin(&mut self) {
        *self = Self { filter: std::mem::take(&mut self.filter), ..Self::default() };
    }

    /// Sorts by the next column: numbers from the largest, words from the first.
    pub(super) fn sort_next(&mut self, seen: &Inspected) {
        let Some(rows) = self.rows(seen) else { return };
        let at = self.sorted(rows).map_or(0, |sort| sort.column + 1);
        self.sort = rows.columns.get(at).map(|column| (column.title.clone(), column.is_number));
        self.lay_out(seen);
    }

    pub(super) fn reverse(&mut self, seen: &Inspected) {
        if let Some((_, descending)) = &mut self.sort {
            *descending = !*descending;
            self.lay_out(seen);
        }
    }

    pub(super) fn sideways(&mut self, by: isize, seen: &Inspected) {
        let most = self.rows(seen).map_or(0, |rows| rows.columns.len().saturating_sub(2));
        self.aside = self.aside.saturating_add_signed(by).min(most);
    }
}

/// Whether a row has every word, and none of those that begin with `!`.
fn passes(row: &Row, words: &[String]) -> bool {
    let has = |part: &str| row.cells.iter().any(|cell| cell.to_lowercase().contains(part));
    words.iter().all(|word| match word.strip_prefix('!') {
        Some(not) if !not.is_empty() => !has(not),
        _ => has(word),
    })
}

/// Numbers by size, everything else by its text; what is not known is less than anything.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => text(a).cmp(&text(b)),
        },
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_lowercase)
}
