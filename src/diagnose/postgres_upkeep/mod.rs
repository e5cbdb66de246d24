//! What a PostgreSQL keeps without need: WAL that somebody does not take, an index that no query may use.

use crate::domain::finding::FindingKind;

mod archive_fails;
mod dead_slot;
mod invalid_index;

#[cfg(test)]
mod tests;

pub(super) use archive_fails::ARCHIVE_FAILS;
pub(super) use dead_slot::DEAD_SLOT;
pub(crate) use dead_slot::dead_slot;
pub(super) use invalid_index::INVALID_INDEX;
pub(crate) use invalid_index::invalid_index;

const WAL: &[FindingKind] = &[FindingKind::WalRetained];
