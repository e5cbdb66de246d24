//! Somebody makes every transaction read-only by default: reads work, writes are refused.

use std::time::Duration;

use async_trait::async_trait;

use super::pg_setting::Setting;
use super::reach::{self, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, standing,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct ReadOnly;

const SETTING: Setting = Setting { name: "default_transaction_read_only", value: "on" };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "read-only",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "Transactions read-only by default",
    about: "Sets default_transaction_read_only for the whole server and reloads. Reads work, every write is refused, \
            as a standby would.",
    finding: FindingKind::WritesRefused,
    cause: "read-only",
    fixed_by: &["reset_pg_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data", "sessions", "every other setting"],
    undo: &[
        "put the line of postgresql.auto.conf back as it was, unless somebody did already, and reload",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for ReadOnly {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        SETTING.available(server).await
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        SETTING.calls()
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        SETTING.save(server).await
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        SETTING.inject(server).await?;
        progress(format!("{} is {}", SETTING.name, SETTING.value));
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, reach::OURS).await?;
        // A temporary table dies with the session; a read-only transaction refuses even that.
        match session.client.batch_execute("create temporary table looked (at int)").await {
            Ok(()) => Err(FaultError::Precondition("a new session may still write".into())),
            Err(error) => match error.as_db_error() {
                Some(db) if db.code().code() == "25006" => Ok(format!("25006: {}", db.message())),
                _ => Err(reach::sql_failed("try to write", error)),
            },
        }
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        SETTING.revert(server, saved).await
    }
}
