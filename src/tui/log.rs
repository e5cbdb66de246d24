//! The log of each incident as the console keeps it: what arrives is kept as it is, in order, within limits.
//!
//! Nothing is cleaned, wrapped or told on arrival; that happens to the few lines on the screen. The same event
//! may come from the store and from the live stream, in any order.

mod entry;
mod times;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::domain::event::{EventBody, RawEvent, Sealed};
use crate::domain::health::Health;
use crate::domain::ids::IncidentId;

pub(crate) use entry::FOLDED_LINES;
pub use entry::{Entry, Line, Part};
pub use times::PhaseTime;
use times::Times;

/// A ring drops its oldest entries beyond so many …
pub const MOST_ENTRIES: usize = 10_000;
/// … or beyond so many bytes, whichever comes first.
pub const MOST_BYTES: usize = 4 << 20;
/// The book drops the ring that was used least recently beyond so many.
pub const MOST_INCIDENTS: usize = 64;

/// The rings of all incidents that were looked at or heard of lately.
#[derive(Clone, Debug, Default)]
pub struct LogBook {
    rings: BTreeMap<IncidentId, (u64, Ring)>,
    /// Counts uses, for finding the least recent.
    uses: u64,
    /// Never dropped first: what is open or selected.
    kept: Vec<IncidentId>,
}

impl LogBook {
    /// Takes an event into the ring of its incident; one that belongs to none is ignored. Says whether anything
    /// that is shown changed.
    pub fn push(&mut self, sealed: &Arc<Sealed>) -> bool {
        let Some(incident) = sealed.event.incident else { return false };
        self.ring_mut(incident).push(sealed)
    }

    /// The same for a record of the store. One that this version cannot read becomes a line that says so.
    pub fn push_raw(&mut self, raw: &RawEvent) -> bool {
        match (raw.event(), raw.incident) {
            (Ok(event), _) => {
                let (prev_hash, hash) = (raw.prev_hash.clone(), raw.hash.clone());
                self.push(&Arc::new(Sealed { event, prev_hash, hash }))
            }
            (Err(error), Some(id)) => {
                self.ring_mut(IncidentId(id)).insert(Entry::unreadable(raw, &error))
            }
            (Err(_), None) => false,
        }
    }

    /// The lines of an incident that were missed after the newest one known.
    pub fn gap(&mut self, incident: IncidentId, missed: u64) {
        self.ring_mut(incident).gap(missed);
    }

    /// The log of an incident, if any of it is known.
    pub fn get(&self, incident: IncidentId) -> Option<&Ring> {
        self.rings.get(&incident).map(|(_, ring)| ring)
    }

    /// Notes that a person looks at these: they stay when others must go.
    pub fn keep(&mut self, incidents: impl IntoIterator<Item = IncidentId>) {
        self.kept = incidents.into_iter().collect();
        for incident in &self.kept {
            if let Some((used, _)) = self.rings.get_mut(incident) {
                self.uses += 1;
                *used = self.uses;
            }
        }
    }

    /// How many incidents have a log here.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    /// Whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.rings.is_empty()
    }

    fn ring_mut(&mut self, incident: IncidentId) -> &mut Ring {
        self.uses += 1;
        if !self.rings.contains_key(&incident) && self.rings.len() >= MOST_INCIDENTS {
            self.drop_one();
        }
        let (used, ring) = self.rings.entry(incident).or_default();
        *used = self.uses;
        ring
    }

    fn drop_one(&mut self) {
        let oldest =
            self.rings.iter().min_by_key(|(id, (used, _))| (self.kept.contains(id), *used));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.rings.remove(&id);
        }
    }
}

/// The newest lines of one incident, sorted by sequence.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Lines that were here or missed before the first one.
    dropped: u64,
    /// Entries that left by the limits, for who counts while they go.
    popped: u64,
    /// The newest sequence that left: what is not newer stays away.
    floor: u64,
    /// Grows whenever an entry comes in anywhere but at the end.
    reordered: u64,
    times: Times,
    /// The health before each action, by the sequence of its start.
    health_before: BTreeMap<u64, Health>,
}

