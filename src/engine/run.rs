//! Starting the engine, its loop, and its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::abilities::{self, Cannot};
use super::clock::now;
use super::handle::{EVENTS_KEPT, Handle, Request, Snapshot};
use super::history;
use super::injections;
use super::keeper::{Keeper, LEASE_TTL};
use super::orders;
use super::perform::Performer;
use super::pollers::{self, Nudges, Watched};
use super::requests;
use super::snapshot::{Pace, Views};
use crate::actions;
use crate::agent::model::Advisor;
use crate::config::Config;
use crate::domain::effect::{Accepted, Command, Effect, Input, Ordered, Refused};
use crate::domain::event::Event;
use crate::domain::execution::Output;
use crate::domain::health::Health;
use crate::domain::ids::{Ids, TargetId};
use crate::domain::incident::{Incident, RemediationMode};
use crate::domain::ledger::Limits;
use crate::domain::policy::Policy;
use crate::domain::proposal::Risk;
use crate::domain::step::step;
use crate::domain::world::World;
use crate::ports::store::{Lease, Store, StoreError};
use crate::targets::Server;

const TICK: Duration = Duration::from_millis(500);
const STORE_LOOK: Duration = Duration::from_secs(1);
/// An engine that is told to stop waits this long for an action that is under way.
const ACTION_END: Duration = Duration::from_secs(30);
/// Inputs decided together share one transaction.
const MOST_AT_ONCE: usize = 256;

/// What an engine is made of.
pub struct Parts {
    pub servers: Vec<Server>,
    pub store: Arc<dyn Store>,
    pub policy: Policy,
    pub limits: Limits,
    pub remediation: RemediationMode,
    pub state_dir: PathBuf,
    pub inject_ttl: Duration,
    /// Is asked before the playbook, where there is one.
    pub advisor: Option<Arc<Advisor>>,
    /// Names this engine to others that want the lease.
    pub holder: String,
    pub seed: u64,
}

/// A running engine.
pub struct Running {
    pub handle: Handle,
    stop: CancellationToken,
    reason: watch::Sender<String>,
    joined: JoinHandle<Result<(), StoreError>>,
}

impl Running {
    /// Returns when the engine ends by itself; why.
    pub async fn ended(&mut self) -> String {
        match (&mut self.joined).await {
            Ok(Ok(())) => "asked to stop".into(),
            Ok(Err(error)) => format!("{:#}", anyhow::Error::from(error)),
            Err(panic) => format!("the engine failed: {panic}"),
        }
    }

    /// Ends it in order: the reason is stored, the lease is free, injections keep their deadlines.
    pub async fn stop(mut self, reason: &str) {
        self.reason.send_replace(reason.to_owned());
        self.stop.cancel();
        self.ended().await;
    }
}

/// Starts an engine as configured.
pub async fn start(
    config: &Config,
    servers: Vec<Server>,
    store: Arc<dyn Store>,
    advisor: Option<Arc<Advisor>>,
) -> Result<Running, StoreError> {
    let seed = now().timestamp_micros().unsigned_abs() ^ u64::from(std::process::id());
    start_with(Parts {
        servers,
        store,
        policy: config.policy.clone(),
        limits: config.limits.clone(),
        remediation: config.remediation,
        state_dir: config.state_dir.clone(),
        inject_ttl: config.inject_ttl,
        advisor,
        holder: format!("{} (pid {}, {:04x})", config.operator, std::process::id(), seed & 0xffff),
        seed,
    })
    .await
}

