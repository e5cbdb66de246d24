//! Somebody revokes the right to write a table from the application's role.

use std::time::Duration;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Denial = Denial {
    descriptor: &DESCRIPTOR,
    code: "42501",
    felt: Felt::AtAWrite,
    words: &["REVOKE INSERT, UPDATE ON TABLE public.hb FROM <the application's role>"],
    original: "select concat_ws(', ', \
               case when has_table_privilege($1::text, c.oid, 'INSERT') then 'INSERT' end, \
               case when has_table_privilege($1::text, c.oid, 'UPDATE') then 'UPDATE' end) \
               from pg_class c where c.oid = to_regclass('public.hb') and $2 <> ''",
    deny: "select format('REVOKE INSERT, UPDATE ON TABLE public.hb FROM %I', $1::text) \
           where $2 <> ''",
    restore: "select format('GRANT %s ON TABLE public.hb TO %I', $3::text, $1::text) \
              where $2 <> '' and $3 <> '' and not (has_table_privilege($1::text, 'public.hb', 'INSERT') \
              and has_table_privilege($1::text, 'public.hb', 'UPDATE'))",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "auth-table",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Right to write a table revoked",
    about: "REVOKE INSERT, UPDATE on the heartbeat table from the application's role. It logs in and reads; its writes are\
            refused.",
    finding: FindingKind::WritesRefused,
    cause: "auth-table",
    fixed_by: &["restore_role_access"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions that are there", "every password"],
    undo: &["grant INSERT and UPDATE on the table again, as far as the role had them"],
    takes_within: Duration::from_secs(3),
};
