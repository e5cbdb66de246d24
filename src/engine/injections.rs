//! The engine's side of an injection: starts the detached watchdog, passes on what it says, ends it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::clock::now;
use crate::domain::effect::Input;
use crate::domain::ids::InjectionId;
use crate::domain::injection::{Injection, InjectionState};
use crate::faults::FaultError;
use crate::faults::watchdog::{self, Journal, Report, Spec};
use crate::targets::Server;

/// An adopted injection, or one whose watchdog went silent, is looked at this often.
const LOOK: Duration = Duration::from_millis(500);
/// A revert that failed is tried again after this, until it works.
const AGAIN: Duration = Duration::from_secs(5);

/// Injections on top of it have so long to be taken back first.
const THEIR_TURN: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(50);

type Results = mpsc::UnboundedSender<Input>;

/// Where injections are written down, who is told, and whether the engine ends.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) state_dir: PathBuf,
    pub(super) results: Results,
    pub(super) stop: CancellationToken,
}

/// Starts the watchdog and follows it to its end.
pub(super) async fn inject(injection: Injection, server: Server, desk: Desk) {
    let following = follow(injection.clone(), server, desk.clone());
    if AssertUnwindSafe(following).catch_unwind().await.is_err() {
        tracing::error!(injection = injection.name(), "following it failed; its journal knows");
        adopt(injection, desk).await;
    }
}

async fn follow(injection: Injection, server: Server, desk: Desk) {
    let Desk { state_dir, results, .. } = &desk;
    let id = injection.id;
    let started = async {
        let spec = Spec::prepare(injection.clone(), &server, state_dir).await?;
        watchdog::spawn(&spec).await
    };
    let mut running = match started.await {
        Ok(running) => running,
        Err(error) => {
            return moved(results, id, InjectionState::DidNotTake { reason: error.in_words() });
        }
    };
    while let Some(report) = running.next().await {
        let last = report.is_last();
        if let Some(state) = state_after(report) {
            moved(results, id, state);
        }
        if last {
            return;
        }
    }
    // The watchdog is gone without its last word; its journal knows.
    adopt(injection, desk).await;
}

/// Follows an injection whose watchdog somebody else started, by its journal.
pub(super) async fn adopt(injection: Injection, desk: Desk) {
    let mut told = injection.state.clone();
    while let Some(journal) = watched(&desk, injection.id) {
        let state = journal.injection.state;
        if matches!(state, InjectionState::Active { .. }) && state != told {
            told = state.clone();
            moved(&desk.results, injection.id, state);
        }
        sleep(LOOK).await;
    }
    revert(injection, desk).await;
}

/// The journal of an injection whose watchdog lives.
fn watched(desk: &Desk, id: InjectionId) -> Option<Journal> {
    let live = watchdog::live(&desk.state_dir);
    live.into_iter().find(|journal| journal.injection.id == id && journal.watchdog.is_alive())
}

/// Ends an injection when those that came after it are over, or when that takes too long.
pub(super) async fn revert_after(injection: Injection, after: Vec<InjectionId>, desk: Desk) {
    let later_are_over = async {
        let lives = || {
            let live = watchdog::live(&desk.state_dir);
            live.iter().any(|journal| after.contains(&journal.injection.id))
        };
        while !after.is_empty() && lives() {
            sleep(SOON).await;
        }
    };
    if tokio::time::timeout(THEIR_TURN, later_are_over).await.is_err() {
        tracing::warn!(injection = injection.name(), "not waiting longer for those on top of it");
    }
    revert(injection, desk).await;
}

/// Ends an injection: through its watchdog, or in its place when it is dead. An engine that ends leaves what it
/// could not revert to the watchdog and to the next start.
pub(super) async fn revert(injection: Injection, desk: Desk) {
    loop {
        match watchdog::revert_now(&desk.state_dir, injection.id).await {
            Ok(state) => return moved(&desk.results, injection.id, state),
            Err(error) => report_failure(&injection, &error),
        }
        tokio::select! {
            () = desk.stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

/// Reverts what a dead watchdog left that no record tells of, such as one that was recorded in another store.
/// `known` are those the engine looks after itself.
pub(super) async fn sweep(state_dir: PathBuf, known: BTreeSet<InjectionId>) {
    for swept in watchdog::sweep_except(&state_dir, &known).await {
        match swept.ended {
            Ok(injection) => watchdog::forget(&state_dir, injection.id),
            Err(reason) => {
                tracing::error!(injection = swept.name, reason, "a leftover was not reverted");
            }
        }
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
