//! Removes one huge key and nothing else, after a copy of it was taken where it is small enough for one.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, within};
use super::checks::{announced, bytes, costs, count, grouped, kept, measured, unmeasured};
use super::redis::{Redis, link};
use super::undo_file::{Writer, path_for, trouble};
use super::unlink_keys::{enough_room, removed_by_server};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, copy};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "unlink_big_key";
/// A larger key is not copied: the copy itself would take the server's memory.
const MAX_COPY_BYTES: u64 = 64 << 20;
/// A smaller key fills no server.
const LEAST_BYTES: u64 = 262_144;
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const COPY_DEADLINE: Duration = Duration::from_secs(60);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::High,
    title: "Remove one huge key",
    about: "Copies one key, if it is below 64 MB, and unlinks it; every other key stays. Right when one key holds \
            most of the memory. UNLINK frees it in the background, where DEL would block the server.",
    args: &[
        Arg::text("key", "the name of the key, taken literally"),
        Arg::text("type", "its type; a key of another type is not removed"),
    ],
    needs: &[
        Need::Redis(&[
            "type",
            "memory|usage",
            "unlink",
            "exists",
            "dump",
            "pttl",
            "pexpiretime",
            "restore",
            "info",
            "dbsize",
        ]),
        Need::RedisKeys,
    ],
    verify: "the key is gone, no other key is missing, memory is below 85 % of its limit",
};

/// See the module.
#[derive(Debug)]
pub(super) struct UnlinkBigKey;

struct Wanted {
    key: String,
    kind: String,
}

/// The key as it is now.
struct Seen {
    bytes: u64,
    ttl_ms: i64,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let key: String = given.required("key", "the name of the key")?;
        let kind: String = given.required("type", "its type, like string or hash")?;
        if key.starts_with("__simctl:") {
            return Err(wrong("key", "is one of simctl's own"));
        }
        Ok(Self { key, kind })
    }

    fn call(&self) -> Call {
        Call::Redis(vec![Words::of(["UNLINK", &self.key])])
    }

    /// How it stands, or why it is not removed.
    async fn look(&self, redis: &mut Redis) -> Result<Seen, ActionError> {
        let refused = |why: String| Err(ActionError::Precondition(format!("`{}` {why}", self.key)));
        let kind: String = redis.ask(&["TYPE", &self.key]).await?;
        if kind == "none" {
            return refused("is not there any more".into());
        }
        if kind != self.kind {
            return refused(format!("is a {kind} now, not a {}", self.kind));
        }
        let size: Option<u64> = redis.ask(&["MEMORY", "USAGE", &self.key]).await?;
        let size = size.unwrap_or_default();
        if size < LEAST_BYTES {
            return refused(format!("takes only {}, which fills no server", bytes(size)));
        }
        let ttl_ms: i64 = redis.ask(&["PTTL", &self.key]).await?;
        Ok(Seen { bytes: size, ttl_ms })
    }

    fn undo_path(&self, server: &Server) -> Result<PathBuf, ActionError> {
        path_for(ID, server.target.id.as_str(), &self.key)
    }
}

fn can_copy(size: u64) -> bool {
    size <= MAX_COPY_BYTES
}

fn no_copy_because(size: u64) -> String {
    format!("it takes {}, more than the {} that are copied", bytes(size), bytes(MAX_COPY_BYTES))
}

