//! The password of the application's role expires: the client is told that it is wrong.

use std::time::Duration;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Denial = Denial {
    descriptor: &DESCRIPTOR,
    code: "28P01",
    felt: Felt::AtTheDoor,
    words: &["ALTER ROLE <the application's> VALID UNTIL <a minute ago>"],
    original: "select coalesce(rolvaliduntil::text, 'infinity') from pg_roles \
               where rolname = $1 and $2 <> ''",
    deny: "select format('ALTER ROLE %I VALID UNTIL %L', $1::text, \
           (now() - interval '1 minute')::timestamptz(0)) where $2 <> ''",
    restore: "select format('ALTER ROLE %I VALID UNTIL %L', $1::text, $3::text) where $2 <> '' \
              and exists (select from pg_roles where rolname = $1 and rolvaliduntil < now())",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "auth-expired",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Password of a role expires",
    about: "ALTER ROLE ... VALID UNTIL a moment ago. Its sessions go on; new ones are told that the password is wrong.",
    finding: FindingKind::ProbeFailing,
    cause: "auth-expired",
    fixed_by: &["restore_role_access"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions that are there", "every password"],
    undo: &["put VALID UNTIL back as it was, unless somebody prolonged it already"],
    takes_within: Duration::from_secs(3),
};
