//! What both kinds of kept connection share: the task that drives one, and word of its end.

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The task that moves bytes for one connection; ends with it.
#[derive(Debug)]
pub(super) struct Driver {
    task: AbortHandle,
    over: watch::Receiver<bool>,
}

impl Driver {
    /// Drives a connection until it closes.
    #[expect(
        clippy::disallowed_methods,
        reason = "a connection's driver lives as long as its client"
    )]
    pub(super) fn spawn(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let (tell, over) = watch::channel(false);
        let task = tokio::spawn(async move {
            connection.await;
            drop(tell);
        });
        Self { task: task.abort_handle(), over }
    }

    /// Waits until the connection is closed, by whichever side.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.clone();
        // The sender never sends: its end is the message.
        async move { while over.changed().await.is_ok() {} }
    }

    /// Closes the connection now.
    pub(super) fn cut(&self) {
        self.task.abort();
    }
}
