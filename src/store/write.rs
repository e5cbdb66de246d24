//! The writer: appends that fence, never fork and never happen twice; and the lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Connection as _;

use super::failure::Trouble;
use super::record;
use super::sql::{Cell, Columns as _, Dialect, Session as _};
use crate::domain::event::{Head, RawEvent, Sealed};
use crate::ports::store::{Batch, Lease, StoreError};

/// The columns of an append, computed once for all attempts.
pub(super) struct Append {
    events: Vec<RawEvent>,
    rows: Vec<crate::ports::store::Row>,
}

impl Append {
    /// Takes a batch whose events follow each other.
    pub(super) fn of(batch: &Batch) -> Result<Self, StoreError> {
        for pair in batch.events.windows(2) {
            let (one, next) = (&pair[0], &pair[1]);
            if next.event.seq != one.event.seq + 1 || next.prev_hash != one.hash {
                return Err(StoreError::Forked {
                    expected: next.event.seq.saturating_sub(1),
                    found: one.event.seq,
                });
            }
        }
        let rows = record::last_of_each(&batch.rows).into_iter().cloned().collect();
        Ok(Self { events: batch.events.iter().map(Sealed::raw).collect(), rows })
    }

    /// One attempt, in one transaction. An attempt after one whose COMMIT was not answered finds the events
    /// there, or not there, and knows.
    pub(super) async fn attempt<D: Dialect>(
        &self,
        conn: &mut D::Conn,
        lease: &Lease,
    ) -> Result<Head, Trouble> {
        let mut tx = conn.begin_with(D::BEGIN_WRITE).await?;
        match self.inside::<D>(&mut tx, lease).await {
            Ok(Outcome::Written(head)) => {
                tx.commit().await?;
                Ok(head)
            }
            Ok(Outcome::WasThere(head)) => {
                tx.rollback().await?;
                Ok(head)
            }
            // Left to itself the connection would keep its locks until it is used again.
            Err(trouble) => {
                let _ = tx.rollback().await;
                Err(trouble)
            }
        }
    }

    async fn inside<D: Dialect>(
        &self,
        tx: &mut D::Conn,
        lease: &Lease,
    ) -> Result<Outcome, Trouble> {
        check_lease::<D>(tx, lease).await?;
        let Some((first, last)) = self.events.first().zip(self.events.last()) else {
            self.write_rows::<D>(tx).await?;
            return Ok(Outcome::Written(head::<D>(tx).await?));
        };
        let before = Head { seq: first.seq.saturating_sub(1), hash: first.prev_hash.clone() };
        let after = Head { seq: last.seq, hash: last.hash.clone() };
        if !move_head::<D>(tx, &before, &after).await? {
            if self.is_stored::<D>(tx).await? {
                return Ok(Outcome::WasThere(after));
            }
            let found = head::<D>(tx).await?;
            if found != before {
                let (expected, found) = (before.seq, found.seq);
                return Err(Trouble::Refused(StoreError::Forked { expected, found }));
            }
            restore_head::<D>(tx, &after).await?;
        }
        D::insert_events(tx, &self.events).await?;
        self.write_rows::<D>(tx).await?;
        Ok(Outcome::Written(after))
    }

    async fn write_rows<D: Dialect>(&self, conn: &mut D::Conn) -> Result<(), sqlx::Error> {
        for row in &self.rows {
            let (sql, cells) = record::of(row).upsert();
            conn.execute(sql, cells).await?;
        }
        Ok(())
    }

    /// Whether all these events are in the store, with these hashes.
    async fn is_stored<D: Dialect>(&self, conn: &mut D::Conn) -> Result<bool, sqlx::Error> {
        let bounds = self.events.first().zip(self.events.last());
        let Some((first, last)) = bounds else { return Ok(true) };
        let stored = conn
            .fetch(
                "select hash from events where seq between $1 and $2 order by seq".into(),
                vec![Cell::count(first.seq), Cell::count(last.seq)],
            )
            .await?;
        let mut hashes = Vec::with_capacity(stored.len());
        for row in &stored {
            hashes.push(row.text("hash")?);
        }
        Ok(hashes.iter().eq(self.events.iter().map(|event| &event.hash)))
    }
}

/// What a transaction came to.
enum Outcome {
    Written(Head),
    /// These very events were stored before.
    WasThere(Head),
}

/// The end of the chain that an append continues: as remembered, or further on if the events go further.
pub(super) async fn head<D: Dialect>(conn: &mut D::Conn) -> Result<Head, sqlx::Error> {
    let rows = conn
        .fetch(
            "select seq, hash from (select seq, hash from events order by seq desc limit 1) as newest
             union all select seq, hash from chain_head"
                .into(),
            vec![],
        )
        .await?;
    let mut end = Head::genesis();
    for row in &rows {
        let found = Head { seq: row.count("seq")?, hash: row.text("hash")? };
        if found.seq >= end.seq {
            end = found;
        }
    }
    Ok(end)
}

