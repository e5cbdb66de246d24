//! Sessions that queue behind a lock, and who stands at the head of the queue.

use std::collections::BTreeSet;

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{counted, name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Sessions, waits_for_lock};

pub(crate) const LOCK_PILE: Judge = Judge {
    cause: "lock-pile",
    title: "a queue behind a lock",
    about: "One session holds a lock that many others need; they wait, and their slots with them.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let waiting = sessions.count(waits_for_lock);
    if !sessions.is_much(waiting) || !sessions.explain_it() {
        return None;
    }
    let roots = roots(&sessions);
    let because = format!(
        "{}; {} for locks{}",
        sessions.used_words(),
        waits(waiting),
        behind(&sessions, &roots)
    );
    let is_visible = |pid: &i32| sessions.all().iter().any(|session| session.pid == *pid);
    let missing = if roots.is_empty() || !roots.iter().all(is_visible) {
        Some("who holds the lock: a prepared transaction has no session (pg_prepared_xacts)")
    } else if roots.len() > 1 {
        Some("the blockers a second later: the same ones, or taking turns on a hot row?")
    } else if !sessions.is_most(waiting + roots.len()) {
        Some("what the other sessions do, which hold most of the slots")
    } else {
        None
    };
    let verdict = Verdict::on(
        facts,
        LOCK_PILE.cause,
        &[source::PG_SESSIONS, source::PG_LIMITS, source::CLIENT_VIEW],
    );
    Some(verdict.confirmed_unless(because, missing.map(Into::into)))
}

/// Who blocks and is not blocked: the heads of the queues.
fn roots(sessions: &Sessions<'_>) -> BTreeSet<i32> {
    let blocked: BTreeSet<i32> =
        sessions.all().iter().filter(|s| !s.blocked_by.is_empty()).map(|s| s.pid).collect();
    let blockers = sessions.all().iter().flat_map(|session| session.blocked_by.iter().copied());
    blockers.filter(|pid| !blocked.contains(pid)).collect()
}

fn waits(waiting: usize) -> String {
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
