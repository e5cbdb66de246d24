//! Brings the journal's batches into the store, in order, each once, on the one chain there is.

use std::collections::BTreeSet;

use super::journal::{Journal, JournalError};
use super::rows::rows_of;
use crate::domain::event::{Event, EventBody, Head};
use crate::domain::health::Health;
use crate::domain::ids::{IncidentId, incident_name};
use crate::domain::ledger::Ledger;
use crate::ports::store::{Batch, Lease, Store, StoreError};

/// Another engine cannot write while we hold the lease, so one new start is enough; a second is patience.
const STARTS: u32 = 3;

/// Merges the journal and empties it. Returns how many events were new to the store.
///
/// When another engine wrote meanwhile, the journal's events are sealed anew after its last one. The caller then
/// continues from [`Store::load`] and [`Store::head`], not from what it remembers.
pub async fn merge(
    journal: &mut Journal,
    store: &dyn Store,
    lease: &Lease,
) -> Result<u64, StoreError> {
    let mut merged = 0;
    for start in 1..=STARTS {
        match append_all(journal, store, lease, &mut merged).await? {
            Ok(()) => break,
            Err((_, forked)) if start == STARTS => return Err(forked),
            Err((from, _)) => seal_anew(journal, from, store).await?,
        }
    }
    journal.clear()?;
    Ok(merged)
}

/// Appends batch after batch. A fork is answered with the place of the batch that did not fit.
async fn append_all(
    journal: &Journal,
    store: &dyn Store,
    lease: &Lease,
    merged: &mut u64,
) -> Result<Result<(), (usize, StoreError)>, StoreError> {
    for (place, batch) in journal.batches()?.enumerate() {
        let batch = batch?;
        if is_stored(store, &batch).await? {
            continue;
        }
        match store.append(&batch, lease).await {
            Ok(_) => *merged += batch.events.len() as u64,
            Err(forked @ StoreError::Forked { .. }) => return Ok(Err((place, forked))),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

/// Whether an append that seemed lost, or an earlier merge, brought the batch into the store.
async fn is_stored(store: &dyn Store, batch: &Batch) -> Result<bool, StoreError> {
    let Some(first) = batch.events.first() else { return Ok(false) };
    let count = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
    let stored = store.events(first.event.seq.saturating_sub(1), count).await?;
    Ok(stored.iter().map(|e| &e.hash).eq(batch.events.iter().map(|sealed| &sealed.hash)))
}

/// Rewrites the journal from batch `from` on as it continues the store's chain now. On disk before anything is
/// appended, so that a crash in between repeats nothing.
async fn seal_anew(
    journal: &mut Journal,
    from: usize,
    store: &dyn Store,
) -> Result<(), StoreError> {
    let rest: Result<Vec<Batch>, JournalError> = journal.batches()?.skip(from).collect();
    let (ledger, head) = (store.load().await?, store.head().await?);
    journal.replace(&continued(rest?, ledger, head))?;
    Ok(())
}

/// The batches as they continue `head`, with the rows that follow from `ledger`.
fn continued(batches: Vec<Batch>, ledger: Ledger, head: Head) -> Vec<Batch> {
    let mut continued = Continued { ledger, head, doubles: BTreeSet::new() };
    batches.into_iter().map(|batch| continued.batch(batch)).collect()
}

struct Continued {
    ledger: Ledger,
    head: Head,
    /// Incidents of ours for which the other engine has an open one already.
    doubles: BTreeSet<IncidentId>,
}

impl Continued {
    fn batch(&mut self, batch: Batch) -> Batch {
        let mut next = Batch { events: Vec::new(), rows: Vec::new() };
        for sealed in batch.events {
            let mut event = sealed.event;
            self.renumber(&mut event);
            self.add(&mut next, event.clone());
            if let Some(number) = self.double_of(event.incident) {
                self.add(&mut next, closing(&event, number));
                self.doubles.extend(event.incident);
            }
        }
        next
    }

    fn add(&mut self, batch: &mut Batch, event: Event) {
        let sealed = event.seal(&self.head);
        self.head = sealed.head();
        // What was done about a double stays in the log; its incident stays closed.
        if !sealed.event.incident.is_some_and(|id| self.doubles.contains(&id)) {
            let incident = sealed.event.incident;
            let before = incident.and_then(|id| self.ledger.incidents.get(&id)).map(|i| i.status);
            self.ledger.apply(&sealed.event);
            batch.rows.extend(rows_of(&sealed.event, before, &self.ledger));
        }
        batch.events.push(sealed);
    }

    /// Gives an incident or injection another number when the other engine used its number.
    fn renumber(&self, event: &mut Event) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "only these two events give out a number"
        )]
        match &mut event.body {
            EventBody::IncidentOpened { incident, .. }
                if incident.number <= self.ledger.last_incident =>
            {
                incident.number = self.ledger.last_incident + 1;
            }
            EventBody::InjectionStarted { injection }
                if injection.number <= self.ledger.last_injection =>
            {
                injection.number = self.ledger.last_injection + 1;
            }
            _ => {}
        }
    }

    /// The number of another open incident with the same symptom of the same target: there may be only one.
    fn double_of(&self, incident: Option<IncidentId>) -> Option<u64> {
        let ours = self.ledger.incidents.get(&incident?).filter(|ours| ours.is_open())?;
        let open = self.ledger.open_on(&ours.target);
        open.into_iter()
            .find(|other| other.finding == ours.finding && other.id != ours.id)
            .map(|other| other.number)
    }
}

fn closing(opened: &Event, number: u64) -> Event {
    Event {
        seq: opened.seq,
        at: opened.at,
        incident: opened.incident,
        target: opened.target.clone(),
        actor: "engine".into(),
        body: EventBody::IncidentResolved {
            health: Health::Inconclusive,
            reason: format!(
                "another engine holds the same problem as {}; this one had no store then",
                incident_name(number)
            ),
        },
    }
}
