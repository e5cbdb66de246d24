//! The list: filtered, in order, selected by id. The order is made when something changed, never per frame.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::filter::Filter;
use super::row::Row;
use crate::domain::ids::IncidentId;
use crate::engine::handle::Snapshot;
use crate::ports::store::{IncidentFilter, IncidentLine};
use crate::tui::widgets::window::{Move, Window};

/// Rows read from the store at once.
const PAGE: u32 = 200;
/// The next page is asked for when this few rows are left below.
const AHEAD: usize = 60;
/// More rows than these are not kept; a filter finds the rest.
const MOST: usize = 20_000;

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    /// What waits for a person first, then what is open, then what ended.
    #[default]
    Urgency,
    Id,
    Severity,
    State,
    Target,
    Cause,
    Age,
}

impl SortBy {
    pub const ALL: [Self; 7] = [
        Self::Urgency,
        Self::Id,
        Self::Severity,
        Self::State,
        Self::Target,
        Self::Cause,
        Self::Age,
    ];

    /// The word in the title.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgency => "urgency",
            Self::Id => "id",
            Self::Severity => "severity",
            Self::State => "state",
            Self::Target => "target",
            Self::Cause => "cause",
            Self::Age => "age",
        }
    }

    fn stepped(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        let len = Self::ALL.len();
        Self::ALL[(at + len).saturating_add_signed(by) % len]
    }
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub filter_text: String,
    filter: Filter,
    pub sort: SortBy,
    pub reversed: bool,
    recent: Vec<Row>,
    stored: Vec<Row>,
    rows: Vec<Row>,
    pub window: Window,
    pub marks: BTreeSet<IncidentId>,
    mark_from: Option<IncidentId>,
    /// The page that is being read.
    asked: Option<IncidentFilter>,
    /// The store has no older ones that pass.
    is_whole: bool,
    /// How many of the rows are open.
    pub open: usize,
    /// The newest incident's number: how many there ever were.
    pub total: u64,
}

