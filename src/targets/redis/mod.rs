//! Redis: how to connect, what to ask.

use std::time::Duration;

use crate::config::TlsConfig;
use crate::config::secret::Secret;

mod connect;

pub use connect::CLIENT_NAME_PREFIX;

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
}
