//! Puts one Redis setting back to what it was when the server was healthy.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, succeeded, within};
use super::checks::{announced, bytes, costs, grouped, kept, measured, unmeasured};
use super::redis::{Info, Redis};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "reset_redis_setting";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// Lowering the limit below so much of it in use evicts, or refuses writes.
const TOO_FULL_PERCENT: u128 = 95;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Put a setting back",
    about: "CONFIG SET of one setting to the value it had when the server was healthy. Right when a changed setting \
            is the cause; no key is touched.",
    args: &[
        Arg::text("name", "the setting, like maxmemory"),
        Arg::text("value", "the value it had, as CONFIG GET told it"),
    ],
    needs: &[Need::Redis(&["config|get", "config|set", "info"])],
    verify: "the setting reads back as the baseline; where a memory limit came down, no key was evicted",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ResetRedisSetting;

/// What a value must look like.
#[derive(Clone, Copy)]
enum Form {
    Bytes,
    Number,
    YesNo,
    Policy,
    SavePoints,
    BufferLimits,
    Addresses,
    /// Only that there is none; another is nobody's to write down.
    NoPassword,
}

const SETTINGS: [(&str, Form); 14] = [
    ("maxmemory", Form::Bytes),
    ("maxmemory-policy", Form::Policy),
    ("maxclients", Form::Number),
    ("timeout", Form::Number),
    ("save", Form::SavePoints),
    ("stop-writes-on-bgsave-error", Form::YesNo),
    ("client-output-buffer-limit", Form::BufferLimits),
    ("min-replicas-to-write", Form::Number),
    ("appendonly", Form::YesNo),
    ("replica-serve-stale-data", Form::YesNo),
    ("busy-reply-threshold", Form::Number),
    ("bind", Form::Addresses),
    ("port", Form::Number),
    (PASSWORD, Form::NoPassword),
];
/// Its value is read to be compared and never shown or kept.
const PASSWORD: &str = "requirepass";
const HIDDEN: &str = "(set)";

const POLICIES: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

impl Form {
    fn fits(self, value: &str) -> bool {
        let number = |word: &str| word.parse::<u64>().is_ok();
        let words: Vec<&str> = value.split(' ').collect();
        match self {
            Self::Bytes | Self::Number => number(value),
            Self::YesNo => matches!(value, "yes" | "no"),
            Self::Policy => POLICIES.contains(&value),
            Self::SavePoints => {
                value.is_empty()
                    || (words.len().is_multiple_of(2) && words.iter().all(|w| number(w)))
            }
            Self::NoPassword => value.is_empty(),
            Self::Addresses => words.iter().all(|word| {
                let plain = |c: char| c.is_ascii_alphanumeric() || ".:*-".contains(c);
                !word.is_empty() && word.chars().all(plain)
            }),
            Self::BufferLimits => words.chunks(4).all(|class| {
                class.len() == 4
                    && matches!(class[0], "normal" | "slave" | "replica" | "pubsub")
                    && class[1..].iter().all(|w| number(w))
            }),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Bytes => "a number of bytes",
            Self::Number => "a whole number",
            Self::YesNo => "yes or no",
            Self::Policy => "an eviction policy",
            Self::SavePoints => "pairs of seconds and changes, or nothing",
            Self::NoPassword => "nothing; set a password by hand",
            Self::Addresses => "addresses",
            Self::BufferLimits => "groups of class, hard limit, soft limit, seconds",
        }
    }
}

struct Wanted {
    name: &'static str,
    baseline: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let name: String = given.required("name", "the name of a setting")?;
        let Some((name, form)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(known, _)| *known).collect();
            return Err(wrong("name", format!("`{name}` is none of {}", known.join(", "))));
        };
        let baseline: String = given.required("value", "the value to go back to, as text")?;
        if !form.fits(&baseline) {
            return Err(wrong(
                "value",
                format!("`{baseline}` is no value of {name}: it takes {}", form.describe()),
            ));
        }
        Ok(Self { name, baseline })
    }

    fn call(&self) -> Call {
        set(self.name, &self.baseline)
    }

    /// Whether it takes room away, which may evict keys; nothing else here does.
    fn lowers(&self, current: &str) -> bool {
        self.name == "maxmemory" && limit(&self.baseline) < limit(current)
    }

    /// The present value, or why it is not changed.
    async fn current(&self, redis: &mut Redis, info: &Info) -> Result<String, ActionError> {
        let current = shown_as(self.name, redis.setting(self.name).await?);
        if current == self.baseline {
            return Err(ActionError::Precondition(format!(
                "{} is {} already, as it was",
                self.name,
                shown(&self.baseline)
            )));
        }
        if self.name == "maxmemory" {
            let policy = redis.setting("maxmemory-policy").await?;
            let used = info.number("used_memory")?;
            refuse_too_low(&current, &self.baseline, used, &policy)?;
        }
        Ok(current)
    }
}