/// Takes the lease, loads the ledger, settles what an earlier engine left, and starts watching.
pub async fn start_with(parts: Parts) -> Result<Running, StoreError> {
    let (keeper, ledger) =
        Keeper::open(Arc::clone(&parts.store), &parts.holder, &parts.state_dir, now()).await?;
    let targets = parts.servers.iter().map(|server| server.target.clone()).collect();
    actions::set_undo_dir(parts.state_dir.join("undo"));
    let mut world = World::new(ledger, targets, parts.policy, parts.limits);
    world.remediation = parts.remediation;
    let watched: BTreeMap<TargetId, Watched> = parts
        .servers
        .into_iter()
        .map(|server| {
            let probe = server.probe();
            (
                server.target.id.clone(),
                Watched { server, probe, nudges: Arc::new(Nudges::default()) },
            )
        })
        .collect();
    let (inbox, inputs) = mpsc::channel(1_024);
    let (results_in, results) = mpsc::unbounded_channel();
    let (requests_in, requests) = mpsc::channel(64);
    let mut performer =
        Performer::new(watched.clone(), results_in, Arc::clone(&parts.store), parts.state_dir);
    performer.advisor = parts.advisor;
    pollers::start(&mut performer.tasks, &watched, &inbox);
    let state_dir = performer.state_dir.clone();
    let live = world.ledger.injections.values().filter(|injection| injection.state.is_live());
    let live = live.map(|injection| injection.id).collect();
    performer.tasks.spawn("sweep", injections::sweep(state_dir, live));
    let mut views = Views::default();
    let first = Arc::new(views.of(&world, keeper.view(), now()));
    let (snapshots_in, snapshots) = watch::channel(first);
    performer
        .tasks
        .spawn("record history", history::record(snapshots.clone(), Arc::clone(&parts.store)));
    let (previewed_in, previewed) = mpsc::channel(64);
    let (abilities_in, abilities) = mpsc::channel(4);
    let ours = watched.values().map(|one| one.server.clone()).filter(|one| one.target.is_lab());
    performer.tasks.spawn(
        "find out what can be broken",
        abilities::find_out(ours.collect(), snapshots.clone(), abilities_in),
    );
    let (events, _) = broadcast::channel(EVENTS_KEPT);
    let stop = CancellationToken::new();
    let engine = Engine {
        world,
        ids: Ids::seeded(parts.seed),
        keeper,
        performer,
        views,
        pace: Pace::new(Instant::now()),
        snapshots: snapshots_in,
        events: events.clone(),
        watched,
        previewed: previewed_in,
        inject_ttl: parts.inject_ttl,
    };
    let started =
        Input::Started { version: env!("CARGO_PKG_VERSION").to_owned(), holder: parts.holder };
    let (reason_in, reason) = watch::channel("asked to stop".to_owned());
    let loops =
        Inlets { inputs, results, requests, previewed, abilities, stop: stop.clone(), reason };
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine's own loop; joined in Running::ended"
    )]
    let joined = tokio::spawn(engine.run(started, loops));
    let handle = Handle { snapshots, events, requests: requests_in };
    Ok(Running { handle, stop, reason: reason_in, joined })
}

/// Everything that reaches the loop.
struct Inlets {
    inputs: mpsc::Receiver<Input>,
    results: mpsc::UnboundedReceiver<Input>,
    requests: mpsc::Receiver<Request>,
    previewed: mpsc::Receiver<requests::Previewed>,
    abilities: mpsc::Receiver<(TargetId, Cannot)>,
    stop: CancellationToken,
    reason: watch::Receiver<String>,
}

struct Engine {
    world: World,
    ids: Ids,
    keeper: Keeper,
    performer: Performer,
    views: Views,
    pace: Pace,
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Arc<crate::domain::event::Sealed>>,
    watched: BTreeMap<TargetId, Watched>,
    previewed: mpsc::Sender<requests::Previewed>,
    inject_ttl: Duration,
}

/// What a command is told.
pub(super) type Answer = Result<Accepted, Refused>;

/// Several decisions that become durable together.
#[derive(Default)]
struct Round {
    events: Vec<Event>,
    effects: Vec<Effect>,
    replies: Vec<(oneshot::Sender<Answer>, Answer)>,
}

/// What the background errands of the loop bring.
enum Errand {
    Lease(Result<Lease, StoreError>),
    StoreAnswers,
}

impl Engine {
    async fn run(mut self, started: Input, mut inlets: Inlets) -> Result<(), StoreError> {
        let mut round = Round::default();
        self.decide(started, &mut round);
        self.finish(round).await?;
        let ended = self.turn_until_stopped(&mut inlets).await;
        let mut last = Round::default();
        let reason = ended
            .as_ref()
            .err()
            .map_or_else(|| inlets.reason.borrow().clone(), ToString::to_string);
        self.decide(Input::Stopping { reason }, &mut last);
        let kept = self.finish(last).await;
        self.performer.tasks.stop().await;
        self.keeper.release().await;
        ended.and(kept)
    }

