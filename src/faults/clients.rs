//! Clients of a program that goes on with its work, whatever becomes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{FaultError, sessions};
use crate::engine::tasks::Tasks;
use crate::targets::Server;

/// How such a client works.
#[derive(Clone)]
pub(super) struct Work {
    /// Run first in each session; may be empty.
    pub(super) first: String,
    /// The statement by its number; more than one of them in it are one transaction.
    pub(super) statement: Arc<dyn Fn(u64) -> String + Send + Sync>,
    /// Between two statements.
    pub(super) rest: Duration,
    /// A new session after so many.
    pub(super) renewed_after: u64,
}

/// So many clients at work, until they are dropped. The first session of each is opened here, so that what keeps them
/// out is told.
pub(super) async fn at_work(
    server: &Server,
    name: &str,
    clients: u64,
    work: &Work,
) -> Result<Tasks, FaultError> {
    let mut members = Tasks::default();
    for client in 0..clients {
        drop(sessions::open(server, name).await?);
        let (server, name, work) = (server.clone(), name.to_owned(), work.clone());
        members.spawn("faults: a client at work", async move {
            let mut n = client;
            loop {
                work_on(&server, &name, &work, &mut n).await;
                sleep(work.rest).await;
            }
        });
    }
    Ok(members)
}

/// One session, to the end of its share or of its connection.
async fn work_on(server: &Server, name: &str, work: &Work, n: &mut u64) {
    let Ok(session) = sessions::open(server, name).await else { return };
    if session.client.batch_execute(&work.first).await.is_err() {
        return;
    }
    for _ in 0..work.renewed_after {
        *n += 1;
        let done = session.client.batch_execute(&(work.statement)(*n)).await;
        if let Err(error) = done {
            tracing::debug!(%error, "a statement of a fault's client failed");
            if session.client.is_closed() {
                return;
            }
        }
        sleep(work.rest).await;
    }
}
