//! Where the workbench's changes are recorded: by the engine that runs, else in the store by this command itself.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;

use crate::api::client::Client;
use crate::cli::context::Context;
use crate::config::dirs;
use crate::config::secret::Secret;
use crate::database::jobs::{Deed, Recorder};
use crate::database::{Code, Failure};
use crate::domain::effect::{Command, Ordered};
use crate::domain::event::{Event, EventBody};
use crate::engine::clock;
use crate::engine::keeper::Keeper;

/// What recording takes.
struct Records {
    state_dir: PathBuf,
    store: Secret,
}

pub(super) async fn recorder(context: &Context) -> anyhow::Result<Recorder> {
    let config = context.config();
    let lab = if config.store_url.is_some() { None } else { context.lab().await? };
    let store = context.store_url(lab.as_ref());
    let records = Arc::new(Records { state_dir: config.state_dir.clone(), store });
    Ok(Recorder::new(move |deed| {
        let records = Arc::clone(&records);
        async move {
            let recorded = Box::pin(records.record(deed)).await;
            recorded.map_err(|error| {
                Failure::new(
                    Code::Unavailable,
                    format!("it could not be recorded: {error:#}"),
                    "bring the store up, or name another with --store; nothing is changed without a record",
                )
            })
        }
        .boxed()
    }))
}

impl Records {
    async fn record(&self, deed: Deed) -> anyhow::Result<()> {
        match Client::connect(&self.state_dir).await? {
            Some(engine) => {
                let command = Command::Record { target: deed.target, entry: deed.entry };
                engine.order(&Ordered { actor: deed.actor, command }).await?;
                Ok(())
            }
            None => self.keep(deed).await,
        }
    }

    /// As an engine of a moment: it takes the lease, so that no other writes at the same time.
    async fn keep(&self, deed: Deed) -> anyhow::Result<()> {
        dirs::ensure_private(&self.state_dir)?;
        let store = crate::store::open(&self.store, &self.state_dir).await?;
        let holder = format!("{} (pid {}, db)", deed.actor, std::process::id());
        let opened = Keeper::open(store, &holder, &self.state_dir, clock::now()).await?;
        let (mut keeper, mut ledger) = opened;
        let event = Event {
            seq: ledger.seq + 1,
            at: clock::now(),
            incident: None,
            target: Some(deed.target),
            actor: deed.actor,
            body: EventBody::from(deed.entry),
        };
        ledger.apply(&event);
        let kept = keeper.keep(vec![event], &ledger).await;
        keeper.release().await;
        kept?;
        Ok(())
    }
}
