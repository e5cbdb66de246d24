//! What a CREATE INDEX CONCURRENTLY leaves when it fails.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgInvalidIndex};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, name};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

pub(crate) const INVALID_INDEX: Judge = Judge {
    cause: "invalid-index",
    title: "an index was built in vain",
    about: "A CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed and left its index behind, invalid: it is kept up \
            with every write and serves no query.",
    findings: &[FindingKind::InvalidIndex],
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let indexes = facts.postgres.as_ref()?.invalid_indexes.as_ref()?;
    let verdict = Verdict::on(facts, INVALID_INDEX.cause, &[source::PG_INDEXES]);
    let Some(index) = left(indexes).next() else {
        let index = indexes.first()?;
        return Some(verdict.inconclusive(
            format!("{} is invalid, and somebody is at work on it or its table", name(&index.name)),
            "whether it is valid once they are done",
        ));
    };
    let kind = if index.is_unique { "unique index" } else { "index" };
    Some(verdict.confirmed(format!(
        "the {kind} {}.{} on {} is invalid ({}), and nobody builds or drops an index of that table",
        name(&index.schema),
        name(&index.name),
        name(&index.table),
        bytes(index.bytes)
    )))
}

/// Those that nobody is at work on.
fn left(indexes: &[PgInvalidIndex]) -> impl Iterator<Item = &PgInvalidIndex> {
    indexes.iter().filter(|index| !index.is_worked_on)
}

/// The index to drop first.
pub(crate) fn invalid_index(facts: &Facts) -> Result<&PgInvalidIndex, String> {
    let indexes = facts.postgres.as_ref().and_then(|pg| pg.invalid_indexes.as_ref());
    let indexes = indexes.ok_or("the indexes could not be looked at")?;
    left(indexes).next().ok_or_else(|| "somebody is at work on every invalid index".into())
}
