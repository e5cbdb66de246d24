//! A client that sorts a long list over and over: each command keeps everybody else waiting.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    filling, keys, reach, standing,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::engine::tasks::Tasks;
use crate::targets::Server;

pub(super) struct BlockingCommand;

const ITEMS: &str = "items";
const BATCH: u64 = 2_000;
const STEP: usize = 2_000;
/// A new client that waits so long feels it.
const SLOW: Duration = Duration::from_millis(60);
/// Longer than any one of the commands.
const PATIENCE: Duration = Duration::from_secs(10);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "blocking-command",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Held,
    title: "Commands that keep everybody waiting",
    about: "One client sorts a long list without a pause. Redis does one thing at a time, so every answer to anybody \
            else waits for the sort before it.",
    finding: FindingKind::Slow,
    cause: "blocking-command",
    fixed_by: &[],
    params: &[Param {
        name: ITEMS,
        about: "how long the list is",
        default: 250_000,
        min: 50_000,
        max: 400_000,
    }],
    risk: Risk::Medium,
    untouched: &["every key that was there", "the server's settings"],
    undo: &["close the connection the fault holds", "UNLINK the list"],
    takes_within: Duration::from_secs(8),
};

#[async_trait]
impl Fault for BlockingCommand {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _: Option<&Server>, params: &Params) -> Vec<String> {
        vec![
            format!("RPUSH <prefix>list, {} short items, {BATCH} at a time", params[ITEMS]),
            "SORT <prefix>list ALPHA LIMIT 0 1, over and over".into(),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        filling::names(&mut con, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        let list = format!("{}list", text(saved, entry::PREFIX)?);
        fill(&mut con, &list, params[ITEMS]).await?;
        progress(format!("a list of {} items", keys::grouped(params[ITEMS])));
        let mut tasks = Tasks::default();
        tasks.spawn("faults: sort", sort(con, list));
        Ok(Box::new(tasks))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        standing::is_slow(server, SLOW).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::leave(server, saved).await
    }
}

/// Numbers in no order, so that there is something to sort.
async fn fill(con: &mut MultiplexedConnection, list: &str, items: u64) -> Result<(), FaultError> {
    for start in (0..items).step_by(STEP) {
        let mut push = redis::cmd("RPUSH");
        push.arg(list);
        for n in start..items.min(start + BATCH) {
            push.arg(format!("ticket-{}", n.wrapping_mul(7_919) % 1_000_003));
        }
        let () = push
            .query_async(con)
            .await
            .map_err(|e| FaultError::failed(format!("fill {list}"), e))?;
    }
    Ok(())
}

/// Until its connection ends.
async fn sort(mut con: MultiplexedConnection, list: String) {
    con.set_response_timeout(PATIENCE);
    let mut sort = redis::cmd("SORT");
    sort.arg(&list).arg("ALPHA").arg("LIMIT").arg(0).arg(1);
    while let Ok(first) = sort.query_async::<Vec<String>>(&mut con).await {
        // The list is gone: it was taken back.
        if first.is_empty() {
            return;
        }
    }
}
