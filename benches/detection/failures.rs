//! The failures: how each is caused and undone from outside, and the instant from which time is taken.
//!
//! | failure | time is taken from |
//! |---|---|
//! | Redis full | the first write that was answered with an OOM error |
//! | 12 idle sessions | the answer to the first query on the twelfth |
//! | Redis killed, Redis frozen | the last PING that was answered, asked every millisecond |
//! | PostgreSQL killed | the end of a held session |

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use simctl::engine::clock::now;
use simctl::engine::tasks::Tasks;
use tokio_postgres::{Client, NoTls};

use crate::lab::Lab;
use crate::process::command;
use crate::witness;

/// A way to break the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    RedisFull,
    IdleSessions,
    RedisKilled,
    PostgresKilled,
    RedisFrozen,
}

pub(crate) const ALL: [Failure; 5] = [
    Failure::RedisFull,
    Failure::IdleSessions,
    Failure::RedisKilled,
    Failure::PostgresKilled,
    Failure::RedisFrozen,
];

const REDIS: &str = "redis-test";
const POSTGRES: &str = "postgres-test";
const IDLE: usize = 12;
/// 64 KiB each: a full lab Redis after some 800.
const VALUE: usize = 65_536;

/// A failure that is there, since when, and what keeps it up.
pub(crate) struct Broken {
    pub(crate) at: DateTime<Utc>,
    failure: Failure,
    sessions: Vec<Client>,
    drivers: Tasks,
}

impl Failure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RedisFull => "Redis full",
            Self::IdleSessions => "12 idle PostgreSQL sessions",
            Self::RedisKilled => "Redis killed",
            Self::PostgresKilled => "PostgreSQL killed",
            Self::RedisFrozen => "Redis frozen",
        }
    }

    /// The end of the broken server's name.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Self::RedisFull | Self::RedisKilled | Self::RedisFrozen => REDIS,
            Self::IdleSessions | Self::PostgresKilled => POSTGRES,
        }
    }

    /// The rule of Prometheus that is meant for it.
    pub(crate) fn alert(self) -> &'static str {
        match self {
            Self::RedisFull => "RedisFull",
            Self::IdleSessions => "PostgresIdle",
            Self::RedisKilled | Self::RedisFrozen => "RedisDown",
            Self::PostgresKilled => "PostgresDown",
        }
    }

    /// Breaks the lab.
    pub(crate) async fn cause(self, lab: &Lab) -> anyhow::Result<Broken> {
        let (mut sessions, mut drivers) = (Vec::new(), Tasks::default());
        let at = match self {
            Self::RedisFull => fill(lab).await?,
            Self::IdleSessions => {
                for _ in 0..IDLE {
                    let client = session(&lab.app_url(), &mut drivers).await?;
                    client.simple_query("SELECT 1").await.context("use a session")?;
                    sessions.push(client);
                }
                now()
            }
            Self::RedisKilled => stop(lab, "kill", witness::last_answer_of_redis(lab)).await?,
            Self::RedisFrozen => stop(lab, "pause", witness::last_answer_of_redis(lab)).await?,
            Self::PostgresKilled => {
                let container = lab.container(POSTGRES);
                docker_while("kill", &container, witness::end_of_postgres(lab)).await?
            }
        };
        Ok(Broken { at, failure: self, sessions, drivers })
    }
}

impl Broken {
    /// Puts everything back by hand.
    pub(crate) async fn undo(self, lab: &Lab) -> anyhow::Result<()> {
        let docker = |verb: &'static str, server| {
            let container = lab.container(server);
            async move { command("docker", &[verb, &container]).await }
        };
        match self.failure {
            Failure::RedisFull => empty(lab).await,
            Failure::IdleSessions => {
                drop(self.sessions);
                self.drivers.stop().await;
                Ok(())
            }
            Failure::RedisKilled => docker("start", REDIS).await,
            Failure::PostgresKilled => docker("start", POSTGRES).await,
            Failure::RedisFrozen => docker("unpause", REDIS).await,
        }
    }
}

async fn stop(
    lab: &Lab,
    verb: &str,
    witness: impl Future<Output = anyhow::Result<DateTime<Utc>>>,
) -> anyhow::Result<DateTime<Utc>> {
    docker_while(verb, &lab.container(REDIS), witness).await
}

/// Runs `docker` while a witness watches the server.
async fn docker_while(
    verb: &str,
    container: &str,
    witness: impl Future<Output = anyhow::Result<DateTime<Utc>>>,
) -> anyhow::Result<DateTime<Utc>> {
    let arguments = [verb, container];
    let act = async {
        // The witness must be connected first.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        command("docker", &arguments).await
    };
    let (at, acted) = tokio::join!(witness, act);
    acted?;
    at
}

async fn redis(lab: &Lab) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(lab.redis_url())?;
    client.get_multiplexed_async_connection().await.context("connect to Redis")
}

async fn fill(lab: &Lab) -> anyhow::Result<DateTime<Utc>> {
    let mut connection = redis(lab).await?;
    let value = vec![b'x'; VALUE];
    for number in 0..100_000 {
        let mut set = redis::cmd("SET");
        set.arg(format!("bench:{number}")).arg(&value);
        let written: redis::RedisResult<()> = set.query_async(&mut connection).await;
        match written {
            Ok(()) => {}
            Err(error) if error.code() == Some("OOM") => return Ok(now()),
            Err(error) => return Err(error).context("fill Redis"),
        }
    }
    anyhow::bail!("Redis took 6 GB and is not full")
}

async fn empty(lab: &Lab) -> anyhow::Result<()> {
    let mut connection = redis(lab).await?;
    let emptied: redis::RedisResult<()> = redis::cmd("FLUSHALL").query_async(&mut connection).await;
    emptied.context("empty Redis")
}

async fn session(url: &str, drivers: &mut Tasks) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connect to PostgreSQL")?;
    drivers.spawn("drive a session", async move {
        // A session that is cut is the benchmark's own doing.
        let _ = connection.await;
    });
    Ok(client)
}

/// How many idle sessions there are before anybody watches.
pub(crate) async fn idle_sessions(lab: &Lab) -> anyhow::Result<i64> {
    let mut drivers = Tasks::default();
    let client = session(&lab.monitor_url(), &mut drivers).await?;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND state = 'idle'";
    let idle = client.query_one(count, &[]).await.context("count sessions")?.get(0);
    drop(client);
    drivers.stop().await;
    Ok(idle)
}
