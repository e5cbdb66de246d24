//! The engine's side of an injection: starts the detached watchdog, passes on what it says, ends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::clock::now;
use crate::domain::effect::Input;
use crate::domain::ids::InjectionId;
use crate::domain::injection::{Injection, InjectionState};
use crate::faults::FaultError;
use crate::faults::watchdog::{self, Report, Spec};
use crate::targets::Server;

/// An adopted injection, or one whose watchdog went silent, is looked at this often.
const LOOK: Duration = Duration::from_millis(500);
/// A revert that failed is tried again after this, until it works.
const AGAIN: Duration = Duration::from_secs(5);

type Results = mpsc::UnboundedSender<Input>;

/// Starts the watchdog and follows it to its end.
pub(super) async fn inject(
    injection: Injection,
    server: Server,
    state_dir: PathBuf,
    results: Results,
) {
    let id = injection.id;
    let started = async {
        let spec = Spec::prepare(injection.clone(), &server, &state_dir).await?;
        watchdog::spawn(&spec).await
    };
    let mut running = match started.await {
        Ok(running) => running,
        Err(error) => {
            return moved(&results, id, InjectionState::DidNotTake { reason: error.in_words() });
        }
    };
    while let Some(report) = running.next().await {
        let last = report.is_last();
        if let Some(state) = state_after(report) {
            moved(&results, id, state);
        }
        if last {
            watchdog::forget(&state_dir, id);
            return;
        }
    }
    // The watchdog is gone without its last word; its journal knows.
    adopt(injection, state_dir, results).await;
}

/// Follows an injection whose watchdog somebody else started, by its journal.
pub(super) async fn adopt(injection: Injection, state_dir: PathBuf, results: Results) {
    while is_watched(&state_dir, injection.id) {
        sleep(LOOK).await;
    }
    revert(injection, state_dir, results).await;
}

fn is_watched(state_dir: &Path, id: InjectionId) -> bool {
    watchdog::live(state_dir)
        .iter()
        .any(|journal| journal.injection.id == id && journal.watchdog.is_alive())
}

/// Ends an injection: through its watchdog, or in its place when it is dead.
pub(super) async fn revert(injection: Injection, state_dir: PathBuf, results: Results) {
    loop {
        match watchdog::revert_now(&state_dir, injection.id).await {
            Ok(state) => {
                moved(&results, injection.id, state);
                watchdog::forget(&state_dir, injection.id);
                return;
            }
            Err(error) => report_failure(&injection, &error),
        }
        sleep(AGAIN).await;
    }
}

fn report_failure(injection: &Injection, error: &FaultError) {
    tracing::error!(
        injection = injection.name(),
        error = error.in_words(),
        "not reverted yet; trying again"
    );
}

fn moved(results: &Results, injection: InjectionId, state: InjectionState) {
    if results.send(Input::InjectionMoved { injection, state }).is_err() {
        tracing::debug!("the engine stopped before an injection's news arrived");
    }
}

fn state_after(report: Report) -> Option<InjectionState> {
    match report {
        Report::Progress { text } => {
            tracing::info!(text, "injection");
            None
        }
        Report::Took { symptom } => Some(InjectionState::Active { took_at: now(), symptom }),
        Report::DidNotTake { reason } | Report::Failed { reason } => {
            Some(InjectionState::DidNotTake { reason })
        }
        Report::Reverted { by, left_over } => {
            Some(InjectionState::Reverted { at: now(), by, left_over })
        }
    }
}
