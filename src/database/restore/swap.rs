//! Two databases change names. Both renames are one transaction of the server: there is no moment at which the name
//! belongs to neither of them, however simctl, the connection or the server ends.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::backup::settings::{literal, run};
use super::super::{Code, Failure, Outcome};
use crate::inspect::quoted;
use crate::targets::postgres::PgConnection;

/// How long clients that are told to go may take.
const LEAVE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

const END_CLIENTS: &str = "
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
  WHERE datname = ANY($1) AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
const CLIENTS: &str = "
SELECT count(*) FROM pg_stat_activity WHERE datname = ANY($1) AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'";

/// A database that changes its name, and what it says about itself afterwards.
pub(crate) struct Move<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// `None`: what it says now.
    pub(crate) comment: Option<&'a str>,
}

/// Keeps clients out, ends those that are in, and exchanges the names. When that fails everything is as it was, with
/// clients let in again.
pub(crate) async fn exchange(
    session: &PgConnection,
    leaves: Option<&Move<'_>>,
    takes: &Move<'_>,
) -> Outcome<()> {
    let moves: Vec<&Move<'_>> = leaves.into_iter().chain([takes]).collect();
    let done = in_order(session, &moves).await;
    if done.is_err() {
        let _ = run(session, "ROLLBACK").await;
        for one in &moves {
            if let Err(failure) = open(session, one.from, true).await {
                tracing::warn!(database = one.from, failure = %failure, "clients are still kept out");
            }
        }
    }
    done
}

async fn in_order(session: &PgConnection, moves: &[&Move<'_>]) -> Outcome<()> {
    for one in moves {
        open(session, one.from, false).await?;
    }
    empty(session, &moves.iter().map(|one| one.from).collect::<Vec<_>>()).await?;
    run(session, "BEGIN").await?;
    for one in moves {
        let (from, to) = (quoted(one.from), quoted(one.to));
        run(session, &format!("ALTER DATABASE {from} RENAME TO {to}")).await?;
    }
    for one in moves {
        if let Some(comment) = one.comment {
            let sql = format!("COMMENT ON DATABASE {} IS {}", quoted(one.to), literal(comment));
            run(session, &sql).await?;
        }
        open(session, one.to, true).await?;
    }
    run(session, "COMMIT").await
}

/// Lets clients in, or keeps new ones out.
pub(crate) async fn open(session: &PgConnection, database: &str, to_clients: bool) -> Outcome<()> {
    run(session, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS {to_clients}", quoted(database)))
        .await
}

async fn empty(session: &PgConnection, databases: &[&str]) -> Outcome<()> {
    let until = Instant::now() + LEAVE;
    loop {
        count(session, END_CLIENTS, databases).await?;
        let left = count(session, CLIENTS, databases).await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            let message = format!("{left} clients did not leave within {} s", LEAVE.as_secs());
            return Err(Failure::new(
                Code::Conflict,
                message,
                "`simctl pg connections` shows them",
            ));
        }
        sleep(LOOK).await;
    }
}

async fn count(session: &PgConnection, sql: &'static str, databases: &[&str]) -> Outcome<i64> {
    let row = session.query_one(sql, &[&databases]).await;
    Ok(row.map_err(|error| Failure::of_postgres(&error))?.get(0))
}
