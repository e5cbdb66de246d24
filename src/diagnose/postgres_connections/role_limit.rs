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
        return Some(verdict.confirmed(format!("{}, while {room}", reached.words())));
    }
    let is_limited = sessions.pg.role_limits.iter().chain(&sessions.pg.database_limits).any(is_set);
    is_limited.then(|| {
        verdict.likely(
            format!("{room}, yet clients are refused, and there are limits on roles or databases"),
            "the words of the refusal: they name the role or the database",
        )
    })
}

/// A limit that is used up.
pub(crate) struct Limited<'a> {
    pub(crate) of: Of,
    pub(crate) name: &'a str,
    pub(crate) limit: i32,
    have: u64,
}

/// What a limit is put on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Role,
    Database,
}

impl Of {
    /// The word people read and settings are named by.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Database => "database",
        }
    }
}

/// The limit that refuses clients.
pub(crate) fn limited(facts: &Facts) -> Option<Limited<'_>> {
    reached(&Sessions::of(facts)?)
}

/// The first limit that is used up.
fn reached<'a>(sessions: &Sessions<'a>) -> Option<Limited<'a>> {
    let full = |limits: &'a [(String, i32)], of: Of| {
        limits.iter().filter(|limit| is_set(limit)).find_map(|(name, limit)| {
            let is_under = |session: &PgSession| match of {
                Of::Role => session.user == *name,
                Of::Database => session.database == *name,
            };
            let have = sessions.count(is_under) as u64;
            let most = u64::try_from(*limit).ok()?;
            (have >= most).then_some(Limited { of, name, limit: *limit, have })
        })
    };
    full(&sessions.pg.role_limits, Of::Role)
        .or_else(|| full(&sessions.pg.database_limits, Of::Database))
}

impl Limited<'_> {
    fn words(&self) -> String {
        let most = u64::try_from(self.limit).unwrap_or_default();
        format!(
            "{} {} may have {} and has {}",
            self.of.word(),
            name(self.name),
            counted(most, "connection"),
            self.have
        )
    }
}

/// -1 is "no limit".
fn is_set(limit: &(String, i32)) -> bool {
    limit.1 >= 0
}
