//! One migration at a time for each database. The lock is asked for again and again on a connection of its own: a
//! session that waits for it inside the server would hold a snapshot, for which an index that is built concurrently
//! waits, and so for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::backup::progress::{Progress, Teller};
use super::super::{As, Code, Failure, Outcome, Workbench};
use crate::targets::postgres::{PgConnection, Session};

const EVERY: Duration = Duration::from_millis(200);

const TRY: &str = "SELECT pg_try_advisory_lock(hashtext('simctl migrate'), 0)";

/// Who has it.
const HOLDER: &str = "
SELECT l.pid, coalesce(a.usename::text, '?'), coalesce(host(a.client_addr), 'local')
  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.objid = 0
    AND l.classid = hashtext('simctl migrate')::int8::bit(32)::bit(32)::int8::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Takes it; whoever holds it is waited for that long, and then named. It is free when the session ends.
pub(super) async fn take(
    bench: &Workbench,
    database: Option<&str>,
    wait: Duration,
    teller: &Teller,
) -> Outcome<PgConnection> {
    let session = bench.connect(As::App, database, Session::App, "migrate lock").await?;
    let until = Instant::now() + wait;
    loop {
        let row =
            session.query_one(TRY, &[]).await.map_err(|error| Failure::of_postgres(&error))?;
        if row.get(0) {
            return Ok(session);
        }
        if Instant::now() >= until {
            return Err(taken(&session).await);
        }
        teller.tell(Progress { at: Some("another migration".into()), ..Progress::of("wait") });
        sleep(EVERY).await;
    }
}

async fn taken(session: &PgConnection) -> Failure {
    let holder = session.query_opt(HOLDER, &[]).await.ok().flatten().map(|row| {
        let (pid, user, from): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
        format!(": pid {pid}, {user} from {from}")
    });
    let message =
        format!("another migration of this database is running{}", holder.unwrap_or_default());
    Failure::new(Code::Conflict, message, "wait for it; nothing was run")
}
