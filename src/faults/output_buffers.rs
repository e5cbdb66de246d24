//! Clients ask for much and do not read: the answers fill the server's memory.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::keys::{self, megabytes};
use super::marks::{saved as entry, text};
use super::sockets::Socket;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct OutputBuffers;

const CLIENTS: usize = 3;
const VALUE_BYTES: u64 = 2 << 20;
/// Answers asked for by each client at most: what a lab server outside a container can stand.
const MOST_ROUNDS: u64 = 40;
/// So far over the limit, so that nothing a client gives back at once makes room.
pub(super) const BEYOND_BYTES: u64 = 4 << 20;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "output-buffers",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Held,
    title: "Clients that do not read",
    about: "Three clients ask for a value of 2 MB again and again and read no answer, until what waits for them fills \
            the memory. There is next to no data, and every write is refused.",
    finding: FindingKind::WritesRefused,
    cause: "output-buffers",
    fixed_by: &["kill_redis_clients"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key but its own", "settings", "clients of others"],
    undo: &["close the three connections", "UNLINK the value under the fault's own prefix"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for OutputBuffers {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            "SETRANGE <prefix>page 2097151 x; the prefix is an ordinary word that no key has yet"
                .into(),
            format!(
                "GET <prefix>page over {CLIENTS} connections that read nothing, until {} MB more than \
                 maxmemory are used, at most {MOST_ROUNDS} times each",
                megabytes(BEYOND_BYTES)
            ),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let full = keys::fullness(&mut con).await?;
        if full.limit > MOST_ROUNDS * CLIENTS as u64 * VALUE_BYTES / 2 {
            return Err(FaultError::Precondition(format!(
                "{} has a maxmemory of {} MB, more than this fault may fill",
                server.target.id,
                megabytes(full.limit)
            )));
        }
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
        let key = format!("{}page", text(saved, entry::PREFIX)?);
        let mut con = reach::redis(server, reach::OURS).await?;
        let () = redis::cmd("SETRANGE")
            .arg(&key)
            .arg(VALUE_BYTES - 1)
            .arg("x")
            .query_async(&mut con)
            .await
            .map_err(|e| FaultError::failed(format!("set {key}"), e))?;
        let mut get = redis::cmd("GET");
        get.arg(&key);
        let mut readers = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            readers.push(Socket::open(server, name).await?);
        }
        for _ in 0..MOST_ROUNDS {
            for reader in &mut readers {
                reader.send(&get).await?;
            }
            if is_beyond(&mut con, progress).await? {
                return Ok(Box::new(readers));
            }
        }
        Err(FaultError::Precondition(format!(
            "not full after {MOST_ROUNDS} answers to each client, where this fault stops"
        )))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::leave(server, saved).await
    }
}

/// Whether the server is over its limit far enough to stay there.
pub(super) async fn is_beyond(
    con: &mut MultiplexedConnection,
    progress: Progress<'_>,
) -> Result<bool, FaultError> {
    let full = keys::fullness(con).await?;
    progress(format!("{} MB of {} MB", megabytes(full.used), megabytes(full.limit)));
    Ok(full.used > full.limit + BEYOND_BYTES)
}
