//! A drill: inject, wait for the fix, revert, and say what was proven.
//!
//! It uses the engine that runs already, or one of its own for the time of the drill; either way it only
//! gives commands and reads snapshots, like any console.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};

use super::handle::{Handle, Snapshot, TargetView};
use crate::agent::model::Advisor;
use crate::api::client::Client;
use crate::config::Config;
use crate::domain::effect::{Accepted, Command, Ordered};
use crate::domain::execution::{Execution, ExecutionState};
use crate::domain::ids::{CauseId, FaultId, TargetId};
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::proposal::Proposal;
use crate::targets::own;
use outcome::Outcome;

pub mod outcome;
pub mod tour;

/// How often the snapshot is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A healthy lab is waited for this long before the injection.
const CALM: Duration = Duration::from_secs(30);
/// Detection, diagnosis, fix and proof together.
const WHOLE: Duration = Duration::from_secs(240);
/// The fault must be gone this soon after it was cleared.
const CLEARED: Duration = Duration::from_secs(60);

/// A decision that was not accepted is tried again after this, if the proposal still waits.
const AGAIN: Duration = Duration::from_secs(1);

/// What to drill.
#[derive(Clone, Debug)]
pub struct Drill {
    /// Checked against the catalogue already.
    pub fault: &'static str,
    pub target: Option<String>,
    pub ttl: Option<Duration>,
}

/// What a person says to a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approve { typed: Option<String> },
    Reject { reason: String },
}

/// How a drill reaches the person in front of it.
pub struct Stage<'a> {
    /// Says a line while it goes on.
    pub say: &'a (dyn Fn(String) + Send + Sync),
    /// Shows a proposal and returns the decision; blocks on the terminal.
    pub ask: &'a (dyn Fn(&Incident, &Proposal) -> Verdict + Send + Sync),
}

/// The engine a drill works with.
enum Console {
    Own(Handle),
    Attached(Client),
}

impl Console {
    async fn snapshot(&self) -> anyhow::Result<Arc<Snapshot>> {
        match self {
            Self::Own(handle) => Ok(Arc::clone(&handle.snapshots.borrow())),
            Self::Attached(client) => Ok(Arc::new(client.snapshot().await?)),
        }
    }

    async fn order(&self, actor: &str, command: Command) -> anyhow::Result<Accepted> {
        let ordered = Ordered { actor: actor.to_owned(), command };
        match self {
            Self::Own(handle) => Ok(handle.order(ordered).await?),
            Self::Attached(client) => Ok(client.order(&ordered).await?),
        }
    }
}

/// Runs one drill from a healthy target to a healthy target.
pub async fn run(config: &Config, drill: Drill, stage: Stage<'_>) -> anyhow::Result<Outcome> {
    let (console, engine) = open(config, &stage).await?;
    let outcome = play(&console, config, drill, &stage).await;
    close(engine).await;
    outcome
}

/// The engine that runs already, or one of our own with its lab.
async fn open(
    config: &Config,
    stage: &Stage<'_>,
) -> anyhow::Result<(Console, Option<super::Running>)> {
    if let Some(client) = Client::connect(&config.state_dir).await? {
        (stage.say)("using the engine that runs already".into());
        return Ok((Console::Attached(client), None));
    }
    let lab = crate::lab::up(config, stage.say).await?;
    let store =
        crate::store::open(config.store_url.as_ref().unwrap_or(&lab.store_url), &config.state_dir)
            .await?;
    let own = config.targets.iter().map(|target| own::server(target, Some(&lab.runtime)));
    let servers = lab.servers.iter().cloned().chain(own).collect();
    let advisor = Advisor::of(config)?.map(Arc::new);
    let engine = super::start(config, servers, store, advisor).await?;
    Ok((Console::Own(engine.handle.clone()), Some(engine)))
}

async fn close(engine: Option<super::Running>) {
    if let Some(engine) = engine {
        engine.stop("the drill is over").await;
    }
}

/// The incident that tells how it went, and when the injector saw its symptom.
struct Played {
    incident: Arc<Incident>,
    took_at: Option<DateTime<Utc>>,
}

