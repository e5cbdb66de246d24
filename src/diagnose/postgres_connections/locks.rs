//! Sessions that queue behind a lock, and who stands at the head of the queue.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, HolderKind, PgHolder, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{count, counted, name, seconds};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

use super::stuck::stuck;
use super::{Sessions, waits_for_lock};

/// Queues show before they have taken every slot.
pub(super) const FINDINGS: &[FindingKind] =
    &[FindingKind::ClientsRefused, FindingKind::ConnectionPressure, FindingKind::LockQueue];

pub(crate) const LOCK_PILE: Judge = Judge {
    cause: "lock-pile",
    title: "a queue behind a lock",
    about: "One session holds a lock that many others need; they wait, and their slots with them.",
    findings: FINDINGS,
    judge,
};

pub(crate) const PREPARED_ORPHAN: Judge = Judge {
    cause: "prepared-orphan",
    title: "a prepared transaction nobody ends",
    about: "A transaction was prepared for a two-phase commit and neither committed nor rolled back. It has no \
            session, keeps its locks and old rows, and survives a restart.",
    findings: &[
        FindingKind::ClientsRefused,
        FindingKind::ConnectionPressure,
        FindingKind::LockQueue,
        FindingKind::DeadRows,
    ],
    judge: judge_prepared,
};

const SOURCES: &[&str] =
    &[source::PG_SESSIONS, source::PG_LIMITS, source::PG_HOLDERS, source::CLIENT_VIEW];

/// A coordinator ends what it prepared within moments.
const ORPHAN_S: f64 = 3.0;
/// pg_blocking_pids calls a prepared transaction so.
const NO_SESSION: i32 = 0;

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let waiting = queue(&sessions)?;
    let roots = heads(sessions.all());
    if stuck(&sessions).is_some() {
        return None;
    }
    let because = format!(
        "{}; {} for locks{}",
        sessions.used_words(),
        waits(waiting),
        behind(&sessions, &roots)
    );
    let is_visible = |pid: &i32| sessions.all().iter().any(|session| session.pid == *pid);
    if roots.iter().any(|pid| *pid == NO_SESSION) && sessions.pg.holders.is_some() {
        // A prepared transaction stands there, which is another cause.
        return None;
    }
    let missing = if roots.is_empty() || !roots.iter().all(is_visible) {
        Some("who holds the lock: a prepared transaction has no session (pg_prepared_xacts)")
    } else if roots.len() > 1 {
        Some("the blockers a second later: the same ones, or taking turns on a hot row?")
    } else if facts.finding != FindingKind::LockQueue && !sessions.is_most(waiting + roots.len()) {
        Some("what the other sessions do, which hold most of the slots")
    } else {
        None
    };
    let verdict = Verdict::on(facts, LOCK_PILE.cause, SOURCES);
    Some(verdict.confirmed_unless(because, missing.map(Into::into)))
}

/// How many wait, where that explains the symptom.
pub(super) fn queue(sessions: &Sessions<'_>) -> Option<usize> {
    let waiting = sessions.count(waits_for_lock);
    let explains = if sessions.facts.finding == FindingKind::LockQueue {
        waiting > 0
    } else {
        sessions.is_much(waiting) && sessions.explain_it()
    };
    explains.then_some(waiting)
}

fn judge_prepared(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let prepared = prepared(facts)?;
    let oldest = *prepared.first()?;
    let verdict = Verdict::on(facts, PREPARED_ORPHAN.cause, SOURCES);
    let told = format!(
        "the prepared transaction {} of {} has waited for its end for {}",
        name(&oldest.name),
        name(&oldest.owner),
        seconds(oldest.age_s.unwrap_or_default())
    );
    if facts.finding == FindingKind::DeadRows {
        return holds_rows(&sessions, oldest, &verdict, &told);
    }
    let waiting = queue(&sessions)?;
    let roots = heads(sessions.all());
    if !roots.contains(&NO_SESSION) {
        return None;
    }
    let because = format!(
        "{} for locks behind no session at all; {told}{}",
        waits(waiting),
        match oldest.locked.as_slice() {
            [] => String::new(),
            locked => format!(" and holds locks on {}", locked.join(", ")),
        }
    );
    let missing = if roots.len() > 1 {
        Some("what the other blockers do, which are sessions".to_owned())
    } else if prepared.len() > 1 {
        Some("which of the prepared transactions holds the lock (pg_locks)".to_owned())
    } else {
        None
    };
    Some(verdict.confirmed_unless(because, missing))
}