fn set(name: &str, value: &str) -> Call {
    Call::Redis(vec![Words::of(["CONFIG", "SET", name, value])])
}

/// A value as it may be shown and kept.
fn shown_as(name: &str, value: String) -> String {
    if name == PASSWORD && !value.is_empty() { HIDDEN.into() } else { value }
}

fn shown(value: &str) -> String {
    if value.is_empty() { "\"\"".into() } else { value.into() }
}

/// A memory limit; none is the largest.
fn limit(text: &str) -> u64 {
    match text.parse() {
        Ok(0) | Err(_) => u64::MAX,
        Ok(bytes) => bytes,
    }
}

/// A limit below what is in use costs keys under an evicting policy, and writes under any other.
fn refuse_too_low(
    current: &str,
    baseline: &str,
    used: u64,
    policy: &str,
) -> Result<(), ActionError> {
    let (now, then) = (limit(current), limit(baseline));
    let fits = u128::from(used) * 100 < u128::from(then) * TOO_FULL_PERCENT;
    if then >= now || fits {
        return Ok(());
    }
    let harm = if policy == "noeviction" { "refuse writes" } else { "evict keys" };
    Err(ActionError::Precondition(format!(
        "{} are in use; lowering maxmemory to {} would {harm}",
        bytes(used),
        bytes(then)
    )))
}

