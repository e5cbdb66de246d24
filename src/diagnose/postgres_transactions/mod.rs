//! A PostgreSQL whose clients lose their transactions: what the server cannot give them decides.

use crate::domain::finding::FindingKind;

use super::facts::Facts;

mod locks;
mod sequence;
mod temp_files;

#[cfg(test)]
mod tests;

pub(super) use locks::LOCK_TABLE_FULL;
pub(crate) use locks::hoarder;
pub(super) use sequence::SEQUENCE_END;
pub(super) use temp_files::SPILL;

const FINDINGS: &[FindingKind] = &[FindingKind::TransactionsFail];

/// Whether a line of the server's log has all of these. Its sentences differ by version and language; names, numbers
/// and settings in them do not.
fn log_has(facts: &Facts, words: &[&str]) -> Option<bool> {
    let lines = facts.log.as_ref()?;
    Some(lines.iter().any(|line| words.iter().all(|word| line.contains(word))))
}