/// Dead rows: the prepared transaction is at least as old as every session that may need them.
fn holds_rows(
    sessions: &Sessions<'_>,
    oldest: &PgHolder,
    verdict: &Verdict<'_>,
    told: &str,
) -> Option<JudgedCause> {
    let rival = sessions.all().iter().filter_map(|session| session.horizon_age).max();
    let table = sessions.pg.tables.as_ref()?.first()?;
    if rival.is_some_and(|age| age > oldest.horizon_age) {
        return None;
    }
    let because = format!(
        "{told}; it is the oldest that may need the {} dead rows of {}.{}",
        count(table.dead),
        name(&table.schema),
        name(&table.name)
    );
    let in_vain = match (table.vacuumed_s, oldest.age_s) {
        (Some(vacuumed), Some(age)) => vacuumed < age,
        _ => false,
    };
    let missing = (!in_vain)
        .then(|| "a VACUUM of the table: does it remove anything while that is open?".to_owned());
    Some(verdict.confirmed_unless(because, missing))
}

/// Prepared transactions that are older than any coordinator takes, the oldest first. `None`: not observed.
fn prepared(facts: &Facts) -> Option<Vec<&PgHolder>> {
    let holders = facts.postgres.as_ref()?.holders.as_ref()?;
    let is_old = |holder: &&PgHolder| {
        holder.kind == HolderKind::Prepared && holder.age_s.is_some_and(|age| age >= ORPHAN_S)
    };
    let mut prepared: Vec<&PgHolder> = holders.iter().filter(is_old).collect();
    prepared.sort_by(|a, b| b.age_s.unwrap_or_default().total_cmp(&a.age_s.unwrap_or_default()));
    Some(prepared)
}

/// The one prepared transaction that others wait for. An error says why it is left to a person.
pub(crate) fn orphan(facts: &Facts) -> Result<(&str, DateTime<Utc>), String> {
    if facts.finding == FindingKind::DeadRows {
        return Err("nobody waits for it, so there is time to ask its coordinator".into());
    }
    match prepared(facts).unwrap_or_default().as_slice() {
        [orphan] => {
            let prepared = orphan.prepared.ok_or("when it was prepared is not known")?;
            Ok((&orphan.name, prepared))
        }
        [] => Err("no prepared transaction is known to be left".into()),
        several => Err(format!("{} prepared transactions are left, not one", several.len())),
    }
}

/// The session at the head of the only queue, when it may be ended at all.
pub(crate) fn blocker(facts: &Facts) -> Result<&PgSession, String> {
    let sessions = Sessions::of(facts).ok_or("the sessions could not be read")?;
    let roots = heads(sessions.all());
    let mut in_order = roots.iter();
    let (Some(pid), None) = (in_order.next(), in_order.next()) else {
        return Err(format!("{} sessions stand at the heads of queues, not one", roots.len()));
    };
    let root = sessions.all().iter().find(|session| session.pid == *pid);
    let root = root.ok_or("who holds the lock is no session in sight")?;
    if root.is_superuser || root.backend_start.is_none() {
        return Err(format!("pid {pid} at the head of the queue is not to be ended by simctl"));
    }
    Ok(root)
}

/// Who blocks and is not blocked: the heads of the queues.
pub(crate) fn heads(sessions: &[PgSession]) -> BTreeSet<i32> {
    let blocked: BTreeSet<i32> =
        sessions.iter().filter(|s| !s.blocked_by.is_empty()).map(|s| s.pid).collect();
    let blockers = sessions.iter().flat_map(|session| session.blocked_by.iter().copied());
    blockers.filter(|pid| !blocked.contains(pid)).collect()
}

pub(super) fn waits(waiting: usize) -> String {
    format!(
        "{} {}",
        counted(waiting as u64, "session"),
        if waiting == 1 { "waits" } else { "wait" }
    )
}

fn behind(sessions: &Sessions<'_>, roots: &BTreeSet<i32>) -> String {
    let mut roots_in_order = roots.iter();
    let (Some(pid), None) = (roots_in_order.next(), roots_in_order.next()) else {
        return format!(", behind {} blockers", roots.len());
    };
    match sessions.all().iter().find(|session| session.pid == *pid) {
        Some(root) => format!(
            ", all behind pid {pid} of {} ({} for {})",
            name(&root.application),
            name(&root.state),
            seconds(root.state_age_s)
        ),
        None => format!(", behind pid {pid}, which is no session in sight"),
    }
}
