//! The ring as the view sees it: with the entries it holds of those that are gone, and the line about the rest.

use super::{LogState, Paused};
use crate::tui::log::{Entry, Ring};

/// What is to be seen, in order.
pub(super) struct Lines<'a> {
    pub(super) ring: &'a Ring,
    /// Held, and gone from the ring.
    pub(super) gone: &'a [Entry],
    /// Before all of this.
    pub(super) older: u64,
    /// Between what is held and the ring.
    pub(super) skipped: u64,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    /// So many lines are only in the store.
    Older(u64),
    /// An entry, and how many lines are missing behind it.
    Entry(&'a Entry, u64),
}

impl<'a> Lines<'a> {
    pub(super) fn of(state: &'a LogState, ring: &'a Ring) -> Self {
        let Some(paused) = &state.paused else {
            return Self { ring, gone: &[], older: ring.dropped(), skipped: 0 };
        };
        let first = ring.range().map_or(u64::MAX, |(first, _)| first);
        let gone = &paused.held[..paused.held.partition_point(|entry| entry.seq < first)];
        let skipped = if gone.is_empty() { 0 } else { skipped(paused, ring) };
        let held: u64 = gone.iter().map(|entry| 1 + entry.missed_after).sum();
        let older = ring.dropped().saturating_sub(held + skipped);
        Self { ring, gone, older, skipped }
    }

    pub(super) fn len(&self) -> usize {
        self.first_entry() + self.gone.len() + self.ring.len()
    }

    /// The place of the first entry.
    pub(super) fn first_entry(&self) -> usize {
        usize::from(self.older > 0)
    }

    pub(super) fn item(&self, index: usize) -> Option<Item<'a>> {
        let Some(index) = index.checked_sub(self.first_entry()) else {
            return Some(Item::Older(self.older));
        };
        match self.gone.get(index) {
            Some(entry) => {
                let last = index + 1 == self.gone.len();
                let skipped = if last { self.skipped } else { 0 };
                Some(Item::Entry(entry, entry.missed_after + skipped))
            }
            None => {
                let entry = self.ring.get(index - self.gone.len())?;
                Some(Item::Entry(entry, entry.missed_after))
            }
        }
    }

    pub(super) fn entry(&self, index: usize) -> Option<&'a Entry> {
        match self.item(index)? {
            Item::Entry(entry, _) => Some(entry),
            Item::Older(_) => None,
        }
    }

    pub(super) fn seq(&self, index: usize) -> u64 {
        self.entry(index).map_or(0, |entry| entry.seq)
    }

    /// The place of the first that is not before this sequence, or of the last.
    pub(super) fn position(&self, seq: u64) -> usize {
        if seq == 0 {
            return 0;
        }
        let gone = self.gone.partition_point(|entry| entry.seq < seq);
        let here = if gone < self.gone.len() { 0 } else { self.ring.position(seq) };
        (self.first_entry() + gone + here).min(self.len().saturating_sub(1))
    }
}

fn skipped(paused: &Paused, ring: &Ring) -> u64 {
    paused.skipped + paused.taken.others_gone(ring)
}
