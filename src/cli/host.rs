//! An engine in this process, and the control socket it is reached by: the same for `run` and `tui`.

use std::sync::{Arc, Mutex};

use anyhow::bail;
use axum::Extension;
use futures::FutureExt as _;

use super::context::Context;
use crate::agent::model::Advisor;
use crate::api::caller::Caller;
use crate::api::listen::{self, Listening};
use crate::api::{self, Agreements, BodyBounds, Door, socket};
use crate::config::{Config, url};
use crate::database::backup::keeper::Keeper;
use crate::database::jobs::{Deed, Recorder};
use crate::database::{Code, Failure, Workbench};
use crate::domain::effect::{Command, Ordered};
use crate::domain::ids::Ids;
use crate::domain::target::Engine;
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
        let watched = servers.clone();
        let servers: Arc<[Server]> = servers.into();
        let seed = super::db::seed();
        let keeper = Keeper::new(&config.workbench, &servers, clock::now);
        let running = engine::start(config, watched, Arc::clone(&store), advisor).await?;
        let mut tasks = Tasks::default();
        // To its end: a backup that is told to stop tidies up.
        tasks.spawn_to_end("backups", keeper.keep(tasks.stop_token()));
        let door = Door {
            handle: running.handle.clone(),
            store: Some(Arc::clone(&store)),
            servers: Arc::clone(&servers),
            state_dir: config.state_dir.clone(),
            inject_ttl: config.inject_ttl,
            benches: benches(config, &servers, &running.handle, seed)?,
            agreements: Arc::new(Agreements::new(
                config.workbench.writes,
                config.limits.two_people,
            )),
            ids: Arc::new(Mutex::new(Ids::seeded(seed))),
            turns: Arc::default(),
            alerts: Arc::new(config.alerts.clone()),
            tally: Arc::default(),
            stop: tasks.stop_token(),
        };
        count(&mut tasks, &door, &store, before);
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

/// A workbench for each PostgreSQL. What they change is recorded by the engine itself.
fn benches(
    config: &Config,
    servers: &[Server],
    handle: &Handle,
    seed: u64,
) -> anyhow::Result<Arc<[Workbench]>> {
    let settings = &config.workbench;
    let is_replica = |server: &&Server| settings.read_replicas.contains(&server.target.id);
    let replicas: Vec<Server> = servers.iter().filter(is_replica).cloned().collect();
    let postgres = servers.iter().filter(|server| server.target.engine == Engine::Postgres);
    let bench = |server: &Server| {
        let bench = Workbench::new(server, settings, seed)?.recording(recorder(handle.clone()));
        if is_replica(&server) { Ok(bench) } else { bench.with_replicas(&replicas) }
    };
    let benches: Result<Vec<_>, Failure> = postgres.map(bench).collect();
    Ok(benches?.into())
}

fn recorder(handle: Handle) -> Recorder {
    Recorder::new(move |Deed { actor, target, entry }| {
        let handle = handle.clone();
        async move {
            let command = Command::Record { target, entry };
            let recorded = handle.order(Ordered { actor, command }).await;
            recorded.map(drop).map_err(|refused| {
                let hint = "nothing is changed without a record";
                let message = format!("it could not be recorded: {}", refused.reason);
                Failure::new(Code::Unavailable, message, hint)
            })
        }
        .boxed()
    })
}

/// Keeps the figures for `/metrics`.
fn count(tasks: &mut Tasks, door: &Door, store: &Arc<dyn Store>, before: u64) {
    let (tally, handle, records) =
        (Arc::clone(&door.tally), door.handle.clone(), Arc::clone(store));
    tasks.spawn("count events", async move { tally.follow(handle, records, before).await });
    let (tally, records) = (Arc::clone(&door.tally), Arc::clone(store));
    tasks.spawn("look at the store", async move { tally.watch_store(records).await });
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
