//! One transaction holds so many locks that there is no room for those of others.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{count, name, seconds};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

/// Some transactions meet it first; when less room is left, everybody does.
const FINDINGS: &[FindingKind] =
    &[FindingKind::TransactionsFail, FindingKind::ProbeFailing, FindingKind::WritesRefused];

pub(crate) const LOCK_TABLE_FULL: Judge = Judge {
    cause: "lock-table-full",
    title: "no room for locks",
    about: "One transaction holds so many locks that the table of locks is full: others fail with 53200 as soon as they \
            need more than a few.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let locks = facts.postgres.as_ref()?.promised_locks.as_ref()?;
    if locks.are_given != Some(false) {
        return None;
    }
    let sources = [source::PG_LOCKS, source::PG_SESSIONS, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, LOCK_TABLE_FULL.cause, &sources);
    let full = format!(
        "a transaction does not get the {} locks that each is promised; {} are taken",
        locks.promised,
        count(locks.taken)
    );
    let Some((session, held)) = greatest(facts) else {
        return Some(verdict.likely(full, "whose the locks are (pg_locks)"));
    };
    let because = format!(
        "{full}, {} of them by pid {} of {} ({} for {})",
        count(held),
        session.pid,
        name(&session.application),
        name(&session.state),
        seconds(session.state_age_s)
    );
    let missing = (held * 2 < locks.taken).then(|| "who holds the other locks".to_owned());
    Some(verdict.confirmed_unless(because, missing))
}

/// The session with the most locks, and how many.
fn greatest(facts: &Facts) -> Option<(&PgSession, u64)> {
    let pg = facts.postgres.as_ref()?;
    let (pid, held) = *pg.promised_locks.as_ref()?.holders.first()?;
    Some((pg.sessions.iter().find(|session| session.pid == pid)?, held))
}

/// The session that holds them, when it does nothing. An error says why it is left to a person.
pub(crate) fn hoarder(facts: &Facts) -> Result<&PgSession, String> {
    let (session, _) = greatest(facts).ok_or("who holds the locks is no session in sight")?;
    let pid = session.pid;
    if !session.state.starts_with("idle in transaction") {
        return Err(format!("pid {pid}, which holds the locks, is at work ({})", session.state));
    }
    if session.is_superuser || session.backend_start.is_none() {
        return Err(format!("pid {pid}, which holds the locks, is not to be ended by simctl"));
    }
    Ok(session)
}
