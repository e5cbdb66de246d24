//! An engine in this process, and the control socket it is reached by: the same for `run` and `tui`.

use std::sync::Arc;

use anyhow::bail;
use axum::Extension;

use super::context::Context;
use crate::agent::model::Advisor;
use crate::api::caller::Caller;
use crate::api::listen::{self, Listening};
use crate::api::{self, BodyBounds, Door, socket};
use crate::config::url;
use crate::database::backup::keeper::Keeper;
use crate::engine::clock;
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
    door: Door,
    operator: String,
    bounds: BodyBounds,
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
        let config = context.config();
        let askable: Arc<[Server]> = servers.clone().into();
        let keeper = Keeper::new(&config.workbench, &servers, clock::now);
        let running = engine::start(config, servers, Arc::clone(&store), advisor).await?;
        let mut tasks = Tasks::default();
        // To its end: a backup that is told to stop tidies up.
        tasks.spawn_to_end("backups", keeper.keep(tasks.stop_token()));
        let door = Door {
            handle: running.handle.clone(),
            store: Some(Arc::clone(&store)),
            servers: askable,
            state_dir: config.state_dir.clone(),
            inject_ttl: config.inject_ttl,
            turns: Arc::default(),
            stop: tasks.stop_token(),
        };
        let (operator, bounds) = (config.operator.clone(), BodyBounds::of(&config.http.limits));
        Ok(Self { running, door, operator, bounds, is_over: false, store, tasks, before })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.running.handle
    }

    /// Lets the owner in by the control socket, and others by the network where they may.
    pub(super) fn serve(&mut self, socket: socket::Socket, network: Option<Listening>) {
        let stop = self.tasks.stop_token();
        let router = api::router(self.door.clone(), self.bounds);
        if let Some(network) = network {
            let serving = network.serve(router.clone(), stop.clone());
            self.tasks.spawn_to_end("network", serving);
        }
        let owner = Caller::owner(self.operator.clone());
        let router = router.layer(Extension(owner));
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

/// Binds the network's address where the configuration has one, and says so.
pub(super) async fn listen(context: &Context) -> anyhow::Result<Option<Listening>> {
    let Some(network) = listen::bind(&context.config().http).await? else { return Ok(None) };
    context.say(format!("http: {}", network.url()));
    if network.is_plain_to_others() {
        context.say("tokens travel unencrypted; set `cert_file` and `key_file` under `[http]`");
    }
    Ok(Some(network))
}
