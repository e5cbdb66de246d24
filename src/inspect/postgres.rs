//! Asking a PostgreSQL: one read-only session of the monitor role, deadlines on both sides, everything bound.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use super::earlier::Earlier;
use super::questions;
use super::unknown::Unknown;
use super::versions::{self, Question};
use crate::domain::sample::Answer;
use crate::targets::postgres::{PgConnection, PostgresLink, Session, answer_of};
use crate::targets::{Unanswered, felt};

/// More than the session's own `statement_timeout`, so that the server's word comes first.
const CLIENT_DEADLINE: Duration = Duration::from_secs(6);
/// A cancelled statement ends within this, or the session is given up.
const CANCELLED: Duration = Duration::from_secs(1);

/// A value of a statement, with its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// What this server, role and database let us do.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Capabilities {
    version_num: i64,
    pub(super) standby: bool,
    superuser: bool,
    read_all_stats: bool,
    scan_tables: bool,
    pub(super) login: String,
    pub(super) database: String,
    extensions: Option<BTreeMap<String, Extension>>,
    /// `None`: the role may not see it.
    pub(super) statements_preloaded: Option<bool>,
    pub(super) synchronous_standby_names: String,
    pub(super) max_connections: i64,
    superuser_reserved: i64,
    reserved: i64,
    pub(super) uptime_s: f64,
    /// `None`: the statistics were never reset.
    pub(super) stats_age_s: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Extension {
    schema: String,
}

impl Capabilities {
    pub(super) fn major(&self) -> u32 {
        versions::major(self.version_num)
    }

    /// The schema of an extension, when this database has it.
    pub(super) fn schema_of(&self, extension: &str) -> Option<&str> {
        Some(self.extensions.as_ref()?.get(extension)?.schema.as_str())
    }

    /// Connections that ordinary roles may have.
    pub(super) fn usable_slots(&self) -> i64 {
        self.max_connections - self.superuser_reserved - self.reserved
    }

    /// Without this, others' sessions are there with their contents hidden: silence, not an error.
    pub(super) fn sees_others(&self) -> Result<(), Unknown> {
        self.has(self.read_all_stats, "what other sessions do is hidden", "pg_read_all_stats")
    }

    /// What reading through a table for its free space takes.
    pub(super) fn may_scan(&self) -> Result<(), Unknown> {
        self.has(self.scan_tables, "looking through tables", "pg_stat_scan_tables")
    }

    fn has(&self, granted: bool, what: &str, role: &str) -> Result<(), Unknown> {
        if granted || self.superuser {
            return Ok(());
        }
        let (said, login) = (format!("{what} from {}", self.login), &self.login);
        Err(Unknown::NotPermitted { said, grant: format!("GRANT {role} TO {login}") })
    }
}

/// A session to ask over, with what was learnt before over it.
pub struct PgDesk {
    link: PostgresLink,
    connection: Option<PgConnection>,
    pub(super) capabilities: Capabilities,
    /// No question starts after this.
    until: Instant,
    /// The samples before, by the name of what was sampled.
    pub(super) earlier: Earlier,
}

impl PgDesk {
    /// Opens the session and learns what it may ask.
    pub(super) async fn open(link: &PostgresLink, budget: Duration) -> Result<Self, Unknown> {
        let mut link = link.clone();
        // A loaded server answers late, and here somebody waits for the answer, not for the delay.
        link.deadline = link.deadline.max(Duration::from_secs(2));
        let connection = connect(&link).await?;
        let statement = versions::as_json(questions::CAPABILITIES.text(12)?, None);
        let asked = tokio::time::timeout(CLIENT_DEADLINE, connection.query_typed(&statement, &[]));
        let rows = match asked.await {
            Ok(answered) => answered.map_err(|error| unknown(&error, &link))?,
            Err(_) => return Err(timed_out(CLIENT_DEADLINE)),
        };
        let mut capabilities: Vec<Capabilities> = read(&rows)?;
        let capabilities = capabilities.pop().ok_or_else(|| nothing("capabilities"))?;
        let until = Instant::now() + budget;
        let earlier = Earlier::default();
        Ok(Self { link, connection: Some(connection), capabilities, until, earlier })
    }

    /// The same login in another database.
    pub(super) async fn elsewhere(&self, database: &str) -> Result<Self, Unknown> {
        let mut link = self.link.clone();
        link.monitor.database = database.to_owned();
        let left = self.until.saturating_duration_since(Instant::now());
        Self::open(&link, left).await
    }

    /// Gives the next inspection its time.
    pub(super) fn begin(&mut self, budget: Duration) {
        self.until = Instant::now() + budget;
    }

