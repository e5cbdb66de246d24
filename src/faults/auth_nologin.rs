//! Somebody takes LOGIN from the application's role: old sessions go on, new ones are refused.

use std::time::Duration;

use async_trait::async_trait;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct AuthNologin;

const DENIAL: Denial = Denial {
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

#[async_trait]
impl Fault for AuthNologin {
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
