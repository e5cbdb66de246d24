//! Does what a decision asked for, each piece of work in a task of its own, and sends back what came of it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::injections::{self, Desk};
use super::pollers::Watched;
use super::tasks::Tasks;
use super::verify;
use crate::actions::{self, Action, ActionError};
use crate::agent;
use crate::agent::model::Advisor;
use crate::domain::consult::Record;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::effect::{Effect, Goal, Input, Investigation, Known, Prepared, RanStep};
use crate::domain::execution::{Check, Output, PhaseLine, Verification};
use crate::domain::health::{self, Health};
use crate::domain::ids::{ExecutionId, Fingerprint, IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::proposal::{Preview, ProposedStep};
use crate::domain::sample::Answer;
use crate::faults::watchdog;
use crate::ports::store::{SimilarIncident, Store};
use crate::report;

/// Everything that acts on the world for the engine.
pub(super) struct Performer {
    pub watched: BTreeMap<TargetId, Watched>,
    /// Lines and results, in the order they arise; a line is never dropped.
    pub results: mpsc::UnboundedSender<Input>,
    pub tasks: Tasks,
    pub store: Arc<dyn Store>,
    pub state_dir: PathBuf,
    /// Is asked before the playbook, where there is one.
    pub advisor: Option<Arc<Advisor>>,
    running: BTreeMap<ExecutionId, CancellationToken>,
}

/// Names the piece of work that lines and results belong to.
#[derive(Clone)]
struct Work {
    incident: IncidentId,
    execution: ExecutionId,
    results: mpsc::UnboundedSender<Input>,
}

impl Work {
    /// Streams a line of the agent's log.
    fn line(&self, line: PhaseLine) {
        self.done(Input::Phase { incident: self.incident, execution: self.execution, line });
    }

    /// Keeps what a model was asked and said.
    fn record(&self, record: Record) {
        let (incident, execution) = (self.incident, self.execution);
        self.done(Input::Consulted { incident, execution, record });
    }

    fn done(&self, input: Input) {
        if self.results.send(input).is_err() {
            tracing::debug!("the engine stopped before a result arrived");
        }
    }
}

impl Performer {
    pub(super) fn new(
        watched: BTreeMap<TargetId, Watched>,
        results: mpsc::UnboundedSender<Input>,
        store: Arc<dyn Store>,
        state_dir: PathBuf,
    ) -> Self {
        Self {
            watched,
            results,
            tasks: Tasks::default(),
            store,
            state_dir,
            advisor: None,
            running: BTreeMap::new(),
        }
    }

    /// Starts one effect. Returns at once.
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Confirm { target, origin } => {
                let Some(one) = self.watched.get(&target).cloned() else { return };
                self.tasks.spawn("confirm", async move {
                    sleep(one.server.periods.confirm).await;
                    one.nudges.one(origin);
                });
            }
            Effect::Probe { target } => {
                if let Some(one) = self.watched.get(&target) {
                    one.nudges.both();
                }
            }
            Effect::Investigate { incident, execution, known } => {
                self.investigate(*incident, execution, known);
            }
            Effect::Recheck { incident, execution, target, step, plan, identity } => {
                self.recheck((incident, execution, &target), step, *plan, identity);
            }
            Effect::DryRun { incident, execution, target, fingerprint, steps, identity } => {
                let of = (incident, execution, &target);
                self.dry_run(of, fingerprint, steps, identity);
            }
            Effect::Run { incident, execution, target, step, plan } => {
                self.run((incident, execution, &target), step, *plan);
            }
            Effect::Verify { incident, execution, target, steps, goal } => {
                self.verify((incident, execution, &target), steps, goal);
            }
            Effect::Undo { incident, execution, target, steps } => {
                self.undo((incident, execution, &target), steps);
            }
            Effect::Cancel { execution } => {
                if let Some(token) = self.running.remove(&execution) {
                    token.cancel();
                }
            }
            Effect::Inject { injection } => self.inject(*injection),
            Effect::Adopt { injection } => {
                let work = injections::adopt(*injection, self.desk());
                self.tasks.spawn("adopt injection", work);
            }
            Effect::Revert { injection, after } => {
                let work = injections::revert_after(*injection, after, self.desk());
                self.tasks.spawn_to_end("revert", work);
            }
            Effect::Forget { injection } => watchdog::forget(&self.state_dir, injection),
            Effect::Report { incident, number } => {
                let work =
                    write_report((incident, number), Arc::clone(&self.store), self.results.clone());
                self.tasks.spawn("report", work);
            }
        }
    }

    fn desk(&self) -> Desk {
        Desk {
            state_dir: self.state_dir.clone(),
            results: self.results.clone(),
            stop: self.tasks.stop_token(),
        }
    }

    fn inject(&mut self, injection: Injection) {
        let desk = self.desk();
        let Some(one) = self.watched.get(&injection.target).cloned() else {
            let state = InjectionState::DidNotTake { reason: unwatched(&injection.target) };
            let _ = desk.results.send(Input::InjectionMoved { injection: injection.id, state });
            return;
        };
        self.tasks.spawn("inject", injections::inject(injection, one.server, desk));
    }

    /// Starts a piece of work that may be cancelled with its execution. Unless it is, its end is always told:
    /// what it came to, or by `failed` why it came to nothing, so that nobody waits for it in vain.
    fn start<T>(
        &mut self,
        name: &'static str,
        of: (IncidentId, ExecutionId, &TargetId),
        failed: impl FnOnce(String) -> Input + Send + 'static,
        task: impl FnOnce(Watched, Work) -> T,
    ) where
        T: Future<Output = Input> + Send + 'static,
    {
        self.start_with(name, of, (failed, async |_: Watched| ()), task);
    }

    /// The same, with what is done when it is cancelled, since it could not tidy up itself.
    fn start_with<T, B>(
        &mut self,
        name: &'static str,
        (incident, execution, target): (IncidentId, ExecutionId, &TargetId),
        (failed, cancelled): (
            impl FnOnce(String) -> Input + Send + 'static,
            impl FnOnce(Watched) -> B,
        ),
        task: impl FnOnce(Watched, Work) -> T,
    ) where
        T: Future<Output = Input> + Send + 'static,
        B: Future<Output = ()> + Send + 'static,
    {
        let work = Work { incident, execution, results: self.results.clone() };
        let Some(one) = self.watched.get(target).cloned() else {
            return work.done(failed(unwatched(target)));
        };
        let token = CancellationToken::new();
        self.running.insert(execution, token.clone());
        let cancelled = cancelled(one.clone());
        let task = AssertUnwindSafe(task(one, work.clone())).catch_unwind();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = token.cancelled() => cancelled.await,
                ended = task => work.done(ended.unwrap_or_else(|panic| {
                    let reason = format!("{name} broke off, a defect of simctl: {}", words_of(&*panic));
                    tracing::error!(reason, "a piece of work panicked");
                    failed(reason)
                })),
            }
        });
    }

    fn investigate(&mut self, incident: Incident, execution: ExecutionId, known: Known) {
        let (id, revision, target) = (incident.id, incident.revision, incident.target.clone());
        let ended = move |result| Input::Diagnosed { incident: id, execution, revision, result };
        let failed = move |reason| ended(no_diagnosis(reason));
        let (advisor, store) = (self.advisor.clone(), Arc::clone(&self.store));
        self.start("investigate", (id, execution, &target), failed, async move |one, work| {
            let report = |line| work.line(line);
            if let Some(request) = &incident.request {
                let about = (&*incident.source, request);
                return ended(agent::request::again(&one.server, about, &report).await);
            }
            let recall = |like| similar(Arc::clone(&store), like).boxed();
            let Some(advisor) = advisor else {
                let found =
                    Box::pin(agent::investigate(&one.server, &incident, &known, &recall, &report))
                        .await;
                return ended(found);
            };
            let record = |record| work.record(record);
            let about = (&one.server, &incident, &known);
            let consult = agent::consult(&advisor, about, &recall, &report, &record);
            ended(Box::pin(consult).await)
        });
    }

    fn recheck(
        &mut self,
        of: (IncidentId, ExecutionId, &TargetId),
        step: usize,
        plan: ProposedStep,
        identity: String,
    ) {
        let (incident, execution, _) = of;
        let ended = move |result| Input::Rechecked { incident, execution, step, result };
        self.start(
            "recheck",
            of,
            move |reason| ended(Err(reason)),
            async move |one, _| ended(prepare(&one, step, &plan, &identity).await),
        );
    }

    fn dry_run(
        &mut self,
        of: (IncidentId, ExecutionId, &TargetId),
        fingerprint: Fingerprint,
        steps: Vec<ProposedStep>,
        identity: String,
    ) {
        let (incident, execution, _) = of;
        let ended = move |result| Input::DryRan { incident, execution, fingerprint, result };
        let failed = ended.clone();
        self.start(
            "dry run",
            of,
            move |reason| failed(Err(reason)),
            async move |one, _| {
                let mut previews = Vec::new();
                for plan in &steps {
                    match compare(&one, plan, Some(&identity)).await {
                        Ok(preview) => previews.push(preview),
                        Err(reason) => return ended(Err(reason)),
                    }
                }
                ended(Ok(previews))
            },
        );
    }

    fn run(&mut self, of: (IncidentId, ExecutionId, &TargetId), step: usize, plan: ProposedStep) {
        let (incident, execution, _) = of;
        let ended = move |ok, output, health| Input::StepFinished {
            incident,
            execution,
            step,
            ok,
            output,
            health,
        };
        let failed = move |reason| ended(false, complaint(reason), Health::Inconclusive);
        let cut_short = plan.clone();
        let broken_off = async move |one: Watched| {
            if let Ok(action) = find(&one, &cut_short) {
                action.broken_off(&one.server, &cut_short.args).await;
            }
        };
        self.start_with("run action", of, (failed, broken_off), async move |one, work| {
            let report = |line| work.line(line);
            let result = match find(&one, &plan) {
                Ok(action) => action.run(&one.server, &plan.args, &report).await,
                Err(error) => Err(error),
            };
            let (ok, output) = match result {
                Ok(output) => (output.exit_code == Some(0), output),
                Err(error) => (false, complaint(in_words(error))),
            };
            ended(ok, output, measure(&one).await)
        });
    }

    fn verify(
        &mut self,
        of: (IncidentId, ExecutionId, &TargetId),
        steps: Vec<RanStep>,
        goal: Goal,
    ) {
        let (incident, execution, _) = of;
        let ended = move |verification| Input::Verified { incident, execution, verification };
        let failed = move |reason| ended(unproven(reason));
        self.start("verify", of, failed, async move |one, _| {
            ended(verify::prove(&one, &steps, &goal).await)
        });
    }

    fn undo(&mut self, of: (IncidentId, ExecutionId, &TargetId), steps: Vec<RanStep>) {
        let (incident, execution, _) = of;
        let ended = move |ok, detail| Input::Undone { incident, execution, ok, detail };
        self.start(
            "undo",
            of,
            move |reason| ended(false, reason),
            async move |one, _| {
                let (ok, detail) = take_back(&one, &steps).await;
                ended(ok, detail)
            },
        );
    }
}

