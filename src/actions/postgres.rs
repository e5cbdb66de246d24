//! Reading a PostgreSQL server for previews and proofs: one JSON value per question, over the strongest login there
//! is, and through psql in the container when no connection gets in.

use std::time::Duration;

use anyhow::anyhow;
use serde::de::DeserializeOwned;

use super::channel::sql::{self, Vars, ask};
use super::channel::succeeded;
use super::{ActionError, failed};
use crate::targets::postgres::{PostgresLink, Session};
use crate::targets::{Link, Server};

/// A question may take this long, over either way.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// The PostgreSQL behind a target.
pub(super) fn link(server: &Server) -> Result<&PostgresLink, ActionError> {
    match &server.link {
        Link::Postgres(link) => Ok(link),
        Link::Redis(_) => {
            Err(ActionError::Precondition(format!("{} is no PostgreSQL", server.target.id)))
        }
    }
}

/// The database of the application.
pub(super) fn database(server: &Server) -> Result<String, ActionError> {
    Ok(link(server)?.app.database.clone())
}

/// Asks a question that answers one JSON value.
pub(super) async fn look<T: DeserializeOwned>(
    server: &Server,
    action: &'static str,
    question: &'static str,
    vars: &Vars,
) -> Result<T, ActionError> {
    look_in(server, None, action, question, vars).await
}

/// The same, in this database where one is named.
pub(super) async fn look_in<T: DeserializeOwned>(
    server: &Server,
    database: Option<&str>,
    action: &'static str,
    question: &'static str,
    vars: &Vars,
) -> Result<T, ActionError> {
    let link = link(server)?;
    let login = sql::in_database(link.fixer.as_ref().unwrap_or(&link.monitor), database);
    let direct =
        ask(link, &login, action, Session::Monitor, (question, vars), ANSWER_DEADLINE).await;
    let output = match (direct, &server.place) {
        (Ok(output), _) if succeeded(&output) => output,
        (_, Some(place)) => {
            sql::exec(place, database, action, (question, vars), ANSWER_DEADLINE).await?
        }
        (direct, None) => direct?,
    };
    let doing = || format!("look into {}", link.name);
    if !succeeded(&output) {
        return Err(failed(doing(), anyhow!("{}", output.stderr.trim())));
    }
    serde_json::from_str(output.stdout.trim()).map_err(|e| failed(doing(), e))
}
