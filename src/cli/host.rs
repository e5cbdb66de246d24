//! An engine in this process, and the control socket it is reached by: the same for `run` and `tui`.

use std::sync::Arc;

use anyhow::bail;

use super::context::Context;
use crate::agent::model::Advisor;
use crate::api::{self, socket};
use crate::config::url;
use crate::engine::handle::Handle;
use crate::engine::tasks::Tasks;
use crate::engine::{self, Running};
use crate::lab::Lab;
use crate::ports::store::Store;
use crate::targets::Server;

/// What an engine watches and where it records.
pub(super) struct Surroundings {
    servers: Vec<Server>,
    store: Arc<dyn Store>,
}

impl Surroundings {
    /// The lab's servers and the user's own, and the store.
    pub(super) async fn of(context: &Context, lab: Option<&Lab>) -> anyhow::Result<Self> {
        let servers = context.servers(lab).await;
        if servers.is_empty() {
            bail!("there is nothing to watch; start the lab with `simctl up`, or add a [[target]]");
        }
        let store = context.open_store(&context.store_url(lab)).await?;
        Ok(Self { servers, store })
    }
}

/// A running engine.
pub(super) struct Host {
    running: Running,
    is_over: bool,
    pub(super) store: Arc<dyn Store>,
    /// What serves its readers; they are stopped after it.
    pub(super) tasks: Tasks,
    /// The last event from before it started.
    pub(super) before: u64,
}

impl Host {
    /// Waits for the lease where an engine that is no more still seems to hold it, then starts.
    pub(super) async fn start(context: &Context, around: Surroundings) -> anyhow::Result<Self> {
        let Surroundings { servers, store } = around;
        context.say(format!("store: {}", url::masked(store.url())));
        engine::wait_until_free(&*store, &|line| context.say(line)).await?;
        let before = store.head().await?.seq;
        let advisor = Advisor::of(context.config())?.map(Arc::new);
        if let Some(advisor) = &advisor {
            context.say(format!("agent: {}, checked by the playbook", advisor.name()));
        }
        let running = engine::start(context.config(), servers, Arc::clone(&store), advisor).await?;
        Ok(Self { running, is_over: false, store, tasks: Tasks::default(), before })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.running.handle
    }

    /// Lets others in by the control socket.
    pub(super) fn serve(&mut self, socket: socket::Socket) {
        let stop = self.tasks.stop_token();
        let store = Some(Arc::clone(&self.store));
        let router = api::router(self.handle().clone(), store, stop.clone());
        self.tasks.spawn_to_end("control socket", async move {
            if let Err(error) = socket.serve(router, stop).await {
                tracing::error!(%error, "the control socket ended");
            }
        });
    }

    /// Returns when the engine ends by itself; why.
    pub(super) async fn ended(&mut self) -> String {
        let reason = self.running.ended().await;
        self.is_over = true;
        reason
    }

    /// Ends it in order. The engine first: its last events still reach those who listen.
    pub(super) async fn stop(self, reason: &str) {
        if !self.is_over {
            self.running.stop(reason).await;
        }
        self.tasks.stop().await;
    }
}
