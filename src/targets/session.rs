//! The task that drives one connection, and word of its end.

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The task that moves bytes for one connection; ends with it. Does not end by being dropped.
#[derive(Debug)]
pub(super) struct Driver {
    task: AbortHandle,
    over: Over,
}

/// The end of one connection, as something to wait for.
#[derive(Clone, Debug)]
pub(super) struct Over(watch::Receiver<()>);

impl Over {
    /// Waits until the connection is closed, by whichever side.
    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: the sender's own end is the message.
        while self.0.changed().await.is_ok() {}
    }
}

impl Driver {
    /// Drives a connection until it closes.
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver lives exactly as long as its connection"
    )]
    pub(super) fn spawn(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let (alive, over) = watch::channel(());
        let task = tokio::spawn(async move {
            connection.await;
            drop(alive);
        });
        Self { task: task.abort_handle(), over: Over(over) }
    }

    pub(super) fn over(&self) -> Over {
        self.over.clone()
    }

    /// Closes the connection now.
    pub(super) fn cut(&self) {
        self.task.abort();
    }
}
