//! One server-wide PostgreSQL setting as a fault: ALTER SYSTEM and a reload. The line of `postgresql.auto.conf` that
//! was there before is saved and put back; only our own line is taken away.

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::marks::text;
use super::reach::{self, Session};
use super::{Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, standing};
use crate::targets::Server;

const LINE: &str = "line before";
const OURS: &str = "our line";

/// A setting, and what the fault makes of it.
pub(super) struct Setting {
    pub(super) descriptor: &'static Descriptor,
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    /// Looks for what a client then meets, as [`Fault::took`].
    pub(super) took: for<'a> fn(&'a Server) -> BoxFuture<'a, Result<String, FaultError>>,
}

/// What reverting one does, in words.
pub(super) const UNDO: &[&str] = &[
    "put the line of postgresql.auto.conf back as it was, unless somebody did already, and reload",
];

#[async_trait]
impl Fault for Setting {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn calls(&self, _: Option<&Server>, _: &Params) -> Vec<String> {
        vec![
            format!("ALTER SYSTEM SET {} = '{}'", self.name, self.value),
            "SELECT pg_reload_conf()".into(),
        ]
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, self.descriptor.runtimes)?;
        let (source, context): (String, String) = self.standing(server).await?;
        if source == "command line" {
            return Err(format!(
                "{} stands on the command line of {}, which beats every file",
                self.name, server.target.id
            ));
        }
        match context.as_str() {
            "user" | "superuser" | "sighup" => Ok(()),
            _ => Err(format!("{} of {} needs a restart", self.name, server.target.id)),
        }
    }

    /// The line that is there now, and ours.
    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        let session = reach::superuser(server).await?;
        let line = self.line(&session).await?;
        if line.as_deref() == Some(self.value) {
            return Err(FaultError::Precondition(format!(
                "{} of {} is {:?} already",
                self.name, server.target.id, self.value
            )));
        }
        Ok(Saved::from([(LINE.into(), json!(line)), (OURS.into(), json!(self.value))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        _: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let session = reach::superuser(server).await?;
        self.write(&session, Some(self.value)).await?;
        progress(format!("{} is {}", self.name, self.value));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        (self.took)(server).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let session = reach::superuser(server).await?;
        // After a fix, or somebody else's change, the line is not ours any more.
        if self.line(&session).await?.as_deref() != Some(text(saved, OURS)?) {
            return Ok(());
        }
        self.write(&session, saved.get(LINE).and_then(Value::as_str)).await
    }
}

impl Setting {
    async fn standing(&self, server: &Server) -> Result<(String, String), String> {
        let session = reach::superuser(server).await.map_err(|error| error.in_words())?;
        let sql = "select source, context from pg_settings where name = $1";
        let row = session.client.query_opt(sql, &[&self.name]).await;
        let row = row.map_err(|error| reach::sql_failed("read the setting", error).in_words())?;
        let row = row.ok_or_else(|| format!("{} has no {}", server.target.id, self.name))?;
        Ok((row.get(0), row.get(1)))
    }

    async fn line(&self, session: &Session) -> Result<Option<String>, FaultError> {
        let sql = "select setting from pg_file_settings where name = $1 \
                   and sourcefile like '%/postgresql.auto.conf' order by seqno desc limit 1";
        let row = session.client.query_opt(sql, &[&self.name]).await;
        let row = row.map_err(|e| reach::sql_failed("read postgresql.auto.conf", e))?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn write(&self, session: &Session, value: Option<&str>) -> Result<(), FaultError> {
        let failed = |error| reach::sql_failed(format!("change {}", self.name), error);
        let sql = "select case when $2::text is null then format('ALTER SYSTEM RESET %I', $1::text) \
                   else format('ALTER SYSTEM SET %I = %L', $1::text, $2) end";
        let row = session.client.query_one(sql, &[&self.name, &value]).await.map_err(failed)?;
        session.client.batch_execute(row.get(0)).await.map_err(failed)?;
        session.client.batch_execute("select pg_reload_conf()").await.map_err(failed)
    }
}
