//! Named background tasks that are cancelled and joined on purpose; a panic in one is reported, not lost.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A group of tasks with one switch.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Tasks {
    /// The switch that ends every task of the group.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task that ends at the switch at the latest.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
            name
        });
    }

    /// Starts a task that must reach its own end, whatever the switch says.
    pub fn spawn_to_end(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Removes tasks that are over. Returns the words of the first panic, if one panicked.
    pub fn reap(&mut self) -> Option<String> {
        let mut panicked = None;
        while let Some(ended) = self.set.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a background task panicked");
                panicked.get_or_insert_with(|| error.to_string());
            }
        }
        panicked
    }

    /// Turns the switch and waits for all.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.set.join_next().await.is_some() {}
    }
}
