//! A PostgreSQL setting that is not as it was when the server was healthy, and the troubles that come of one.

use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Sample};

use super::facts::{Facts, PgOverride, PgStanding};

mod commits;
mod read_only;
mod timeouts;

#[cfg(test)]
mod tests;

pub(super) use commits::SYNC_STANDBY_MISSING;
pub(super) use read_only::{READ_ONLY, STANDBY};
pub(super) use timeouts::TIMEOUTS;
pub(crate) use timeouts::cutting;

const WRITES: &[FindingKind] = &[FindingKind::WritesRefused];

/// A setting as an application's new session has it, against the healthy server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) now: &'a str,
    /// `None`: it was not read while the server was healthy.
    pub(super) was: Option<&'a str>,
}

impl<'a> Setting<'a> {
    pub(super) fn of(facts: &'a Facts, name: &str) -> Option<Self> {
        let now = facts.postgres.as_ref()?.settings.as_ref()?.get(name)?;
        Some(Self { now, was: facts.baseline.get(name).map(String::as_str) })
    }

    fn is_changed(self) -> bool {
        self.was.is_some_and(|was| was != self.now)
    }

    /// `x is on, it was off`.
    pub(super) fn words(self, name: &str) -> String {
        let quoted = |value: &str| if value.is_empty() { "empty".to_owned() } else { value.into() };
        match self.was {
            Some(was) if was != self.now => {
                format!("{name} is {}, it was {}", quoted(self.now), quoted(was))
            }
            Some(_) => format!("{name} is {}, as it was", quoted(self.now)),
            None => format!("{name} is {}", quoted(self.now)),
        }
    }
}

fn standing(facts: &Facts) -> Option<&PgStanding> {
    facts.postgres.as_ref()?.standing.as_ref()
}

/// The value of a role or a database that the application gets instead of the server's.
pub(super) fn overriding<'a>(facts: &'a Facts, name: &str) -> Option<&'a PgOverride> {
    let standing = standing(facts)?;
    let role = standing.role.as_ref().map_or("", |role| role.name.as_str());
    let database = standing.database.as_ref().map_or("", |database| database.name.as_str());
    let reaches = |of: &str, whose: &str| of.is_empty() || of == whose;
    standing.overrides.iter().find(|own| {
        own.name == name && reaches(&own.role, role) && reaches(&own.database, database)
    })
}

/// Whose value it is, when a role or a database has one of its own that the application gets.
fn own_value(facts: &Facts, name: &str) -> Option<String> {
    let own = overriding(facts, name)?;
    Some(match (own.role.as_str(), own.database.as_str()) {
        ("", database) => format!("database {}", super::words::name(database)),
        (role, _) => format!("role {}", super::words::name(role)),
    })
}

/// The newest answer that was bad.
fn newest_bad(facts: &Facts) -> Option<&Answer> {
    facts.samples.iter().rev().find_map(Sample::first_bad)
}

/// The server-wide value to go back to, or why there is none to name.
pub(crate) fn to_restore<'a>(facts: &'a Facts, name: &str) -> Result<&'a str, String> {
    let setting = Setting::of(facts, name)
        .ok_or_else(|| format!("{name} could not be read as the application has it"))?;
    let was = setting
        .was
        .ok_or_else(|| format!("what {name} was when the server was healthy is not known"))?;
    if was == setting.now {
        return Err(format!("{name} is as it was when the server was healthy"));
    }
    match own_value(facts, name) {
        Some(whose) => Err(format!("{name} is set for {whose}, not for the server")),
        None => Ok(was),
    }
}
