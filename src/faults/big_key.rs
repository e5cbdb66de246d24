//! One value grows until Redis is full, and stays.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::keys::{self, grouped, megabytes};
use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, filling,
    reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct BigKey;

/// Appended at once: large pieces first, smaller ones where the large are refused, so that in the end every write is.
const PIECES: [usize; 3] = [900_000, 64_000, 4_000];
/// Redis rounds a value of this size up by megabytes, so that so many small pieces may pass without effect.
const MOST_PIECES: u64 = 6_000;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "big-key",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Restores,
    title: "One key takes all the memory",
    about: "Appends to one value until Redis is full. Every write is refused although there are hardly any keys.",
    finding: FindingKind::WritesRefused,
    cause: "big-key",
    fixed_by: &["unlink_big_key"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every other key", "settings"],
    undo: &["UNLINK the one key this fault put there"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for BigKey {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        PIECES
            .iter()
            .map(|piece| {
                format!(
                    "APPEND <prefix>all <{} bytes> to the first OOM error; the prefix is an ordinary word \
                     that no key has yet",
                    grouped(*piece as u64)
                )
            })
            .collect()
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
        let key = format!("{}all", text(saved, entry::PREFIX)?);
        let mut length = 0;
        for piece in PIECES {
            // A connection keeps the room its largest command took, so each size has its own.
            let mut con = reach::redis(server, name).await?;
            length = append(&mut con, &key, piece, length).await?;
            progress(format!("one value of {} MB", megabytes(length)));
        }
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        filling::took(server, saved).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        filling::unlink(server, saved).await
    }
}

/// Appends pieces until the server refuses one; the length the value has then.
async fn append(
    con: &mut MultiplexedConnection,
    key: &str,
    piece: usize,
    mut length: u64,
) -> Result<u64, FaultError> {
    let value = vec![b'x'; piece];
    for _ in 0..MOST_PIECES {
        let appended = redis::cmd("APPEND").arg(key).arg(&value[..]).query_async(con).await;
        match appended {
            Ok(now) => length = now,
            Err(error) if error.code() == Some("OOM") => return Ok(length),
            Err(error) => return Err(FaultError::failed(format!("append to {key}"), error)),
        }
        if length > keys::MOST_BYTES {
            break;
        }
    }
    Err(FaultError::Precondition(format!(
        "not full with a value of {} MB, where this fault stops",
        megabytes(length)
    )))
}
