//! A replication slot that nobody reads: the server keeps every segment for it, for ever.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSlot};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, count, name};
use crate::domain::diagnosis::JudgedCause;

use super::WAL;

pub(crate) const DEAD_SLOT: Judge = Judge {
    cause: "dead-slot",
    title: "a replication slot nobody reads",
    about: "A replication slot keeps WAL for a consumer that is not connected. The server removes none of it, and none of \
            what comes after, until somebody reads it or the slot is dropped.",
    findings: WAL,
    judge,
};

/// Less than a segment is kept anyhow.
const MUCH: u64 = 16 << 20;

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let slots = &facts.postgres.as_ref()?.wal.as_ref()?.slots;
    let oldest = unread(slots).next()?;
    let verdict = Verdict::on(facts, DEAD_SLOT.cause, &[source::PG_WAL]);
    let others = unread(slots).count() - 1;
    let because = format!(
        "the {} replication slot {} keeps {} of WAL, and nobody is connected to it{}",
        name(&oldest.kind),
        name(&oldest.name),
        bytes(oldest.retained),
        if others > 0 {
            format!("; {} more do so too", count(others as u64))
        } else {
            String::new()
        }
    );
    // A reader that is further behind keeps the same segments.
    let rival = slots.iter().find(|slot| slot.active && slot.retained >= oldest.retained);
    let missing = rival.map(|rival| {
        format!("how far slot {} gets, which is read and further behind", name(&rival.name))
    });
    Some(verdict.confirmed_unless(because, missing))
}

/// Furthest back first.
fn unread(slots: &[PgSlot]) -> impl Iterator<Item = &PgSlot> {
    slots.iter().filter(|slot| !slot.active && slot.retained >= MUCH)
}

/// The one slot to drop. An error says why there is none.
pub(crate) fn dead_slot(facts: &Facts) -> Result<&PgSlot, String> {
    let wal = facts.postgres.as_ref().and_then(|pg| pg.wal.as_ref());
    let wal = wal.ok_or("the replication slots could not be looked at")?;
    let mut unread = unread(&wal.slots);
    match (unread.next(), unread.next()) {
        (Some(slot), None) => Ok(slot),
        (None, _) => Err("every replication slot is read".into()),
        (Some(_), Some(_)) => Err("several replication slots are read by nobody".into()),
    }
}