#[async_trait]
impl Action for ResetRedisSetting {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let info = redis.info().await?;
            let current = wanted.current(&mut redis, &info).await?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&wanted.call())],
                scope: [
                    ("setting".into(), wanted.name.into()),
                    ("old".into(), current.clone()),
                    ("new".into(), wanted.baseline.clone()),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: vec![costs(0, "keys removed")],
                notes: notes(server, &wanted, &current, &info).await?,
            })
        })
        .await
    }

    fn undo_kind(&self, args: &Args) -> Undo {
        if Wanted::read(args).is_ok_and(|wanted| wanted.name == PASSWORD) {
            // The password is not kept, so that it cannot leak.
            return Undo::Impossible;
        }
        Undo::Exact("sets the setting to the value it had before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        let mut redis = Redis::open(server, ID).await?;
        let info = redis.info().await?;
        let current = wanted.current(&mut redis, &info).await?;
        Ok(Saved::from([
            ("value".into(), json!(current)),
            ("keys".into(), json!(info.keys())),
            ("evicted".into(), json!(info.number("evicted_keys")?)),
            ("lowers".into(), json!(wanted.lowers(&current))),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let info = redis.info().await?;
            wanted.current(&mut redis, &info).await
        })
        .await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&wanted.call())));
        channel.perform(&wanted.call(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "read the setting", measure(server, args, saved));
        measuring.await.unwrap_or_else(|e| vec![unmeasured("setting", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let (Ok(wanted), Ok(value)) = (Wanted::read(args), kept::<String>(saved, "value")) else {
            return Vec::new();
        };
        if wanted.name == PASSWORD {
            return Vec::new();
        }
        vec![Channel::new(server, ID).spell(&set(wanted.name, &value))]
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        if wanted.name == PASSWORD {
            return Err(ActionError::Precondition("the password was not kept; set it anew".into()));
        }
        let value: String = kept(saved, "value")?;
        let doing = format!("set {} back to {}", wanted.name, shown(&value));
        let current = Redis::open(server, ID).await?.setting(wanted.name).await?;
        if current == value {
            return Ok(format!("{} is {} already", wanted.name, shown(&value)));
        }
        if current != wanted.baseline {
            return Err(ActionError::Precondition(format!(
                "{} was changed to {} by somebody else and stays",
                wanted.name,
                shown(&current)
            )));
        }
        let output =
            Channel::new(server, ID).perform(&set(wanted.name, &value), CALL_DEADLINE).await?;
        if !succeeded(&output) {
            return Err(failed(doing, anyhow::anyhow!("{}", output.stderr.trim().to_owned())));
        }
        Ok(format!("{} is {} again", wanted.name, shown(&value)))
    }
}

async fn notes(
    server: &Server,
    wanted: &Wanted,
    current: &str,
    info: &Info,
) -> Result<Vec<String>, ActionError> {
    let mut notes =
        vec![format!("{}: {} becomes {}", wanted.name, shown(current), shown(&wanted.baseline))];
    if wanted.name == "maxmemory" {
        notes.push(format!(
            "{} in use, {} keys stay",
            bytes(info.number("used_memory")?),
            grouped(info.keys())
        ));
        let wanted: u64 = wanted.baseline.parse().unwrap_or(0);
        if server.place.is_some()
            && let Some(unit) = super::unit::inspect(server).await?.memory_limit
            && (wanted == 0 || wanted > unit)
        {
            notes.push(format!("the container itself may only have {}", bytes(unit)));
        }
    }
    if wanted.name == "appendonly" && wanted.baseline == "yes" {
        notes.push("turning it on writes the whole data set to disk once".into());
    }
    notes.push(
        "holds until the server restarts, unless its configuration file says the same".into(),
    );
    Ok(notes)
}

async fn measure(server: &Server, args: &Args, saved: &Saved) -> Result<Vec<Check>, ActionError> {
    let wanted = Wanted::read(args)?;
    let evicted_before: u64 = kept(saved, "evicted")?;
    let lowers: bool = kept(saved, "lowers")?;
    let mut redis = Redis::open(server, ID).await?;
    let current = shown_as(wanted.name, redis.setting(wanted.name).await?);
    let evicted = redis.info().await?.number("evicted_keys")?.saturating_sub(evicted_before);
    let is_back = measured(
        "setting is back",
        current == wanted.baseline,
        format!("{} is {}", wanted.name, shown(&current)),
    );
    // A full cache evicts all day, whatever is set beside.
    let stayed =
        measured("no key was evicted", evicted == 0, format!("{} evicted", grouped(evicted)));
    Ok(std::iter::once(is_back).chain(lowers.then_some(stayed)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, baseline: &str) -> Result<Wanted, String> {
        let args = [("name".into(), json!(name)), ("value".into(), json!(baseline))].into();
        Wanted::read(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn only_known_settings_with_proper_values_are_taken() {
        for (name, baseline) in [
            ("maxmemory", "52428800"),
            ("maxmemory-policy", "noeviction"),
            ("save", ""),
            ("save", "3600 1 300 100"),
            ("appendonly", "no"),
            ("requirepass", ""),
            ("bind", "127.0.0.1 -::1"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 1 2 3 pubsub 4 5 6"),
        ] {
            assert!(read(name, baseline).is_ok(), "{name} {baseline}");
        }
        for (name, baseline) in [
            ("requirepass", "x"),
            ("bind", "0.0.0.0; FLUSHALL"),
            ("maxmemory", "50mb"),
            ("maxmemory", "-1"),
            ("maxmemory-policy", "keep-all"),
            ("save", "3600"),
            ("appendonly", "maybe"),
            ("client-output-buffer-limit", "normal 0 0"),
            ("client-output-buffer-limit", "friends 0 0 0"),
        ] {
            assert!(read(name, baseline).is_err(), "{name} {baseline}");
        }
    }

    #[test]
    fn a_limit_is_not_lowered_below_what_is_in_use() {
        let mb = |n: u64| (n << 20).to_string();
        let refused = |current: &str, baseline: &str, used: u64, policy: &str| {
            refuse_too_low(current, baseline, used << 20, policy).err().map(|e| e.to_string())
        };
        assert_eq!(refused(&mb(10), &mb(50), 60, "allkeys-lru"), None, "raising is fine");
        assert_eq!(refused(&mb(50), &mb(40), 30, "allkeys-lru"), None, "it fits");
        assert_eq!(refused(&mb(50), "0", 60, "allkeys-lru"), None, "no limit at all");
        let evicts = refused(&mb(50), &mb(40), 39, "allkeys-lru").unwrap();
        assert!(evicts.contains("evict keys"), "{evicts}");
        let refuses = refused("0", &mb(40), 39, "noeviction").unwrap();
        assert!(refuses.contains("refuse writes"), "{refuses}");
    }
}
