//! Reading a Redis server for previews and proofs, over a direct connection: a hundred times cheaper than redis-cli
//! in the container, and safe for any byte. Where new clients are turned away it reads over the kept connection.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use super::{ActionError, failed};
use crate::diagnose::facts::RedisClient;
use crate::targets::redis::{Entered, RedisLink};
use crate::targets::{Link, Server};

/// A single answer may take this long: a full server is slow, not gone.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Keys per SCAN step, as measured best.
const SCAN_STEP: usize = 1_000;
/// So many keys stand for their family when bytes are estimated.
const WEIGHED: usize = 500;

/// An open look at one Redis server.
pub(super) struct Redis {
    pub(super) connection: MultiplexedConnection,
    name: String,
    /// What the connection is a part of; it may close when this goes.
    _entered: Entered,
}

/// The fields of INFO.
pub(super) struct Info(BTreeMap<String, String>);

/// The keys of a family.
pub(super) struct Family {
    pub(super) keys: Vec<Vec<u8>>,
    /// There are more than were asked for; `keys` is not all of them.
    pub(super) more: bool,
}

/// The Redis behind a target.
pub(super) fn link(server: &Server) -> Result<&RedisLink, ActionError> {
    match &server.link {
        Link::Redis(link) => Ok(link),
        Link::Postgres(_) => {
            Err(ActionError::Precondition(format!("{} is no Redis", server.target.id)))
        }
    }
}

impl Redis {
    pub(super) async fn open(server: &Server, action: &'static str) -> Result<Self, ActionError> {
        let link = link(server)?;
        let entered =
            link.enter(action).await.map_err(|e| failed(format!("look at {}", link.name), e))?;
        let mut connection = entered.connection.clone();
        connection.set_response_timeout(ANSWER_DEADLINE);
        Ok(Self { connection, name: link.name.clone(), _entered: entered })
    }

    /// Asks one command; `words` also names it in errors.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        words: &[&str],
    ) -> Result<T, ActionError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command
            .query_async(&mut self.connection)
            .await
            .map_err(|e| failed(format!("ask {} for {}", self.name, words.join(" ")), e))
    }

    pub(super) async fn pipe<T: FromRedisValue>(
        &mut self,
        pipeline: &redis::Pipeline,
        asking: &str,
    ) -> Result<T, ActionError> {
        pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(|e| failed(format!("ask {} for {asking}", self.name), e))
    }

    pub(super) async fn info(&mut self) -> Result<Info, ActionError> {
        Ok(Info::parse(&self.ask::<String>(&["INFO"]).await?))
    }

    pub(super) async fn setting(&mut self, name: &str) -> Result<String, ActionError> {
        let pair: Vec<String> = self.ask(&["CONFIG", "GET", name]).await?;
        pair.into_iter().nth(1).ok_or_else(|| {
            ActionError::Precondition(format!("{} has no setting `{name}`", self.name))
        })
    }

    /// Every client but ourselves.
    pub(super) async fn clients(&mut self) -> Result<Vec<RedisClient>, ActionError> {
        let own: u64 = self.ask(&["CLIENT", "ID"]).await?;
        let list: String = self.ask(&["CLIENT", "LIST"]).await?;
        Ok(list.lines().map(parse_client).filter(|client| client.id != own).collect())
    }

    pub(super) async fn dbsize(&mut self) -> Result<u64, ActionError> {
        self.ask(&["DBSIZE"]).await
    }

    /// The keys that start with `prefix`, in the order SCAN gives them; stops once there are more than `max`.
    pub(super) async fn family(&mut self, prefix: &str, max: u64) -> Result<Family, ActionError> {
        let pattern = format!("{}*", escape_glob(prefix));
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        let (mut cursor, mut keys, mut seen) = (0u64, Vec::new(), HashSet::new());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_STEP);
            let (next, found): (u64, Vec<Vec<u8>>) =
                scan.query_async(&mut self.connection)
                    .await
                    .map_err(|e| failed(format!("scan {} for {pattern}", self.name), e))?;
            for key in found {
                if key.starts_with(prefix.as_bytes()) && seen.insert(key.clone()) {
                    keys.push(key);
                }
            }
            if keys.len() > limit {
                return Ok(Family { keys, more: true });
            }
            if next == 0 {
                return Ok(Family { keys, more: false });
            }
            cursor = next;
        }
    }

    /// About how many bytes these keys take, from a few hundred of them spread evenly.
    pub(super) async fn weigh(&mut self, keys: &[Vec<u8>]) -> Result<u64, ActionError> {
        let step = keys.len().div_ceil(WEIGHED).max(1);
        let sample: Vec<_> = keys.iter().step_by(step).collect();
        if sample.is_empty() {
            return Ok(0);
        }
        let mut pipeline = redis::pipe();
        for key in &sample {
            pipeline.cmd("MEMORY").arg("USAGE").arg(key.as_slice());
        }
        let sizes: Vec<Option<u64>> = self.pipe(&pipeline, "MEMORY USAGE").await?;
        let (known, total) =
            sizes.iter().flatten().fold((0u64, 0u64), |(n, sum), size| (n + 1, sum + size));
        Ok((total * keys.len() as u64).checked_div(known).unwrap_or(0))
    }
}

