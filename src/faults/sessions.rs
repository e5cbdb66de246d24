//! PostgreSQL sessions that a fault holds open and leaves idle, as a leaking client does.

use std::time::Duration;

use super::reach::{self, Closed, Session};
use super::{FaultError, Progress};
use crate::engine::tasks::Tasks;
use crate::targets::Server;

/// Where opening until a refusal stops all the same.
pub(super) const MOST_CONNECTIONS: u64 = 100;
/// So many refusals in a row mean that the server is full: a slot that somebody had for a moment only is taken too.
const REFUSALS: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(100);

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
    open_each(server, name, wanted, |_| "select 1".to_owned(), progress).await
}

/// The same with a query of its own for each, numbered from 1.
pub(super) async fn open_each(
    server: &Server,
    name: &str,
    wanted: u64,
    query: impl Fn(u64) -> String,
    progress: Progress<'_>,
) -> Result<Opened, FaultError> {
    let link = reach::postgres_link(server)?;
    let mut held = Vec::new();
    for n in 1..=wanted {
        let session = match open(server, name).await {
            Ok(session) => session,
            Err(Closed::Full(text)) => return Ok(Opened { held, refused: Some(text) }),
            Err(Closed::Otherwise(error)) => return Err(error),
        };
        let query = query(n);
        let query = async { session.client.simple_query(&query).await };
        reach::within(link.deadline, "run a query in a new session".into(), query).await?;
        held.push(session);
        progress(format!("{n} connections open"));
    }
    Ok(Opened { held, refused: None })
}

/// One session as the application's role.
pub(super) async fn open(server: &Server, name: &str) -> Result<Session, Closed> {
    let link = reach::postgres_link(server).map_err(Closed::Otherwise)?;
    reach::postgres(link, &link.app, name).await
}

/// Opens sessions as the application's role until the server refuses the next, as clients of a busy program do when
/// theirs do not come free. The first ones may be there already.
pub(super) async fn until_refused(
    server: &Server,
    name: &str,
    query: impl Fn(u64) -> String,
    progress: Progress<'_>,
) -> Result<Vec<Session>, FaultError> {
    let mut held: Vec<Session> = Vec::new();
    let mut refusals = 0;
    loop {
        let there = held.len() as u64;
        let left = MOST_CONNECTIONS - there;
        let opened = open_each(server, name, left, |n| query(there + n), progress).await?;
        let Some(words) = opened.refused else { return Err(not_refused()) };
        refusals = if opened.held.is_empty() { refusals + 1 } else { 1 };
        held.extend(opened.held);
        if refusals == REFUSALS {
            progress(format!("refused after {} connections: {words}", held.len()));
            return Ok(held);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

fn not_refused() -> FaultError {
    FaultError::Precondition(format!(
        "still not refused after {MOST_CONNECTIONS} connections, where this fault stops"
    ))
}

/// What a session of a crowd does when its query has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Leaves,
    /// Idle, with its slot.
    Stays,
}

/// Opens sessions as the application's role, each at work on the same query, until the server refuses the next.
/// Dropping them closes the connections; what the server does not notice is ended by [`end`].
pub(super) async fn crowd(
    server: &Server,
    name: &str,
    query: &str,
    afterwards: Afterwards,
    progress: Progress<'_>,
) -> Result<Tasks, FaultError> {
    let mut members = Tasks::default();
    for n in 0..MOST_CONNECTIONS {
        let session = match open(server, name).await {
            Ok(session) => session,
            Err(Closed::Full(words)) => {
                progress(format!("refused after {n} connections: {words}"));
                return Ok(members);
            }
            Err(Closed::Otherwise(error)) => return Err(error),
        };
        put_to_work(&mut members, session, query.to_owned(), afterwards);
        progress(format!("{} connections at work", n + 1));
    }
    Err(not_refused())
}

/// A session of the application's role at work on each of these queries; who was served leaves.
pub(super) async fn each_at_work(
    server: &Server,
    name: &str,
    queries: impl IntoIterator<Item = String>,
) -> Result<Tasks, FaultError> {
    let mut members = Tasks::default();
    for query in queries {
        put_to_work(&mut members, open(server, name).await?, query, Afterwards::Leaves);
    }
    Ok(members)
}

/// Lets a session work on a query, beside the others of these members.
pub(super) fn put_to_work(
    members: &mut Tasks,
    session: Session,
    query: String,
    afterwards: Afterwards,
) {
    members.spawn("faults: a session at work", async move {
        // As a whole: its driver must live as long.
        let session = session;
        let ended = session.client.simple_query(&query).await;
        tracing::debug!(ok = ended.is_ok(), "a query of a fault ended");
        if afterwards == Afterwards::Stays {
            std::future::pending::<()>().await;
        }
    });
}

/// What a new client of the application is told when it is refused for lack of a slot.
pub(super) async fn refusal(server: &Server, name: &str) -> Result<String, FaultError> {
    match open(server, name).await {
        Err(Closed::Full(words)) => Ok(words),
        Err(Closed::Otherwise(error)) => Err(error),
        Ok(_) => Err(FaultError::Precondition("a new client still gets in".into())),
    }
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

/// How many sessions of this name wait for a lock, when all of these do.
pub(super) async fn all_wait(server: &Server, name: &str, all: u64) -> Result<u64, FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select count(*) from pg_stat_activity \
               where application_name = $1 and wait_event_type = 'Lock'";
    let row = session.client.query_one(sql, &[&name]).await;
    let waiting: i64 = row.map_err(|e| reach::sql_failed("look at who waits", e))?.get(0);
    match u64::try_from(waiting).unwrap_or_default() {
        waiting if waiting >= all => Ok(waiting),
        waiting => Err(FaultError::Precondition(format!("{waiting} of {all} sessions wait"))),
    }
}

/// The processes of the sessions of this name.
pub(super) async fn pids(server: &Server, name: &str) -> Result<Vec<i32>, FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select pid from pg_stat_activity where application_name = $1";
    let rows = session.client.query(sql, &[&name]).await;
    let rows = rows.map_err(|e| reach::sql_failed("look at the sessions of the fault", e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
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
