//! Moving in the log. Every movement works on rows near the screen, never on the whole log.

use super::layout::Layout;
use super::lines::{Item, Lines};
use super::search::Search;
use super::{Anchor, Count, LogState, Paused, Viewport};
use crate::tui::log::{Entry, Ring};
use crate::tui::widgets::window::Move;

/// A row by the place of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) index: usize,
    pub(super) row: usize,
}

/// What the movements need to know.
pub(super) struct Ground<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) layout: Layout<'a>,
    height: usize,
}

impl<'a> Ground<'a> {
    pub(super) fn new(state: &'a LogState, ring: &'a Ring, view: &'a Viewport) -> Self {
        let layout = Layout::new(state, ring, view);
        Self { lines: Lines::of(state, ring), layout, height: usize::from(view.height) }
    }

    /// The first row seen.
    pub(super) fn top(&self, state: &LogState) -> At {
        let Some(paused) = &state.paused else { return self.last_page() };
        let index = self.lines.position(paused.top.seq);
        let row = if self.lines.seq(index) == paused.top.seq { paused.top.row } else { 0 };
        At { index, row: row.min(self.rows_of(index).saturating_sub(1)) }
    }

    fn rows_of(&self, index: usize) -> usize {
        self.lines.item(index).map_or(0, |item: Item<'_>| self.layout.height(item))
    }

    /// The first row when the last one is at the bottom.
    fn last_page(&self) -> At {
        let mut missing = self.height.max(1);
        for index in (0..self.lines.len()).rev() {
            let rows = self.rows_of(index);
            if rows >= missing {
                return At { index, row: rows - missing };
            }
            missing -= rows;
        }
        At { index: 0, row: 0 }
    }

    fn back(&self, from: At, rows: usize) -> At {
        let (mut at, mut left) = (from, rows);
        while left > at.row {
            let Some(index) = at.index.checked_sub(1) else { return At { index: 0, row: 0 } };
            left -= at.row + 1;
            at = At { index, row: self.rows_of(index).saturating_sub(1) };
        }
        At { row: at.row - left, ..at }
    }

    fn on(&self, from: At, rows: usize) -> At {
        let end = self.last_page();
        let (mut at, mut left) = (from, rows);
        while at < end {
            let here = self.rows_of(at.index) - at.row;
            if left < here {
                return At { row: at.row + left, ..at }.min(end);
            }
            left -= here;
            at = At { index: at.index + 1, row: 0 };
        }
        // A view that is past the end stays where it is until it is moved up.
        at.min(end.max(from))
    }

    /// The rows between the top of the screen and the first row of this entry, which is not above it.
    fn rows_until(&self, top: At, index: usize) -> usize {
        let mut rows = 0;
        for above in top.index..index {
            rows += self.rows_of(above);
            // Beyond the screen by more than any entry on it: further is as good.
            if rows > top.row + 2 * self.height {
                break;
            }
        }
        rows.saturating_sub(top.row)
    }

    /// The last entry of which something is seen.
    fn last_seen(&self, top: At) -> usize {
        let mut index = top.index;
        let mut rows = self.rows_of(index).saturating_sub(top.row);
        while rows < self.height && index + 1 < self.lines.len() {
            index += 1;
            rows += self.rows_of(index);
        }
        index
    }

    fn anchor(&self, at: At) -> Anchor {
        Anchor { seq: self.lines.seq(at.index), row: at.row }
    }
}

/// Where a movement ends.
struct Goal {
    top: At,
    cursor: usize,
}

impl LogState {
    /// Moves. Upwards it pauses; downwards it never begins to follow, but for the bottom.
    pub fn go(&mut self, by: Move, ring: &Ring, view: &Viewport) {
        if ring.is_empty() || (self.is_following() && by == Move::Down) {
            return;
        }
        if by == Move::Bottom {
            return self.follow();
        }
        if self.is_following() && by.rows(1) > 0 {
            return;
        }
        let ground = Ground::new(self, ring, view);
        let top = ground.top(self);
        let first = ground.lines.first_entry();
        let cursor = self.cursor(ring).map_or(first, |seq| ground.lines.position(seq)).max(first);
        let goal = match by {
            Move::Up => up(&ground, top, cursor),
            Move::Down => down(&ground, top, cursor),
            Move::Top => Goal { top: At { index: 0, row: 0 }, cursor: first },
            _ => scrolled(&ground, top, cursor, by.rows(ground.height)),
        };
        self.settle(&goal, ring, view);
    }

    /// Scrolls by rows, as a wheel does; up is negative.
    pub fn scroll(&mut self, rows: isize, ring: &Ring, view: &Viewport) {
        if ring.is_empty() || (self.is_following() && rows >= 0) {
            return;
        }
        let ground = Ground::new(self, ring, view);
        let first = ground.lines.first_entry();
        let cursor = self.cursor(ring).map_or(first, |seq| ground.lines.position(seq)).max(first);
        let goal = scrolled(&ground, ground.top(self), cursor, rows);
        self.settle(&goal, ring, view);
    }

