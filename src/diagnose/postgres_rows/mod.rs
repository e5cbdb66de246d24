//! A PostgreSQL whose dead rows are not removed: what may still need them decides between causes that look the same.

use crate::domain::finding::FindingKind;

use super::facts::{Facts, HolderKind, PgHolder, PgSession, PgTable, PostgresFacts};

mod autovacuum_off;
mod xmin_held;

#[cfg(test)]
mod tests;

pub(super) use autovacuum_off::AUTOVACUUM_OFF;
pub(super) use xmin_held::XMIN_HELD;

const FINDINGS: &[FindingKind] = &[FindingKind::DeadRows];

/// A transaction younger than this is one at work.
const LONG_S: f64 = 5.0;

/// The readings all judges of this family share.
struct Rows<'a> {
    pg: &'a PostgresFacts,
    /// The one with the most dead rows.
    worst: &'a PgTable,
}

impl<'a> Rows<'a> {
    fn of(facts: &'a Facts) -> Option<Self> {
        let pg = facts.postgres.as_ref()?;
        Some(Self { pg, worst: pg.tables.as_ref()?.first()? })
    }

    /// Sessions whose transactions have been open for long and may need old rows, the oldest horizon first.
    fn sessions(&self) -> Vec<&'a PgSession> {
        let is_old = |session: &&PgSession| {
            session.horizon_age.is_some() && session.xact_age_s.is_some_and(|age| age >= LONG_S)
        };
        let mut sessions: Vec<&PgSession> = self.pg.sessions.iter().filter(is_old).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.horizon_age));
        sessions
    }

    /// What is no session and reaches at least as far back. `None`: not observed.
    fn others_older_than(&self, horizon: i32) -> Option<Vec<&'a PgHolder>> {
        let holders = self.pg.holders.as_ref()?;
        Some(holders.iter().filter(|holder| holder.horizon_age >= horizon).collect())
    }

    /// Whether a vacuum of the table ended after this transaction had begun: it left the rows all the same.
    fn was_vacuumed_since(&self, session: &PgSession) -> bool {
        match (self.worst.vacuumed_s, session.xact_age_s) {
            (Some(vacuumed), Some(open)) => vacuumed < open,
            (None, _) | (_, None) => false,
        }
    }
}

/// The table to vacuum.
pub(crate) fn worst_table(facts: &Facts) -> Option<&PgTable> {
    Rows::of(facts).map(|rows| rows.worst)
}

/// The sessions whose open transactions keep the rows of that table, when all of them do nothing. An error names
/// one that may not be ended, or is at work.
pub(crate) fn idle_holders(facts: &Facts) -> Result<Vec<&PgSession>, String> {
    let Some(rows) = Rows::of(facts) else { return Err("its tables could not be read".into()) };
    let mut sessions = rows.sessions();
    match sessions.first() {
        None => return Err("no session holds old rows".into()),
        Some(oldest) if rows.was_vacuumed_since(oldest) => {
            sessions.retain(|session| rows.was_vacuumed_since(session));
        }
        Some(_) => sessions.truncate(1),
    }
    for session in &sessions {
        let pid = session.pid;
        if !session.state.starts_with("idle in transaction") {
            return Err(format!(
                "pid {pid}, which may need the rows, is at work ({})",
                session.state
            ));
        }
        if session.is_superuser || session.backend_start.is_none() {
            return Err(format!(
                "pid {pid}, which may need the rows, is not to be ended by simctl"
            ));
        }
    }
    Ok(sessions)
}

/// The word for what a holder is.
fn holder_words(holder: &PgHolder) -> String {
    let kind = match holder.kind {
        HolderKind::Prepared => "the prepared transaction",
        HolderKind::Slot => "the replication slot",
    };
    format!("{kind} {}", super::words::name(&holder.name))
}
