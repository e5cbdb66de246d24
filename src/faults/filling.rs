//! What the faults that fill a Redis server have in common: their names in it, what shows that it is full, and how
//! they leave.

use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::marks::{saved as entry, text};
use super::{FaultError, Saved, keys, reach, sockets, words};
use crate::targets::Server;

/// The prefix and the session name of one injection, neither of them in use.
pub(super) async fn names(con: &mut MultiplexedConnection, seed: u64) -> Result<Saved, FaultError> {
    Ok(Saved::from([
        (entry::PREFIX.into(), json!(keys::unused_prefix(con, seed).await?)),
        (entry::SESSION.into(), json!(words::program(seed))),
    ]))
}

/// The same, on a server that can be filled until it refuses writes.
pub(super) async fn save(server: &Server, seed: u64) -> Result<Saved, FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    let full = keys::fullness(&mut con).await?;
    keys::can_fill(server, &full)?;
    names(&mut con, seed).await
}

/// The server's words when it refuses one more key.
pub(super) async fn took(server: &Server, saved: &Saved) -> Result<String, FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    keys::refusal(&mut con, text(saved, entry::PREFIX)?)
        .await?
        .ok_or_else(|| FaultError::Precondition("a write still works".into()))
}

/// Unlinks every key of the injection.
pub(super) async fn unlink(server: &Server, saved: &Saved) -> Result<(), FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    keys::unlink(&mut con, text(saved, entry::PREFIX)?).await.map(drop)
}

/// Ends the sessions of the injection, then unlinks its keys.
pub(super) async fn leave(server: &Server, saved: &Saved) -> Result<(), FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    sockets::end(&mut con, text(saved, entry::SESSION)?).await?;
    keys::unlink(&mut con, text(saved, entry::PREFIX)?).await.map(drop)
}
