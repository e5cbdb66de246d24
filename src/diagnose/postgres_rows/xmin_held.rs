//! A transaction that stays open may still look at rows that died since it began, so no vacuum removes them.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{count, name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Rows, holder_words};

pub(crate) const XMIN_HELD: Judge = Judge {
    cause: "xmin-held",
    title: "an old snapshot keeps dead rows",
    about: "A session began a transaction long ago and keeps it open; whatever died since then must be kept for it, \
            and no vacuum can remove it.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let rows = Rows::of(facts)?;
    let oldest = *rows.sessions().first()?;
    let (table, horizon) = (rows.worst, oldest.horizon_age?);
    let verdict = Verdict::on(
        facts,
        XMIN_HELD.cause,
        &[source::PG_TABLES, source::PG_SESSIONS, source::PG_HOLDERS],
    );
    let in_vain = rows.was_vacuumed_since(oldest);
    let because = format!(
        "{}.{} has {} dead rows beside {} live ones; pid {} of {} ({} for {}) has had a transaction open for {}, the \
         oldest that may need them{}",
        name(&table.schema),
        name(&table.name),
        count(table.dead),
        count(table.live),
        oldest.pid,
        name(&oldest.application),
        name(&oldest.state),
        seconds(oldest.state_age_s),
        seconds(oldest.xact_age_s.unwrap_or_default()),
        if in_vain { "; a vacuum that ran since then left them" } else { "" }
    );
    let missing = match rows.others_older_than(horizon) {
        None => {
            Some("prepared transactions and replication slots, which hold rows the same way".into())
        }
        Some(others) => match others.first() {
            Some(other) => {
                Some(format!("whether the rows go once {} is gone", holder_words(other)))
            }
            None if in_vain => None,
            None => Some(
                "a VACUUM of the table: does it remove anything while that transaction is open?"
                    .into(),
            ),
        },
    };
    Some(verdict.confirmed_unless(because, missing))
}
