//! Somebody closes the database to new connections: old sessions go on, nobody new gets in.

use std::time::Duration;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Denial = Denial {
    descriptor: &DESCRIPTOR,
    code: "55000",
    felt: Felt::AtTheDoor,
    words: &["ALTER DATABASE <the application's> ALLOW_CONNECTIONS false"],
    original: "select datallowconn::text from pg_database where datname = $2 and $1 <> ''",
    deny: "select format('ALTER DATABASE %I ALLOW_CONNECTIONS false', $2::text) where $1 <> ''",
    restore: "select format('ALTER DATABASE %I ALLOW_CONNECTIONS true', $2::text) \
              where $3 = 'true' and $1 <> '' and exists \
              (select from pg_database where datname = $2 and not datallowconn)",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "db-closed",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Database closed to new connections",
    about: "ALTER DATABASE ... ALLOW_CONNECTIONS false. Sessions that are there go on; every new one is refused, a\
            superuser's too.",
    finding: FindingKind::ProbeFailing,
    cause: "db-closed",
    fixed_by: &["open_database"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions that are there", "every password"],
    undo: &["open the database again, unless somebody did already"],
    takes_within: Duration::from_secs(3),
};
