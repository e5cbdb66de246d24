//! The probes of a Redis server: a client that stayed and one that just came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use redis::{Pipeline, Value};

use super::connect::{multiplex, reply};
use super::flush::Flushes;
use super::held::Held;
use super::info::Info;
use super::{RedisLink, acl};
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample, reading};
use crate::ports::probe::{Probe, ProbeError};
use crate::targets::dial::Trust;
use crate::targets::draft::{Draft, answer};
use crate::targets::kept::Asked;
use crate::targets::{Limit, ask_error};

/// The key every write probe sets, gone by itself a minute after the last one.
pub const HEARTBEAT_KEY: &str = "__simctl:hb";
const HEARTBEAT_TTL_S: u64 = 60;

/// The settings a diagnosis compares with later, beside the rules of the users. A password is only said to be set.
const SETTINGS: [&str; 24] = [
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "maxclients",
    "save",
    "appendonly",
    "appendfsync",
    "timeout",
    "tcp-keepalive",
    "client-output-buffer-limit",
    "client-query-buffer-limit",
    "stop-writes-on-bgsave-error",
    "min-replicas-to-write",
    "replica-serve-stale-data",
    "busy-reply-threshold",
    "bind",
    "port",
    "protected-mode",
    "databases",
    "lazyfree-lazy-eviction",
    "activedefrag",
    "replicaof",
    "dir",
    PASSWORD,
];
const PASSWORD: &str = "requirepass";

/// Probes of one Redis server.
pub struct RedisProbe {
    link: RedisLink,
    trust: Trust,
    beats: AtomicU64,
    flushes: Flushes,
}

impl RedisProbe {
    pub fn new(link: RedisLink) -> Self {
        Self {
            link,
            trust: Trust::default(),
            beats: AtomicU64::new(0),
            flushes: Flushes::default(),
        }
    }

    async fn join(&self, limit: Limit) -> Result<Held, Answer> {
        let talk = self.link.open("monitor", &self.trust, limit).await?;
        let (connection, driver) = multiplex(talk, None).await?;
        Ok(Held { connection, driver })
    }

    fn readings(&self, info: &Info, commands: Option<Result<Value, Answer>>) -> Readings {
        let readings = info.readings();
        let Some(Ok(commands)) = commands else { return readings };
        match self.flushes.lost(info, &Info::parse(&commands)) {
            None => readings,
            Some((0, _)) => readings.with(reading::KEYS_LOST_TO_FLUSH, 0.0),
            Some((keys, ago)) => readings
                .with(reading::KEYS_LOST_TO_FLUSH, keys as f64)
                .with(reading::FLUSH_AGE_SECONDS, ago.as_secs_f64()),
        }
    }

    fn write(&self, questions: &mut Pipeline) {
        let beat = self.beats.fetch_add(1, Ordering::Relaxed);
        questions.cmd("SET").arg(HEARTBEAT_KEY).arg(beat).arg("EX").arg(HEARTBEAT_TTL_S);
    }
}

#[async_trait]
impl Probe for RedisProbe {
    async fn held(&self) -> Sample {
        let mut draft = Draft::new(Origin::Held);
        let limit = Limit::of(self.link.deadline);
        let (mut questions, mut write) = (Pipeline::new(), Pipeline::new());
        questions.cmd("GET").arg(HEARTBEAT_KEY).cmd("INFO").cmd("INFO").arg("commandstats");
        self.write(&mut write);
        let kept = self.link.kept.slot();
        let asked = kept
            .ask(self.join(limit), async |held| {
                // The write last: a server that lets writes hang has answered all else already.
                let asked = futures::join!(held.ask(&questions, limit), held.ask(&write, limit));
                match asked {
                    (Ok(replies), Err(hung @ Answer::Hung { .. })) => Ok((replies, Err(hung))),
                    (replies, written) => Ok((replies?, Ok(written?))),
                }
            })
            .await;
        match asked {
            Asked::NotConnected(answer) => draft.connect = answer,
            Asked::Lost(lost @ Answer::Gone { .. }) => draft.connect = lost,
            Asked::Lost(failed) | Asked::Refused(failed) => {
                draft.connect = Answer::Ok;
                draft.read = failed;
            }
            Asked::Answered((replies, written)) => {
                draft.connect = Answer::Ok;
                let mut replies = replies.into_iter().map(reply);
                draft.read = replies.next().map_or(Answer::NotAsked, answer);
                draft.write = match written {
                    Ok(mut written) => written.pop().map(reply).map_or(Answer::NotAsked, answer),
                    Err(hung) => {
                        kept.give_up().await;
                        hung
                    }
                };
                if let Some(Ok(info)) = replies.next() {
                    let info = Info::parse(&info);
                    draft.read = with_progress(draft.read, &info);
                    draft.readings = self.readings(&info, replies.next());
                }
            }
        }
        draft.finish()
    }

