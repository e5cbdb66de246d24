//! A table of the application's that belongs to one fault: made and dropped with it.

use serde_json::json;
use tokio_postgres::Client;

use super::marks::{saved as entry, text};
use super::reach::{self, Session};
use super::{FaultError, Progress, Saved, sessions, words};
use crate::diagnose::words::count;
use crate::targets::Server;

/// A name that no table has yet.
async fn unused(server: &Server, seed: u64) -> Result<String, FaultError> {
    let name = words::table(seed);
    if exists(server, &name).await? {
        return Err(FaultError::Precondition(format!("a table {name} is there already")));
    }
    Ok(name)
}

/// The names of the fault's own sessions and its own table, for [`Fault::save`](super::Fault::save).
pub(super) async fn names(server: &Server, seed: u64) -> Result<Saved, FaultError> {
    reach::superuser(server).await?;
    Ok(Saved::from([
        (entry::SESSION.into(), json!(words::program(seed))),
        (entry::TABLE.into(), json!(unused(server, seed).await?)),
    ]))
}

/// Ends these sessions and drops this table.
pub(super) async fn take_back(server: &Server, saved: &Saved) -> Result<(), FaultError> {
    sessions::end(server, text(saved, entry::SESSION)?).await?;
    drop(server, text(saved, entry::TABLE)?).await
}

/// Makes the table `(id, amount, note)` with rows 1 to `rows`, as the application's role.
pub(super) async fn make(session: &Session, name: &str, rows: u64) -> Result<(), FaultError> {
    run(
        &session.client,
        &format!(
            "create table public.{name} (id int primary key, amount int not null, note text); \
             insert into public.{name} select n, 0, 'row ' || n from generate_series(1, {rows}) n"
        ),
    )
    .await
}

/// One or more statements without an answer.
pub(super) async fn run(client: &Client, sql: &str) -> Result<(), FaultError> {
    client.batch_execute(sql).await.map_err(|e| reach::sql_failed(format!("run `{sql}`"), e))
}

/// Whether it is there.
pub(super) async fn exists(server: &Server, name: &str) -> Result<bool, FaultError> {
    let session = reach::superuser_inside(server).await?;
    let sql = "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = 'public' and c.relname = $1)";
    let row = session.client.query_one(sql, &[&name]).await;
    Ok(row.map_err(|e| reach::sql_failed("look for the table of the fault", e))?.get(0))
}

/// Rewrites every row so often; each leaves a dead one.
pub(super) async fn rewrite(
    session: &Session,
    name: &str,
    rounds: u64,
    progress: Progress<'_>,
) -> Result<(), FaultError> {
    for round in 1..=rounds {
        run(&session.client, &format!("update public.{name} set amount = amount + 1")).await?;
        progress(format!("every row of {name} rewritten, {round} of {rounds}"));
    }
    Ok(())
}

/// How many dead rows it has, when it has at least so many.
pub(super) async fn dead(server: &Server, name: &str, least: u64) -> Result<u64, FaultError> {
    let session = reach::superuser_inside(server).await?;
    let sql = "select coalesce(max(pg_stat_get_dead_tuples(c.oid)), 0) from pg_class c \
               join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = 'public' and c.relname = $1";
    let row = session.client.query_one(sql, &[&name]).await;
    let row = row.map_err(|e| reach::sql_failed("count dead rows", e))?;
    let dead = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
    if dead < least {
        return Err(FaultError::Precondition(format!("only {} dead rows", count(dead))));
    }
    Ok(dead)
}

/// Drops it, when it is there. Its sessions were ended before, but may need a moment to let go.
async fn drop(server: &Server, name: &str) -> Result<(), FaultError> {
    let session = reach::superuser_inside(server).await?;
    run(&session.client, &format!("set lock_timeout = '5s'; drop table if exists public.{name}"))
        .await
}
