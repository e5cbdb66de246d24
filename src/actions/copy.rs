//! Copies of Redis keys: taken before keys are removed, put back by `undo`. Values travel as DUMP payloads, expiry as
//! the absolute time, so that what comes back dies when it would have died.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redis::Value;

use super::channel::{Call, Channel, Words};
use super::checks::{count, kept};
use super::redis::Redis;
use super::undo_file::{Entry, Reader, Writer, trouble};
use super::{ActionError, Saved, failed, redis};

/// Keys per pipeline.
const COPIED_AT_ONCE: usize = 200;
/// One redis-cli is fed at most this much when keys are put back.
const RESTORED_BYTES: usize = 2 << 20;
const RESTORED_KEYS: usize = 500;
const RESTORE_DEADLINE: Duration = Duration::from_secs(60);

/// Copies `keys` of the database that `redis` has selected. Keys that are gone by now are left out.
pub(super) async fn copy_keys(
    redis: &mut Redis,
    writer: &mut Writer,
    database: u32,
    keys: &[Vec<u8>],
    max_bytes: u64,
) -> Result<(), ActionError> {
    let clock = ExpiryClock::of(redis).await?;
    for part in keys.chunks(COPIED_AT_ONCE) {
        let added_ms = clock.added_ms(redis).await?;
        let mut pipeline = ::redis::pipe();
        for key in part {
            pipeline.cmd(clock.command()).arg(key.as_slice()).cmd("DUMP").arg(key.as_slice());
        }
        let replies: Vec<Value> = redis.pipe(&pipeline, "DUMP").await?;
        for (key, pair) in part.iter().zip(replies.chunks_exact(2)) {
            let [Value::Int(expiry), Value::BulkString(dump)] = pair else { continue };
            // Negative: no time to live.
            let expires_at_ms = u64::try_from(*expiry).map_or(0, |expiry| added_ms + expiry);
            let entry = Entry { database, expires_at_ms, key: key.clone(), dump: dump.clone() };
            writer.add(&entry).map_err(|e| failed("write undo data", e))?;
        }
        if writer.bytes > max_bytes {
            return Err(ActionError::Precondition(format!(
                "the copy that undo needs would be over {}; nothing was removed",
                super::checks::bytes(max_bytes)
            )));
        }
    }
    Ok(())
}

/// How the server tells when a key expires. Adding PTTL to TIME is a few milliseconds off, because Redis counts
/// PTTL from a clock it keeps; from 7.0 on it tells the moment itself.
enum ExpiryClock {
    Absolute,
    Remaining,
}

impl ExpiryClock {
    async fn of(redis: &mut Redis) -> Result<Self, ActionError> {
        let info = redis.info().await?;
        let major =
            info.text("redis_version").split('.').next().and_then(|n| n.parse::<u32>().ok());
        Ok(if major.is_some_and(|major| major >= 7) { Self::Absolute } else { Self::Remaining })
    }

    fn command(&self) -> &'static str {
        match self {
            Self::Absolute => "PEXPIRETIME",
            Self::Remaining => "PTTL",
        }
    }

    /// What is added to its answer to get the moment.
    async fn added_ms(&self, redis: &mut Redis) -> Result<u64, ActionError> {
        match self {
            Self::Absolute => Ok(0),
            Self::Remaining => server_time_ms(redis).await,
        }
    }
}

/// Makes the copy durable, away from the runtime's own threads.
pub(super) async fn finish(writer: Writer, path: PathBuf) -> Result<u64, ActionError> {
    tokio::task::spawn_blocking(move || writer.finish().map_err(|e| trouble("finish", &path, e)))
        .await
        .map_err(|e| failed("finish the undo file", e))?
}

/// The run id and keys of a complete copy; a damaged one is an error.
pub(super) async fn read_keys(path: PathBuf) -> Result<(String, Vec<Vec<u8>>), ActionError> {
    let reading = move || {
        let read = || {
            let mut reader = Reader::open(&path)?;
            let mut keys = Vec::new();
            while let Some(entry) = reader.next()? {
                keys.push(entry.key);
            }
            Ok((reader.run_id, keys))
        };
        read().map_err(|e| trouble("read", &path, e))
    };
    tokio::task::spawn_blocking(reading).await.map_err(|e| failed("read the undo file", e))?
}

async fn server_time_ms(redis: &mut Redis) -> Result<u64, ActionError> {
    let (seconds, micros): (u64, u64) = redis.ask(&["TIME"]).await?;
    Ok(seconds * 1_000 + micros / 1_000)
}

