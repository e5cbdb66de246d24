//! How to reach a watched server: its addresses and logins, what it runs in, and what to ask it.
//! One folder per kind of server.

use std::sync::Arc;

use crate::domain::target::{Periods, Target};
use crate::ports::runtime::{Runtime, Unit};

pub mod postgres;
pub mod redis;

/// A watched server with every way to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub target: Target,
    pub periods: Periods,
    pub link: Link,
    pub place: Option<Place>,
}

/// The kinds of connection.
#[derive(Clone)]
pub enum Link {
    Redis(redis::RedisLink),
    Postgres(postgres::PostgresLink),
}

/// What a server runs in.
#[derive(Clone)]
pub struct Place {
    pub runtime: Arc<dyn Runtime>,
    pub unit: Unit,
}
