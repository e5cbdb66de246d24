//! Makes events durable before anything follows from them: in the store, or in the local journal while the
//! store is away, and merges the two without a fork when it is back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::handle::StoreView;
use crate::domain::event::{Event, EventBody, Head, Sealed};
use crate::domain::ids::IncidentId;
use crate::domain::incident::Status;
use crate::domain::ledger::Ledger;
use crate::ports::store::{Batch, Lease, Row, Store, StoreError};
use crate::store::audit;
use crate::store::journal::{self, Journal};
use crate::store::rows::rows_of;

/// How long a lease is good without being renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(10);

/// The engine's only way to the store for writing.
pub struct Keeper {
    store: Arc<dyn Store>,
    lease: Lease,
    head: Head,
    journal: Journal,
    away: bool,
    anchor: PathBuf,
    /// Every known incident's status before the next event.
    statuses: BTreeMap<IncidentId, Status>,
}

/// What became of some events.
pub struct Kept {
    pub sealed: Vec<Arc<Sealed>>,
    /// The store went away with these; why.
    pub lost: Option<String>,
}

impl Keeper {
    /// Takes the lease and continues the log: first what an earlier engine left in the journal.
    pub async fn open(
        store: Arc<dyn Store>,
        holder: &str,
        state_dir: &Path,
        now: DateTime<Utc>,
    ) -> Result<(Self, Ledger), StoreError> {
        let lease = store.take_lease(holder, now, LEASE_TTL).await?;
        let mut journal = Journal::open(state_dir)?;
        if journal.pending() > 0 {
            let merged = journal::merge(&mut journal, store.as_ref(), &lease).await?;
            tracing::info!(merged, "merged the journal that an earlier engine left");
        }
        let ledger = store.load().await?;
        let head = store.head().await?;
        let statuses =
            ledger.incidents.values().map(|incident| (incident.id, incident.status)).collect();
        let anchor = audit::anchor_dir(state_dir, store.as_ref());
        Ok((Self { store, lease, head, journal, away: false, anchor, statuses }, ledger))
    }

    /// Where events go now.
    pub fn view(&self) -> StoreView {
        StoreView {
            url: self.store.url().to_owned(),
            reachable: !self.away,
            journaled: self.journal.pending(),
        }
    }

    pub fn is_away(&self) -> bool {
        self.away
    }

    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The lease as renewed by [`Store::renew_lease`].
    pub fn renewed(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// Seals the events and makes them durable. `ledger` is the one after all of them.
    pub async fn keep(&mut self, events: Vec<Event>, ledger: &Ledger) -> Result<Kept, StoreError> {
        let mut batch = Batch { events: Vec::with_capacity(events.len()), rows: Vec::new() };
        for event in events {
            let before = event.incident.and_then(|id| self.statuses.get(&id).copied());
            batch.rows.extend(rows_of(&event, before, ledger));
            self.follow_status(&event);
            let sealed = event.seal(&self.head);
            self.head = sealed.head();
            batch.events.push(sealed);
        }
        batch.rows = without_repeats(std::mem::take(&mut batch.rows));
        let lost = self.write(&batch).await?;
        Ok(Kept { sealed: batch.events.into_iter().map(Arc::new).collect(), lost })
    }

    async fn write(&mut self, batch: &Batch) -> Result<Option<String>, StoreError> {
        let mut lost = None;
        if !self.away {
            match self.store.append(batch, &self.lease).await {
                Ok(head) => {
                    self.remember(&head);
                    return Ok(None);
                }
                Err(error) if error.is_outage() => {
                    let reason = format!("{:#}", anyhow::Error::from(error));
                    tracing::warn!(reason, "the store is away; events go to the journal");
                    lost = Some(reason);
                    self.away = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.journal.append(batch)?;
        Ok(lost)
    }

    /// The store answers again: brings it everything it missed. Returns how many events.
    pub async fn merge(&mut self) -> Result<u64, StoreError> {
        let merged = journal::merge(&mut self.journal, self.store.as_ref(), &self.lease).await?;
        self.head = self.store.head().await?;
        self.remember(&self.head);
        self.away = false;
        Ok(merged)
    }

    /// The sequence number of the newest event.
    pub fn seq(&self) -> u64 {
        self.head.seq
    }

    /// Lets another engine take over at once.
    pub async fn release(self) {
        if let Err(error) = self.store.release_lease(&self.lease).await {
            tracing::debug!(%error, "the lease was not released; it ends by itself");
        }
    }

    /// The end of the log, kept apart from the store, so that a cut tail shows. A disk that cannot take it costs
    /// that proof, not the record.
    fn remember(&self, head: &Head) {
        if let Err(error) = audit::remember(&self.anchor, head) {
            tracing::warn!(%error, dir = %self.anchor.display(), "the end of the log was not remembered");
        }
    }

    fn follow_status(&mut self, event: &Event) {
        let Some(id) = event.incident else { return };
        let next = match &event.body {
            EventBody::IncidentOpened { incident, .. } => Some(incident.status),
            EventBody::StatusChanged { to, .. } => Some(*to),
            EventBody::IncidentResolved { .. } => Some(Status::Resolved),
            EventBody::IncidentFailed { .. } => Some(Status::Failed),
            _ => None,
        };
        if let Some(status) = next {
            self.statuses.insert(id, status);
        }
    }
}

/// Rows are computed from the ledger after the whole batch, so a second one for the same thing is the same.
fn without_repeats(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = BTreeSet::new();
    rows.into_iter()
        .filter(|row| match row {
            Row::Incident { incident } => seen.insert(("incident", incident.id.0)),
            Row::Execution { execution, .. } => seen.insert(("execution", execution.id.0)),
            Row::Action { run, .. } => seen.insert(("action", run.id)),
            Row::Injection { injection } => seen.insert(("injection", injection.id.0)),
            Row::StatusHistory { .. }
            | Row::Analysis { .. }
            | Row::Approval { .. }
            | Row::Fault { .. }
            | Row::State { .. }
            | Row::Report { .. } => true,
        })
        .collect()
}
