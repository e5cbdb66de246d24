//! A queue behind a session that cannot go on by itself: its process stands still, or its client is gone.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::Sessions;
use super::locks::{FINDINGS, heads, queue, waits};

pub(crate) const FROZEN_BACKEND: Judge = Judge {
    cause: "frozen-backend",
    title: "a session's process stands still",
    about: "The process of a session was stopped by a signal while it held a lock: it obeys no order, not even to end, \
            until it goes on.",
    findings: FINDINGS,
    judge: judge_frozen,
};

pub(crate) const GHOST_CLIENT: Judge = Judge {
    cause: "ghost-client",
    title: "a session without a client",
    about: "A client is gone and its session does not know: it is in a query, reads nothing from its connection, and \
            keeps its locks until the query ends.",
    findings: FINDINGS,
    judge: judge_ghost,
};

const SOURCES: &[&str] = &[source::PG_BLOCKERS, source::PG_SESSIONS, source::CLIENT_VIEW];

/// Why the session at the head of a queue cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    Frozen,
    Abandoned,
}

/// The session at the head of the only queue, when it cannot go on by itself.
pub(super) fn stuck<'a>(sessions: &Sessions<'a>) -> Option<(&'a PgSession, Stuck)> {
    let mut heads = heads(sessions.all()).into_iter();
    let (Some(pid), None) = (heads.next(), heads.next()) else { return None };
    let head = sessions.all().iter().find(|session| session.pid == pid)?;
    match (head.process, head.has_client) {
        (Some('T' | 't'), _) => Some((head, Stuck::Frozen)),
        (_, Some(false)) => Some((head, Stuck::Abandoned)),
        (_, Some(true) | None) => None,
    }
}

/// The session whose process stands still and keeps others waiting.
pub(crate) fn frozen(facts: &Facts) -> Option<&PgSession> {
    let (head, why) = stuck(&Sessions::of(facts)?)?;
    (why == Stuck::Frozen).then_some(head)
}

fn judge_frozen(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let (head, _) = stuck(&sessions).filter(|(_, why)| *why == Stuck::Frozen)?;
    let waiting = queue(&sessions)?;
    Some(Verdict::on(facts, FROZEN_BACKEND.cause, SOURCES).confirmed(format!(
        "{} for locks behind pid {} of {}, whose process is stopped by a signal (state {}): it can neither go on nor \
         be ended",
        waits(waiting),
        head.pid,
        name(&head.application),
        head.process.unwrap_or('T')
    )))
}

fn judge_ghost(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let (head, _) = stuck(&sessions).filter(|(_, why)| *why == Stuck::Abandoned)?;
    let waiting = queue(&sessions)?;
    let because = format!(
        "{} for locks behind pid {} of {} ({} for {}), whose client at {} is gone: nobody is at the other end of its \
         connection",
        waits(waiting),
        head.pid,
        name(&head.application),
        name(&head.state),
        seconds(head.state_age_s),
        name(&head.client)
    );
    let missing = head.process.is_none().then(|| "whether its process goes on".to_owned());
    let verdict = Verdict::on(facts, GHOST_CLIENT.cause, SOURCES);
    Some(verdict.confirmed_unless(because, missing))
}
