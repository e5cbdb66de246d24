//! Does what a decision asked for, each piece of work in a task of its own, and sends back what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::injections;
use super::pollers::Watched;
use super::tasks::Tasks;
use super::verify;
use crate::actions::{self, Action, ActionError};
use crate::agent;
use crate::domain::effect::{Effect, Goal, Input, Known, Prepared, RanStep};
use crate::domain::execution::{Output, PhaseLine};
use crate::domain::health::{self, Health};
use crate::domain::ids::{ExecutionId, IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::domain::proposal::ProposedStep;
use crate::ports::store::Store;
use crate::report;

/// Everything that acts on the world for the engine.
pub(super) struct Performer {
    pub watched: BTreeMap<TargetId, Watched>,
    /// Lines and results, in the order they arise; a line is never dropped.
    pub results: mpsc::UnboundedSender<Input>,
    pub tasks: Tasks,
    pub store: Arc<dyn Store>,
    pub state_dir: PathBuf,
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
                self.recheck(incident, execution, &target, step, *plan, identity);
            }
            Effect::Run { incident, execution, target, step, plan } => {
                self.run(incident, execution, &target, step, *plan);
            }
            Effect::Verify { incident, execution, target, steps, goal } => {
                self.verify(incident, execution, &target, steps, goal);
            }
            Effect::Undo { incident, execution, target, steps } => {
                self.undo(incident, execution, &target, steps);
            }
            Effect::Cancel { execution } => {
                if let Some(token) = self.running.remove(&execution) {
                    token.cancel();
                }
            }
            Effect::Inject { injection } => {
                let Some(one) = self.watched.get(&injection.target).cloned() else { return };
                let work = injections::inject(
                    *injection,
                    one.server,
                    self.state_dir.clone(),
                    self.results.clone(),
                );
                self.tasks.spawn("inject", work);
            }
            Effect::Adopt { injection } => {
                let work =
                    injections::adopt(*injection, self.state_dir.clone(), self.results.clone());
                self.tasks.spawn("adopt injection", work);
            }
            Effect::Revert { injection } => {
                let work =
                    injections::revert(*injection, self.state_dir.clone(), self.results.clone());
                self.tasks.spawn_to_end("revert", work);
            }
            Effect::Report { incident, number } => {
                let work =
                    write_report((incident, number), Arc::clone(&self.store), self.results.clone());
                self.tasks.spawn("report", work);
            }
        }
    }

    fn work(&mut self, incident: IncidentId, execution: ExecutionId) -> (Work, CancellationToken) {
        let token = CancellationToken::new();
        self.running.insert(execution, token.clone());
        (Work { incident, execution, results: self.results.clone() }, token)
    }

    /// Runs a piece of work that may be cancelled with its execution.
    fn spawn(
        &mut self,
        name: &'static str,
        token: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = task => {}
            }
        });
    }

    fn investigate(&mut self, incident: Incident, execution: ExecutionId, known: Known) {
        let Some(one) = self.watched.get(&incident.target).cloned() else { return };
        let (work, token) = self.work(incident.id, execution);
        self.spawn("investigate", token, async move {
            let report = |line| work.line(line);
            let result = agent::investigate(&one.server, &incident, &known, &report).await;
            let revision = incident.revision;
            work.done(Input::Diagnosed { incident: incident.id, execution, revision, result });
        });
    }

    fn recheck(
        &mut self,
        incident: IncidentId,
        execution: ExecutionId,
        target: &TargetId,
        step: usize,
        plan: ProposedStep,
        identity: String,
    ) {
        let Some(one) = self.watched.get(target).cloned() else { return };
        let (work, token) = self.work(incident, execution);
        self.spawn("recheck", token, async move {
            let result = prepare(&one, step, &plan, &identity).await;
            work.done(Input::Rechecked { incident, execution, step, result });
        });
    }

    fn run(
        &mut self,
        incident: IncidentId,
        execution: ExecutionId,
        target: &TargetId,
        step: usize,
        plan: ProposedStep,
    ) {
        let Some(one) = self.watched.get(target).cloned() else { return };
        let (work, token) = self.work(incident, execution);
        self.spawn("run action", token, async move {
            let report = |line| work.line(line);
            let result = match find(&one, &plan) {
                Ok(action) => action.run(&one.server, &plan.args, &report).await,
                Err(error) => Err(error),
            };
            let (ok, output) = match result {
                Ok(output) => (output.exit_code == Some(0), output),
                Err(error) => (false, Output { stderr: in_words(error), ..Output::default() }),
            };
            let health = measure(&one).await;
            work.done(Input::StepFinished { incident, execution, step, ok, output, health });
        });
    }

    fn verify(
        &mut self,
        incident: IncidentId,
        execution: ExecutionId,
        target: &TargetId,
        steps: Vec<RanStep>,
        goal: Goal,
    ) {
        let Some(one) = self.watched.get(target).cloned() else { return };
        let (work, token) = self.work(incident, execution);
        self.spawn("verify", token, async move {
            let verification = verify::prove(&one, &steps, &goal).await;
            work.done(Input::Verified { incident, execution, verification });
        });
    }

    fn undo(
        &mut self,
        incident: IncidentId,
        execution: ExecutionId,
        target: &TargetId,
        steps: Vec<RanStep>,
    ) {
        let Some(one) = self.watched.get(target).cloned() else { return };
        let (work, token) = self.work(incident, execution);
        self.spawn("undo", token, async move {
            let (mut ok, mut said) = (true, Vec::new());
            for ran in &steps {
                let result = match find(&one, &ran.plan) {
                    Ok(action) => action.undo(&one.server, &ran.plan.args, &ran.undo_data).await,
                    Err(error) => Err(error),
                };
                match result {
                    Ok(sentence) => said.push(sentence),
                    Err(error) => {
                        ok = false;
                        said.push(format!(
                            "{} was not undone: {}",
                            ran.plan.action,
                            in_words(error)
                        ));
                    }
                }
            }
            let detail = said.join("; ");
            work.done(Input::Undone { incident, execution, ok, detail });
        });
    }
}

fn find(one: &Watched, plan: &ProposedStep) -> Result<&'static dyn Action, ActionError> {
    actions::find_for(plan.action.as_str(), one.server.target.engine).ok_or_else(|| {
        ActionError::Precondition(format!("there is no action `{}` in this version", plan.action))
    })
}

/// Recomputes what was shown, compares, and saves what undo needs.
async fn prepare(
    one: &Watched,
    step: usize,
    plan: &ProposedStep,
    identity: &str,
) -> Result<Prepared, String> {
    // Later steps act on what the earlier ones left: a restart in between is another identity by design.
    if step == 0 {
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
    if let Some(drift) = preview.drift_from(&plan.preview) {
        return Err(drift);
    }
    let undo_data = action.save(&one.server, &plan.args).await.map_err(in_words)?;
    Ok(Prepared { undo_data })
}

/// Health right now, over both connections.
async fn measure(one: &Watched) -> Health {
    let (held, fresh) = tokio::join!(one.probe.held(), one.probe.fresh());
    health::judge(&one.server.target, Some(&held), Some(&fresh))
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
