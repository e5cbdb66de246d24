//! Somebody revokes CONNECT on the database from everybody and the application's role.

use std::time::Duration;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Denial = Denial {
    descriptor: &DESCRIPTOR,
    code: "42501",
    felt: Felt::AtTheDoor,
    words: &[
        "REVOKE CONNECT ON DATABASE <the application's> FROM PUBLIC, <the application's role>",
    ],
    original: "select concat_ws(',', \
               case when bool_or(a.grantee = 0) then 'everybody' end, \
               case when bool_or(r.rolname = $1) then 'role' end) \
               from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
               left join pg_roles r on r.oid = a.grantee \
               where d.datname = $2 and a.privilege_type = 'CONNECT'",
    deny: "select format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC, %I', $2::text, $1::text)",
    restore: "select format('GRANT CONNECT ON DATABASE %I TO %s', $2::text, grantee) \
              from (values ('everybody', 'PUBLIC'), ('role', quote_ident($1))) as t (had, grantee) \
              where had = any (string_to_array($3, ','))",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "auth-connect",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "CONNECT revoked",
    about: "REVOKE CONNECT on the application's database from everybody and from its role. Sessions that are there go on;\
            new ones are refused.",
    finding: FindingKind::ProbeFailing,
    cause: "auth-connect",
    fixed_by: &["restore_role_access"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions that are there", "every password"],
    undo: &["grant CONNECT again to those who had it"],
    takes_within: Duration::from_secs(3),
};
