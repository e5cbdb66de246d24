//! `run`: the engine without a console, until it is told to stop.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use futures::StreamExt;

use super::agent::Tape;
use super::context::Context;
use super::host::{self, Host, Surroundings};
use super::http::Http;
use super::print::Print;
use super::signals::Signals;
use super::teller::Teller;
use super::{Done, NO};
use crate::api::events::{self, Line};
use crate::api::socket;
use crate::config::dirs;
use crate::domain::event::Sealed;
use crate::ports::store::Store;
use crate::telemetry;

/// Run the engine without a console, until ctrl-c or SIGTERM
///
/// Watches, explains and proposes; decisions come from `simctl approve` and `simctl reject`. Logs to the state
/// directory, at the level of SIMCTL_LOG.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl run\n  simctl run --plain\n  simctl run --json | jq .event.body.kind\n  simctl run --listen 127.0.0.1:8080 --open"
)]
pub(super) struct Run {
    /// Tell every event in one plain line
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    pub(super) tape: Tape,
    #[command(flatten)]
    pub(super) http: Http,
}

pub(super) async fn run(context: &Context, args: &Run) -> Done {
    let config = context.config();
    dirs::ensure_private(&config.state_dir)?;
    let _log = telemetry::start(&config.state_dir)?;
    let socket = socket::bind(&config.state_dir).await?;
    let network = host::listen(context).await?;
    let mut signals = Signals::listen()?;
    let surroundings = surroundings(context).await?;
    let mut host = tokio::select! {
        started = Host::start(context, surroundings) => started?,
        () = signals.heard() => bail!("told to stop before the engine had started"),
    };
    context.say(format!("socket: {}", socket.path().display()));
    if args.plain || context.print.json {
        let narrator = Narrator { print: context.print, store: Arc::clone(&host.store) };
        narrator.start(&mut host);
    }
    host.serve(socket, network);
    let (reason, code) = tokio::select! {
        () = signals.heard() => ("told to stop".to_owned(), ExitCode::SUCCESS),
        reason = host.ended() => (reason, NO),
    };
    tracing::info!(%reason, "stopping");
    tokio::select! {
        () = host.stop(&reason) => {}
        () = signals.heard() => bail!("told to stop twice; the next start tidies up"),
    }
    context.say(format!("stopped: {reason}"));
    Ok(code)
}

/// What to watch and where to record it.
async fn surroundings(context: &Context) -> anyhow::Result<Surroundings> {
    let lab = context.lab().await?;
    Surroundings::of(context, lab.as_ref()).await
}

/// Tells events as they become durable.
struct Narrator {
    print: Print,
    store: Arc<dyn Store>,
}

impl Narrator {
    /// Begins with what the engine did while it started. A closed output ends the telling, not the engine.
    fn start(self, host: &mut Host) {
        let (handle, stop) = (host.handle().clone(), host.tasks.stop_token());
        let before = host.before;
        host.tasks.spawn_to_end("narrator", async move {
            let snapshot = Arc::clone(&handle.snapshots.borrow());
            let mut teller = Teller::new(self.print, before);
            teller.know(snapshot.incidents.iter().map(|incident| &**incident));
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
                        Some(Line::Event(sealed)) => self.tell(&sealed, &mut teller),
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

    fn tell(&self, sealed: &Sealed, teller: &mut Teller) -> anyhow::Result<()> {
        match teller.line(sealed)? {
            Some(line) => self.print.line(line),
            None => Ok(()),
        }
    }
}
