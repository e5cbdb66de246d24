//! Clients begin large commands and do not finish them: the beginnings fill the server's memory.

use std::time::Duration;

use async_trait::async_trait;

use super::keys::megabytes;
use super::marks::{saved as entry, text};
use super::output_buffers::{BEYOND_BYTES, is_beyond};
use super::sockets::Socket;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct QueryBuffers;

const VALUE_BYTES: usize = 5 << 20;
const MOST_CLIENTS: u64 = 60;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "query-buffers",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Held,
    title: "Commands that never arrive in full",
    about: "Clients send all but the end of a SET of 5 MB and stop. What the server keeps for them fills the memory; \
            there is next to no data, and every write is refused.",
    finding: FindingKind::WritesRefused,
    cause: "query-buffers",
    fixed_by: &["kill_redis_clients"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "settings", "clients of others"],
    undo: &["close the connections"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for QueryBuffers {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![format!(
            "SET <prefix>file <5 MB>, without its last kilobyte, over a new connection each time, until {} MB more \
             than maxmemory are used, at most {MOST_CLIENTS} times; no such key is ever set",
            megabytes(BEYOND_BYTES)
        )]
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
        let name = text(saved, entry::SESSION)?;
        let key = format!("{}file", text(saved, entry::PREFIX)?);
        let mut con = reach::redis(server, reach::OURS).await?;
        let mut whole = redis::cmd("SET");
        whole.arg(key).arg(vec![b'x'; VALUE_BYTES]);
        let packed = whole.get_packed_command();
        let begun = &packed[..packed.len() - 1_024];
        let mut senders = Vec::new();
        for _ in 0..MOST_CLIENTS {
            let mut sender = Socket::open(server, name).await?;
            sender.send_bytes(begun).await?;
            senders.push(sender);
            if is_beyond(&mut con, progress).await? {
                return Ok(Box::new(senders));
            }
        }
        Err(FaultError::Precondition(format!(
            "not full after {MOST_CLIENTS} commands, where this fault stops"
        )))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::leave(server, saved).await
    }
}
