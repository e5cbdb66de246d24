//! Somebody closes the database to new connections: old sessions go on, nobody new gets in.

use std::time::Duration;

use async_trait::async_trait;

use super::denial::{Denial, Felt};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct DbClosed;

const DENIAL: Denial = Denial {
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

#[async_trait]
impl Fault for DbClosed {
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