async fn play(
    console: &Console,
    config: &Config,
    drill: Drill,
    stage: &Stage<'_>,
) -> anyhow::Result<Outcome> {
    let fault = crate::faults::find(drill.fault).context("the fault is not in the catalogue")?;
    let target = choose_target(console, fault, drill.target.as_deref()).await?;
    (stage.say)(format!("waiting for {target} to be healthy"));
    let before = wait_calm(console, &target).await?;
    let last_before =
        console.snapshot().await?.incidents.iter().map(|i| i.number).max().unwrap_or(0);
    let actor = &config.operator;
    let inject = Command::Inject {
        fault: FaultId::of(fault.descriptor().id),
        target: Some(target.clone()),
        params: Default::default(),
        ttl_s: drill.ttl.map(|ttl| ttl.as_secs()),
        beside: false,
    };
    let accepted = console.order(actor, inject).await?;
    (stage.say)(accepted.message.clone());
    let number = accepted.injection.context("the engine named no injection")?;
    let played = watch_incident(console, config, stage, &target, (number, last_before)).await;
    // Whatever happened, the lab is left as it was; what went wrong first is what is told.
    let reverted = revert(console, actor, number).await;
    let Played { incident, took_at } = played?;
    let injection = reverted?;
    let after = wait_calm(console, &target).await.ok();
    let seen = outcome::Seen { before: &before, took_at, after: after.as_deref() };
    Ok(Outcome::of(fault.descriptor(), &incident, &injection, &seen))
}

async fn choose_target(
    console: &Console,
    fault: &dyn crate::faults::Fault,
    asked: Option<&str>,
) -> anyhow::Result<TargetId> {
    let engine = fault.descriptor().engine;
    let snapshot = console.snapshot().await?;
    if let Some(name) = asked {
        return asked_target(&snapshot, name);
    }
    let fits = |view: &&Arc<TargetView>| {
        view.target.is_lab() && engine.is_none_or(|e| e == view.target.engine)
    };
    let found = snapshot.targets.iter().rev().find(fits).map(|view| view.target.id.clone());
    found.with_context(|| {
        format!("no target of the lab fits {}; `simctl up` makes the lab", fault.descriptor().id)
    })
}

/// A target that may not be broken is refused before anything is waited for.
fn asked_target(snapshot: &Snapshot, name: &str) -> anyhow::Result<TargetId> {
    let Some(view) = snapshot.targets.iter().find(|view| view.target.id == *name) else {
        let names: Vec<&str> = snapshot.targets.iter().map(|v| v.target.id.as_str()).collect();
        bail!("{name} is not watched; watched are: {}", names.join(", "));
    };
    if !view.target.is_lab() {
        bail!("{name} is not a server of the lab; only the lab may be broken");
    }
    Ok(view.target.id.clone())
}

async fn wait_calm(console: &Console, target: &TargetId) -> anyhow::Result<Arc<TargetView>> {
    let until = Instant::now() + CALM;
    loop {
        let snapshot = console.snapshot().await?;
        let Some(view) = snapshot.targets.iter().find(|view| view.target.id == *target) else {
            let names: Vec<&str> =
                snapshot.targets.iter().map(|view| view.target.id.as_str()).collect();
            bail!("{target} is not watched; watched are: {}", names.join(", "));
        };
        let open = snapshot.incidents.iter().find(|i| i.is_open() && i.target == *target);
        let is_calm = open.is_none()
            && view.state == "ok"
            && [&view.held, &view.fresh]
                .into_iter()
                .all(|s| s.as_ref().is_some_and(super::super::domain::sample::Sample::is_clean));
        if is_calm {
            return Ok(Arc::clone(view));
        }
        if Instant::now() > until {
            match open {
                Some(incident) => bail!(
                    "{target} is not calm: {} is open ({})",
                    incident.name(),
                    incident.message
                ),
                None => bail!("{target} is not healthy: {} (health {})", view.state, view.health),
            }
        }
        sleep(LOOK).await;
    }
}

