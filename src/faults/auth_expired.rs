//! The password of the application's role expires: the client is told that it is wrong.

use std::time::Duration;

use async_trait::async_trait;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct AuthExpired;

const DENIAL: Denial = Denial {
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

#[async_trait]
impl Fault for AuthExpired {
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
