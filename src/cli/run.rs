//! `run`: the engine without a console, until it is told to stop.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::context::Context;
use super::print::Print;
use super::{Done, NO};
use crate::api::events::{self, Line};
use crate::api::{self, socket};
use crate::config::{dirs, url};
use crate::domain::event::Sealed;
use crate::engine;
use crate::engine::handle::Handle;
use crate::engine::tasks::Tasks;
use crate::narrate::{self, Labels};
use crate::ports::store::Store;
use crate::targets::Server;
use crate::telemetry;

/// Run the engine without a console, until ctrl-c or SIGTERM
///
/// Watches, explains and proposes; decisions come from `simctl approve` and `simctl reject`. Logs to the state
/// directory, at the level of SIMCTL_LOG.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl run\n  simctl run --plain\n  simctl run --json | jq .event.body.kind"
)]
pub(super) struct Run {
    /// Tell every event in one plain line
    #[arg(long)]
    plain: bool,
}

pub(super) async fn run(context: &Context, args: &Run) -> Done {
    let config = context.config();
    dirs::ensure_private(&config.state_dir)?;
    let _log = telemetry::start(&config.state_dir)?;
    let socket = socket::bind(&config.state_dir).await?;
    let mut signals = Signals::listen()?;
    let (servers, store) = surroundings(context).await?;
    let say = |line: String| context.print.progress(&line);
    say(format!("store: {}", url::masked(store.url())));
    let start = async {
        engine::wait_until_free(&*store, &say).await?;
        let before = store.head().await?.seq;
        anyhow::Ok((before, engine::start(config, servers, Arc::clone(&store)).await?))
    };
    let (before, mut running) = tokio::select! {
        started = start => started?,
        () = signals.heard() => bail!("told to stop before the engine had started"),
    };
    say(format!("socket: {}", socket.path().display()));
    let mut tasks = Tasks::default();
    if args.plain || context.print.json {
        let teller = Teller { print: context.print, store: Arc::clone(&store) };
        teller.start(&mut tasks, &running.handle, before);
    }
    serve(&mut tasks, &running.handle, socket, store);
    let (reason, code) = tokio::select! {
        () = signals.heard() => ("told to stop".to_owned(), ExitCode::SUCCESS),
        reason = running.ended() => (reason, NO),
    };
    tracing::info!(%reason, "stopping");
    // The engine first: its last events still reach those who listen.
    tokio::select! {
        () = running.stop(&reason) => {}
        () = signals.heard() => bail!("told to stop twice; the next start tidies up"),
    }
    tasks.stop().await;
    say(format!("stopped: {reason}"));
    Ok(code)
}

/// What to watch and where to record it.
async fn surroundings(context: &Context) -> anyhow::Result<(Vec<Server>, Arc<dyn Store>)> {
    let lab = context.lab().await?;
    let servers = context.servers(lab.as_ref()).await;
    if servers.is_empty() {
        bail!("there is nothing to watch; start the lab with `simctl up`, or add a [[target]]");
    }
    let store = context.open_store(&context.store_url(lab.as_ref())).await?;
    Ok((servers, store))
}

fn serve(tasks: &mut Tasks, handle: &Handle, socket: socket::Socket, store: Arc<dyn Store>) {
    let stop = tasks.stop_token();
    let router = api::router(handle.clone(), Some(store), stop.clone());
    tasks.spawn_to_end("control socket", async move {
        if let Err(error) = socket.serve(router, stop).await {
            tracing::error!(%error, "the control socket ended");
        }
    });
}

/// Tells events as they become durable.
struct Teller {
    print: Print,
    store: Arc<dyn Store>,
}

impl Teller {
    /// Begins with what the engine did while it started. A closed output ends the telling, not the engine.
    fn start(self, tasks: &mut Tasks, handle: &Handle, before: u64) {
        let (handle, stop) = (handle.clone(), tasks.stop_token());
        tasks.spawn_to_end("narrator", async move {
            let snapshot = Arc::clone(&handle.snapshots.borrow());
            let mut labels = Labels::of(snapshot.incidents.iter().map(|incident| &**incident));
            let mut after = Some(before);
            loop {
                let store = Some(Arc::clone(&self.store));
                let mut lines = pin!(events::follow(&handle, store, after));
                loop {
                    // Biased: what was already sent is told before the telling ends.
                    let line = tokio::select! {
                        biased;
                        line = lines.next() => line,
                        () = stop.cancelled() => return,
                    };
                    let told = match line {
                        Some(Line::Event(sealed)) => self.tell(&sealed, &mut labels),
                        Some(Line::CutOff(cut)) => {
                            self.print.progress(&cut.sentence());
                            Ok(())
                        }
                        None => break,
                    };
                    if told.is_err() {
                        return;
                    }
                }
                // The reader was cut off; what happens from now on is still worth telling.
                after = None;
            }
        });
    }

    fn tell(&self, sealed: &Sealed, labels: &mut Labels) -> anyhow::Result<()> {
        if self.print.json {
            return self.print.json_line(sealed);
        }
        labels.learn(&sealed.event);
        match narrate::sentence(&sealed.event, &|id| labels.get(id)) {
            Some(line) => self.print.line(line),
            None => Ok(()),
        }
    }
}

/// The signals that end a program politely, heard from now on.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn heard(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
