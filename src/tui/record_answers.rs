//! Answers from the store for the screens of records: pages of the log, the check of its chain, the figures.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::message::{Answer, Chain};
use crate::metrics;
use crate::ports::store::Store;
use crate::store::audit as log;

/// `Question::Audit`: a page of records before one, newest first.
pub async fn audit(store: &dyn Store, before: Option<u64>, limit: u32) -> anyhow::Result<Answer> {
    Ok(Answer::Audit { before, events: store.events_before(before, limit).await? })
}

/// `Question::VerifyChain`: the whole chain, against what this machine remembers under its state directory.
pub async fn verify_chain(store: &dyn Store, state_dir: &Path) -> anyhow::Result<Answer> {
    let anchor = log::recall(&log::anchor_dir(state_dir, store))?;
    let report = log::verify(store, anchor.as_ref()).await?;
    let sentence = report.to_string();
    Ok(Answer::Chain(Chain { ok: report.is_ok(), events: report.intact, sentence }))
}

/// `Question::Metrics`: the figures of incidents opened since then, as of `now`.
pub async fn metrics(
    store: &dyn Store,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> anyhow::Result<Answer> {
    let times = store.times(since).await?;
    Ok(Answer::Metrics { since, metrics: Box::new(metrics::over(&times, since, now)) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::secret::Secret;
    use crate::domain::event::Head;
    use crate::ports::store::Batch;
    use crate::report::example;

    #[tokio::test]
    async fn a_store_answers_the_screens_of_records() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("s.db").display());
        let store = crate::store::open(&Secret::new(url), dir.path()).await.unwrap();
        let now = example::at(0);
        let lease = store.take_lease("tests", now, Duration::from_hours(1)).await.unwrap();
        let mut head = Head::genesis();
        let mut events = Vec::new();
        for event in example::events() {
            let sealed = event.seal(&head);
            head = sealed.head();
            events.push(sealed);
        }
        store.append(&Batch { events, rows: Vec::new() }, &lease).await.unwrap();

        let Answer::Audit { before: None, events } = audit(&*store, None, 3).await.unwrap() else {
            panic!("another answer")
        };
        let seqs: Vec<u64> = events.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, [head.seq, head.seq - 1, head.seq - 2]);

        let Answer::Chain(chain) = verify_chain(&*store, dir.path()).await.unwrap() else {
            panic!("another answer")
        };
        assert!(chain.ok && chain.events == head.seq, "{chain:?}");
        log::remember(
            &log::anchor_dir(dir.path(), &*store),
            &Head { seq: head.seq + 1, hash: "ab".into() },
        )
        .unwrap();
        let Answer::Chain(chain) = verify_chain(&*store, dir.path()).await.unwrap() else {
            panic!("another answer")
        };
        assert!(!chain.ok && chain.sentence.contains("was deleted"), "{chain:?}");

        let Answer::Metrics { since, metrics } =
            super::metrics(&*store, Some(now), now).await.unwrap()
        else {
            panic!("another answer")
        };
        assert_eq!((since, metrics.incidents), (Some(now), 0));
    }
}
