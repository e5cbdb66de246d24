//! What became of a transaction whose COMMIT got no answer: the server is asked on a new connection.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::database::workbench::{As, Workbench};
use crate::targets::postgres::Session;

/// A server that restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(2);

/// What the server knows of it.
pub(super) enum Fate {
    /// With where its log stands now.
    Committed(Option<String>),
    Aborted,
    Unknown,
}

/// Asks until the server knows. `number`: of the transaction; none means that it wrote nothing.
pub(super) async fn fate_of(
    bench: &Workbench,
    database: Option<&str>,
    number: Option<i64>,
) -> Fate {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(fate) = asked(bench, database, number).await {
            return fate;
        }
        if Instant::now() >= until {
            return Fate::Unknown;
        }
        sleep(PAUSE).await;
    }
}

/// `None`: not known yet.
async fn asked(bench: &Workbench, database: Option<&str>, number: Option<i64>) -> Option<Fate> {
    const ASK: &str = "select txid_status($1), case when not pg_is_in_recovery() then pg_current_wal_insert_lsn()::text end";
    let connection = bench.connect(As::App, database, Session::Ask, "commit").await.ok()?;
    // What wrote nothing is the same applied or not.
    let Some(number) = number else { return Some(Fate::Committed(None)) };
    let answered = tokio::time::timeout(ANSWER, connection.query_one(ASK, &[&number])).await;
    let row = answered.ok()?.ok()?;
    connection.close().await;
    match row.try_get::<_, Option<String>>(0).ok()?.as_deref() {
        Some("committed") => Some(Fate::Committed(row.try_get(1).ok()?)),
        Some("aborted") => Some(Fate::Aborted),
        Some(_) => None,
        // Too long ago for the server to say.
        None => Some(Fate::Unknown),
    }
}
