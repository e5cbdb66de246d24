//! Asks a model in the operator's name, and puts every call on record as it happens: by way of the engine where one
//! runs, which stays the only writer; else by ourselves.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::sync::mpsc;

use super::context::Context;
use crate::agent::model::Recording;
use crate::domain::consult::{Record, StandingNow};
use crate::domain::effect::{Command, Ordered};
use crate::domain::ids::{IncidentId, TargetId};
use crate::engine::{self, clock};
use crate::ports::store::Store;

/// What a model is asked about.
pub(super) struct About {
    pub(super) incident: Option<IncidentId>,
    pub(super) target: TargetId,
}

/// Lets `asking` ask. Nothing is asked that could not be put on record, and no more once it cannot be.
pub(super) async fn on_record<T>(
    context: &Context,
    store: Arc<dyn Store>,
    about: &About,
    asking: impl AsyncFnOnce(StandingNow, Recording<'_>) -> Result<T, String>,
) -> anyhow::Result<T> {
    if context.running().await?.is_none() {
        engine::wait_until_free(&*store, &|line| context.say(line)).await?;
    }
    let standing = store.load().await?.model.at(clock::now());
    let (sender, mut records) = mpsc::unbounded_channel();
    let asked = async move {
        let record = move |record: Record| {
            // Where nobody takes it any more, the asking is given up as well.
            let _ = sender.send(record);
        };
        anyhow::Ok(asking(standing, &record).await)
    };
    let kept = async {
        while let Some(record) = records.recv().await {
            keep(context, &store, about, record)
                .await
                .context("put on record what the model was asked")?;
        }
        anyhow::Ok(())
    };
    let (came, ()) = tokio::try_join!(asked, kept)?;
    came.map_err(|reason| anyhow!(reason))
}

async fn keep(
    context: &Context,
    store: &Arc<dyn Store>,
    about: &About,
    record: Record,
) -> anyhow::Result<()> {
    let (incident, target) = (about.incident, Some(about.target.clone()));
    let command = Command::Consulted { incident, target, record };
    let ordered = Ordered { actor: context.config().operator.clone(), command };
    match context.running().await? {
        Some(engine) => engine.order(&ordered).await?,
        None => engine::record_alone(Arc::clone(store), context.config(), ordered).await?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::decide::tests::Bench;
    use crate::cli::print::Print;
    use crate::config::load::Flags;
    use crate::domain::consult::{Exchange, Purpose, Spend, Verdict};
    use crate::report::example;

    fn asked(micro_usd: u64) -> Record {
        Record::Asked(Box::new(Exchange {
            purpose: Purpose::Answer,
            provider: "compatible".into(),
            model: "m".into(),
            sent: Vec::new(),
            tools: Vec::new(),
            said: "Nobody.".into(),
            calls: Vec::new(),
            error: None,
            spend: Spend { tokens_in: 10, tokens_out: 1, micro_usd },
            latency_ms: 5,
        }))
    }

    fn judged(accepted: bool) -> Record {
        let (agent, reason) = ("compatible/m".into(), "it answered the question".into());
        Record::Judged(Verdict { agent, accepted, reason, answers: Vec::new() })
    }

    fn somewhere() -> About {
        About { incident: None, target: "redis-test".into() }
    }

    async fn sqlite(context: &Context) -> Arc<dyn Store> {
        context.open_store(&context.store_url(None)).await.unwrap()
    }

    #[tokio::test]
    async fn a_running_engine_stays_the_only_writer() {
        let about = somewhere();
        let bench = Bench::with(example::incident()).await;
        let store = sqlite(&bench.context).await;
        let came = on_record(&bench.context, Arc::clone(&store), &about, async |_, record| {
            record(asked(5));
            record(judged(true));
            Ok(7)
        });
        assert_eq!(came.await.unwrap(), 7);
        let of = |record| Command::Consulted {
            incident: None,
            target: Some("redis-test".into()),
            record,
        };
        assert_eq!(bench.end().await, [of(asked(5)), of(judged(true))]);
        assert_eq!(store.head().await.unwrap().seq, 0, "nothing is written beside it");
    }

    #[tokio::test]
    async fn without_an_engine_what_was_asked_is_on_record_and_counts_the_next_time() {
        let about = somewhere();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("simctl.toml");
        std::fs::write(&file, "[lab]\nenabled = false\n").unwrap();
        let flags = Flags {
            config: Some(file),
            state_dir: Some(dir.path().into()),
            operator: Some("ops1".into()),
            ..Flags::default()
        };
        let context = Context::load(&flags, Print { json: false }).unwrap();
        let store = sqlite(&context).await;
        let refused = on_record(&context, Arc::clone(&store), &about, async |standing, record| {
            assert_eq!(standing, StandingNow::default());
            record(asked(5));
            record(judged(false));
            Err::<(), _>("it says nothing".to_owned())
        });
        assert_eq!(refused.await.unwrap_err().to_string(), "it says nothing");
        let standing =
            on_record(&context, Arc::clone(&store), &about, async |standing, _| Ok(standing));
        let standing = standing.await.unwrap();
        assert_eq!((standing.today.micro_usd, standing.failures), (5, 1));
        let records = store.events(0, 10).await.unwrap();
        let told: Vec<_> =
            records.iter().map(|one| (one.kind.as_str(), one.actor.as_str())).collect();
        assert_eq!(told, [("model_asked", "ops1"), ("model_judged", "ops1")]);
        assert_eq!(records[0].body["exchange"]["said"], "Nobody.");
        assert!(store.lease(clock::now()).await.unwrap().is_none(), "an engine can start at once");
    }

    #[tokio::test]
    async fn nothing_more_is_asked_once_it_cannot_be_put_on_record() {
        let about = somewhere();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("simctl.toml");
        std::fs::write(&file, "[lab]\nenabled = false\n").unwrap();
        let flags =
            Flags { config: Some(file), state_dir: Some(dir.path().into()), ..Flags::default() };
        let context = Context::load(&flags, Print { json: false }).unwrap();
        let store = sqlite(&context).await;
        let came = on_record(&context, Arc::clone(&store), &about, async |_, record| {
            let (now, long) = (clock::now(), std::time::Duration::from_secs(60));
            store.take_lease("another engine", now, long).await.unwrap();
            record(asked(5));
            std::future::pending::<Result<(), String>>().await
        });
        let said = format!("{:#}", came.await.unwrap_err());
        assert!(said.starts_with("put on record what the model was asked: "), "{said}");
        assert!(said.contains("another engine"), "{said}");
    }
}