impl Ring {
    /// Takes an event. One that is known, or older than all that fits, changes nothing.
    pub fn push(&mut self, sealed: &Arc<Sealed>) -> bool {
        let event = &sealed.event;
        self.times.learn(event);
        if let EventBody::ActionStarted { run, .. } = &event.body {
            self.health_before.insert(event.seq, run.health_before);
            if self.health_before.len() > times::MOST {
                self.health_before.pop_first();
            }
        }
        Entry::of(sealed).is_some_and(|entry| self.insert(entry))
    }

    /// Takes a line that is made already.
    pub fn insert(&mut self, entry: Entry) -> bool {
        let seq = entry.seq;
        if seq <= self.floor {
            return false;
        }
        if self.entries.back().is_none_or(|last| last.seq < seq) {
            self.bytes += entry.bytes();
            self.entries.push_back(entry);
        } else if let Err(at) = self.entries.binary_search_by_key(&seq, |entry| entry.seq) {
            self.bytes += entry.bytes();
            self.fill_gap(at);
            self.entries.insert(at, entry);
            self.reordered += 1;
        } else {
            return false;
        }
        while self.entries.len() > MOST_ENTRIES
            || (self.bytes > MOST_BYTES && self.entries.len() > 1)
        {
            self.drop_oldest();
        }
        self.floor < seq
    }

    /// A late line is one of those that were missed where it belongs; the rest of the gap stays before it.
    fn fill_gap(&mut self, at: usize) {
        let Some(before) = at.checked_sub(1).and_then(|at| self.entries.get_mut(at)) else {
            self.dropped = self.dropped.saturating_sub(1);
            return;
        };
        before.missed_after = before.missed_after.saturating_sub(1);
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.bytes();
            self.dropped += 1 + oldest.missed_after;
            self.popped += 1;
            self.floor = oldest.seq;
        }
    }

    /// So many lines after the newest one known never came.
    pub fn gap(&mut self, missed: u64) {
        match self.entries.back_mut() {
            Some(last) => last.missed_after += missed,
            None => self.dropped += missed,
        }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The line at this place.
    pub fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The line with this sequence.
    pub fn by_seq(&self, seq: u64) -> Option<&Entry> {
        self.get(self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?)
    }

    /// The place of the first line that is not before this sequence.
    pub fn position(&self, seq: u64) -> usize {
        self.entries.partition_point(|entry| entry.seq < seq)
    }

    /// The lines after this sequence.
    pub fn since(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        let start = self.entries.partition_point(|entry| entry.seq <= seq);
        self.entries.range(start..)
    }

    /// All lines, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// The first and the last sequence that are here.
    pub fn range(&self) -> Option<(u64, u64)> {
        Some((self.entries.front()?.seq, self.entries.back()?.seq))
    }

    /// Lines before the first one here, which the store has.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Entries that left by the limits since the ring began.
    pub(crate) fn popped(&self) -> u64 {
        self.popped
    }

    /// Changes when a line came in before others.
    pub(crate) fn reordered(&self) -> u64 {
        self.reordered
    }

    /// What all lines take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long the incident spent in thinking, waiting, executing, verifying, and in all.
    pub fn phases(&self) -> [PhaseTime; 5] {
        self.times.phases()
    }

    /// The health when the action of this line started.
    pub fn health_before(&self, seq: u64) -> Option<Health> {
        self.health_before.range(..seq).next_back().map(|(_, health)| *health)
    }

    /// Whether this line says that something runs, and nothing came after it.
    pub fn is_running(&self, entry: &Entry) -> bool {
        entry.announces_work() && self.entries.back().is_some_and(|last| last.seq == entry.seq)
    }

    /// Whether the last line counts seconds, so that the screen must be drawn again each second.
    pub fn counts_seconds(&self) -> bool {
        self.entries.back().is_some_and(|last| self.is_running(last))
    }
}

#[cfg(test)]
pub(crate) mod tests;
