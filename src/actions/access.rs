//! What a role may do on a PostgreSQL server, for the actions that give it back. Everything goes over another database
//! than the application's, which may be the one that is closed.

use std::time::Duration;

use anyhow::anyhow;

use super::channel::{Call, Channel, succeeded};
use super::{ActionError, failed};
use crate::domain::execution::Output;
use crate::targets::Server;

const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// A database that is surely another one.
pub(super) fn beside(database: &str) -> &'static str {
    if database == "postgres" { "template1" } else { "postgres" }
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
