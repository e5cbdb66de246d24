//! Seeded random schedules over the decision: faults, lost samples, slow or silent work, late or wrong
//! approvals, restarts at any event. The invariants must hold at every turn, and when faults stop, every
//! incident must end. A failing seed is printed; put it into `ALWAYS`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simctl::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use simctl::domain::effect::{Command, Effect, Input, Investigation, Ordered, Prepared};
use simctl::domain::event::{Event, EventBody};
use simctl::domain::execution::{Check, ExecutionState, Output, Verification};
use simctl::domain::health::Health;
use simctl::domain::ids::{ActionId, CauseId, ExecutionId, FaultId, Ids, IncidentId, TargetId};
use simctl::domain::incident::{Incident, Request, Status};
use simctl::domain::injection::InjectionState;
use simctl::domain::ledger::{Ledger, Limits};
use simctl::domain::policy::{Demand, Policy, Rule};
use simctl::domain::proposal::{Args, Draft, Preview, ProposedStep, Risk, Undo};
use simctl::domain::readings::Readings;
use simctl::domain::sample::{Answer, Origin, RuntimeEvent, RuntimeEventKind, Sample, reading};
use simctl::domain::step::step;
use simctl::domain::target::{Engine, Profile, Target, Thresholds};
use simctl::domain::world::World;

use self::requests::Requests;

mod requests;

/// Seeds that once failed.
const ALWAYS: &[u64] = &[];
const SEEDS: u64 = 24;
/// What the schedules must reach between them, or they prove little.
const REACHED: [&str; 18] = [
    "incident_opened",
    "incident_resolved",
    "incident_failed",
    "proposed",
    "decided",
    "decision_refused",
    "action_started",
    "action_finished",
    "verified",
    "rolled_back",
    "undo_started",
    "stop_ordered",
    "injection_started",
    "injection_moved",
    "incident_escalated",
    "store_lost",
    "store_returned",
    "runtime_observed",
];
const TURN: TimeDelta = TimeDelta::milliseconds(250);

#[test]
fn the_invariants_hold_on_every_schedule() {
    let mut seen: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut requests = Requests::default();
    for seed in ALWAYS.iter().copied().chain(0..SEEDS) {
        let mut sim = Sim::new(seed);
        sim.run(1_200);
        sim.faults_stop_and_everything_ends();
        for event in &sim.log {
            requests.note(event);
            *seen.entry(event.body.kind()).or_default() += 1;
        }
    }
    for kind in REACHED {
        assert!(seen.contains_key(kind), "no schedule reached {kind}: {seen:?}");
    }
    let Requests { opened, ran, withdrawn, failed } = requests;
    let counts = [opened.len(), ran, withdrawn, failed];
    assert!(
        counts.iter().all(|count| *count > 0),
        "requests that opened, ran, ended without, failed: {counts:?}"
    );
}

struct Sim {
    seed: u64,
    rng: StdRng,
    world: World,
    ids: Ids,
    now: DateTime<Utc>,
    log: Vec<Event>,
    /// Results on their way: when due, for which execution, what.
    pending: Vec<(DateTime<Utc>, Option<ExecutionId>, Input)>,
    /// Results that arrived already, and those that a crash kept from arriving: they may come again, or late.
    delivered: Vec<Input>,
    ran: BTreeSet<(ExecutionId, usize)>,
    /// The truth about the server.
    broken: bool,
    server: Server,
    quiet: bool,
}

/// How the server takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Answers,
    Hangs,
    Gone,
}

impl Server {
    const ALL: [Self; 3] = [Self::Answers, Self::Hangs, Self::Gone];

