//! The one connection a probe keeps: made when it is missing, watched for its end, given up after a failure.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::session::Over;
use crate::domain::sample::Answer;

/// A slot for a kept connection. Whoever probes holds the slot for as long as the probe takes.
pub(super) struct Kept<C> {
    slot: Mutex<Option<Arc<C>>>,
    /// The end of the connection in the slot; written only together with it.
    over: watch::Sender<Option<Over>>,
}

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self { slot: Mutex::default(), over: watch::Sender::new(None) }
    }
}

/// A connection that can tell its end.
pub(super) trait Ends {
    fn over(&self) -> Over;
}

impl<C: Ends> Kept<C> {
    /// Asks something over the kept connection, which is made first when there is none. A connection that
    /// did not answer is given up: what is still on its way to us belongs to nobody.
    pub(super) async fn ask<T>(
        &self,
        make: impl Future<Output = Result<C, Answer>>,
        ask: impl AsyncFnOnce(&C) -> Result<T, Answer>,
    ) -> Asked<T> {
        let mut slot = self.slot.lock().await;
        let connection = match &*slot {
            Some(connection) => Arc::clone(connection),
            None => match make.await {
                Ok(made) => {
                    let made = Arc::new(made);
                    self.over.send_replace(Some(made.over()));
                    Arc::clone(slot.insert(made))
                }
                Err(answer) => return Asked::NotConnected(answer),
            },
        };
        match ask(&connection).await {
            Err(answer @ (Answer::Gone { .. } | Answer::Hung { .. })) => {
                // First the word, then the deed: our own closing is nobody's news.
                self.over.send_replace(None);
                *slot = None;
                Asked::Lost(answer)
            }
            Err(answer) => Asked::Refused(answer),
            Ok(value) => Asked::Answered(value),
        }
    }

    /// Gives the connection up although it answered: a part of the answer is still outstanding.
    pub(super) async fn give_up(&self) {
        let mut slot = self.slot.lock().await;
        self.over.send_replace(None);
        *slot = None;
    }

    /// The connection, if there is one; it stays open for as long as it is held.
    pub(super) async fn present(&self) -> Option<Arc<C>> {
        self.slot.lock().await.clone()
    }

    /// Returns when the kept connection is closed by the other side; never, while there is none.
    pub(super) async fn closed(&self) {
        let mut current = self.over.subscribe();
        loop {
            let over = current.borrow_and_update().clone();
            tokio::select! {
                biased;
                // The sender lives in `self`, so this cannot fail.
                _ = current.changed() => {}
                () = ended(over) => return,
            }
        }
    }
}

async fn ended(over: Option<Over>) {
    match over {
        Some(over) => over.wait().await,
        None => std::future::pending().await,
    }
}

/// What came of a question over the kept connection.
pub(super) enum Asked<T> {
    /// There was none, and none could be made.
    NotConnected(Answer),
    /// It closed or fell silent; there is none any more.
    Lost(Answer),
    /// It is still there, and the answer was an error.
    Refused(Answer),
    Answered(T),
}
