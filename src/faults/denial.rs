//! What the application is denied, as a fault: one ALTER or REVOKE, and what gives back exactly that.
//!
//! The statements are composed and quoted by the server. `$1` is the application's role, `$2` its database, `$3`
//! what was saved.

use async_trait::async_trait;
use serde_json::json;
use tokio_postgres::types::ToSql;

use super::marks::text;
use super::reach::{self, Closed, Session, postgres_link};
use super::{Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, standing};
use crate::targets::Server;

const ORIGINAL: &str = "original";

/// Where the client meets it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Felt {
    AtTheDoor,
    /// At a write of the heartbeat table.
    AtAWrite,
}

/// One thing that is taken from the application.
pub(super) struct Denial {
    pub(super) descriptor: &'static Descriptor,
    /// The SQLSTATE that the client gets.
    pub(super) code: &'static str,
    pub(super) felt: Felt,
    /// What is done, for a dry run.
    pub(super) words: &'static [&'static str],
    /// One text: how it stands before.
    pub(super) original: &'static str,
    /// Composes what takes it away.
    pub(super) deny: &'static str,
    /// Composes what gives it back, only while it is still away.
    pub(super) restore: &'static str,
}

#[async_trait]
impl Fault for Denial {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let named = |word: &&str| {
            let Some(link) = server.and_then(|server| postgres_link(server).ok()) else {
                return (*word).to_owned();
            };
            let word = if word.contains("DATABASE <") {
                word.replacen("<the application's>", &link.app.database, 1)
            } else {
                word.replacen("<the application's>", &link.app.user, 1)
            };
            word.replace("<the application's role>", &link.app.user)
        };
        self.words.iter().map(named).collect()
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, self.descriptor.runtimes)?;
        let link = postgres_link(server).map_err(|error| error.in_words())?;
        if link.app.user == "postgres" {
            return Err(format!("the application of {} is a superuser", server.target.id));
        }
        if self.code == "28P01" && trusts(server).await.map_err(|error| error.in_words())? {
            return Err(format!(
                "{} lets {} in without a password (pg_hba.conf), so none can expire",
                server.target.id, link.app.user
            ));
        }
        if self.felt == Felt::AtAWrite {
            let session = self.session(server).await.map_err(|error| error.in_words())?;
            let sql = "select to_regclass('public.hb') is not null";
            let row = session.client.query_one(sql, &[]).await;
            let there = row.is_ok_and(|row| row.get(0));
            return if there { Ok(()) } else { Err("there is no table public.hb".into()) };
        }
        Ok(())
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        let link = postgres_link(server)?;
        self.available(server).await.map_err(FaultError::Precondition)?;
        let session = self.session(server).await?;
        let names: [&(dyn ToSql + Sync); 2] = [&link.app.user, &link.app.database];
        let row = session.client.query_one(self.original, &names).await;
        let row = row.map_err(|e| reach::sql_failed("look at what the application may do", e))?;
        let original: String = row.get(0);
        if original.is_empty() || original == "false" {
            return Err(FaultError::Precondition(format!(
                "the application of {} does not have it in the first place",
                server.target.id
            )));
        }
        Ok(Saved::from([(ORIGINAL.into(), json!(original))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        _: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let link = postgres_link(server)?;
        let session = self.session(server).await?;
        let names: [&(dyn ToSql + Sync); 2] = [&link.app.user, &link.app.database];
        for statement in run(&session, self.deny, &names).await? {
            progress(statement);
        }
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        match self.refusal(server).await? {
            Some(words) if words.contains(self.code) => Ok(words),
            Some(words) => Err(FaultError::Precondition(format!("refused otherwise: {words}"))),
            None => Err(FaultError::Precondition("the application still gets in".into())),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let link = postgres_link(server)?;
        let session = self.session(server).await?;
        let original = text(saved, ORIGINAL)?;
        let names: [&(dyn ToSql + Sync); 3] = [&link.app.user, &link.app.database, &original];
        run(&session, self.restore, &names).await.map(drop)
    }
}

impl Denial {
    /// Rights on a table are the business of its own database; all else is done from another one.
    async fn session(&self, server: &Server) -> Result<Session, FaultError> {
        let database = &postgres_link(server)?.app.database;
        match self.felt {
            Felt::AtAWrite => reach::superuser_in(server, database).await,
            Felt::AtTheDoor if database == "postgres" => {
                reach::superuser_in(server, "template1").await
            }
            Felt::AtTheDoor => reach::superuser_in(server, "postgres").await,
        }
    }

    /// What the application gets instead of what it wants, if so.
    async fn refusal(&self, server: &Server) -> Result<Option<String>, FaultError> {
        let link = postgres_link(server)?;
        let session = match reach::postgres(link, &link.app, reach::OURS).await {
            Ok(session) => session,
            Err(Closed::Full(words)) => return Ok(Some(words)),
            Err(Closed::Otherwise(error)) => return Ok(Some(error.in_words())),
        };
        if self.felt == Felt::AtTheDoor {
            return Ok(None);
        }
        // Asks for the rights and writes nothing.
        let write = "explain insert into public.hb (id, at) values (1, now()) \
                     on conflict (id) do update set at = excluded.at";
        let asked = session.client.batch_execute(write).await;
        Ok(asked.err().map(|error| reach::sql_failed("write the heartbeat", error).in_words()))
    }
}

/// Runs what `compose` answers, and tells it.
async fn run(
    session: &Session,
    compose: &str,
    names: &[&(dyn ToSql + Sync)],
) -> Result<Vec<String>, FaultError> {
    let failed = |error| reach::sql_failed("change what the application may do", error);
    let rows = session.client.query(compose, names).await.map_err(failed)?;
    let statements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for statement in &statements {
        session.client.batch_execute(statement).await.map_err(failed)?;
    }
    Ok(statements)
}

/// Whether a login with a wrong password gets in: then passwords, and their expiry, are not looked at.
async fn trusts(server: &Server) -> Result<bool, FaultError> {
    use crate::config::secret::Secret;
    let link = postgres_link(server)?;
    let mut login = link.app.clone();
    login.password = Some(Secret::new("surely not this one"));
    Ok(reach::postgres(link, &login, reach::OURS).await.is_ok())
}
