//! Transactions that lock the same rows in different orders.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{count, counted, name, seconds};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::reading;

pub(crate) const DEADLOCK: Judge = Judge {
    cause: "deadlock",
    title: "transactions lock in different orders",
    about: "Transactions wait for each other's locks in a circle. The server breaks each circle by cancelling one of them \
            (40P01), whose client has to begin again.",
    findings: &[FindingKind::Deadlocks],
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let (new, within) = facts.growth(reading::DEADLOCKS_TOTAL).filter(|(new, _)| *new > 0.0)?;
    let verdict = Verdict::on(facts, DEADLOCK.cause, &[source::PG_DEADLOCKS, source::LOG]);
    let because =
        format!("the server broke {} within {}", counted(new as u64, "deadlock"), seconds(within));
    // The circle is broken by the time anybody looks: the server's own count is the observation.
    Some(match worst(facts) {
        Some((database, all)) => verdict.confirmed(format!(
            "{because}; most of them ever were in database {} ({})",
            name(database),
            count(all)
        )),
        None => verdict.likely(because, "in which database (pg_stat_database.deadlocks)"),
    })
}

/// The database with the most, and how many there were.
fn worst(facts: &Facts) -> Option<(&str, u64)> {
    let all = facts.postgres.as_ref()?.deadlocks.as_ref()?;
    let (database, count) = all.iter().max_by_key(|(_, count)| *count)?;
    Some((database, *count))
}