    async fn fresh(&self) -> Sample {
        let mut draft = Draft::new(Origin::Fresh);
        let limit = Limit::of(self.link.deadline);
        match self.link.open("fresh", &self.trust, limit).await {
            Err(answer) => draft.connect = answer,
            Ok(mut talk) => {
                draft.connect = Answer::Ok;
                // A read, then a write: a server that lets writes hang has answered the read already.
                let mut questions = Pipeline::new();
                questions.cmd("GET").arg(HEARTBEAT_KEY);
                self.write(&mut questions);
                let replies = talk.ask(&questions, limit).await;
                let mut replies = replies.into_iter();
                draft.read = replies.next().map_or(Answer::NotAsked, answer);
                if !matches!(draft.read, Answer::Gone { .. } | Answer::Hung { .. }) {
                    draft.write = replies.next().map_or(Answer::NotAsked, answer);
                }
            }
        }
        draft.finish()
    }

    async fn closed(&self) {
        self.link.kept.slot().closed().await;
    }

    async fn settings(&self) -> Result<BTreeMap<String, String>, ProbeError> {
        let limit = Limit::of(self.link.deadline);
        let questions = settings_questions();
        let asked = self
            .link
            .kept
            .slot()
            .ask(self.join(limit), async |held| held.ask(&questions, limit).await)
            .await;
        let failed = |answer| ask_error(&self.link.name, "CONFIG GET", answer);
        match asked {
            Asked::Answered(replies) => settings_of(replies.into_iter().map(reply)).map_err(failed),
            Asked::NotConnected(answer) | Asked::Lost(answer) | Asked::Refused(answer) => {
                Err(failed(answer))
            }
        }
    }
}

/// A server that loads says how far it is, but not to who only wants a key.
fn with_progress(read: Answer, info: &Info) -> Answer {
    match (read, info.text("loading_loaded_perc")) {
        (Answer::Starting { text }, Some(percent)) => {
            Answer::Starting { text: format!("{text} ({percent} % loaded)") }
        }
        (read, _) => read,
    }
}

/// One question per setting: several at once are understood only since Redis 7.
pub(super) fn settings_questions() -> Pipeline {
    let mut questions = Pipeline::new();
    for name in SETTINGS {
        questions.cmd("CONFIG").arg("GET").arg(name);
    }
    questions.cmd("ACL").arg("LIST");
    questions
}

pub(super) fn settings_of(
    replies: impl IntoIterator<Item = Result<Value, Answer>>,
) -> Result<BTreeMap<String, String>, Answer> {
    let mut settings = BTreeMap::new();
    for (nth, answered) in replies.into_iter().enumerate() {
        if nth >= SETTINGS.len() {
            // A server without users (before Redis 6), or a login that may not look at them.
            let lines = answered.ok().map(redis::from_redis_value::<Vec<String>>);
            settings.extend(acl::rules(&lines.and_then(Result::ok).unwrap_or_default()));
            continue;
        }
        let pairs = redis::from_redis_value::<Vec<(String, String)>>(answered?).unwrap_or_default();
        // A setting that this version does not have is answered with nothing.
        settings.extend(pairs.into_iter().map(masked));
    }
    Ok(settings)
}

fn masked((name, value): (String, String)) -> (String, String) {
    let value = match (name.as_str(), value.is_empty()) {
        (PASSWORD, false) => "(set)".to_owned(),
        _ => value,
    };
    (name, value)
}
