//! Somebody gives the archive a command that fails: the server keeps every segment of WAL, and tells nobody.

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::pg_setting::{Setting, UNDO};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach, wal,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct ArchiveFails;

const SETTING: Setting = Setting {
    descriptor: &DESCRIPTOR,
    name: "archive_command",
    value: "/bin/false",
    took: |server| took(server).boxed(),
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "archive-fails",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "The archive takes no WAL",
    about: "Sets archive_command to a program that fails and fills one segment. No client gets an error; the server keeps \
            every segment and tries the first one again and again.",
    finding: FindingKind::WalRetained,
    cause: "archive-fails",
    fixed_by: &["reset_pg_setting"],
    params: &[],
    risk: Risk::Low,
    untouched: &["data", "sessions", "every file of WAL", "every other setting"],
    undo: UNDO,
    takes_within: Duration::from_secs(8),
};

#[async_trait]
impl Fault for ArchiveFails {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        SETTING.available(server).await?;
        let session = reach::superuser(server).await.map_err(|error| error.in_words())?;
        let row = session.client.query_one("select current_setting('archive_mode')", &[]).await;
        let row = row.map_err(|e| reach::sql_failed("look at archive_mode", e).in_words())?;
        match row.get(0) {
            "off" => Err(format!("{} archives nothing (archive_mode is off)", server.target.id)),
            _ => Ok(()),
        }
    }

    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String> {
        let mut calls = SETTING.calls(server, params);
        calls.push("SELECT pg_switch_wal(), once, after one record".into());
        calls
    }

    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError> {
        wal::has_room(server).await?;
        SETTING.save(server, params, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let grip = SETTING.inject(server, params, saved, progress).await?;
        wal::fill(server, 1, progress).await?;
        Ok(grip)
    }

    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        SETTING.took(server, params, saved).await
    }

    async fn revert(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        SETTING.revert(server, params, saved).await
    }
}

async fn took(server: &Server) -> Result<String, FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select last_failed_wal from pg_stat_archiver \
               where last_failed_time > coalesce(last_archived_time, '-infinity')";
    let row = session.client.query_opt(sql, &[]).await;
    let row = row.map_err(|e| reach::sql_failed("look at the archive", e))?;
    let file: Option<String> = row.and_then(|row| row.get(0));
    file.map(|file| format!("{file} was not archived"))
        .ok_or_else(|| FaultError::Precondition("the archive has not failed yet".into()))
}
