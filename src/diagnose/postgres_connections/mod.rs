//! A PostgreSQL whose slots are taken: what the sessions do decides between causes that look the same.

use std::collections::BTreeMap;

use crate::domain::finding::FindingKind;

use super::facts::{Facts, PgSession, PostgresFacts};

mod busy;
mod deadlock;
mod idle;
mod locks;
mod looks;
mod role_limit;
mod stuck;

#[cfg(test)]
mod tests;

pub(crate) use busy::slow_queries;
pub(super) use busy::{PLAIN_LOAD, SLOW_PILE};
pub(super) use deadlock::DEADLOCK;
pub(crate) use idle::{CAME_BACK, leaking_sessions, open_transactions, role_to_limit};
pub(super) use idle::{IDLE_IN_TRANSACTION, IDLE_LEAK, RE_LEAK};
pub(super) use locks::{LOCK_PILE, PREPARED_ORPHAN};
pub(crate) use locks::{blocker, heads, orphan};
pub(crate) use looks::another_look;
pub(super) use role_limit::ROLE_LIMIT;
pub(crate) use role_limit::limited;
pub(crate) use stuck::frozen;
pub(super) use stuck::{FROZEN_BACKEND, GHOST_CLIENT};

const FINDINGS: &[FindingKind] = &[FindingKind::ClientsRefused, FindingKind::ConnectionPressure];

/// A pool at work uses a session again within this; a leaked one never moves.
const STILL_S: f64 = 1.0;
/// A query older than this is a slow one.
const SLOW_S: f64 = 5.0;
/// Below this share of the usable slots nobody is refused for lack of slots.
const FULL_PERCENT: u64 = 75;

/// One client program as the server sees it: application, client address, user.
type Group<'a> = (&'a str, &'a str, &'a str);

/// The readings all judges of this family share.
struct Sessions<'a> {
    facts: &'a Facts,
    pg: &'a PostgresFacts,
}

impl<'a> Sessions<'a> {
    fn of(facts: &'a Facts) -> Option<Self> {
        Some(Self { facts, pg: facts.postgres.as_ref()? })
    }

    fn all(&self) -> &'a [PgSession] {
        &self.pg.sessions
    }

    fn used(&self) -> usize {
        self.pg.sessions.len()
    }

    fn count(&self, is: impl Fn(&PgSession) -> bool) -> usize {
        self.all().iter().filter(|session| is(session)).count()
    }

    /// Whether `part` is more than half of the used slots.
    fn is_most(&self, part: usize) -> bool {
        part * 2 > self.used()
    }

    /// Whether `part` is at least a third of the used slots.
    fn is_much(&self, part: usize) -> bool {
        part > 1 && part * 3 >= self.used()
    }

    /// Slots open to ordinary roles, less our own.
    fn usable(&self) -> u32 {
        self.pg.max_connections.saturating_sub(self.pg.reserved + self.pg.own_sessions)
    }

    /// Whether the sessions explain the symptom: refusals need slots that are really taken.
    fn explain_it(&self) -> bool {
        let percent = super::words::percent(self.used() as u64, u64::from(self.usable()));
        self.facts.finding != FindingKind::ClientsRefused || percent >= FULL_PERCENT
    }

    fn groups(&self, is: impl Fn(&PgSession) -> bool) -> BTreeMap<Group<'a>, Vec<&'a PgSession>> {
        let mut groups: BTreeMap<Group<'a>, Vec<&'a PgSession>> = BTreeMap::new();
        for session in self.all().iter().filter(|session| is(session)) {
            let group = (&*session.application, &*session.client, &*session.user);
            groups.entry(group).or_default().push(session);
        }
        groups
    }

    /// How full it is, in the words of a sentence.
    fn used_words(&self) -> String {
        let all = self.pg.max_connections.saturating_sub(self.pg.reserved);
        format!("{} of {all} slots for applications are taken", self.used())
    }
}

fn is_idle(session: &PgSession) -> bool {
    session.state == "idle"
}

fn is_still(session: &PgSession) -> bool {
    is_idle(session) && session.state_age_s >= STILL_S
}

fn is_idle_in_transaction(session: &PgSession) -> bool {
    session.state.starts_with("idle in transaction")
}

fn waits_for_lock(session: &PgSession) -> bool {
    session.wait_type.as_deref() == Some("Lock") || !session.blocked_by.is_empty()
}

fn is_active(session: &PgSession) -> bool {
    session.state == "active" && !waits_for_lock(session)
}

fn is_slow(session: &PgSession) -> bool {
    is_active(session) && session.query_age_s.is_some_and(|age| age >= SLOW_S)
}

/// Does something, or did within the last second.
fn is_busy(session: &PgSession) -> bool {
    (is_active(session) && !is_slow(session)) || (is_idle(session) && !is_still(session))
}
