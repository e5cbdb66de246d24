//! Redis: how to connect, what to ask.

use std::time::Duration;

use crate::config::TlsConfig;
use crate::config::secret::Secret;
use crate::domain::sample::Answer;

pub mod acl;
mod big;
pub(crate) mod clients;
mod connect;
mod facts;
mod flush;
mod held;
mod info;
mod keys;
mod line;
mod probe;
mod rights;
pub(crate) mod slowlog;

pub use connect::CLIENT_NAME_PREFIX;
pub use held::{Entered, KeptConnection};
pub(crate) use info::Info;
pub use probe::{HEARTBEAT_KEY, RedisProbe};

/// Address and login of a Redis server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisLink {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub database: i64,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub tls: Option<TlsConfig>,
    /// The client-side deadline for connecting and for every answer.
    pub deadline: Duration,
    /// The connection that stays; the probes make it, everybody may use it.
    pub kept: KeptConnection,
}

impl RedisLink {
    /// What a client feels when a command over one of our connections fails.
    pub fn answer_of(&self, error: &redis::RedisError) -> Answer {
        if error.is_timeout() {
            return Answer::Hung {
                after_ms: u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX),
            };
        }
        connect::answer_of(error)
    }
}
