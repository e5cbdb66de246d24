//! The records that were read so far, without a gap between them, and what later ones say about earlier ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::deed::{self, Deed};
use crate::domain::event::{Event, EventBody, RawEvent, Sealed};
use crate::domain::execution::StepRun;
use crate::domain::ids::{ExecutionId, IncidentId};

/// Records kept at hand; older ones are read again when somebody scrolls there.
const MOST: usize = 20_000;
/// A gap wider than this is not filled: what is behind it is forgotten and read again.
const WIDEST: u64 = 2_000;

/// One record with its deed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub deed: Deed,
    record: Record,
}

#[derive(Clone, Debug)]
enum Record {
    Live(Arc<Sealed>),
    Stored(Box<RawEvent>),
}

impl Entry {
    fn live(sealed: &Arc<Sealed>) -> Self {
        Self { deed: deed::of(&sealed.event), record: Record::Live(Arc::clone(sealed)) }
    }

    fn stored(record: &RawEvent) -> Self {
        let deed = match record.event() {
            Ok(event) => deed::of(&event),
            Err(error) => deed::unreadable(record, &error),
        };
        Self { deed, record: Record::Stored(Box::new(record.clone())) }
    }

    /// The columns as they are stored.
    pub(super) fn raw(&self) -> Cow<'_, RawEvent> {
        match &self.record {
            Record::Live(sealed) => Cow::Owned(sealed.raw()),
            Record::Stored(record) => Cow::Borrowed(record),
        }
    }

    /// The event, where it can be read.
    pub(super) fn event(&self) -> Option<Cow<'_, Event>> {
        match &self.record {
            Record::Live(sealed) => Some(Cow::Borrowed(&sealed.event)),
            Record::Stored(record) => record.event().ok().map(Cow::Owned),
        }
    }

    /// Both hashes: of the record before, and its own.
    pub(super) fn hashes(&self) -> (&str, &str) {
        match &self.record {
            Record::Live(sealed) => (&sealed.prev_hash, &sealed.hash),
            Record::Stored(record) => (&record.prev_hash, &record.hash),
        }
    }
}

/// What is known about an execution from its own records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub fingerprint: Option<String>,
    pub proposed_at: Option<DateTime<Utc>>,
    /// Who let it run, and when.
    pub decided: Option<(String, DateTime<Utc>)>,
}

/// The records, by sequence number.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<u64, Entry>,
    numbers: BTreeMap<IncidentId, u64>,
    executions: BTreeMap<ExecutionId, Known>,
    /// Nothing is missing between the first record of all and the oldest here.
    pub reached_start: bool,
    /// Records between these two were not read yet.
    gap: Option<(u64, u64)>,
}

impl Book {
    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.values().next()
    }

    pub(super) fn number(&self, incident: IncidentId) -> Option<u64> {
        self.numbers.get(&incident).copied()
    }

    pub(super) fn learn_number(&mut self, incident: IncidentId, number: u64) {
        self.numbers.insert(incident, number);
    }

    pub(super) fn execution(&self, id: ExecutionId) -> Option<&Known> {
        self.executions.get(&id)
    }

    /// The start of the step whose end a record tells.
    pub(super) fn run(&self, before: u64, run: Uuid) -> Option<StepRun> {
        let earlier = self.entries.range(..before).rev();
        let started = earlier.filter(|(_, entry)| entry.deed.kind == "action_started");
        started.take(50).find_map(|(_, entry)| match &entry.event()?.body {
            EventBody::ActionStarted { run: step, .. } if step.id == run => Some(step.clone()),
            _ => None,
        })
    }

    /// The sequence number before which records are missing, and whether a gap is the reason.
    pub(super) fn wants(&self) -> Option<u64> {
        self.gap.map(|(_, above)| above)
    }

    /// Takes a record as it becomes durable. Returns whether it is new.
    pub(super) fn push(&mut self, sealed: &Arc<Sealed>) -> bool {
        let seq = sealed.event.seq;
        let newest = self.entries.keys().next_back().copied();
        if let Some(newest) = newest.filter(|newest| seq > newest + 1) {
            let below = self.gap.map_or(newest, |(below, _)| below);
            self.gap = Some((below, seq));
        }
        self.learn(&sealed.event);
        self.entries.insert(seq, Entry::live(sealed)).is_none()
    }

    /// Takes a page, newest first, that was asked for with `before`.
    pub(super) fn read(&mut self, before: Option<u64>, page: &[RawEvent], is_last: bool) {
        for record in page {
            let entry = Entry::stored(record);
            if let Some(event) = entry.event() {
                let event = event.into_owned();
                self.learn(&event);
            }
            self.entries.entry(record.seq).or_insert(entry);
        }
        self.close_gap(before, page, is_last);
        let fills = self.gap.is_some();
        let first = self.entries.keys().next().copied();
        self.reached_start |= first == Some(1) || (is_last && !fills);
    }

    fn close_gap(&mut self, before: Option<u64>, page: &[RawEvent], is_last: bool) {
        let (Some(newest), Some(oldest)) = (page.first(), page.last()) else {
            self.gap = None;
            return;
        };
        // Live records may have come while the newest page was read.
        if before.is_none() {
            let above = self.entries.range(newest.seq + 1..).next().map(|(seq, _)| *seq);
            self.gap = above.filter(|above| *above > newest.seq + 1).map(|a| (newest.seq, a));
        }
        let Some((below, above)) = self.gap.filter(|(_, above)| before == Some(*above)) else {
            return;
        };
        let above = above.min(oldest.seq);
        self.gap = (above > below + 1 && !is_last).then_some((below, above));
    }

    /// Forgets what lies behind a gap that is too wide to fill. Returns whether anything was forgotten.
    pub(super) fn forget_behind_gap(&mut self) -> bool {
        let Some((_, above)) = self.gap.filter(|(below, above)| above - below > WIDEST) else {
            return false;
        };
        self.entries = self.entries.split_off(&above);
        self.gap = None;
        self.reached_start = false;
        true
    }

    /// Forgets the oldest records beyond what is kept, but not the one in hand. Returns the oldest that stays.
    pub(super) fn trim(&mut self, in_hand: Option<u64>) -> Option<u64> {
        if self.len() <= MOST {
            return None;
        }
        while let Some((&oldest, _)) = self.entries.first_key_value() {
            let must = self.len() > 2 * MOST;
            if self.len() <= MOST || (!must && in_hand == Some(oldest)) {
                break;
            }
            self.entries.pop_first();
            self.reached_start = false;
        }
        self.entries.keys().next().copied()
    }

    fn learn(&mut self, event: &Event) {
        match &event.body {
            EventBody::IncidentOpened { incident, .. } => {
                self.learn_number(incident.id, incident.number);
            }
            EventBody::Proposed { execution, proposal } => {
                let known = self.executions.entry(*execution).or_default();
                known.fingerprint = Some(proposal.fingerprint.short().to_owned());
                known.proposed_at = Some(proposal.created_at);
            }
            EventBody::Decided { execution, approval } => {
                let known = self.executions.entry(*execution).or_default();
                known.fingerprint = Some(approval.fingerprint.short().to_owned());
                if approval.decision.permits() {
                    known.decided = Some((approval.actor.clone(), approval.at));
                }
            }
            _ => {}
        }
    }
}