    async fn turn_until_stopped(&mut self, inlets: &mut Inlets) -> Result<(), StoreError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewals = interval(LEASE_TTL / 3);
        let mut looks = interval(STORE_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (errands_in, mut errands) = mpsc::channel(4);
        let mut patience: Option<Instant> = None;
        loop {
            let mut round = Round::default();
            tokio::select! {
                () = inlets.stop.cancelled(), if patience.is_none() => {
                    patience = Some(Instant::now() + ACTION_END);
                }
                Some(request) = inlets.requests.recv(), if patience.is_none() => {
                    self.order(request, &mut round);
                }
                Some((input, reply)) = inlets.previewed.recv(), if patience.is_none() => {
                    self.decide_and_answer(input, reply, &mut round);
                }
                Some(input) = inlets.results.recv() => { self.decide(input, &mut round); }
                Some(input) = inlets.inputs.recv() => { self.decide(input, &mut round); }
                Some((target, cannot)) = inlets.abilities.recv() => {
                    self.views.note_abilities(target, cannot);
                }
                Some(errand) = errands.recv() => self.errand(errand, &mut round).await?,
                () = self.pace.until_due() => {}
                _ = ticks.tick() => { self.decide(Input::Tick, &mut round); }
                _ = renewals.tick() => self.renew_lease(errands_in.clone()),
                _ = looks.tick(), if self.keeper.is_away() => self.look_for_store(errands_in.clone()),
            }
            self.drain(inlets, &mut round);
            // An engine that ends begins nothing: the next one goes on from what is recorded.
            if patience.is_some() {
                round.effects.clear();
            }
            self.finish(round).await?;
            // An action is not broken off midway: half a restart is worse than a whole one.
            if patience.is_some_and(|until| !self.is_acting() || Instant::now() > until) {
                return Ok(());
            }
        }
    }

    /// Takes what else is waiting, so that it shares the transaction and the snapshot.
    fn drain(&mut self, inlets: &mut Inlets, round: &mut Round) {
        for _ in 0..MOST_AT_ONCE {
            if let Ok(input) = inlets.results.try_recv() {
                self.decide(input, round);
            } else if let Ok(input) = inlets.inputs.try_recv() {
                self.decide(input, round);
            } else {
                return;
            }
        }
    }

    fn decide(&mut self, input: Input, round: &mut Round) -> Option<Answer> {
        let input = self.with_known_baseline(input);
        if let Input::Sampled { target, .. } | Input::Runtime { target, .. } = &input {
            self.views.touch(target);
        }
        let outcome = step(&mut self.world, input, now(), &mut self.ids);
        for target in outcome.events.iter().filter_map(|event| event.target.as_ref()) {
            self.views.touch(target);
        }
        round.events.extend(outcome.events);
        round.effects.extend(outcome.effects);
        outcome.reply
    }

    /// What the lab's servers are set to is known beforehand; it beats what is read first, which may be broken.
    fn with_known_baseline(&self, input: Input) -> Input {
        let Input::SettingsRead { target, mut settings } = input else { return input };
        let is_lab = self.world.target(&target).filter(|known| known.is_lab());
        if let Some(known) = is_lab {
            settings.extend(crate::lab::baseline(known.engine));
            // Only what has limits was made with them.
            for (name, made_with) in crate::lab::unit_baseline(known.engine) {
                settings.entry(name).and_modify(|value| *value = made_with);
            }
        }
        Input::SettingsRead { target, settings }
    }

    fn order(&mut self, request: Request, round: &mut Round) {
        let Request { ordered, reply } = request;
        if let Command::Propose { .. } = &ordered.command {
            return self.look_ahead(ordered, reply);
        }
        match orders::complete(ordered, &self.watched, self.inject_ttl) {
            Ok(input) => self.decide_and_answer(input, reply, round),
            Err(refused) => round.replies.push((reply, Err(refused))),
        }
    }

    /// What a person asks for is previewed before it is decided about; the loop goes on meanwhile.
    fn look_ahead(&mut self, ordered: Ordered, reply: oneshot::Sender<Answer>) {
        match requests::wanted(ordered, &self.watched) {
            Ok(wanted) => {
                let work = requests::preview(wanted, reply, self.previewed.clone());
                self.performer.tasks.spawn("preview what is asked for", work);
            }
            // Nothing was recorded, so there is nothing to wait for.
            Err(refused) => drop(reply.send(Err(refused))),
        }
    }

