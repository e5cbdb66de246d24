//! Somebody takes LOGIN from the application's role: old sessions go on, new ones are refused.

use std::time::Duration;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Denial = Denial {
    descriptor: &DESCRIPTOR,
    code: "28000",
    felt: Felt::AtTheDoor,
    words: &["ALTER ROLE <the application's> NOLOGIN"],
    original: "select rolcanlogin::text from pg_roles where rolname = $1 and $2 <> ''",
    deny: "select format('ALTER ROLE %I NOLOGIN', $1::text) where $2 <> ''",
    restore: "select format('ALTER ROLE %I LOGIN', $1::text) where $3 = 'true' and $2 <> '' \
              and exists (select from pg_roles where rolname = $1 and not rolcanlogin)",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "auth-nologin",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Role may not log in",
    about: "ALTER ROLE ... NOLOGIN for the application's role. Its sessions that are there go on; new ones are refused.",
    finding: FindingKind::ProbeFailing,
    cause: "auth-nologin",
    fixed_by: &["restore_role_access"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions that are there", "every password"],
    undo: &["give LOGIN back, unless somebody did already"],
    takes_within: Duration::from_secs(3),
};
