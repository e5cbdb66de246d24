//! A full volume below a tablespace: what lies on it decides what may make room.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Sample};

use super::Judge;
use super::facts::{Facts, PgVolume, SizedTable};
use super::verdict::{Verdict, source};
use super::words::{bytes, name, percent};

#[cfg(test)]
mod tests;

/// Less than this is free.
const FULL_PERCENT: u64 = 97;
/// From this share on the tables are what fills it.
const MOST_PERCENT: u64 = 60;
const NO_SPACE: &str = "53100";

pub(super) const DATA_FULL: Judge = Judge {
    cause: "data-full",
    title: "tables fill a tablespace's volume",
    about: "The volume below a tablespace has no room left, and tables take it: inserts there fail with 53100, reads \
            and other tables go on.",
    findings: &[FindingKind::VolumeFull, FindingKind::WritesRefused],
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let newest = facts.samples.iter().rev().find_map(Sample::first_bad);
    if facts.finding == FindingKind::WritesRefused
        && newest.and_then(Answer::code) != Some(NO_SPACE)
    {
        return None;
    }
    let volume = full_volume(facts)?;
    let verdict = Verdict::on(facts, DATA_FULL.cause, &[source::CLIENT_VIEW, source::PG_VOLUMES]);
    let full = format!(
        "{} of {} free below tablespace {}",
        bytes(volume.available),
        bytes(volume.total),
        name(&volume.tablespace)
    );
    let tables: u64 = volume.tables.iter().map(|table| table.bytes).sum();
    let share = percent(tables, volume.total - volume.available);
    match volume.tables.first() {
        Some(largest) if share >= MOST_PERCENT => Some(verdict.confirmed(format!(
            "{full}; its tables take {share} % of what is used, the largest is {}.{} with {}",
            name(&largest.schema),
            name(&largest.name),
            bytes(largest.bytes)
        ))),
        _ => Some(verdict.inconclusive(
            format!("{full}; the tables of this database take only {share} % of what is used"),
            "what else lies on the volume (du), or in which other database",
        )),
    }
}

/// The fullest volume that is full.
fn full_volume(facts: &Facts) -> Option<&PgVolume> {
    let volumes = facts.postgres.as_ref()?.volumes.iter().flatten();
    let used =
        |volume: &PgVolume| percent(volume.total.saturating_sub(volume.available), volume.total);
    volumes
        .filter(|volume| volume.total > 0 && used(volume) >= FULL_PERCENT)
        .max_by_key(|volume| used(volume))
}

/// The one table that takes more than half of a full volume.
pub(crate) fn filling_table(facts: &Facts) -> Option<&SizedTable> {
    let volume = full_volume(facts)?;
    let used = volume.total - volume.available;
    volume.tables.first().filter(|table| percent(table.bytes, used) > 50)
}