#[async_trait]
impl Action for UnlinkBigKey {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at the key on {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let seen = wanted.look(&mut redis).await?;
            let info = redis.info().await?;
            let others = redis.dbsize().await?.saturating_sub(1);
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&wanted.call())],
                scope: [
                    ("key".into(), wanted.key.clone()),
                    ("type".into(), wanted.kind.clone()),
                    ("database".into(), link(server)?.database.to_string()),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: vec![costs(1, "keys removed"), costs(seen.bytes, "bytes freed")],
                notes: notes(&wanted, &seen, others),
            })
        })
        .await
    }

    /// Without a copy, nothing brings it back.
    fn risk(&self, _server: &Server, _args: &Args, preview: &Preview) -> Risk {
        let size = preview.consequences.iter().find(|c| c.what == "bytes freed").map(|c| c.count);
        if size.is_some_and(can_copy) { DESCRIPTOR.risk } else { Risk::Destructive }
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Compensating(
            "restores the key from the copy taken before, if it was small enough for one and the \
             server has room for it again"
                .into(),
        )
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        within(COPY_DEADLINE, format!("copy the key of {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let seen = wanted.look(&mut redis).await?;
            let info = redis.info().await?;
            let others = redis.dbsize().await?.saturating_sub(1);
            let mut saved = Saved::from([
                ("others".into(), json!(others)),
                ("removed_by_server".into(), json!(removed_by_server(&info)?)),
            ]);
            if !can_copy(seen.bytes) {
                saved.insert("no_copy".into(), json!(no_copy_because(seen.bytes)));
                return Ok(saved);
            }
            let path = wanted.undo_path(server)?;
            let database = u32::try_from(link(server)?.database).unwrap_or_default();
            let mut writer = Writer::create(&path, info.text("run_id"))
                .map_err(|e| trouble("create", &path, e))?;
            let key = wanted.key.clone().into_bytes();
            copy::copy_keys(&mut redis, &mut writer, database, &[key], MAX_COPY_BYTES).await?;
            let copied = copy::finish(writer, path.clone()).await?;
            saved.insert("file".into(), json!(path));
            saved.insert("keys".into(), json!(copied));
            Ok(saved)
        })
        .await
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at the key on {}", server.target.id), async {
            wanted.look(&mut Redis::open(server, ID).await?).await
        })
        .await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&wanted.call())));
        channel.perform(&wanted.call(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look for the key", measure(server, args, saved));
        measuring.await.unwrap_or_else(|e| vec![unmeasured("key", &e)])
    }

    fn undo_commands(&self, _server: &Server, _args: &Args, saved: &Saved) -> Vec<String> {
        copy::told(saved, "keys")
    }

    async fn undo(
        &self,
        server: &Server,
        _args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        if let Ok(reason) = kept::<String>(saved, "no_copy") {
            return Err(ActionError::Precondition(format!("no copy was taken: {reason}")));
        }
        let path: PathBuf = kept(saved, "file")?;
        copy::restore(Channel::new(server, ID), &path).await
    }
}

fn notes(wanted: &Wanted, seen: &Seen, others: u64) -> Vec<String> {
    let lifetime = match seen.ttl_ms {
        ms if ms < 0 => "no time to live".to_owned(),
        ms => format!("{} s to live", ms / 1_000),
    };
    vec![
        format!("`{}`: a {}, {}, {lifetime}", wanted.key, wanted.kind, bytes(seen.bytes)),
        format!("{} kept", count(others, "other key")),
        if can_copy(seen.bytes) {
            "a copy of it is taken before".into()
        } else {
            format!("cannot be undone: {}", no_copy_because(seen.bytes))
        },
    ]
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let wanted = Wanted::read(args)?;
    let others_before: u64 = kept(saved, "others")?;
    let removed_before: u64 = kept(saved, "removed_by_server")?;
    let mut redis = Redis::open(server, ID).await?;
    let there: u64 = redis.ask(&["EXISTS", &wanted.key]).await?;
    let size: Option<u64> = redis.ask(&["MEMORY", "USAGE", &wanted.key]).await?;
    let others = redis.dbsize().await?.saturating_sub(there);
    let info = redis.info().await?;
    let by_server = removed_by_server(&info)?.saturating_sub(removed_before);
    let found =
        size.map_or_else(|| "not there".into(), |size| format!("there with {}", bytes(size)));
    Ok(vec![
        // The application may write it anew; then it is small.
        measured("the huge key is gone", size.is_none_or(|size| size < LEAST_BYTES), found),
        measured(
            "other keys are there",
            others + by_server >= others_before,
            format!(
                "{} now, {} before, {} expired or evicted since",
                grouped(others),
                grouped(others_before),
                grouped(by_server)
            ),
        ),
        enough_room(&info)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str) -> Result<Wanted, String> {
        let args = [("key".into(), json!(key)), ("type".into(), json!("string"))].into();
        Wanted::read(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn our_own_keys_are_not_removed_and_a_key_needs_its_type() {
        assert!(read("report:1").is_ok());
        assert!(read("__simctl:hb").is_err());
        let bare: Args = [("key".into(), json!("report:1"))].into();
        assert!(Wanted::read(&bare).is_err());
    }

    #[test]
    fn what_cannot_be_copied_is_destructive_and_says_so() {
        let wanted = read("report:1").unwrap();
        let said = |size| notes(&wanted, &Seen { bytes: size, ttl_ms: -1 }, 3).join("; ");
        assert!(said(MAX_COPY_BYTES).ends_with("a copy of it is taken before"));
        assert!(said(MAX_COPY_BYTES + 1).contains("cannot be undone"));
        assert!(said(1).contains("3 other keys kept"), "{}", said(1));
    }
}
