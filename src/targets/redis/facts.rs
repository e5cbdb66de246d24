//! A Redis server from inside: memory, settings, clients, and which keys fill it.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;

use super::RedisLink;
use super::info::Info;
use super::keys::{self, Keys, Whole};
use super::line::Line;
use super::probe::{self, settings_of};
use super::{big, clients};
use crate::diagnose::facts::{BigKey, RedisClient, RedisFacts, SecondLook};
use crate::diagnose::source;
use crate::domain::sample::Answer;
use crate::domain::words;
use crate::targets::notebook::Notebook;
use crate::targets::{Limit, changes};

/// Looking at the keys may take longer than one answer.
const SCAN: Duration = Duration::from_millis(1_500);
/// Between two looks at what may be passing.
const PAUSE: Duration = Duration::from_millis(400);

impl RedisLink {
    /// Asks everything a diagnosis needs. `None` when the server did not let us in or did not describe itself.
    pub(in crate::targets) async fn facts(
        &self,
        baseline: &BTreeMap<String, String>,
        notebook: &mut Notebook<'_>,
    ) -> Option<RedisFacts> {
        let mut line = self.greet(notebook).await?;
        let info = self.info(&mut line, notebook).await?;
        let settings = self.settings(&mut line, baseline, notebook).await.unwrap_or_default();
        let (clients, held_back) = self.clients(&mut line, notebook).await.unwrap_or_default();
        let whole = |field: &str| info.whole(field).unwrap_or_default();
        let unseen = unseen_buffers(&clients, whole("mem_clients_normal"));
        let dataset_bytes = whole("used_memory_dataset").saturating_sub(unseen);
        let size = Whole { keys: info.keys().unwrap_or_default(), dataset_bytes };
        let keys = self.keys(&mut line, size, notebook).await.unwrap_or_default();
        let buffers = whole("mem_clients_normal") + unseen;
        let much = buffers * 5 > whole("used_memory");
        let crowded = whole("connected_clients") * 5 > whole("maxclients") * 4;
        let again = match much || crowded || !keys.biggest.is_empty() {
            true => self.again(&mut line, &keys.biggest, notebook).await,
            false => None,
        };
        let set = |name: &str| settings.get(name).map(String::as_str);
        Some(RedisFacts {
            run_id: info.text("run_id").unwrap_or_default().to_owned(),
            maxmemory: whole("maxmemory"),
            policy: info.text("maxmemory_policy").unwrap_or_default().to_owned(),
            used_memory: whole("used_memory"),
            dataset_bytes,
            overhead_bytes: whole("used_memory_overhead") + unseen,
            client_bytes: buffers,
            keys: info.keys().unwrap_or_default(),
            maxclients: info
                .whole("maxclients")
                .or_else(|| set("maxclients")?.parse().ok())
                .unwrap_or_default(),
            connected: whole("connected_clients"),
            clients,
            prefixes: keys.prefixes,
            keys_seen: keys.seen,
            persists: set("save").is_some_and(|save| !save.is_empty())
                || set("appendonly") == Some("yes"),
            changes_since_save: whole("rdb_changes_since_last_save"),
            login: self.user.clone().unwrap_or_else(|| "default".into()),
            role: info.text("role").unwrap_or_default().to_owned(),
            master_link: info.text("master_link_status").map(str::to_owned),
            held_back,
            fails_over: info.text("master_failover_state").is_some_and(|at| at != "no-failover"),
            last_save: info.text("rdb_last_bgsave_status").unwrap_or_default().to_owned(),
            last_append: info.text("aof_last_write_status").unwrap_or_default().to_owned(),
            settings: settings.clone(),
            biggest: keys.biggest,
            again,
        })
    }

    /// The run id: a new one with every start.
    pub(in crate::targets) async fn life(&self) -> Option<String> {
        let limit = Limit::of(self.deadline);
        let mut line = Line::open(self, "identity", limit).await.ok()?;
        let info = Info::parse(&line.one(redis::cmd("INFO").arg("server"), limit).await.ok()?);
        info.text("run_id").map(str::to_owned)
    }

    async fn greet(&self, notebook: &mut Notebook<'_>) -> Option<Line> {
        let question = format!("redis-cli -h {} -p {} PING", self.host, self.port);
        let limit = Limit::of(self.deadline);
        let ping = async {
            let mut line = Line::open(self, "facts", limit).await?;
            let said = line.one(&redis::cmd("PING"), limit).await;
            Ok((line, said))
        };
        let describe = |(line, said): &(Line, Result<Value, Answer>)| {
            let entry = match line.turned_away() {
                None => "let in".to_owned(),
                Some(told) => format!(
                    "a new client is turned away ({}); asked over the kept connection",
                    told.describe()
                ),
            };
            match said {
                Ok(_) => format!("{entry}; PING is answered"),
                Err(answer) => format!("{entry}; PING: {}", answer.describe()),
            }
        };
        notebook.ask(&question, self.deadline, ping, describe).await.map(|(line, _)| line)
    }

