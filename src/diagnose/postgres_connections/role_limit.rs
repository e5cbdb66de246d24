//! A limit on one role or one database, while the server itself has room.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{counted, name};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

use super::Sessions;

pub(crate) const ROLE_LIMIT: Judge = Judge {
    cause: "role-limit",
    title: "connection limit of a role or database",
    about: "A role or a database may have only so many connections, and has them, while the server has free \
            slots.",
    findings: &[FindingKind::ClientsRefused],
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let (used, usable) = (sessions.used() as u64, u64::from(sessions.usable()));
    let has_room = used < usable;
    if !has_room {
        return None;
    }
    let reached = reached(&sessions);
    let verdict = Verdict::on(
        facts,
        ROLE_LIMIT.cause,
        &[source::PG_LIMITS, source::PG_SESSIONS, source::CLIENT_VIEW],
    );
    let room = format!("the server has free slots ({})", sessions.used_words());
    if let Some(reached) = reached {
        return Some(verdict.confirmed(format!("{reached}, while {room}")));
    }
    let is_limited = sessions.pg.role_limits.iter().chain(&sessions.pg.database_limits).any(is_set);
    is_limited.then(|| {
        verdict.likely(
            format!("{room}, yet clients are refused, and there are limits on roles or databases"),
            "the words of the refusal: they name the role or the database",
        )
    })
}

/// The first limit that is used up, in words.
fn reached(sessions: &Sessions<'_>) -> Option<String> {
    let pg = sessions.pg;
    let role = |session: &PgSession, of: &str| session.user == of;
    let database = |session: &PgSession, of: &str| session.database == of;
    let full = |limits: &[(String, i32)], kind: &str, is: &dyn Fn(&PgSession, &str) -> bool| {
        limits.iter().filter(|limit| is_set(limit)).find_map(|(of, limit)| {
            let have = sessions.count(|session| is(session, of)) as u64;
            let most = u64::try_from(*limit).ok()?;
            (have >= most).then(|| {
                format!(
                    "{kind} {} may have {} and has {have}",
                    name(of),
                    counted(most, "connection")
                )
            })
        })
    };
    full(&pg.role_limits, "role", &role)
        .or_else(|| full(&pg.database_limits, "database", &database))
}

/// -1 is "no limit".
fn is_set(limit: &(String, i32)) -> bool {
    limit.1 >= 0
}
