//! The log pane: what part of a ring is seen, and how a person moves in it.
//!
//! It follows the newest line until somebody moves up. Paused, the view is tied to a sequence number and holds
//! the entries it shows, so it stands still whatever arrives, and whatever the ring drops meanwhile. Only what is
//! on the screen is ever told, cleaned and wrapped.

mod draw;
mod layout;
mod lines;
mod moves;
mod search;

use std::collections::BTreeSet;

use crate::tui::log::{Entry, Ring};
use crate::tui::theme::Theme;

pub use draw::{draw, title};
pub use search::Search;

/// The place a log is drawn in: inside its border.
#[derive(Clone, Copy, Debug)]
pub struct Viewport {
    pub width: u16,
    pub height: u16,
    pub theme: Theme,
}

/// What stands before each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// The time of day.
    #[default]
    Clock,
    /// How long ago.
    Age,
    /// How long after the line before.
    Delta,
}

/// A row of the log: which of the rows of which entry. Sequence 0 is the line about what is older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    pub seq: u64,
    pub row: usize,
}

/// What one person sees of one log.
#[derive(Clone, Debug)]
pub struct LogState {
    /// `None` while it follows.
    paused: Option<Paused>,
    wrap: bool,
    /// Columns scrolled out on the left, when lines are not wrapped.
    side: usize,
    times: Times,
    cursor: Option<u64>,
    marks: BTreeSet<u64>,
    unfolded: BTreeSet<u64>,
    search: Option<Search>,
}

impl Default for LogState {
    fn default() -> Self {
        Self {
            paused: None,
            wrap: true,
            side: 0,
            times: Times::default(),
            cursor: None,
            marks: BTreeSet::new(),
            unfolded: BTreeSet::new(),
            search: None,
        }
    }
}

/// A view that stands still.
#[derive(Clone, Debug, Default)]
struct Paused {
    /// The first row seen.
    top: Anchor,
    /// The newest sequence when it paused.
    newest: u64,
    began: Count,
    /// What is on the screen, so that it stays when the ring drops it.
    held: Vec<Entry>,
    /// When `held` was taken: entries of the ring up to its last one.
    taken: Count,
    /// Entries between `held` and the ring that were gone already then.
    skipped: u64,
}

/// How many entries of interest a ring had when so many had left it.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    popped: u64,
    here: u64,
}

impl Count {
    /// How many others left since: those of interest leave first.
    fn others_gone(self, ring: &Ring) -> u64 {
        (ring.popped() - self.popped).saturating_sub(self.here)
    }
}

impl LogState {
    /// Not wrapped: one row for each line.
    pub fn unwrapped() -> Self {
        Self { wrap: false, ..Self::default() }
    }

    /// Whether the newest line is kept in sight.
    pub fn is_following(&self) -> bool {
        self.paused.is_none()
    }

    /// Whether long lines are broken.
    pub fn wraps(&self) -> bool {
        self.wrap
    }

    /// The columns scrolled out on the left.
    pub fn side(&self) -> usize {
        self.side
    }

    /// What stands before each line.
    pub fn times(&self) -> Times {
        self.times
    }

    /// The marked lines.
    pub fn marks(&self) -> &BTreeSet<u64> {
        &self.marks
    }

    /// What is searched for.
    pub fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// The first row seen; `None` while it follows.
    pub fn top(&self) -> Option<Anchor> {
        self.paused.as_ref().map(|paused| paused.top)
    }

    /// How many lines came since it paused.
    pub fn new_lines(&self, ring: &Ring) -> u64 {
        self.paused.as_ref().map_or(0, |paused| {
            ring.since(paused.newest).len() as u64 + paused.began.others_gone(ring)
        })
    }

    /// The line that keys act on: the one chosen, else the newest.
    pub fn cursor(&self, ring: &Ring) -> Option<u64> {
        self.cursor.or_else(|| ring.range().map(|(_, last)| last))
    }

    fn entry<'a>(&'a self, ring: &'a Ring, seq: u64) -> Option<&'a Entry> {
        let held = || self.paused.as_ref()?.held.iter().find(|entry| entry.seq == seq);
        ring.by_seq(seq).or_else(held)
    }

    /// The chosen line as it was stored: not wrapped, not padded.
    pub fn selected_text(&self, ring: &Ring) -> Option<String> {
        Some(self.entry(ring, self.cursor(ring)?)?.text())
    }

    /// The marked lines with their times, as stored; `None` when none is marked.
    pub fn marked_text(&self, ring: &Ring) -> Option<String> {
        let marked = self.marks.iter().filter_map(|seq| self.entry(ring, *seq));
        let told = |entry: &Entry| {
            let at = entry.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
            format!("{at} {} {}", entry.phase.as_str(), entry.text())
        };
        let lines: Vec<String> = marked.map(told).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The next way to tell the time.
    pub fn next_times(&mut self) {
        self.times = match self.times {
            Times::Clock => Times::Age,
            Times::Age => Times::Delta,
            Times::Delta => Times::Clock,
        };
    }

    /// Scrolls sideways by so many columns; not when lines are wrapped.
    pub fn sideways(&mut self, columns: isize) -> bool {
        if !self.wrap {
            self.side = self.side.saturating_add_signed(columns);
        }
        !self.wrap
    }

    /// Forgets the marks; says whether there were any.
    pub fn clear_marks(&mut self) -> bool {
        !std::mem::take(&mut self.marks).is_empty()
    }

    /// Ends the search; says whether there was one.
    pub fn clear_search(&mut self) -> bool {
        self.search.take().is_some()
    }

    /// Takes note of what arrived, for the count of the search. Costs what is new.
    pub fn learn(&mut self, ring: &Ring) {
        if let Some(search) = &mut self.search {
            search.learn(ring);
        }
    }
}

#[cfg(test)]
mod tests;
