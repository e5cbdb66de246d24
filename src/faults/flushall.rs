//! Somebody runs FLUSHALL: no error anywhere, and the data is gone.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::{self, grouped};
use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Marks, Params, Progress, Saved, Tier,
    reach, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::{Risk, hex};
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct Flushall;

/// Ordinary keys put into a server that holds hardly any, so that there is something to lose; these stay.
const OWN_KEYS: u64 = 500;
const HARDLY_ANY: u64 = 200;
const OWN_BYTES: usize = 40;
/// What is copied before is kept in the journal, so it is little.
const MOST_KEYS: u64 = 2_000;
const MOST_BYTES: usize = 1 << 20;
const COPY: &str = "copy";
/// The data is there for a while before it goes, as it would be.
const BEFORE: Duration = Duration::from_millis(1_500);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "flushall",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Restores,
    title: "FLUSHALL by mistake",
    about: "Removes every key of the server at once, after a copy of each was taken. No client gets an error. Nothing \
            on the server brings the keys back, so a person is told; undoing the fault puts the copy back.",
    finding: FindingKind::DataVanished,
    cause: "flushall",
    fixed_by: &[],
    params: &[],
    risk: Risk::High,
    untouched: &["settings", "clients", "keys written after it"],
    undo: &[
        "RESTORE every key of the copy that was not written anew, with its time to live",
        "SET the ordinary keys this fault put into an empty server again; these stay",
    ],
    takes_within: Duration::from_secs(2),
};

/// A key as it was.
#[derive(Serialize, Deserialize)]
struct Copied {
    key: String,
    /// Unix time in milliseconds; 0 without one.
    expires_at_ms: u64,
    dump: String,
}

#[async_trait]
impl Fault for Flushall {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!(
                "SCAN, DUMP and PEXPIRETIME of every key into the injection's journal, at most {} keys",
                grouped(MOST_KEYS)
            ),
            format!(
                "SET <prefix>:<n> <{OWN_BYTES} bytes>, {} times, only if the server holds fewer than \
                 {HARDLY_ANY} keys; these stay",
                grouped(OWN_KEYS)
            ),
            "FLUSHALL".into(),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        one_database(server, &mut con).await?;
        let copy = copy(&mut con).await?;
        let stays = match keys::fullness(&mut con).await?.lasting_keys {
            0..HARDLY_ANY => vec![keys::unused_prefix(&mut con, seed).await?],
            _ => Vec::new(),
        };
        Ok(Saved::from([
            (entry::STAYS.into(), json!(stays)),
            (entry::SESSION.into(), json!(words::program(seed))),
            (COPY.into(), json!(copy)),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        fill(&mut con, saved).await?;
        progress("ordinary data is there".into());
        tokio::time::sleep(BEFORE).await;
        let () = redis::cmd("FLUSHALL")
            .query_async(&mut con)
            .await
            .map_err(|e| FaultError::failed("flush", e))?;
        progress("every key is gone".into());
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let left = keys::fullness(&mut con).await?.lasting_keys;
        let before = if Marks::of(saved).stays.is_empty() { HARDLY_ANY } else { OWN_KEYS };
        if left >= before / 2 {
            return Err(FaultError::Precondition(format!("{left} keys are still there")));
        }
        Ok(format!("no error, and {left} keys"))
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let copy: Vec<Copied> = saved
            .get(COPY)
            .and_then(|copy| serde_json::from_value(copy.clone()).ok())
            .ok_or_else(|| FaultError::Precondition("the copy of the keys is unreadable".into()))?;
        for copied in &copy {
            restore(&mut con, copied).await?;
        }
        fill(&mut con, saved).await
    }
}

/// The ordinary keys that stay: the same ones each time.
async fn fill(con: &mut MultiplexedConnection, saved: &Saved) -> Result<(), FaultError> {
    for prefix in Marks::of(saved).stays {
        let filled = keys::fill(con, &prefix, 0..OWN_KEYS, OWN_BYTES).await?;
        if let Some(refused) = filled.refused {
            return Err(FaultError::Precondition(format!("there is no room for them: {refused}")));
        }
    }
    Ok(())
}

/// FLUSHALL takes every database, and the copy is of one.
async fn one_database(server: &Server, con: &mut MultiplexedConnection) -> Result<(), FaultError> {
    let own = format!("db{}:", reach::redis_link(server)?.database);
    let keyspace: String = redis::cmd("INFO")
        .arg("keyspace")
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("read INFO", e))?;
    let others = keyspace.lines().filter(|line| line.starts_with("db") && !line.starts_with(&own));
    if others.count() > 0 {
        return Err(FaultError::Precondition(format!(
            "{} holds keys in other databases, which would be lost",
            server.target.id
        )));
    }
    Ok(())
}

/// Every key as it is, where they are few enough to be kept.
async fn copy(con: &mut MultiplexedConnection) -> Result<Vec<Copied>, FaultError> {
    let too_much = || {
        FaultError::Precondition(format!(
            "the server holds more than {} keys or {} kB, more than this fault may risk",
            grouped(MOST_KEYS),
            MOST_BYTES >> 10
        ))
    };
    let names = keys::all(con, MOST_KEYS).await?.ok_or_else(too_much)?;
    let (mut copy, mut bytes) = (Vec::with_capacity(names.len()), 0);
    for name in names {
        let (dump, expires): (Option<Vec<u8>>, i64) = redis::pipe()
            .cmd("DUMP")
            .arg(&name)
            .cmd("PEXPIRETIME")
            .arg(&name)
            .query_async(con)
            .await
            .map_err(|e| FaultError::failed("copy a key", e))?;
        // Expired by now.
        let Some(dump) = dump else { continue };
        bytes += name.len() + dump.len();
        if bytes > MOST_BYTES {
            return Err(too_much());
        }
        let expires_at_ms = u64::try_from(expires).unwrap_or(0);
        copy.push(Copied { key: hex(&name), expires_at_ms, dump: hex(&dump) });
    }
    Ok(copy)
}

/// Puts a key back unless it is there; one whose time is over stays away by itself.
async fn restore(con: &mut MultiplexedConnection, copied: &Copied) -> Result<(), FaultError> {
    let unreadable = || FaultError::Precondition("the copy of a key is unreadable".into());
    let key = unhex(&copied.key).ok_or_else(unreadable)?;
    let dump = unhex(&copied.dump).ok_or_else(unreadable)?;
    let mut restore = redis::cmd("RESTORE");
    restore.arg(key).arg(copied.expires_at_ms).arg(dump);
    if copied.expires_at_ms != 0 {
        restore.arg("ABSTTL");
    }
    match restore.query_async::<()>(con).await {
        Err(error) if error.code() != Some("BUSYKEY") => {
            Err(FaultError::failed("put a key back", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Bytes out of their hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_the_journal() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!((unhex("0"), unhex("zz"), unhex("")), (None, None, Some(Vec::new())));
    }
}
