//! PostgreSQL sessions that a fault holds open and leaves idle, as a leaking client does.

use super::reach::{self, Closed, Session};
use super::{FaultError, Progress};
use crate::targets::Server;

/// What opening came to.
pub(super) struct Opened {
    pub(super) held: Vec<Session>,
    /// The server's words, when it had no slot left.
    pub(super) refused: Option<String>,
}

/// Opens up to `wanted` sessions as the application's role, runs one query in each and leaves them idle.
pub(super) async fn open_idle(
    server: &Server,
    name: &str,
    wanted: u64,
    progress: Progress<'_>,
) -> Result<Opened, FaultError> {
    let link = reach::postgres_link(server)?;
    let mut held = Vec::new();
    for n in 1..=wanted {
        let session = match reach::postgres(link, &link.app, name).await {
            Ok(session) => session,
            Err(Closed::Full(text)) => return Ok(Opened { held, refused: Some(text) }),
            Err(Closed::Otherwise(error)) => return Err(error),
        };
        let query = async { session.client.simple_query("select 1").await };
        reach::within(link.deadline, "run a query in a new session".into(), query).await?;
        held.push(session);
        progress(format!("{n} connections open"));
    }
    Ok(Opened { held, refused: None })
}

/// How many sessions carry this name, and how many of them are idle.
pub(super) async fn count(server: &Server, name: &str) -> Result<(u64, u64), FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select count(*), count(*) filter (where state = 'idle') \
               from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()";
    let row = session
        .client
        .query_one(sql, &[&name])
        .await
        .map_err(|e| reach::sql_failed("count sessions", e))?;
    let number = |i| u64::try_from(row.get::<_, i64>(i)).unwrap_or_default();
    Ok((number(0), number(1)))
}

/// Reverting: the sockets are gone with the injector; ends what the server has not noticed yet.
pub(super) async fn end(server: &Server, name: &str) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = $1 and backend_type = 'client backend' \
               and pid <> pg_backend_pid()";
    session
        .client
        .query_one(sql, &[&name])
        .await
        .map_err(|e| reach::sql_failed("end the sessions of the fault", e))?;
    Ok(())
}
