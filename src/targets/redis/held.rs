//! The connection to one Redis server that stays, shared by the probes, the investigations and the actions of that
//! server. Where new clients are turned away (no room, a new password, a user switched off, another address) it is
//! the only way in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use super::connect::answer_of;
use crate::domain::sample::Answer;
use crate::targets::Limit;
use crate::targets::kept::{Ends, Kept};
use crate::targets::session::{Driver, Over};

/// One connection and the task that drives it; closed with the last holder.
pub(super) struct Held {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
}

impl Ends for Held {
    fn over(&self) -> Over {
        self.driver.over()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.driver.cut();
    }
}

impl Held {
    pub(super) async fn ask(
        &self,
        questions: &Pipeline,
        limit: Limit,
    ) -> Result<Vec<Value>, Answer> {
        let mut connection = self.connection.clone();
        let asked = async {
            let asked = connection.send_packed_commands(questions, 0, questions.len()).await;
            asked.map_err(|error| answer_of(&error))
        };
        limit.run(asked).await
    }
}

/// The place of that connection. Clones mean the same one; only a probe makes the connection.
#[derive(Clone, Default)]
pub struct KeptConnection(Arc<Slot>);

#[derive(Default)]
struct Slot {
    held: Kept<Held>,
    /// What the last new client was told that had to go over the kept connection instead.
    turned_away: Mutex<Option<Answer>>,
}

impl fmt::Debug for KeptConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptConnection").finish_non_exhaustive()
    }
}

impl KeptConnection {
    pub(super) fn slot(&self) -> &Kept<Held> {
        &self.0.held
    }

    /// Why orders go over this connection, as of the last attempt to come in as a new client; `None` while new
    /// clients are let in.
    pub fn turned_away(&self) -> Option<Answer> {
        self.0.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember(&self, turned_away: Option<&Answer>) {
        *self.0.turned_away.lock().unwrap_or_else(PoisonError::into_inner) = turned_away.cloned();
    }
}

/// A connection that is ready for commands, however it was come by.
pub struct Entered {
    pub connection: MultiplexedConnection,
    /// Keeps the shared connection open while it is used, also when the probe gives it up.
    held: Option<Arc<Held>>,
}

impl Entered {
    pub(super) fn new(connection: MultiplexedConnection) -> Self {
        Self { connection, held: None }
    }

    pub(super) fn over(held: Arc<Held>) -> Self {
        Self { connection: held.connection.clone(), held: Some(held) }
    }

    /// Whether it is the kept connection.
    pub fn is_kept(&self) -> bool {
        self.held.is_some()
    }
}
