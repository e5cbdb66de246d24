//! Sessions that work: slow queries that pile up, or simply more load than there are slots.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{counted, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{
    FINDINGS, Sessions, is_active, is_busy, is_idle_in_transaction, is_slow, is_still,
    waits_for_lock,
};

pub(crate) const SLOW_PILE: Judge = Judge {
    cause: "slow-pile",
    title: "slow queries",
    about: "Queries that take long hold their slots, and new ones keep coming.",
    findings: FINDINGS,
    judge: judge_slow,
};

pub(crate) const PLAIN_LOAD: Judge = Judge {
    cause: "plain-load",
    title: "plain load",
    about: "The sessions are at work: there are more clients than slots, and nothing is broken.",
    findings: FINDINGS,
    judge: judge_load,
};

const SOURCES: &[&str] = &[source::PG_SESSIONS, source::PG_LIMITS, source::CLIENT_VIEW];

fn judge_slow(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let slow = sessions.count(is_slow);
    if !sessions.is_much(slow) || !sessions.explain_it() {
        return None;
    }
    let ages = sessions.all().iter().filter(|session| is_slow(session));
    let oldest = ages.filter_map(|session| session.query_age_s).fold(0.0, f64::max);
    let because = format!(
        "{}; {} in one query for {} and longer, the longest for {}; {} for locks",
        sessions.used_words(),
        counted(slow as u64, "session"),
        seconds(super::SLOW_S),
        seconds(oldest),
        match sessions.count(waits_for_lock) {
            0 => "none waits".into(),
            waiting => format!("{waiting} wait"),
        }
    );
    let missing = if !sessions.is_most(slow) {
        Some("what the other sessions do, which hold most of the slots".to_owned())
    } else if sessions.count(waits_for_lock) > 0 {
        Some("what the waiting sessions wait for".to_owned())
    } else {
        None
    };
    Some(Verdict::on(facts, SLOW_PILE.cause, SOURCES).confirmed_unless(because, missing))
}

/// The queries that may be cancelled, the oldest first. Not those of a superuser, nor those that cannot be told from a
/// later one.
pub(crate) fn slow_queries(facts: &Facts) -> Vec<&PgSession> {
    let Some(sessions) = Sessions::of(facts) else { return Vec::new() };
    let may_cancel = |session: &&PgSession| {
        is_slow(session)
            && !session.is_superuser
            && session.backend_start.is_some()
            && session.query_start.is_some()
    };
    let mut slow: Vec<&PgSession> = sessions.all().iter().filter(may_cancel).collect();
    slow.sort_by_key(|session| session.query_start);
    slow
}

fn judge_load(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let (busy, active) = (sessions.count(is_busy), sessions.count(is_active));
    if busy < 2 || !sessions.is_most(busy) || !sessions.explain_it() {
        return None;
    }
    let verdict = Verdict::on(facts, PLAIN_LOAD.cause, SOURCES);
    let because = format!(
        "{}; {} at work: {active} in a query, {} idle for less than a second",
        sessions.used_words(),
        counted(busy as u64, "session"),
        busy - active.min(busy)
    );
    // Right after a leak all its sessions are idle and young; only work in progress tells a pool from that.
    if active * 4 < sessions.used() {
        return Some(verdict.inconclusive(
            because,
            "the sessions a second later: a pool at work moves, a leak does not",
        ));
    }
    let others = [is_still, is_idle_in_transaction, waits_for_lock, is_slow];
    let rival = others.iter().any(|is| sessions.is_much(sessions.count(is)));
    let missing =
        rival.then(|| "what the sessions that are not at work are waiting for".to_owned());
    Some(verdict.confirmed_unless(because, missing))
}