    fn decide_and_answer(
        &mut self,
        input: Input,
        reply: oneshot::Sender<Answer>,
        round: &mut Round,
    ) {
        let answer = self.decide(input, round).unwrap_or_else(|| Ok(Accepted::default()));
        round.replies.push((reply, answer));
    }

    /// Makes a round durable, shows it, and only then lets it act.
    async fn finish(&mut self, mut round: Round) -> Result<(), StoreError> {
        let is_urgent = !(round.events.is_empty() && round.replies.is_empty());
        if !round.events.is_empty() {
            let kept = self.keeper.keep(round.events, &self.world.ledger).await?;
            for sealed in kept.sealed {
                // Nobody listening is fine.
                let _ = self.events.send(sealed);
            }
            if let Some(reason) = kept.lost {
                self.store_was_lost(reason, &mut round.effects);
            }
        }
        if self.pace.is_due(is_urgent, Instant::now()) {
            let snapshot = self.views.of(&self.world, self.keeper.view(), now());
            self.snapshots.send_replace(Arc::new(snapshot));
        }
        for effect in round.effects {
            self.performer.perform(effect);
        }
        for (reply, answer) in round.replies {
            let _ = reply.send(answer);
        }
        if let Some(panic) = self.performer.tasks.reap() {
            tracing::error!(panic, "a task of the engine panicked; the engine goes on");
        }
        Ok(())
    }

    /// From now on what is hard to take back waits; also what was about to start.
    fn store_was_lost(&mut self, reason: String, effects: &mut Vec<Effect>) {
        self.world.store_is_away = true;
        let results = self.performer.results.clone();
        let _ = results.send(Input::StoreLost { reason });
        effects.retain(|effect| {
            let Effect::Run { incident, execution, step, plan, .. } = effect else { return true };
            if plan.risk < Risk::High {
                return true;
            }
            let stderr = format!(
                "not run: the store went away, and {} risk waits until it is back",
                plan.risk
            );
            let output = Output { stderr, ..Output::default() };
            let (incident, execution, step) = (*incident, *execution, *step);
            let (ok, health) = (false, Health::Inconclusive);
            let _ =
                results.send(Input::StepFinished { incident, execution, step, ok, output, health });
            false
        });
    }

    /// Whether an action is under way on some target.
    fn is_acting(&self) -> bool {
        let incidents = || self.world.ledger.incidents.values();
        let executions = incidents().filter_map(Incident::active_execution);
        executions.flat_map(|execution| &execution.steps).any(|run| run.end.is_none())
            || incidents().any(|incident| incident.being_undone().is_some())
    }

    fn renew_lease(&mut self, errands: mpsc::Sender<Errand>) {
        let (store, lease) = (self.keeper.store(), self.keeper.lease().clone());
        self.performer.tasks.spawn("renew the lease", async move {
            let renewed = store.renew_lease(&lease, now(), LEASE_TTL).await;
            let _ = errands.send(Errand::Lease(renewed)).await;
        });
    }

    fn look_for_store(&mut self, errands: mpsc::Sender<Errand>) {
        let store = self.keeper.store();
        self.performer.tasks.spawn("look for the store", async move {
            if store.head().await.is_ok() {
                let _ = errands.send(Errand::StoreAnswers).await;
            }
        });
    }

    async fn errand(&mut self, errand: Errand, round: &mut Round) -> Result<(), StoreError> {
        match errand {
            Errand::Lease(Ok(lease)) => self.keeper.renewed(lease),
            Errand::Lease(Err(error)) if matches!(error, StoreError::LeaseHeld { .. }) => {
                return Err(error);
            }
            // The store is away; the append path notices and journals.
            Errand::Lease(Err(error)) => tracing::debug!(%error, "the lease was not renewed"),
            Errand::StoreAnswers if self.keeper.is_away() => match self.keeper.merge().await {
                Ok(merged) => {
                    self.world.ledger.seq = self.keeper.seq();
                    self.decide(Input::StoreReturned { merged }, round);
                }
                Err(error) if error.is_outage() => {
                    tracing::debug!(%error, "the store went away again");
                }
                Err(error) => return Err(error),
            },
            Errand::StoreAnswers => {}
        }
        Ok(())
    }
}