    async fn info(&self, line: &mut Line, notebook: &mut Notebook<'_>) -> Option<Info> {
        let limit = Limit::of(self.deadline);
        let info = async { Ok(Info::parse(&line.one(&redis::cmd("INFO"), limit).await?)) };
        notebook.ask(source::REDIS_INFO, self.deadline, info, memory_words).await
    }

    async fn settings(
        &self,
        line: &mut Line,
        baseline: &BTreeMap<String, String>,
        notebook: &mut Notebook<'_>,
    ) -> Option<BTreeMap<String, String>> {
        let limit = Limit::of(self.deadline);
        let settings = async {
            let replies = line.ask(&probe::settings_questions(), limit).await;
            settings_of(replies)
        };
        let differences = |now: &BTreeMap<_, _>| changes(baseline, now);
        notebook.ask(source::REDIS_CONFIG, self.deadline, settings, differences).await
    }

    async fn clients(
        &self,
        line: &mut Line,
        notebook: &mut Notebook<'_>,
    ) -> Option<(Vec<RedisClient>, u64)> {
        let limit = Limit::of(self.deadline);
        let list = async {
            let list = line.one(redis::cmd("CLIENT").arg("LIST"), limit).await?;
            let list = redis::from_redis_value::<String>(list).unwrap_or_default();
            Ok((clients::parse(&list), clients::held_back(&list)))
        };
        let words = |(clients, held_back): &(Vec<RedisClient>, u64)| match held_back {
            0 => clients::words(clients),
            some => format!("{}; {some} of all are held back", clients::words(clients)),
        };
        notebook.ask(source::REDIS_CLIENTS, self.deadline, list, words).await
    }

    /// What is passing, what stays and what grows shows only in a second look.
    async fn again(
        &self,
        line: &mut Line,
        biggest: &[BigKey],
        notebook: &mut Notebook<'_>,
    ) -> Option<SecondLook> {
        let limit = Limit::of(self.deadline + PAUSE);
        let look = async {
            tokio::time::sleep(PAUSE).await;
            let list = line.one(redis::cmd("CLIENT").arg("LIST"), limit).await?;
            let biggest = big::measure(line, biggest.to_vec(), limit).await?;
            let clients = redis::from_redis_value::<String>(list).unwrap_or_default();
            let after_ms = u64::try_from(PAUSE.as_millis()).unwrap_or_default();
            Ok(SecondLook { after_ms, clients: clients::parse(&clients), biggest })
        };
        let words = |look: &SecondLook| {
            format!("{}; {}", clients::words(&look.clients), big::words(&look.biggest))
        };
        notebook.ask(source::REDIS_AGAIN, self.deadline + PAUSE, look, words).await
    }

    async fn keys(
        &self,
        line: &mut Line,
        size: Whole,
        notebook: &mut Notebook<'_>,
    ) -> Option<Keys> {
        let limit = Limit::of(SCAN);
        let sampled = keys::sample(line, size, limit);
        notebook.ask(source::REDIS_KEYS, SCAN, sampled, keys::words).await
    }
}

/// What clients' buffers hold beyond what INFO says: it adds them up once a second only, and calls the rest data.
fn unseen_buffers(clients: &[RedisClient], told: u64) -> u64 {
    let held: u64 = clients.iter().map(|client| client.omem + client.qbuf).sum();
    held.saturating_sub(told)
}

fn memory_words(info: &Info) -> String {
    let bytes = |field: &str| words::bytes(info.whole(field).unwrap_or_default());
    let limit = match info.whole("maxmemory") {
        Some(0) => "no limit".to_owned(),
        _ => bytes("maxmemory"),
    };
    let failing = [
        ("rdb_last_bgsave_status", "the last save"),
        ("aof_last_write_status", "the last write to the append-only file"),
    ]
    .into_iter()
    .filter(|(field, _)| info.text(field) == Some("err"))
    .map(|(_, what)| format!("; {what} failed"));
    let failing: String = failing.collect();
    let link = match info.text("master_link_status") {
        Some(link) => format!("; a replica whose link to its master is {link}"),
        None => String::new(),
    };
    format!(
        "used {} of {limit} ({}), dataset {}, overhead {}, client buffers {}; {} keys; {} OOM errors, \
         {} evicted, {} connections rejected since the start{failing}{link}",
        bytes("used_memory"),
        info.text("maxmemory_policy").unwrap_or("policy unknown"),
        bytes("used_memory_dataset"),
        bytes("used_memory_overhead"),
        bytes("mem_clients_normal"),
        info.keys().unwrap_or_default(),
        info.errors("OOM").unwrap_or_default(),
        info.whole("evicted_keys").unwrap_or_default(),
        info.whole("rejected_connections").unwrap_or_default(),
    )
}
