//! The record of what changes something: its start is durable before it starts, its end says what became of it.

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::failure::{Failure, Outcome};
use super::statement::redacted;
use super::workbench::Workbench;
use super::writes::{Change, Permit};
use crate::domain::ids::TargetId;
use crate::domain::job::{Entry, Job, JobEnd};

/// One entry with who it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    pub actor: String,
    pub target: TargetId,
    pub entry: Entry,
}

/// Makes an entry durable: through the engine that runs, or in the store itself.
#[derive(Clone)]
pub struct Recorder(Arc<dyn Fn(Deed) -> BoxFuture<'static, Outcome<()>> + Send + Sync>);

impl Recorder {
    pub fn new(
        record: impl Fn(Deed) -> BoxFuture<'static, Outcome<()>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(record))
    }

    async fn record(&self, deed: Deed) -> Outcome<()> {
        (self.0)(deed).await
    }
}

/// A change whose start is on record.
pub(super) struct Recorded {
    recorder: Recorder,
    actor: String,
    target: TargetId,
    job: Uuid,
}

impl Recorded {
    /// Writes down that it starts. What cannot be written down does not start.
    pub(super) async fn start(
        bench: &Workbench,
        what: &str,
        change: &Change,
        permit: &Permit,
    ) -> Outcome<Self> {
        let commands = change.statements.iter().map(|text| redacted(text)).collect();
        Self::begin(bench, what, change, commands, permit).await
    }

    /// The same for what is no statement, in words without a value in them.
    pub(super) async fn begin(
        bench: &Workbench,
        what: &str,
        change: &Change,
        commands: Vec<String>,
        permit: &Permit,
    ) -> Outcome<Self> {
        let recorder = bench.recorder()?;
        let job = Job {
            id: permit.job,
            what: what.to_owned(),
            database: change.database.clone(),
            commands,
            fingerprint: change.fingerprint.clone(),
            permitted: permit.how.clone(),
        };
        let (actor, target) = (permit.actor.clone(), bench.target.id.clone());
        let entry = Entry::Started(job);
        let deed = Deed { actor: actor.clone(), target: target.clone(), entry };
        recorder.record(deed).await?;
        Ok(Self { recorder, actor, target, job: permit.job })
    }

    /// Writes down how it ended. The change is made whether this can be written or not, so it is only said.
    pub(super) async fn end(self, end: JobEnd) -> Option<String> {
        let entry = Entry::Ended { job: self.job, end };
        let deed = Deed { actor: self.actor, target: self.target, entry };
        let recorded = self.recorder.record(deed).await;
        recorded.err().map(|failure| format!("WARNING: its end is not on record: {failure}"))
    }
}

/// How a job ended that is not counted in rows.
pub(super) fn ended<T>(outcome: &Outcome<T>) -> JobEnd {
    match outcome {
        Ok(_) => JobEnd { ok: true, ..JobEnd::default() },
        Err(failure) => failed(failure),
    }
}

/// How a job ended that failed.
pub(super) fn failed(failure: &Failure) -> JobEnd {
    JobEnd {
        ok: false,
        rows: None,
        lsn: None,
        // What the server says may quote a value.
        error: Some(match &failure.sqlstate {
            Some(state) => format!("{} ({state})", failure.code.as_str()),
            None => failure.code.as_str().to_owned(),
        }),
    }
}
