//! What a role may do on a PostgreSQL server, for the actions that give it back. Everything goes over another database
//! than the application's, which may be the one that is closed.

use std::time::Duration;

use anyhow::anyhow;
use serde::de::DeserializeOwned;

use super::channel::sql::{self, Vars, ask, fixer};
use super::channel::{Call, Channel, succeeded};
use super::postgres::link;
use super::{ActionError, failed};
use crate::domain::execution::Output;
use crate::targets::Server;
use crate::targets::postgres::{Login, Session};

const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// A database that is surely another one.
pub(super) fn beside(database: &str) -> &'static str {
    if database == "postgres" { "template1" } else { "postgres" }
}

/// As [`super::postgres::look`], in this database.
pub(super) async fn look_in<T: DeserializeOwned>(
    server: &Server,
    database: &str,
    action: &'static str,
    question: &'static str,
    vars: &Vars,
) -> Result<T, ActionError> {
    let link = link(server)?;
    let login = Login { database: database.to_owned(), ..fixer(link)?.clone() };
    let direct =
        ask(link, &login, action, Session::Monitor, (question, vars), ANSWER_DEADLINE).await;
    let output = match (direct, &server.place) {
        (Ok(output), _) if succeeded(&output) => output,
        (_, Some(place)) => {
            let place = sql::composed::place_in(place, database);
            sql::exec(&place, None, action, (question, vars), ANSWER_DEADLINE).await?
        }
        (direct, None) => direct?,
    };
    let doing = || format!("look into {}", link.name);
    if !succeeded(&output) {
        return Err(failed(doing(), anyhow!("{}", output.stderr.trim())));
    }
    serde_json::from_str(output.stdout.trim()).map_err(|e| failed(doing(), e))
}

/// Runs a composition that must do something.
pub(super) async fn must(
    server: &Server,
    action: &'static str,
    call: &Call,
    doing: String,
) -> Result<(), ActionError> {
    let output: Output = Channel::new(server, action).perform(call, CALL_DEADLINE).await?;
    if succeeded(&output) {
        return Ok(());
    }
    Err(failed(doing, anyhow!("{}", output.stderr.trim().to_owned())))
}