/// What was done about incidents like it; a store that is slow or away remembers nothing.
async fn similar(store: Arc<dyn Store>, incident: Incident) -> Vec<SimilarIncident> {
    const MOST: u32 = 20;
    const PATIENCE: Duration = Duration::from_secs(1);
    let found = tokio::time::timeout(PATIENCE, store.similar(&incident, MOST)).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

async fn take_back(one: &Watched, steps: &[RanStep]) -> (bool, String) {
    let (mut ok, mut said) = (true, Vec::new());
    for ran in steps {
        let result = match find(one, &ran.plan) {
            Ok(action) => action.undo(&one.server, &ran.plan.args, &ran.undo_data).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(sentence) => said.push(sentence),
            Err(error) => {
                ok = false;
                said.push(format!("{} was not undone: {}", ran.plan.action, in_words(error)));
            }
        }
    }
    (ok, said.join("; "))
}

fn unwatched(target: &TargetId) -> String {
    format!("{target} is not watched here")
}

fn no_diagnosis(reason: String) -> Investigation {
    let diagnosis = Diagnosis { causes: Vec::new(), evidence: Vec::new(), summary: reason.clone() };
    Investigation { agent: agent::NAME.into(), diagnosis, plan: Err(reason) }
}

fn complaint(reason: String) -> Output {
    Output { stderr: reason, ..Output::default() }
}

fn unproven(reason: String) -> Verification {
    let check = Check { name: "it is measured".into(), passed: Some(false), detail: reason };
    Verification { checks: vec![check], ..Verification::default() }
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

fn find(one: &Watched, plan: &ProposedStep) -> Result<&'static dyn Action, ActionError> {
    actions::find_for(plan.action.as_str(), one.server.target.engine).ok_or_else(|| {
        ActionError::Precondition(format!("there is no action `{}` in this version", plan.action))
    })
}

/// Recomputes what was shown and compares. Read-only.
async fn compare(
    one: &Watched,
    plan: &ProposedStep,
    identity: Option<&str>,
) -> Result<Preview, String> {
    if let Some(identity) = identity {
        let now = one.server.identity().await;
        if now != identity {
            return Err(format!(
                "{} is another server now (was {identity}, is {now})",
                one.server.target.id
            ));
        }
    }
    let action = find(one, plan).map_err(in_words)?;
    let preview = action.preview(&one.server, &plan.args).await.map_err(in_words)?;
    match preview.drift_from(&plan.preview) {
        Some(drift) => Err(drift),
        None => Ok(preview),
    }
}

/// Recomputes what was shown, compares, and saves what undo needs.
async fn prepare(
    one: &Watched,
    step: usize,
    plan: &ProposedStep,
    identity: &str,
) -> Result<Prepared, String> {
    // Later steps act on what the earlier ones left: a restart in between is another identity by design.
    compare(one, plan, (step == 0).then_some(identity)).await?;
    let action = find(one, plan).map_err(in_words)?;
    let undo_data = action.save(&one.server, &plan.args).await.map_err(in_words)?;
    let undo_commands = action.undo_commands(&one.server, &plan.args, &undo_data);
    Ok(Prepared { undo_data, undo_commands })
}

/// Health over both connections after an action. A server that was just started is given a moment to let clients
/// in, so that the record tells of the action and not of its first millisecond.
async fn measure(one: &Watched) -> Health {
    const PATIENCE: Duration = Duration::from_secs(3);
    const AGAIN: Duration = Duration::from_millis(50);
    let began = Instant::now();
    loop {
        let (held, fresh) = tokio::join!(one.probe.held(), one.probe.fresh());
        let health = health::judge(&one.server.target, Some(&held), Some(&fresh));
        let is_back = !matches!(fresh.connect, Answer::Gone { .. }) && health.score().is_some();
        if is_back || began.elapsed() > PATIENCE {
            return health;
        }
        sleep(AGAIN).await;
    }
}

async fn write_report(
    (incident, number): (IncidentId, u64),
    store: Arc<dyn Store>,
    inbox: mpsc::UnboundedSender<Input>,
) {
    // The events it tells of are durable already; a store that is away has them only after the merge.
    for _ in 0..60 {
        match report::from_store(store.as_ref(), number).await {
            Ok(Some(markdown)) => {
                let _ = inbox.send(Input::Reported { incident, markdown });
                return;
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, %incident, "the report waits for the store"),
        }
        sleep(Duration::from_secs(5)).await;
    }
}

fn in_words(error: ActionError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[cfg(test)]
mod tests;