/// What became of the keys that were put back.
#[derive(Default)]
struct Tally {
    restored: u64,
    /// The application has written the key again: newer, so it stays.
    newer: u64,
    expired: u64,
    refused: u64,
    first_refusal: Option<String>,
}

/// What [`restore`] would do with what was saved, where a copy was taken; `counted` holds how many keys it has.
pub(super) fn told(saved: &Saved, counted: &'static str) -> Vec<String> {
    let (keys, file) = (kept::<u64>(saved, counted), kept::<PathBuf>(saved, "file"));
    let (Ok(keys), Ok(file)) = (keys, file) else { return Vec::new() };
    vec![format!(
        "RESTORE {} from {}, but those written again since",
        count(keys, "key"),
        file.display()
    )]
}

/// Puts back every key of the copy that is not there again.
pub(super) async fn restore(channel: Channel<'_>, path: &Path) -> Result<String, ActionError> {
    read_keys(path.to_owned()).await?;
    let home = u32::try_from(redis::link(channel.server)?.database).unwrap_or_default();
    let mut look = Redis::open(channel.server, channel.action).await?;
    let now_ms = server_time_ms(&mut look).await?;
    let mut reader = Reader::open(path).map_err(|e| trouble("read", path, e))?;
    let mut tally = Tally::default();
    let mut batch = Batch::new(home);
    while let Some(entry) = reader.next().map_err(|e| trouble("read", path, e))? {
        if entry.expires_at_ms != 0 && entry.expires_at_ms <= now_ms {
            tally.expired += 1;
            continue;
        }
        batch.push(&entry);
        if batch.is_full() {
            send(channel, std::mem::replace(&mut batch, Batch::new(home)), &mut tally).await?;
        }
    }
    send(channel, batch, &mut tally).await?;
    tally.conclude(channel)
}

struct Batch {
    commands: Vec<Words>,
    database: u32,
    bytes: usize,
}

impl Batch {
    fn new(home: u32) -> Self {
        Self { commands: Vec::new(), database: home, bytes: 0 }
    }

    fn push(&mut self, entry: &Entry) {
        if entry.database != self.database {
            self.database = entry.database;
            self.commands.push(Words::of(["SELECT", &entry.database.to_string()]));
        }
        let ttl = entry.expires_at_ms.to_string().into_bytes();
        let mut words = vec![b"RESTORE".to_vec(), entry.key.clone(), ttl, entry.dump.clone()];
        if entry.expires_at_ms != 0 {
            words.push(b"ABSTTL".to_vec());
        }
        self.bytes += entry.key.len() + entry.dump.len();
        self.commands.push(Words(words));
    }

    fn is_full(&self) -> bool {
        self.bytes >= RESTORED_BYTES || self.commands.len() >= RESTORED_KEYS
    }
}

async fn send(channel: Channel<'_>, batch: Batch, tally: &mut Tally) -> Result<(), ActionError> {
    if batch.commands.is_empty() {
        return Ok(());
    }
    let kinds: Vec<bool> = batch
        .commands
        .iter()
        .map(|words| words.0.first().is_some_and(|w| w == b"RESTORE"))
        .collect();
    // Two commands at least: a single one would go as an argv, whose refusal prints no reply line.
    let mut commands = batch.commands;
    commands.push(Words::of(["PING"]));
    let output = channel.perform(&Call::Redis(commands), RESTORE_DEADLINE).await?;
    let mut replies = output.stdout.lines();
    for is_key in kinds {
        let reply = replies.next().unwrap_or("(error) no answer");
        tally.count(reply, is_key);
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, reply: &str, is_key: bool) {
        if reply == "OK" {
            self.restored += u64::from(is_key);
        } else if reply.starts_with("(error) BUSYKEY") {
            self.newer += 1;
        } else {
            self.refused += 1;
            self.first_refusal.get_or_insert_with(|| reply.trim_start_matches("(error) ").into());
        }
    }

    fn conclude(self, channel: Channel<'_>) -> Result<String, ActionError> {
        let target = &channel.server.target.id;
        let mut text = format!("{} restored on {target}", count(self.restored, "key"));
        if self.newer > 0 {
            let _ =
                write!(text, "; {} had been written again and stayed", count(self.newer, "key"));
        }
        if self.expired > 0 {
            let _ = write!(text, "; {} would have expired by now", count(self.expired, "key"));
        }
        match self.first_refusal {
            None => Ok(text),
            Some(refusal) => Err(failed(
                format!("restore all keys ({text}; {} not)", count(self.refused, "key")),
                anyhow::anyhow!(refusal),
            )),
        }
    }
}
