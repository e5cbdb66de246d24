//! PostgreSQL: how to connect, what to ask.

use std::time::Duration;

use crate::config::TlsConfig;
use crate::config::secret::Secret;

pub(in crate::targets) mod blockers;
mod connect;
mod facts;
pub(crate) mod hba;
mod probe;
mod rights;
mod spoken;
mod sql;
mod standing;
mod upkeep;
mod volumes;

pub use connect::{PgConnection, Session, answer_of};
pub use probe::PostgresProbe;
pub use spoken::CancelGuard;

/// Addresses and logins of a PostgreSQL server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PostgresLink {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// The role and database the application uses: fresh probes log in as it.
    pub app: Login,
    /// Reads statistics over the held connection; may be the same as `app` on a user's own server.
    pub monitor: Login,
    /// May end sessions and change settings; `None` where simctl was given no such login.
    pub fixer: Option<Login>,
    pub tls: Option<TlsConfig>,
    /// The client-side deadline for connecting and for every answer.
    pub deadline: Duration,
}

/// A role, its password, the database it uses.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
}