impl List {
    /// The rows in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Takes the incidents of a snapshot, when they are others than before.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let is_same = self.recent.len() == snapshot.incidents.len()
            && self.recent.iter().zip(&snapshot.incidents).all(|(row, incident)| match row {
                Row::Recent(known) => Arc::ptr_eq(known, incident),
                Row::Stored(_) => false,
            });
        if is_same {
            return;
        }
        self.recent = snapshot.incidents.iter().map(|one| Row::Recent(Arc::clone(one))).collect();
        let newest = snapshot.incidents.iter().map(|incident| incident.number).max();
        self.total = self.total.max(newest.unwrap_or(0));
        self.arrange();
    }

    /// Takes a page of the store; another page than the one asked for is not wanted any more.
    pub fn took_page(&mut self, filter: &IncidentFilter, lines: &[IncidentLine]) {
        if self.asked.as_ref() != Some(filter) {
            return;
        }
        self.asked = None;
        self.is_whole = lines.len() < PAGE as usize || self.stored.len() > MOST;
        self.total = self.total.max(lines.first().map_or(0, |line| line.number));
        self.stored.extend(lines.iter().map(|line| Row::Stored(Arc::new(line.clone()))));
        self.arrange();
    }

    /// A page could not be read; it is asked for again with the next movement.
    pub fn page_failed(&mut self) {
        self.asked = None;
    }

    /// The page to read now, when the person is near the end of what is known.
    pub fn next_page(&mut self, selected: Option<IncidentId>) -> Option<IncidentFilter> {
        let at = self.index_of(selected).unwrap_or(self.window.offset);
        let is_near = at + AHEAD >= self.rows.len();
        if self.is_whole || self.asked.is_some() || !is_near {
            return None;
        }
        let before_number = self.stored.last().map(Row::number);
        let filter = IncidentFilter { before_number, limit: PAGE, ..self.filter.for_store() };
        self.asked = Some(filter.clone());
        Some(filter)
    }

    /// Filters by what was typed.
    pub fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.filter_text);
        let filter = Filter::parse(text);
        if filter != self.filter {
            let reads_others = filter.for_store() != self.filter.for_store();
            self.filter = filter;
            if reads_others {
                self.stored.clear();
                self.is_whole = false;
                self.asked = None;
            }
            self.arrange();
        }
    }

    /// Sorts by the next column, or the one before.
    pub fn step_sort(&mut self, by: isize) {
        self.sort = self.sort.stepped(by);
        self.arrange();
    }

    /// Turns the order around.
    pub fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.arrange();
    }

    /// Where an incident stands.
    pub fn index_of(&self, id: Option<IncidentId>) -> Option<usize> {
        let id = id?;
        self.rows.iter().position(|row| row.id() == id)
    }

    /// The incident to select after a movement.
    pub fn moved(
        &self,
        selected: Option<IncidentId>,
        by: Move,
        height: usize,
    ) -> Option<IncidentId> {
        let at = self.index_of(selected);
        let next = Window::moved(at, by, self.rows.len(), height)?;
        self.rows.get(next).map(Row::id)
    }

    /// Marks a row, or takes its mark away.
    pub fn toggle_mark(&mut self, id: IncidentId) {
        if !self.marks.remove(&id) {
            self.marks.insert(id);
        }
        self.mark_from = Some(id);
    }

    /// Marks everything from the last mark to here.
    pub fn mark_range(&mut self, id: IncidentId) {
        let (Some(from), Some(to)) =
            (self.index_of(self.mark_from.or(Some(id))), self.index_of(Some(id)))
        else {
            return;
        };
        let (first, last) = (from.min(to), from.max(to));
        self.marks.extend(self.rows[first..=last].iter().map(Row::id));
    }

    /// Filters and sorts anew; marks of rows that are gone go too.
    fn arrange(&mut self) {
        let recent: HashSet<IncidentId> = self.recent.iter().map(Row::id).collect();
        let older = self.stored.iter().filter(|row| !recent.contains(&row.id()));
        self.rows = self
            .recent
            .iter()
            .chain(older)
            .filter(|row| self.filter.passes(row))
            .cloned()
            .collect();
        self.open = self.rows.iter().filter(|row| row.is_open()).count();
        let newest = |row: &Row| std::cmp::Reverse(row.number());
        match self.sort {
            SortBy::Urgency => self.rows.sort_by_key(|row| {
                let ended = row.urgency() == super::row::Urgency::Ended;
                (row.urgency(), if ended { 0 } else { row.severity_rank() }, newest(row))
            }),
            SortBy::Id => self.rows.sort_by_key(newest),
            SortBy::Severity => self.rows.sort_by_key(|row| (row.severity_rank(), newest(row))),
            SortBy::State => {
                self.rows.sort_by_key(|row| (row.urgency(), row.state().0, newest(row)));
            }
            SortBy::Target => {
                self.rows
                    .sort_by(|a, b| a.target().cmp(b.target()).then(newest(a).cmp(&newest(b))));
            }
            SortBy::Cause => {
                self.rows.sort_by(|a, b| a.cause().cmp(&b.cause()).then(newest(a).cmp(&newest(b))));
            }
            SortBy::Age => self.rows.sort_by_key(|row| std::cmp::Reverse(row.opened_at())),
        }
        if self.reversed {
            self.rows.reverse();
        }
        if !self.marks.is_empty() {
            let here: HashSet<IncidentId> = self.rows.iter().map(Row::id).collect();
            self.marks.retain(|id| here.contains(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::example;

    fn line(number: u64) -> IncidentLine {
        IncidentLine {
            id: IncidentId(uuid::Uuid::from_u128(1_000 + u128::from(number))),
            number,
            target: "redis-test".into(),
            finding: "server-down".into(),
            cause: None,
            status: "resolved".into(),
            severity: "high".into(),
            message: "down".into(),
            created_at: example::now().at,
            resolved_at: Some(example::now().at),
            occurrences: 1,
        }
    }

    fn numbers(list: &List) -> Vec<u64> {
        list.rows().iter().map(Row::number).collect()
    }

    fn normal() -> List {
        let mut list = List::default();
        list.take(&example::normal());
        list
    }

    #[test]
    fn what_waits_for_a_person_stands_first_and_what_ended_last() {
        assert_eq!(numbers(&normal()), [42, 38, 40, 39, 37, 36]);
    }

    #[test]
    fn older_ones_come_page_by_page_without_repeating_what_is_known() {
        let mut list = normal();
        let first = list.next_page(None).unwrap();
        assert_eq!((first.before_number, first.limit), (None, PAGE));
        assert_eq!(list.next_page(None), None, "one page at a time");
        let page: Vec<_> = (1..=42).rev().map(line).collect();
        let full: Vec<_> = (0..200).map(|n| line(242 - n)).collect();
        list.took_page(&IncidentFilter::default(), &page);
        assert_eq!(list.rows().len(), 6, "not the page that was asked for");
        list.took_page(&first, &full);
        assert_eq!(list.rows().len(), 6 + 200);
        assert_eq!(list.next_page(None), None, "the end is far away");
        let last = list.rows().last().map(Row::id);
        let second = list.next_page(last).unwrap();
        assert_eq!(second.before_number, Some(43));
        list.took_page(&second, &[line(41), line(37), line(36)]);
        assert_eq!(list.rows().len(), 6 + 200 + 1, "37 and 36 are known");
        assert_eq!(list.next_page(last), None, "a short page is the last");
    }

    #[test]
    fn the_selection_is_an_id_whatever_happens_to_the_rows() {
        let mut list = normal();
        let selected = list.rows()[2].id();
        list.step_sort(1);
        list.reverse();
        assert_eq!(list.rows()[list.index_of(Some(selected)).unwrap()].id(), selected);
        list.set_filter("sev:crit");
        assert_eq!(list.index_of(Some(selected)), None);
        assert_eq!(list.moved(Some(selected), Move::Down, 5), Some(list.rows()[0].id()));
    }

    #[test]
    fn marks_of_rows_that_are_gone_are_gone() {
        let mut list = normal();
        for row in list.rows().to_vec() {
            list.toggle_mark(row.id());
        }
        list.set_filter("target:redis-test");
        assert_eq!(list.marks.len(), 2);
    }
}
