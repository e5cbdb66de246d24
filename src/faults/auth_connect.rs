//! Somebody revokes CONNECT on the database from everybody and the application's role.

use std::time::Duration;

use async_trait::async_trait;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct AuthConnect;

const DENIAL: Denial = Denial {
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

#[async_trait]
impl Fault for AuthConnect {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        super::standing::runs_in(server, DESCRIPTOR.runtimes)?;
        DENIAL.available(server).await
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        DENIAL.calls(server)
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        DENIAL.save(server).await
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        DENIAL.inject(server, progress).await?;
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        DENIAL.took(server).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        DENIAL.revert(server, saved).await
    }
}