    /// Keeps the newest line in sight from now on.
    pub fn follow(&mut self) {
        self.paused = None;
        self.cursor = None;
    }

    /// Stands still where it is.
    pub fn pause(&mut self, ring: &Ring, view: &Viewport) {
        if self.is_following() && !ring.is_empty() {
            let ground = Ground::new(self, ring, view);
            let top = ground.top(self);
            let cursor = ground.lines.len() - 1;
            self.settle(&Goal { top, cursor }, ring, view);
        }
    }

    /// Follows, or stops following.
    pub fn toggle_follow(&mut self, ring: &Ring, view: &Viewport) {
        if self.is_following() { self.pause(ring, view) } else { self.follow() }
    }

    /// Breaks long lines, or leaves them whole.
    pub fn toggle_wrap(&mut self, ring: &Ring, view: &Viewport) {
        self.wrap = !self.wrap;
        self.hold_again(ring, view);
    }

    /// Shows all output of the chosen line, or folds it again. Says whether there was a line.
    pub fn toggle_unfolded(&mut self, ring: &Ring, view: &Viewport) -> bool {
        self.pause(ring, view);
        let Some(seq) = self.cursor(ring) else { return false };
        if !self.unfolded.remove(&seq) {
            self.unfolded.insert(seq);
        }
        self.show(seq, ring, view);
        true
    }

    /// Marks the chosen line, or takes its mark away. Says whether there was a line.
    pub fn toggle_mark(&mut self, ring: &Ring, view: &Viewport) -> bool {
        self.pause(ring, view);
        let Some(seq) = self.cursor(ring) else { return false };
        if !self.marks.remove(&seq) {
            self.marks.insert(seq);
        }
        true
    }

    /// Marks all lines from the mark nearest above to the chosen one.
    pub fn mark_range(&mut self, ring: &Ring, view: &Viewport) {
        self.pause(ring, view);
        let Some(seq) = self.cursor(ring) else { return };
        let from = self.marks.range(..=seq).next_back().copied().unwrap_or(seq);
        let start = ring.position(from);
        let range = ring.iter().skip(start).map(|entry| entry.seq).take_while(|at| *at <= seq);
        self.marks.extend(range);
    }

    /// Searches, and jumps to the first line from the top of the screen on that has it.
    pub fn start_search(&mut self, typed: &str, ring: &Ring, view: &Viewport) {
        let top = Ground::new(self, ring, view);
        let seen = top.lines.seq(top.top(self).index).saturating_sub(1);
        let search = Search::new(typed, ring);
        let first = search.beside(seen, true);
        self.search = Some(search);
        self.jump_to_hit(first, ring, view);
    }

    /// The next line that has what is searched for, or the one before. Says whether there is one.
    pub fn next_match(&mut self, forward: bool, ring: &Ring, view: &Viewport) -> bool {
        self.learn(ring);
        let at = self.cursor(ring).unwrap_or_default();
        let found = self.search.as_ref().and_then(|search| search.beside(at, forward));
        self.jump_to_hit(found, ring, view);
        found.is_some()
    }

    /// The next line of another phase, or the beginning of this one and then of the phase before.
    pub fn next_phase(&mut self, forward: bool, ring: &Ring, view: &Viewport) {
        let Some(cursor) = self.cursor(ring) else { return };
        if self.is_following() && forward {
            return;
        }
        let at = ring.position(cursor).min(ring.len().saturating_sub(1));
        let phase = |index: usize| ring.get(index).map(|entry| entry.phase);
        let goal = if forward {
            (at..ring.len()).find(|index| phase(*index) != phase(at))
        } else {
            // The line before this one tells in which phase the jump ends.
            at.checked_sub(1).map(|before| {
                (0..before).rev().find(|index| phase(*index) != phase(before)).map_or(0, |n| n + 1)
            })
        };
        if let Some(seq) = goal.and_then(|index| ring.get(index)).map(|entry| entry.seq) {
            self.jump_to(seq, ring, view);
        }
    }

    fn jump_to_hit(&mut self, hit: Option<u64>, ring: &Ring, view: &Viewport) {
        let Some(seq) = hit else { return };
        if let Some(search) = &mut self.search {
            search.at = Some(seq);
        }
        self.jump_to(seq, ring, view);
    }

    /// Pauses with this line chosen, a third below the top unless it is seen already.
    pub fn jump_to(&mut self, seq: u64, ring: &Ring, view: &Viewport) {
        if ring.is_empty() {
            return;
        }
        let ground = Ground::new(self, ring, view);
        let (top, cursor) = (ground.top(self), ground.lines.position(seq));
        let start = At { index: cursor, row: 0 };
        let is_seen = start >= top && ground.rows_until(top, cursor) < ground.height;
        let third = || ground.back(start, ground.height / 3).min(ground.last_page());
        let goal = Goal { top: if is_seen { top } else { third() }, cursor };
        self.settle(&goal, ring, view);
    }