async fn watch_incident(
    console: &Console,
    config: &Config,
    stage: &Stage<'_>,
    target: &TargetId,
    (injection, last_before): (u64, u64),
) -> anyhow::Result<Played> {
    let began = Instant::now();
    let mut decided = BTreeSet::new();
    let (mut said, mut took_at) = (String::new(), None);
    loop {
        let snapshot = console.snapshot().await?;
        let injected = snapshot.injections.iter().find(|known| known.number == injection);
        match injected.map(|known| &known.state) {
            Some(InjectionState::DidNotTake { reason }) => {
                bail!("the injection did not take: {reason}")
            }
            Some(InjectionState::Active { took_at: at, .. }) => took_at = Some(*at),
            _ => {}
        }
        let of_drill = |i: &&Arc<Incident>| i.target == *target && i.number > last_before;
        let incidents: Vec<&Arc<Incident>> = snapshot.incidents.iter().filter(of_drill).collect();
        let now = incidents.iter().map(|incident| progress(incident)).collect::<Vec<_>>();
        let now = now.join("; ");
        if now != said {
            (stage.say)(now.clone());
            said.clone_from(&now);
        }
        let is_over = |i: &&Arc<Incident>| matches!(i.status, Status::Resolved | Status::Failed);
        if let Some(told) = telling(&incidents)
            && incidents.iter().all(is_over)
        {
            return Ok(Played { incident: Arc::clone(told), took_at });
        }
        for incident in incidents {
            decide(console, config, stage, incident, &mut decided).await?;
        }
        if began.elapsed() > WHOLE {
            let what = if now.is_empty() { "no incident was opened".into() } else { now };
            bail!("not over after {} s: {what}", WHOLE.as_secs());
        }
        sleep(LOOK).await;
    }
}

/// Of several symptoms of one fault, the incident that led to an action tells how it went; else the first.
fn telling<'a>(incidents: &[&'a Arc<Incident>]) -> Option<&'a Arc<Incident>> {
    let acted = |i: &&&Arc<Incident>| i.executions.iter().any(Execution::has_acted);
    incidents.iter().find(acted).or_else(|| incidents.first()).copied()
}

async fn decide(
    console: &Console,
    config: &Config,
    stage: &Stage<'_>,
    incident: &Incident,
    decided: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let Some(active) = incident.active_execution() else { return Ok(()) };
    let Some(proposal) = &active.proposal else { return Ok(()) };
    let waits = active.state == ExecutionState::AwaitingApproval;
    if !waits || !decided.insert(proposal.fingerprint.0.clone()) {
        return Ok(());
    }
    let fingerprint = proposal.fingerprint.0.clone();
    let verdict = tokio::task::block_in_place(|| (stage.ask)(incident, proposal));
    let command = match verdict {
        Verdict::Approve { typed } => {
            Command::Approve { incident: incident.number, fingerprint, typed, seen: None }
        }
        Verdict::Reject { reason } => {
            Command::Reject { incident: incident.number, fingerprint: Some(fingerprint), reason }
        }
    };
    match console.order(&config.operator, command).await {
        Ok(accepted) => (stage.say)(accepted.message),
        // The proposal may have moved on meanwhile, or another action still runs: then it is asked again.
        Err(refused) => {
            decided.remove(&proposal.fingerprint.0);
            (stage.say)(format!("not accepted: {refused}"));
            sleep(AGAIN).await;
        }
    }
    Ok(())
}

async fn revert(console: &Console, actor: &str, number: u64) -> anyhow::Result<Injection> {
    console.order(actor, Command::Clear { injection: Some(number), target: None }).await?;
    let until = Instant::now() + CLEARED;
    loop {
        let snapshot = console.snapshot().await?;
        let found = snapshot.injections.iter().find(|injection| injection.number == number);
        if let Some(injection) = found.filter(|injection| !injection.state.is_live()) {
            return Ok(injection.clone());
        }
        if Instant::now() > until {
            bail!(
                "f-{number} is not reverted after {} s; `simctl clear --all` tries again",
                CLEARED.as_secs()
            );
        }
        sleep(LOOK).await;
    }
}

fn progress(incident: &Incident) -> String {
    let state = incident.active_execution().map(|execution| execution.state.as_str());
    let words = [Some(incident.status.as_str()), state, incident.cause().map(CauseId::as_str)];
    let said: Vec<&str> = words.into_iter().flatten().collect();
    format!("{} {}", incident.name(), said.join(", "))
}
