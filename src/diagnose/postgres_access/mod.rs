//! Old sessions go on, new ones are turned away although there is room: whom the server lets in, and to what.
//!
//! The refusals read alike (an expired role is told that its password is wrong), so the catalog decides.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Sample};

use super::Judge;
use super::facts::{Facts, PgDatabase, PgRole, PgStanding, PgTableRights};
use super::verdict::{Verdict, source};
use super::words::name;

mod hba;

#[cfg(test)]
mod tests;

pub(super) use hba::HBA_REJECT;
pub(crate) use hba::rejecting_line;

const LOGIN: &[FindingKind] = &[FindingKind::ProbeFailing];
const SOURCES: [&str; 3] = [source::CLIENT_VIEW, source::BASELINE, source::PG_STANDING];

const NOT_ALLOWED: &str = "28000";
const WRONG_PASSWORD: &str = "28P01";
const NO_RIGHT: &str = "42501";
const NOT_IN_THAT_STATE: &str = "55000";

pub(super) const DB_CLOSED: Judge = Judge {
    cause: "db-closed",
    title: "the database takes no connections",
    about: "The database was closed to new connections (ALLOW_CONNECTIONS false), to superusers too; sessions that \
            were there go on.",
    findings: LOGIN,
    judge: db_closed,
};

pub(super) const NOLOGIN: Judge = Judge {
    cause: "auth-nologin",
    title: "the role may not log in",
    about: "The application's role lost LOGIN; its sessions that were there go on.",
    findings: LOGIN,
    judge: nologin,
};

pub(super) const EXPIRED: Judge = Judge {
    cause: "auth-expired",
    title: "the role's password has expired",
    about: "VALID UNTIL of the application's role has passed. The client is told that its password is wrong, and it \
            is not.",
    findings: LOGIN,
    judge: expired,
};

pub(super) const PASSWORD: Judge = Judge {
    cause: "auth-password",
    title: "the password does not fit",
    about: "The role exists, may log in and has not expired, and the server takes its password for wrong.",
    findings: LOGIN,
    judge: password,
};

pub(super) const CONNECT: Judge = Judge {
    cause: "auth-connect",
    title: "no right to connect to the database",
    about: "The application's role has no CONNECT on its database any more.",
    findings: LOGIN,
    judge: connect,
};

pub(super) const TABLE: Judge = Judge {
    cause: "auth-table",
    title: "no right to write a table",
    about: "The application's role lost a right on a table it writes.",
    findings: &[FindingKind::WritesRefused],
    judge: table,
};

fn db_closed(facts: &Facts) -> Option<JudgedCause> {
    let database = refused_with(facts, NOT_IN_THAT_STATE)?.database.as_ref()?;
    (!database.is_open).then(|| {
        on(facts, &DB_CLOSED).confirmed(format!(
            "database {} takes no connections (datallowconn is false), while the server itself lets others in",
            name(&database.name)
        ))
    })
}

fn nologin(facts: &Facts) -> Option<JudgedCause> {
    let role = refused_with(facts, NOT_ALLOWED)?.role.as_ref()?;
    (!role.can_login).then(|| {
        on(facts, &NOLOGIN)
            .confirmed(format!("role {} has no LOGIN (rolcanlogin is false)", name(&role.name)))
    })
}

fn expired(facts: &Facts) -> Option<JudgedCause> {
    let role = refused_with(facts, WRONG_PASSWORD)?.role.as_ref().filter(|role| role.expired)?;
    Some(on(facts, &EXPIRED).confirmed(format!(
        "role {} was valid until {}, which is past: its password counts as wrong whatever it is",
        name(&role.name),
        role.valid_until.as_deref().unwrap_or("an unknown time")
    )))
}

fn password(facts: &Facts) -> Option<JudgedCause> {
    let role = refused_with(facts, WRONG_PASSWORD)?.role.as_ref()?;
    (role.can_login && !role.expired).then(|| {
        on(facts, &PASSWORD).likely(
            format!(
                "role {} may log in and has not expired, yet its password is refused",
                name(&role.name)
            ),
            "whether the role's password or the client's was changed (nobody can read either)",
        )
    })
}

fn connect(facts: &Facts) -> Option<JudgedCause> {
    let database = refused_with(facts, NO_RIGHT)?.database.as_ref()?;
    (!database.may_connect).then(|| {
        on(facts, &CONNECT).confirmed(format!(
            "the role has no CONNECT on database {}, neither of its own nor as one of everybody",
            name(&database.name)
        ))
    })
}

fn table(facts: &Facts) -> Option<JudgedCause> {
    let heartbeat = refused_with(facts, NO_RIGHT)?.heartbeat.as_ref()?;
    let lost = missing_rights(heartbeat);
    (!lost.is_empty()).then(|| {
        on(facts, &TABLE).confirmed(format!(
            "the role has no {} on {}; it may log in and connect",
            lost.join(" and no "),
            name(&heartbeat.name)
        ))
    })
}

fn on<'a>(facts: &'a Facts, judge: &Judge) -> Verdict<'a> {
    Verdict::on(facts, judge.cause, &SOURCES)
}

/// What was seen of the server, when the newest refusal carries this code.
fn refused_with<'a>(facts: &'a Facts, code: &str) -> Option<&'a PgStanding> {
    let standing = facts.postgres.as_ref()?.standing.as_ref()?;
    (newest_refusal(facts) == Some(code)).then_some(standing)
}

/// The code of the newest refusal.
fn newest_refusal(facts: &Facts) -> Option<&str> {
    facts.samples.iter().rev().find_map(Sample::first_bad).and_then(Answer::code)
}

/// What writing the table takes, and the role has not.
pub(crate) fn missing_rights(table: &PgTableRights) -> Vec<&'static str> {
    let rights = [("SELECT", table.select), ("INSERT", table.insert), ("UPDATE", table.update)];
    rights.into_iter().filter(|(_, has)| !has).map(|(right, _)| right).collect()
}

/// The application's role, database and table, as far as they were seen.
pub(crate) fn seen(facts: &Facts) -> Option<(&PgRole, &PgDatabase, Option<&PgTableRights>)> {
    let standing = facts.postgres.as_ref()?.standing.as_ref()?;
    Some((standing.role.as_ref()?, standing.database.as_ref()?, standing.heartbeat.as_ref()))
}
