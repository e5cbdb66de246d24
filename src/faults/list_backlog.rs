//! A producer goes on pushing to a list that no consumer empties, until Redis is full.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::keys::grouped;
use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;

pub(super) struct ListBacklog;

const ITEM_BYTES: usize = 400;
/// Items per LPUSH, as a batch producer does: one where many are refused, so that in the end every write is.
const BATCHES: [usize; 2] = [50, 1];
const MOST_ITEMS: u64 = 500_000;
const RETRY: Duration = Duration::from_millis(200);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "list-backlog",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Restores,
    title: "A queue nobody empties",
    about: "One producer pushes jobs to a list without a consumer until Redis is full, and keeps trying. Its items are \
            work not yet done, so nothing is removed: a person is told.",
    finding: FindingKind::WritesRefused,
    cause: "list-backlog",
    fixed_by: &[],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every other key", "settings"],
    undo: &["close the producer's connection", "UNLINK the list under the fault's own prefix"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for ListBacklog {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!(
                "LPUSH <prefix>todo <{} items of {ITEM_BYTES} bytes>, then fewer at once, to the first OOM error, \
                 at most {} items; the prefix is an ordinary word that no key has yet",
                BATCHES[0],
                grouped(MOST_ITEMS)
            ),
            format!(
                "LPUSH <prefix>todo <1 item>, again every {} ms after a refusal, until the connection is closed",
                RETRY.as_millis()
            ),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        filling::save(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        let list = format!("{}todo", text(saved, entry::PREFIX)?);
        let mut items = 0;
        for batch in BATCHES {
            items = fill(&mut con, &list, batch, items).await?;
            progress(format!("{} items, and {batch} more are refused", grouped(items)));
        }
        let mut producer = Tasks::default();
        producer.spawn("faults: producer", keep_pushing(con, list));
        Ok(Box::new(producer))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::leave(server, saved).await
    }
}

/// Pushes batches until the server refuses one; the length the list has then.
async fn fill(
    con: &mut MultiplexedConnection,
    list: &str,
    batch: usize,
    mut items: u64,
) -> Result<u64, FaultError> {
    while items < MOST_ITEMS {
        match push(con, list, batch).await? {
            Some(length) => items = length,
            None => return Ok(items),
        }
    }
    Err(FaultError::Precondition(format!(
        "not full after {} items, where this fault stops",
        grouped(items)
    )))
}

/// The list's length after a push; `None` when the server is full.
async fn push(
    con: &mut MultiplexedConnection,
    list: &str,
    items: usize,
) -> Result<Option<u64>, FaultError> {
    let item = [b'x'; ITEM_BYTES];
    let mut push = redis::cmd("LPUSH");
    push.arg(list);
    for _ in 0..items {
        push.arg(&item[..]);
    }
    match push.query_async(con).await {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.code() == Some("OOM") => Ok(None),
        Err(error) => Err(FaultError::failed(format!("push to {list}"), error)),
    }
}

/// Goes on, as a producer does, until its connection is closed; what becomes free is taken at once.
async fn keep_pushing(mut con: MultiplexedConnection, list: String) {
    let mut pushed = 0;
    while pushed < MOST_ITEMS {
        match push(&mut con, &list, 1).await {
            Ok(Some(length)) => pushed = length,
            Ok(None) => tokio::time::sleep(RETRY).await,
            Err(_) => return,
        }
    }
}
