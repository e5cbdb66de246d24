//! One injection from its guards to its end: save, write down, break, confirm, wait, undo, compare.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};

use super::{Journal, Process, Report, Spec, guard, journal, undo};
use crate::domain::injection::InjectionState;
use crate::engine::clock;
use crate::faults::{Fault, FaultError, Grip, Marks, Params, Saved, complete_params, named, state};
use crate::targets::Server;

/// How long the injector itself keeps trying to undo before it leaves that to the next start.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where reports go.
pub type Reporter<'a> = &'a (dyn Fn(Report) + Send + Sync);

/// Breaks the server and undoes it at the deadline, or as soon as `stop` gives a reason. Reports on the way.
pub async fn live_through(
    spec: &Spec,
    server: &Server,
    report: Reporter<'_>,
    stop: impl Future<Output = &'static str>,
) {
    let mut life = match begin(spec, server).await {
        Ok(life) => life,
        Err(error) => return report(Report::Failed { reason: error.in_words() }),
    };
    let mut over = pin!(over(spec.injection.deadline, stop));
    let broken = tokio::select! {
        biased;
        by = &mut over => Broken::Stopped(by),
        broken = life.break_it(report) => broken,
    };
    let end = match broken {
        Broken::Stopped(by) => End::Reverted(by),
        Broken::Failed(reason) => End::Failed(reason),
        Broken::DidNotTake(reason) => End::DidNotTake(reason),
        Broken::Took(grip, symptom) => {
            report(Report::Took { symptom: symptom.clone() });
            life.note(InjectionState::Active { took_at: clock::now(), symptom });
            let by = over.await;
            drop(grip);
            End::Reverted(by)
        }
    };
    life.end(end, report).await;
}

/// When it is over at the latest, and by what.
async fn over(deadline: DateTime<Utc>, stop: impl Future<Output = &'static str>) -> &'static str {
    tokio::select! {
        by = stop => by,
        () = wall_clock(deadline) => "deadline",
    }
}

/// Waits by the wall clock: a machine that slept past the deadline is late, not early.
async fn wall_clock(deadline: DateTime<Utc>) {
    while let Ok(left) = (deadline - clock::now()).to_std() {
        sleep(left.min(Duration::from_secs(1))).await;
    }
}

struct Life<'a> {
    spec: &'a Spec,
    server: &'a Server,
    fault: &'static dyn Fault,
    journal: Journal,
}

/// What breaking it came to.
enum Broken {
    Took(Grip, String),
    DidNotTake(String),
    Failed(String),
    Stopped(&'static str),
}

enum End {
    Reverted(&'static str),
    DidNotTake(String),
    Failed(String),
}

/// Guards, originals, and the journal on disk. Nothing is changed yet.
async fn begin<'a>(spec: &'a Spec, server: &'a Server) -> Result<Life<'a>, FaultError> {
    let fault = named(spec.injection.fault.as_str())?;
    let params: Params = complete_params(fault, &spec.injection.params)?;
    guard::check(spec, fault, server).await?;
    let (_, seed) = spec.injection.id.0.as_u64_pair();
    let saved: Saved = fault.save(server, &params, seed).await?;
    let before = state::capture(server, &Marks::of(&saved)).await;
    if let Some(words) = &before.unanswered {
        return Err(FaultError::Precondition(format!(
            "{} does not answer as it is, so it is not broken further: {words}",
            server.target.id
        )));
    }
    let beneath = journal::live_beside(&spec.state_dir, &spec.injection);
    let journal = Journal {
        injection: spec.injection.clone(),
        server: spec.server.clone(),
        params,
        saved,
        before,
        beneath: beneath.into_iter().map(|other| other.before).collect(),
        watchdog: Process::me(),
    };
    journal.write(&spec.state_dir)?;
    Ok(Life { spec, server, fault, journal })
}

impl Life<'_> {
    async fn break_it(&self, report: Reporter<'_>) -> Broken {
        let progress = |text: String| report(Report::Progress { text });
        let Journal { params, saved, .. } = &self.journal;
        let grip = match self.fault.inject(self.server, params, saved, &progress).await {
            Ok(grip) => grip,
            Err(error) => return Broken::Failed(error.in_words()),
        };
        match self.confirm().await {
            Ok(symptom) => Broken::Took(grip, symptom),
            Err(error) => Broken::DidNotTake(error.in_words()),
        }
    }

    /// Looks for the fault's own symptom until it shows or its time is over.
    async fn confirm(&self) -> Result<String, FaultError> {
        let until = Instant::now() + self.fault.descriptor().takes_within;
        loop {
            let Journal { params, saved, .. } = &self.journal;
            match self.fault.took(self.server, params, saved).await {
                Err(_) if Instant::now() < until => sleep(LOOK_AGAIN).await,
                seen => return seen,
            }
        }
    }

    /// Keeps the journal's state up to date. A full disk must not stop what undoes.
    fn note(&mut self, state: InjectionState) {
        self.journal.injection.state = state;
        if let Err(error) = self.journal.write(&self.spec.state_dir) {
            tracing::warn!(error = %error.in_words(), "the injection journal is behind");
        }
    }

    async fn end(mut self, end: End, report: Reporter<'_>) {
        self.note(InjectionState::Reverting);
        let left_over =
            match Box::pin(undo::undo(&self.journal, self.server, &self.spec.state_dir, PATIENCE))
                .await
            {
                Ok(left_over) => left_over,
                // No last word: whoever listens finds in the journal that it is not over, and tries again.
                Err(error) => {
                    let text = format!(
                        "{} is not undone yet; `simctl clear` tries again: {}",
                        self.journal.injection.name(),
                        error.in_words()
                    );
                    return report(Report::Progress { text });
                }
            };
        let (state, last) = end.told(left_over);
        self.journal.injection.state = state;
        if let Err(error) = self.journal.finish(&self.spec.state_dir) {
            tracing::warn!(error = %error.in_words(), "the injection journal is behind");
        }
        report(last);
    }
}

impl End {
    fn told(self, left_over: Vec<String>) -> (InjectionState, Report) {
        let with_rest = |reason: String| match left_over.as_slice() {
            [] => reason,
            rest => format!("{reason}; left over: {}", rest.join(", ")),
        };
        match self {
            Self::Reverted(by) => (
                InjectionState::Reverted {
                    at: clock::now(),
                    by: by.to_owned(),
                    left_over: left_over.clone(),
                },
                Report::Reverted { by: by.to_owned(), left_over },
            ),
            Self::DidNotTake(reason) => {
                let reason = with_rest(reason);
                (
                    InjectionState::DidNotTake { reason: reason.clone() },
                    Report::DidNotTake { reason },
                )
            }
            Self::Failed(reason) => {
                let reason = with_rest(reason);
                (InjectionState::DidNotTake { reason: reason.clone() }, Report::Failed { reason })
            }
        }
    }
}
