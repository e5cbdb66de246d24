//! Whether another look a moment later could tell what one look cannot: who moves, and who does not.

use std::time::Duration;

use crate::diagnose::facts::{Facts, PgSession};

use super::idle::largest;
use super::{SLOW_S, STILL_S, Sessions, is_active, is_idle, is_idle_in_transaction, is_still};

/// Long enough that a session of a pool at work has moved, and a leaked one counts as untouched.
const MOVES_AFTER: Duration = Duration::from_millis(1_200);
/// Queries younger than this at the second look are others than those at the first.
const SAME_S: f64 = 1.0;
const MARGIN_S: f64 = 0.3;

/// After how long another look is worth it; `looked` times somebody has looked already.
pub(crate) fn another_look(facts: &Facts, looked: u32) -> Option<Duration> {
    let sessions = Sessions::of(facts).filter(Sessions::explain_it)?;
    if leaks_perhaps(&sessions) || stopped_perhaps(&sessions) {
        return Some(MOVES_AFTER);
    }
    slow_perhaps(&sessions, looked)
}

/// Idle sessions of one program hold most of the slots, and some of them are too young to judge.
fn leaks_perhaps(sessions: &Sessions<'_>) -> bool {
    let Some((_, idle)) = largest(sessions, is_idle) else { return false };
    idle.len() > 1 && sessions.is_most(idle.len()) && idle.iter().any(|session| !is_still(session))
}

/// Open transactions hold most of the slots, and all of them are too young to judge.
fn stopped_perhaps(sessions: &Sessions<'_>) -> bool {
    let is_young = |session: &PgSession| {
        is_idle_in_transaction(session) && session.xact_age_s.is_some_and(|age| age < STILL_S)
    };
    let (open, young) = (sessions.count(is_idle_in_transaction), sessions.count(is_young));
    sessions.is_most(open) && open == young
}

/// Sessions at work hold most of the slots: whether their queries are slow shows once they are old enough, and that
/// is waited for only while they are the same ones.
fn slow_perhaps(sessions: &Sessions<'_>, looked: u32) -> Option<Duration> {
    let mut ages: Vec<f64> = sessions
        .all()
        .iter()
        .filter(|session| is_active(session))
        .filter_map(|session| session.query_age_s)
        .collect();
    if !sessions.is_most(ages.len()) {
        return None;
    }
    ages.sort_by(f64::total_cmp);
    // The youngest of the older half: when it is slow, enough of them are.
    let age = *ages.get((ages.len() - 1) / 2)?;
    if age >= SLOW_S {
        return None;
    }
    match looked {
        0 | 1 if age >= SAME_S => Some(Duration::from_secs_f64(SLOW_S - age + MARGIN_S)),
        0 => Some(MOVES_AFTER),
        _ => None,
    }
}