    fn connect(self) -> Answer {
        match self {
            Self::Answers => Answer::Ok,
            Self::Hangs => Answer::Hung { after_ms: 1_000 },
            Self::Gone => Answer::Gone { text: "connection refused".into() },
        }
    }
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = world(Ledger::default(), rng.random_bool(0.3));
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
        let mut sim = Self {
            seed,
            rng,
            world,
            ids: Ids::seeded(seed),
            now,
            log: Vec::new(),
            pending: Vec::new(),
            delivered: Vec::new(),
            ran: BTreeSet::new(),
            broken: false,
            server: Server::Answers,
            quiet: false,
        };
        sim.feed(Input::Started { version: "test".into(), holder: "sim".into() });
        sim
    }

    fn run(&mut self, turns: u32) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += TURN;
        self.deliver();
        for (target, origin) in [
            (target_id(), Origin::Held),
            (target_id(), Origin::Fresh),
            (other_id(), Origin::Held),
            (other_id(), Origin::Fresh),
        ] {
            if self.quiet || self.rng.random_bool(0.95) {
                let sample = self.sample(&target, origin);
                self.feed(Input::Sampled { target, sample });
            }
        }
        self.feed(Input::Tick);
        if !self.quiet {
            self.something_happens();
        }
        self.check();
    }

    fn something_happens(&mut self) {
        match self.rng.random_range(0..400u32) {
            0 => self.broken = true,
            1 => self.broken = false,
            2..=14 => self.decide_something(),
            15..=17 => self.inject(target_id()),
            37 => self.inject(other_id()),
            18 => self.order(Command::Clear { injection: None, target: None }),
            19..=20 => self.restart(),
            24 => self.feed(Input::StoreLost { reason: "connection refused".into() }),
            25..=27 if self.world.store_is_away => self.feed(Input::StoreReturned { merged: 7 }),
            28..=29 => self.runtime_speaks(),
            30..=31 => self.server = Server::ALL[self.rng.random_range(0..Server::ALL.len())],
            32..=36 => self.repeat_something(),
            21 => self.order_on_any(|incident| Command::Retry { incident }),
            22 => self.order_on_any(|incident| Command::Note { incident, text: "seen".into() }),
            23 => {
                self.order_on_any(|incident| Command::Resolve {
                    incident,
                    reason: "enough".into(),
                });
            }
            42..=43 => self.order_on_any(|incident| Command::Reverify { incident }),
            44 => self.order(Command::Probe { target: None }),
            45..=47 => self.ask_for_something(target_id()),
            48 => self.ask_for_something(other_id()),
            40 => self.order_on_any(|incident| Command::Stop { incident }),
            41 => self.order_on_any(|incident| Command::Kill { incident }),
            38..=39 => {
                let typed = self.rng.random_bool(0.9).then(|| "redis-test".to_owned());
                self.order_on_any(|incident| Command::Undo { incident, typed: typed.clone() });
            }
            _ => {}
        }
    }

    fn decide_something(&mut self) {
        let waiting = self.world.ledger.incidents.values().find_map(|incident| {
            let proposal = incident.active_execution()?.proposal.as_ref()?;
            Some((incident.number, proposal.fingerprint.0.clone()))
        });
        let Some((incident, fingerprint)) = waiting else { return };
        let typed = self.rng.random_bool(0.8).then(|| "redis-test".to_owned());
        match self.rng.random_range(0..10u32) {
            0 => {
                self.order(Command::Approve {
                    incident,
                    fingerprint: "000000000000".into(),
                    typed,
                    seen: None,
                });
            }
            2 => self.order(Command::DryRun { incident, fingerprint }),
            1 => self.order(Command::Reject { incident, fingerprint: None, reason: "no".into() }),
            _ => self.order(Command::Approve { incident, fingerprint, typed, seen: None }),
        }
    }

    fn order_on_any(&mut self, make: impl Fn(u64) -> Command) {
        if let Some(number) = self.world.ledger.incidents.values().map(|i| i.number).max() {
            self.order(make(number));
        }
    }

    fn order(&mut self, command: Command) {
        self.feed(Input::Command(Ordered { actor: "ops1".into(), command }));
    }

    fn inject(&mut self, target: TargetId) {
        self.feed(Input::Inject {
            actor: "ops1".into(),
            fault: FaultId::of("leak-oom"),
            target,
            params: BTreeMap::new(),
            ttl: TimeDelta::seconds(60),
            undo: vec!["unlink the keys".into()],
            beside: false,
        });
    }

    fn ask_for_something(&mut self, target: TargetId) {
        let draft = self.draft(Request::CAUSE);
        let action = draft.steps[0].action.clone();
        let request = Request { action, args: Args::new(), reason: "wanted".into() };
        self.feed(Input::Requested { actor: "ops1".into(), target, request, draft });
    }

    fn runtime_speaks(&mut self) {
        use RuntimeEventKind as Kind;
        let kinds = [Kind::Died, Kind::OutOfMemory, Kind::Paused, Kind::Unpaused, Kind::Started];
        let kind = kinds[self.rng.random_range(0..kinds.len())];
        let event = RuntimeEvent { at: self.now, kind, detail: "exit code 137".into() };
        self.feed(Input::Runtime { target: target_id(), event });
    }

    /// A result comes twice, or after the engine that waited for it is gone.
    fn repeat_something(&mut self) {
        if !self.delivered.is_empty() {
            let input = self.delivered[self.rng.random_range(0..self.delivered.len())].clone();
            self.feed(input);
        }
    }

    /// A crash: everything but the log is gone.
    fn restart(&mut self) {
        let before = self.world.ledger.clone();
        let replayed = replay(&self.log);
        assert_eq!(replayed, before, "seed {}: the log does not give the same ledger", self.seed);
        let (kept, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(_, _, input)| matches!(input, Input::InjectionMoved { .. }));
        self.pending = kept;
        self.delivered.extend(lost.into_iter().map(|(_, _, input)| input));
        let automatic = !self.world.policy.rules.is_empty();
        self.world = world(replayed, automatic);
        self.feed(Input::Started { version: "test".into(), holder: "sim".into() });
    }

    fn feed(&mut self, input: Input) {
        let outcome = step(&mut self.world, input, self.now, &mut self.ids);
        self.log.extend(outcome.events);
        for effect in outcome.effects {
            self.perform(effect);
        }
    }

    fn deliver(&mut self) {
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(at, _, _)| *at <= self.now);
        self.pending = rest;
        for (_, _, input) in due {
            if let Input::InjectionMoved { state, .. } = &input {
                match state {
                    InjectionState::Active { .. } => self.broken = true,
                    InjectionState::Reverted { .. } => self.broken = false,
                    InjectionState::Starting
                    | InjectionState::DidNotTake { .. }
                    | InjectionState::Reverting => {}
                }
            }
            if !matches!(input, Input::InjectionMoved { .. }) {
                self.delivered.push(input.clone());
            }
            self.feed(input);
        }
    }

    fn later(&mut self, execution: Option<ExecutionId>, most_ms: i64, input: Input) {
        let due = self.now + TimeDelta::milliseconds(self.rng.random_range(0..=most_ms));
        self.pending.push((due, execution, input));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Confirm { .. }
            | Effect::Probe { .. }
            | Effect::Adopt { .. }
            | Effect::Forget { .. }
            | Effect::Report { .. } => {}
            Effect::Cancel { execution } => {
                self.pending.retain(|(_, of, _)| *of != Some(execution));
            }
            Effect::Investigate { incident, execution, .. } => {
                let (id, revision) = (incident.id, incident.revision);
                let mut result = self.investigation();
                if incident.request.is_some() {
                    result.diagnosis.causes.clear();
                }
                if self.quiet || self.rng.random_bool(0.95) {
                    self.later(
                        Some(execution),
                        4_000,
                        Input::Diagnosed { incident: id, execution, revision, result },
                    );
                }
            }
            Effect::Recheck { incident, execution, step, .. } => {
                let result = if self.rng.random_bool(0.9) {
                    Ok(Prepared::default())
                } else {
                    Err("keys was 5 and is now 9".into())
                };
                self.later(
                    Some(execution),
                    500,
                    Input::Rechecked { incident, execution, step, result },
                );
            }
            Effect::DryRun { incident, execution, fingerprint, .. } => {
                let result = if self.rng.random_bool(0.8) {
                    Ok(vec![Preview::default()])
                } else {
                    Err("keys was 5 and is now 9".into())
                };
                let input = Input::DryRan { incident, execution, fingerprint, result };
                self.later(Some(execution), 500, input);
            }
            Effect::Run { incident, execution, step, .. } => {
                self.assert_permitted(incident, execution);
                self.assert_once(execution, step);
                if self.rng.random_bool(0.7) {
                    self.broken = false;
                }
                let ok = self.rng.random_bool(0.85);
                let (output, health) = (Output::default(), Health::Score(50));
                if self.rng.random_bool(0.97) {
                    self.later(
                        Some(execution),
                        3_000,
                        Input::StepFinished { incident, execution, step, ok, output, health },
                    );
                }
            }
            Effect::Verify { incident, execution, .. } => {
                let verification = self.verification();
                if self.quiet || self.rng.random_bool(0.97) {
                    self.later(
                        Some(execution),
                        12_000,
                        Input::Verified { incident, execution, verification },
                    );
                }
            }
            Effect::Undo { incident, execution, .. } => {
                let ok = self.rng.random_bool(0.9);
                if self.rng.random_bool(0.95) {
                    self.later(
                        Some(execution),
                        2_000,
                        Input::Undone { incident, execution, ok, detail: "put back".into() },
                    );
                }
            }
            Effect::Inject { injection } => {
                let took_at = self.now;
                let active = InjectionState::Active { took_at, symptom: "OOM".into() };
                self.later(
                    None,
                    2_000,
                    Input::InjectionMoved { injection: injection.id, state: active },
                );
                // The watchdog keeps the deadline, but for the times it dies.
                if self.rng.random_bool(0.8) {
                    let state = InjectionState::Reverted {
                        at: injection.deadline,
                        by: "watchdog".into(),
                        left_over: vec![],
                    };
                    self.pending.push((
                        injection.deadline,
                        None,
                        Input::InjectionMoved { injection: injection.id, state },
                    ));
                }
            }
            Effect::Revert { injection, .. } => {
                let state = InjectionState::Reverted {
                    at: self.now,
                    by: "engine".into(),
                    left_over: vec![],
                };
                self.later(None, 1_000, Input::InjectionMoved { injection: injection.id, state });
            }
        }
    }

    /// No step of an execution runs twice, whatever comes late, twice, or after a crash.
    fn assert_once(&mut self, execution: ExecutionId, step: usize) {
        let is_new = self.ran.insert((execution, step));
        assert!(is_new, "seed {}: step {step} of {execution:?} runs again", self.seed);
        let mut active =
            self.world.ledger.incidents.values().filter_map(Incident::active_execution);
        let risk = active
            .find(|active| active.id == execution)
            .and_then(|active| Some(active.proposal.as_ref()?.draft.steps.get(step)?.risk));
        assert!(
            !(self.world.store_is_away && risk >= Some(Risk::High)),
            "seed {}: {risk:?} risk runs while the store is away",
            self.seed
        );
    }

    /// Invariant 1: what runs was permitted, by a decision about exactly this fingerprint, stored before.
    fn assert_permitted(&self, incident: IncidentId, execution: ExecutionId) {
        let known = &self.world.ledger.incidents[&incident];
        let active = known.active_execution().expect("an action runs for an active execution");
        assert_eq!(active.id, execution);
        let proposal = active.proposal.as_ref().expect("an action has a proposal");
        let decided = self.log.iter().rev().find_map(|event| match &event.body {
            EventBody::Decided { execution: of, approval } if *of == execution => Some(approval),
            _ => None,
        });
        let approval = decided.expect("an action was decided about");
        assert!(approval.decision.permits(), "seed {}: {approval:?}", self.seed);
        assert_eq!(approval.fingerprint, proposal.fingerprint, "seed {}", self.seed);
        assert!(approval.at < proposal.expires_at, "seed {}", self.seed);
        let started = self.log.iter().any(|event| {
            matches!(&event.body, EventBody::ActionStarted { execution: of, .. } if *of == execution)
        });
        assert!(started, "seed {}: an action runs before its start is recorded", self.seed);
    }

    fn investigation(&mut self) -> Investigation {
        let cause = CauseId::of("leak-oom");
        let judged = JudgedCause {
            cause: cause.clone(),
            grade: Grade::Confirmed,
            because: "it is".into(),
            evidence: vec![],
            missing: None,
        };
        let diagnosis =
            Diagnosis { causes: vec![judged], evidence: vec![], summary: "a leak".into() };
        let plan = if self.rng.random_bool(0.9) {
            Ok(self.draft(cause))
        } else {
            Err("nothing known fits".into())
        };
        Investigation { agent: "playbook".into(), diagnosis, plan }
    }

    fn draft(&mut self, cause: CauseId) -> Draft {
        const ACTIONS: [&str; 4] =
            ["kill_redis_clients", "unlink_keys", "restart_redis", "clear_redis_cache"];
        let steps = (0..self.rng.random_range(1..=2usize)).map(|_| {
            let risk = Risk::ALL[self.rng.random_range(0..Risk::ALL.len())];
            let undo = if self.rng.random_bool(0.5) {
                Undo::Exact("put back".into())
            } else {
                Undo::Impossible
            };
            let preview = Preview { commands: vec!["redis-cli PING".into()], ..Preview::default() };
            let action = ActionId::of(ACTIONS[self.rng.random_range(0..ACTIONS.len())]);
            ProposedStep {
                action,
                args: Args::new(),
                risk,
                preview,
                undo,
                verify: "writes work".into(),
            }
        });
        let steps = steps.collect();
        Draft {
            cause,
            steps,
            why: "why".into(),
            effect: "effect".into(),
            if_not: "if not".into(),
            target_identity: "id".into(),
        }
    }

    fn verification(&self) -> Verification {
        let check =
            Check { name: "it writes".into(), passed: Some(!self.broken), detail: String::new() };
        let health_after = Health::Score(if self.broken { 0 } else { 90 });
        Verification {
            checks: vec![check],
            rounds: 5,
            left_out: vec![],
            cause_gone: false,
            held_ms: 10_000,
            health_after,
            symptom_free_after_ms: Some(50),
        }
    }

    fn sample(&self, target: &TargetId, origin: Origin) -> Sample {
        let is_first = *target == target_id();
        let broken = self.broken && is_first;
        let server = if is_first { self.server } else { Server::Answers };
        let (connect, other) = match server.connect() {
            Answer::Ok => (Answer::Ok, Answer::Ok),
            bad => (bad, Answer::NotAsked),
        };
        let write = if broken && other.is_ok() {
            Answer::Error {
                code: "OOM".into(),
                text: "OOM command not allowed when used memory > 'maxmemory'.".into(),
            }
        } else {
            other.clone()
        };
        let used = if broken { 50_000_000.0 } else { 5_000_000.0 };
        let readings = Readings::from([
            (reading::USED_MEMORY_BYTES, used),
            (reading::MAXMEMORY_BYTES, 52_428_800.0),
            (reading::REFUSES_WHEN_FULL, 1.0),
        ]);
        let has_readings = origin == Origin::Held && connect.is_ok();
        let readings = if has_readings { readings } else { Readings::default() };
        Sample { at: self.now, origin, took_ms: 0.5, connect, read: other, write, readings }
    }

    fn check(&self) {
        let seed = self.seed;
        let mut open = BTreeSet::new();
        for incident in self.world.ledger.incidents.values().filter(|i| i.is_open()) {
            assert!(
                open.insert((incident.target.clone(), incident.finding)),
                "seed {seed}: two open incidents of one kind"
            );
            let active = incident.executions.iter().filter(|e| !e.state.is_over()).count();
            assert!(active <= 1, "seed {seed}: {active} active executions");
            assert!(incident.attempts() <= 2, "seed {seed}: {} attempts", incident.attempts());
        }
        let open = self.world.ledger.incidents.values();
        let acting = open.filter_map(|incident| Some((incident, incident.active_execution()?)));
        let acting = acting.filter(|(_, e)| {
            matches!(e.state, ExecutionState::Executing | ExecutionState::Verifying)
        });
        let undone = self.world.ledger.incidents.values();
        let acting = acting.chain(undone.filter_map(|i| Some((i, i.being_undone()?))));
        let mut targets = BTreeSet::new();
        for (incident, _) in acting {
            assert!(
                targets.insert(incident.target.clone()),
                "seed {seed}: two executions act on {}",
                incident.target
            );
        }
        for injection in self.world.ledger.injections.values().filter(|i| i.state.is_live()) {
            let late = self.now - injection.deadline;
            assert!(
                late < TimeDelta::seconds(10),
                "seed {seed}: {} is {late} late",
                injection.name()
            );
        }
    }

    fn faults_stop_and_everything_ends(&mut self) {
        self.quiet = true;
        self.order(Command::Clear { injection: None, target: None });
        self.run(40);
        self.broken = false;
        self.server = Server::Answers;
        self.feed(Input::StoreReturned { merged: 0 });
        self.run(1_600);
        for incident in self.world.ledger.incidents.values() {
            let ended = matches!(incident.status, Status::Resolved | Status::Failed);
            assert!(
                ended,
                "seed {}: {} is still {:?}",
                self.seed,
                incident.name(),
                incident.status
            );
        }
        let asked = &self.world.verified_again;
        assert!(asked.is_empty(), "seed {}: {asked:?} are verified for ever", self.seed);
        let undone = self.world.ledger.incidents.values().find_map(Incident::being_undone);
        assert!(undone.is_none(), "seed {}: {undone:?} is being taken back for ever", self.seed);
        assert_eq!(replay(&self.log), self.world.ledger, "seed {}", self.seed);
        self.nothing_leaves_resolved();
    }

    fn nothing_leaves_resolved(&self) {
        let mut resolved = BTreeSet::new();
        for event in &self.log {
            let Some(id) = event.incident else { continue };
            let changes = matches!(
                event.body,
                EventBody::StatusChanged { .. }
                    | EventBody::IncidentFailed { .. }
                    | EventBody::IncidentResolved { .. }
            );
            assert!(
                !(changes && resolved.contains(&id)),
                "seed {}: {:?} after the end",
                self.seed,
                event.body
            );
            if matches!(event.body, EventBody::IncidentResolved { .. }) {
                resolved.insert(id);
            }
        }
    }
}

fn target_id() -> TargetId {
    TargetId::of("redis-test")
}

fn other_id() -> TargetId {
    TargetId::of("redis-other")
}

fn world(ledger: Ledger, automatic: bool) -> World {
    let target = |id| Target {
        id,
        engine: Engine::Redis,
        profile: Profile::Lab,
        lab: Some("lab".into()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    };
    let rule = Rule {
        name: "low risk is automatic".into(),
        risk_up_to: Some(Risk::Medium),
        demand: Some(Demand::Automatic),
        ..Rule::default()
    };
    let rules = if automatic { vec![rule] } else { vec![] };
    let mut world = World::new(
        ledger,
        vec![target(target_id()), target(other_id())],
        Policy { rules, version: "v1".into() },
        Limits::default(),
    );
    if automatic {
        world.remediation = simctl::domain::incident::RemediationMode::Automatic;
    }
    world
}

fn replay(log: &[Event]) -> Ledger {
    let mut ledger = Ledger::default();
    for event in log {
        ledger.apply(event);
    }
    ledger
}