impl Info {
    fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A number, or why the preview cannot be made.
    pub(super) fn number(&self, name: &str) -> Result<u64, ActionError> {
        self.text(name).parse().map_err(|_| {
            ActionError::Precondition(format!("the server's INFO does not tell `{name}`"))
        })
    }

    /// (keys, keys with a time to live) of one database, by its number.
    pub(super) fn database(&self, number: i64) -> (u64, u64) {
        self.0.get(&format!("db{number}")).map_or((0, 0), |line| keyspace(line))
    }

    /// The databases that hold keys, with how many.
    pub(super) fn databases(&self) -> Vec<(i64, u64)> {
        let number = |name: &str| name.strip_prefix("db")?.parse().ok();
        self.0.iter().filter_map(|(name, line)| Some((number(name)?, keyspace(line).0))).collect()
    }

    /// Keys in all databases.
    pub(super) fn keys(&self) -> u64 {
        self.databases().iter().map(|(_, keys)| keys).sum()
    }

    /// Used memory in percent of the limit; `None` without a limit.
    pub(super) fn memory_percent(&self) -> Result<Option<f64>, ActionError> {
        let (used, limit) = (self.number("used_memory")?, self.number("maxmemory")?);
        Ok((limit > 0).then(|| 100.0 * used as f64 / limit as f64))
    }
}

/// `keys=5,expires=2,avg_ttl=0`.
fn keyspace(line: &str) -> (u64, u64) {
    let field = |name: &str| {
        let pairs = line.split(',').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, n)| n.parse().ok()).unwrap_or(0)
    };
    (field("keys"), field("expires"))
}

fn parse_client(line: &str) -> RedisClient {
    let fields: BTreeMap<&str, &str> =
        line.split(' ').filter_map(|field| field.split_once('=')).collect();
    let text = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
    let number = |name: &str| fields.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
    RedisClient {
        id: number("id"),
        addr: text("addr"),
        name: text("name"),
        user: text("user"),
        age_s: number("age"),
        idle_s: number("idle"),
        cmd: text("cmd"),
        flags: text("flags"),
        omem: number("omem"),
        qbuf: number("qbuf"),
        total_mem: number("tot-mem"),
    }
}

/// A prefix as SCAN's MATCH takes it literally.
fn escape_glob(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + 4);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_characters_in_a_prefix_mean_themselves() {
        for (prefix, expected) in
            [("leak:", "leak:"), ("a*b:", "a\\*b:"), ("[x]?\\", "\\[x\\]\\?\\\\")]
        {
            assert_eq!(escape_glob(prefix), expected);
        }
    }

    #[test]
    fn info_and_client_lines_are_read_by_name() {
        let info = Info::parse(
            "# Memory\r\nused_memory:50\r\nmaxmemory:200\r\n# Keyspace\r\ndb0:keys=5,expires=2,avg_ttl=0\r\ndb3:keys=1,expires=0\r\n",
        );
        assert_eq!(info.database(0), (5, 2));
        assert_eq!(info.databases(), [(0, 5), (3, 1)]);
        assert_eq!(info.keys(), 6);
        assert_eq!(info.memory_percent().unwrap(), Some(25.0));
        assert!(info.number("nothing").is_err());
        let client = parse_client(
            "id=7 addr=10.0.0.1:5 name= age=3 flags=N tot-mem=99 cmd=set user=default",
        );
        assert_eq!((client.id, client.age_s, client.total_mem), (7, 3, 99));
        assert_eq!((client.name.as_str(), client.cmd.as_str()), ("", "set"));
    }
}