    /// Scrolls no more than needed to see a line whole, or its beginning.
    fn show(&mut self, seq: u64, ring: &Ring, view: &Viewport) {
        let ground = Ground::new(self, ring, view);
        let cursor = ground.lines.position(seq);
        let top = into_sight(&ground, ground.top(self), cursor);
        self.settle(&Goal { top, cursor }, ring, view);
    }

    fn hold_again(&mut self, ring: &Ring, view: &Viewport) {
        if !self.is_following() {
            let ground = Ground::new(self, ring, view);
            let top = ground.top(self);
            let cursor = self.cursor(ring).map_or(top.index, |seq| ground.lines.position(seq));
            self.settle(&Goal { top, cursor }, ring, view);
        }
    }

    /// Stands at the goal, holding what is seen there.
    fn settle(&mut self, goal: &Goal, ring: &Ring, view: &Viewport) {
        let ground = Ground::new(self, ring, view);
        let (top, cursor) = (ground.anchor(goal.top), ground.lines.seq(goal.cursor));
        let (held, skipped) = held(&ground, goal.top);
        let through = held.last().map_or(0, |entry| ring.position(entry.seq + 1)) as u64;
        let taken = Count { popped: ring.popped(), here: through };
        let began = || Paused {
            newest: ring.range().map_or(0, |(_, last)| last),
            began: Count { popped: ring.popped(), here: ring.len() as u64 },
            ..Paused::default()
        };
        let before = self.paused.take().unwrap_or_else(began);
        self.paused = Some(Paused { top, held, taken, skipped, ..before });
        self.cursor = Some(cursor);
    }
}

/// The entries from the top of the screen to its end, and how many are missing between them and the ring.
fn held(ground: &Ground<'_>, top: At) -> (Vec<Entry>, u64) {
    let lines = &ground.lines;
    let gone_end = lines.first_entry() + lines.gone.len();
    let end = (top.index + ground.height.max(1) + 1).max(gone_end).min(lines.len());
    let mut held: Vec<Entry> = Vec::with_capacity(end.saturating_sub(top.index));
    for index in top.index..end {
        let Some(Item::Entry(entry, missed)) = lines.item(index) else { continue };
        // Once entries of the ring are held too, the gap before them belongs to the entry above it.
        let missed_after = if end > gone_end { missed } else { entry.missed_after };
        let mut entry = entry.clone();
        entry.missed_after = missed_after;
        held.push(entry);
    }
    (held, if end > gone_end { 0 } else { lines.skipped })
}

fn scrolled(ground: &Ground<'_>, top: At, cursor: usize, rows: isize) -> Goal {
    let distance = rows.unsigned_abs();
    let top = if rows < 0 { ground.back(top, distance) } else { ground.on(top, distance) };
    // The first entry whose beginning is seen, so that the cursor is never in a line that began above.
    let first = (top.index + usize::from(top.row > 0)).min(ground.last_seen(top));
    let first = first.max(ground.lines.first_entry());
    Goal { top, cursor: cursor.clamp(first, ground.last_seen(top).max(first)) }
}

fn up(ground: &Ground<'_>, top: At, cursor: usize) -> Goal {
    if (At { index: cursor, row: 0 }) < top {
        return Goal { top: ground.back(top, 1), cursor };
    }
    if cursor <= ground.lines.first_entry() {
        return Goal { top: ground.back(top, 1), cursor };
    }
    let cursor = cursor - 1;
    Goal { top: into_sight(ground, top, cursor), cursor }
}

fn down(ground: &Ground<'_>, top: At, cursor: usize) -> Goal {
    let until = if cursor < top.index { 0 } else { ground.rows_until(top, cursor) };
    let is_cut = until + ground.rows_of(cursor) > ground.height.max(1)
        && cursor + usize::from(top.row > 0) >= top.index;
    if is_cut && ground.on(top, 1) != top {
        return Goal { top: ground.on(top, 1), cursor };
    }
    let cursor = (cursor + 1).min(ground.lines.len() - 1);
    Goal { top: into_sight(ground, top, cursor), cursor }
}

/// The top from which this entry is seen whole, or as much of its beginning as fits.
fn into_sight(ground: &Ground<'_>, top: At, index: usize) -> At {
    let start = At { index, row: 0 };
    if start < top {
        // As much of it as fits above what was seen.
        let rows = ground.rows_of(index);
        return At { index, row: rows.saturating_sub(ground.height.max(1)) };
    }
    let first = ground.rows_until(top, index);
    let end = first + ground.rows_of(index);
    let needed = end.saturating_sub(ground.height.max(1)).min(first);
    ground.on(top, needed)
}