    /// All rows of a question.
    pub(super) async fn rows<T: DeserializeOwned>(
        &mut self,
        question: &Question,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, Unknown> {
        self.ask(question, None, params).await
    }

    /// All rows of a question that calls an extension.
    pub(super) async fn rows_of<T: DeserializeOwned>(
        &mut self,
        question: &Question,
        extension: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, Unknown> {
        let schema = self.capabilities.schema_of(extension).map(str::to_owned);
        let answered = self.ask(question, schema.as_deref(), params).await;
        match (answered, schema) {
            (Err(Unknown::NotPermitted { said, .. }), Some(schema))
                if said.contains(" schema ") =>
            {
                let (schema, login) = (versions::quoted(&schema), &self.capabilities.login);
                let grant = format!("GRANT USAGE ON SCHEMA {schema} TO {login}");
                Err(Unknown::NotPermitted { said, grant })
            }
            (answered, _) => answered,
        }
    }

    /// The one row of a question.
    pub(super) async fn row<T: DeserializeOwned>(
        &mut self,
        question: &Question,
        params: &[Param<'_>],
    ) -> Result<T, Unknown> {
        let mut rows = self.rows(question, params).await?;
        rows.pop().ok_or_else(|| nothing(question.name))
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        question: &Question,
        schema: Option<&str>,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, Unknown> {
        let statement = versions::as_json(question.text(self.capabilities.major())?, schema);
        let left = self.until.saturating_duration_since(Instant::now()).min(CLIENT_DEADLINE);
        if left.is_zero() {
            return Err(timed_out(left));
        }
        let connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(&self.link).await?,
        };
        let mut asked = Box::pin(connection.query_typed(&statement, params));
        match tokio::time::timeout(left, &mut asked).await {
            Ok(answered) => {
                drop(asked);
                self.connection = Some(connection);
                read(&answered.map_err(|error| unknown(&error, &self.link))?)
            }
            Err(_) => {
                // Unless it ends by the cancel, the session is dropped with what it still runs.
                let _ = self.link.cancel(&connection).await;
                let ended = tokio::time::timeout(CANCELLED, asked).await.is_ok();
                self.connection = ended.then_some(connection);
                Err(timed_out(left))
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            connection.close().await;
        }
    }
}

async fn connect(link: &PostgresLink) -> Result<PgConnection, Unknown> {
    let opened = link.connect(&link.monitor, "inspect", Session::Inspect).await;
    opened.map_err(|error| of_answer(felt(&error), link))
}

fn read<T: DeserializeOwned>(rows: &[tokio_postgres::Row]) -> Result<Vec<T>, Unknown> {
    let row = |row: &tokio_postgres::Row| {
        let text: String = row.try_get(0).map_err(|error| unreadable(&error))?;
        serde_json::from_str(&text).map_err(|error| unreadable(&error))
    };
    rows.iter().map(row).collect()
}

fn unreadable(error: &dyn std::error::Error) -> Unknown {
    Unknown::Failed {
        code: "CLIENT".into(),
        said: format!("an answer is not as expected: {error}"),
    }
}

fn nothing(what: &str) -> Unknown {
    Unknown::Failed { code: "CLIENT".into(), said: format!("{what}: no row") }
}

fn timed_out(after: Duration) -> Unknown {
    Unknown::TimedOut { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
}

fn unknown(error: &tokio_postgres::Error, link: &PostgresLink) -> Unknown {
    of_answer(answer_of(error), link)
}

/// What a failure tells of why it is not known.
fn of_answer(answer: Answer, link: &PostgresLink) -> Unknown {
    let login = &link.monitor.user;
    match answer {
        Answer::Hung { after_ms } => Unknown::TimedOut { after_ms },
        Answer::Error { code, text } => match code.as_str() {
            "42501" => {
                Unknown::NotPermitted { said: text, grant: format!("GRANT pg_monitor TO {login}") }
            }
            // statement_timeout, and our own cancel.
            "57014" => Unknown::TimedOut { after_ms: 5_000 },
            "55P03" => Unknown::Locked { what: text },
            "53300" | "57P03" | "3D000" | "28P01" | "28000" | "IO" | "TLS" | "CLIENT" => {
                Unknown::Refused { code, said: text }
            }
            code if code.starts_with("08") => Unknown::Refused { code: code.into(), said: text },
            _ => Unknown::Failed { code, said: text },
        },
        other => Unknown::Refused { code: "08006".into(), said: Unanswered(other).to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> PostgresLink {
        let login = crate::targets::postgres::Login {
            user: "ops".into(),
            password: None,
            database: "app".into(),
        };
        PostgresLink {
            name: "x".into(),
            host: "h".into(),
            port: 1,
            app: login.clone(),
            monitor: login,
            fixer: None,
            tls: None,
            deadline: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_the_server_said_becomes_the_reason() {
        let said = |code: &str| {
            let answer = Answer::Error { code: code.into(), text: "ERROR: x".into() };
            of_answer(answer, &link()).word()
        };
        for (code, word) in [
            ("42501", "not_permitted"),
            ("57014", "timed_out"),
            ("55P03", "locked"),
            ("53300", "refused"),
            ("08006", "refused"),
            ("3D000", "refused"),
            ("42703", "failed"),
        ] {
            assert_eq!(said(code), word, "{code}");
        }
        let gone = Answer::Gone { text: "closed".into() };
        assert_eq!(of_answer(gone, &link()).word(), "refused");
        let denied = Answer::Error { code: "42501".into(), text: "no".into() };
        assert_eq!(of_answer(denied, &link()).remedy(), "GRANT pg_monitor TO ops");
    }
}