async fn move_head<D: Dialect>(
    conn: &mut D::Conn,
    before: &Head,
    after: &Head,
) -> Result<bool, sqlx::Error> {
    let moved = conn
        .execute(
            "update chain_head set seq = $1, hash = $2 where seq = $3 and hash = $4".into(),
            vec![
                Cell::count(after.seq),
                Cell::text(&after.hash),
                Cell::count(before.seq),
                Cell::text(&before.hash),
            ],
        )
        .await?;
    Ok(moved == 1)
}

/// Writes the remembered end anew where it was lost or set back.
async fn restore_head<D: Dialect>(conn: &mut D::Conn, head: &Head) -> Result<(), sqlx::Error> {
    conn.execute("delete from chain_head".into(), vec![]).await?;
    conn.execute(
        "insert into chain_head (seq, hash) values ($1, $2)".into(),
        vec![Cell::count(head.seq), Cell::text(&head.hash)],
    )
    .await?;
    Ok(())
}

async fn check_lease<D: Dialect>(conn: &mut D::Conn, lease: &Lease) -> Result<(), Trouble> {
    let sql = format!("select holder, token, expires_at from leases{}", D::STAYS);
    let rows = conn.fetch(sql.into(), vec![]).await?;
    let held = rows.first().map(lease_of).transpose()?;
    match held {
        Some(held) if held.holder == lease.holder && held.token == lease.token => Ok(()),
        other => Err(Trouble::Refused(held_by(other))),
    }
}

fn held_by(lease: Option<Lease>) -> StoreError {
    let (holder, until) = lease
        .filter(|lease| !lease.holder.is_empty())
        .map_or_else(|| ("nobody".to_owned(), DateTime::UNIX_EPOCH), |l| (l.holder, l.until));
    StoreError::LeaseHeld { holder, until }
}

pub(super) fn lease_of(row: &impl super::sql::Columns) -> Result<Lease, sqlx::Error> {
    Ok(Lease {
        holder: row.text("holder")?,
        token: row.count("token")?,
        until: row.time("expires_at")?,
    })
}

/// What may be done about the lease.
#[derive(Clone, Debug)]
pub(super) enum LeaseMove {
    Take { holder: String, now: DateTime<Utc>, until: DateTime<Utc> },
    Renew { lease: Lease, until: DateTime<Utc> },
    Release { lease: Lease },
}

impl LeaseMove {
    /// One attempt; each can be repeated when its answer was lost.
    pub(super) async fn attempt<D: Dialect>(
        &self,
        conn: &mut D::Conn,
    ) -> Result<Option<Lease>, Trouble> {
        let (sql, cells) = self.statement();
        let moved = conn.fetch(sql.into(), cells).await?;
        if let Some(row) = moved.first() {
            return Ok(Some(lease_of(row)?));
        }
        if matches!(self, Self::Release { .. }) {
            return Ok(None);
        }
        let rows =
            conn.fetch("select holder, token, expires_at from leases".into(), vec![]).await?;
        Err(Trouble::Refused(held_by(rows.first().map(lease_of).transpose()?)))
    }

    fn statement(&self) -> (&'static str, Vec<Cell>) {
        match self {
            Self::Take { holder, now, until } => (
                "insert into leases (name, holder, token, expires_at) values ('engine', $1, 1, $2)
                 on conflict (name) do update set
                     holder = excluded.holder,
                     token = case when leases.holder = excluded.holder then leases.token
                             else leases.token + 1 end,
                     expires_at = excluded.expires_at
                 where leases.holder = excluded.holder or leases.expires_at <= $3
                 returning holder, token, expires_at",
                vec![Cell::text(holder), Cell::time(*until), Cell::time(*now)],
            ),
            Self::Renew { lease, until } => (
                "update leases set expires_at = $1 where holder = $2 and token = $3
                 returning holder, token, expires_at",
                vec![Cell::time(*until), Cell::text(&lease.holder), Cell::Int(Some(lease.token))],
            ),
            Self::Release { lease } => (
                "update leases set holder = '', expires_at = $1 where holder = $2 and token = $3
                 returning holder, token, expires_at",
                vec![
                    Cell::time(DateTime::UNIX_EPOCH),
                    Cell::text(&lease.holder),
                    Cell::Int(Some(lease.token)),
                ],
            ),
        }
    }
}

/// Waits before attempt `n` (1, 2 …): doubling, and not in step with whoever was in the way.
pub(super) fn backoff(n: u32, seed: u64) -> Duration {
    let base = 5u64 << n.min(6);
    let jitter = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n * 7) % base;
    Duration::from_millis(base + jitter)
}
