//! Plays a scenario: turns of 250 ms, effects answered from the bench, the log narrated.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use simctl::actions;
use simctl::agent::playbook;
use simctl::diagnose;
use simctl::domain::diagnosis::Diagnosis;
use simctl::domain::effect::{Command, Effect, Input, Investigation, Known, Ordered, Prepared};
use simctl::domain::event::Event;
use simctl::domain::execution::{Check, Output, Verification};
use simctl::domain::health::{self, Health};
use simctl::domain::ids::{ActionId, ExecutionId, Ids, TargetId};
use simctl::domain::incident::{Incident, RemediationMode, Request};
use simctl::domain::ledger::{Ledger, Limits};
use simctl::domain::policy::{Demand, Policy, Rule};
use simctl::domain::proposal::{Args, Draft, Preview, ProposedStep, Undo};
use simctl::domain::sample::{Origin, RuntimeEvent, RuntimeEventKind};
use simctl::domain::step::step;
use simctl::domain::target::{Engine, Profile, Target, Thresholds};
use simctl::domain::world::World;
use simctl::narrate::{self, Labels};

use super::bench::{Bench, POSTGRES, REDIS};
use super::{Scenario, What};

const TURN: TimeDelta = TimeDelta::milliseconds(250);

/// What an audience hears.
pub(super) struct Told {
    pub(super) lines: Vec<String>,
    /// `INC-0001 resolved`, in order.
    pub(super) ends: Vec<String>,
}

pub(super) fn play(scenario: &Scenario) -> Told {
    let mut stage = Stage::new(scenario);
    let mut steps: Vec<_> = scenario.step.iter().collect();
    steps.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut steps = steps.into_iter().peekable();
    let begin = stage.bench.now;
    while stage.seconds_since(begin) < scenario.until {
        while let Some(next) = steps.next_if(|step| step.at <= stage.seconds_since(begin)) {
            stage.happen(&next.what);
        }
        stage.turn();
    }
    stage.told()
}

struct Stage<'a> {
    scenario: &'a Scenario,
    bench: Bench,
    world: World,
    ids: Ids,
    log: Vec<Event>,
    pending: Vec<(DateTime<Utc>, ExecutionId, Input)>,
    turns: u32,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let now = DateTime::from_timestamp(1_800_021_600, 0).expect("14:00:00");
        let mut stage = Self {
            scenario,
            bench: Bench::new(now),
            world: world(Ledger::default(), scenario),
            ids: Ids::seeded(1),
            log: Vec::new(),
            pending: Vec::new(),
            turns: 0,
        };
        stage.feed(Input::Started { version: "test".into(), holder: "the stage".into() });
        for target in [REDIS, POSTGRES] {
            let settings = stage.bench.settings(target);
            stage.feed(Input::SettingsRead { target: TargetId::of(target), settings });
        }
        stage
    }

    fn seconds_since(&self, begin: DateTime<Utc>) -> f64 {
        (self.bench.now - begin).num_milliseconds() as f64 / 1_000.0
    }

    fn turn(&mut self) {
        self.bench.pass(TURN);
        self.turns += 1;
        self.deliver();
        for target in [REDIS, POSTGRES] {
            self.probe(target, Origin::Held);
            if self.turns.is_multiple_of(4) {
                self.probe(target, Origin::Fresh);
            }
        }
        self.feed(Input::Tick);
    }

    fn probe(&mut self, target: &'static str, origin: Origin) {
        let sample = self.bench.sample(target, origin);
        self.feed(Input::Sampled { target: TargetId::of(target), sample });
    }

    fn deliver(&mut self) {
        let now = self.bench.now;
        let (due, rest) =
            std::mem::take(&mut self.pending).into_iter().partition(|(at, _, _)| *at <= now);
        self.pending = rest;
        let due: Vec<(DateTime<Utc>, ExecutionId, Input)> = due;
        for (_, _, input) in due {
            self.feed(input);
        }
    }

    fn happen(&mut self, what: &What) {
        self.bench.suffer(what);
        match what {
            What::Pause { target } => self.runtime(target, RuntimeEventKind::Paused, ""),
            What::Kill { target } => self.runtime(target, RuntimeEventKind::Died, "exit code 137"),
            What::Revive { target } => self.runtime(target, RuntimeEventKind::Started, ""),
            What::Propose { target, action, reason } => {
                let (args, reason) = (Args::new(), reason.clone());
                let request = Request { action: ActionId::from(action.as_str()), args, reason };
                self.feed(Input::Requested {
                    actor: "ops1".into(),
                    target: TargetId::from(target.as_str()),
                    draft: asked_for(&request),
                    request,
                });
            }
            What::Approve { incident, typed } => {
                let fingerprint = self.fingerprint(*incident);
                self.order(Command::Approve {
                    incident: *incident,
                    fingerprint,
                    typed: typed.clone(),
                    seen: None,
                });
            }
            What::ApproveWrong { incident } => {
                let fingerprint = "0123456789".into();
                self.order(Command::Approve {
                    incident: *incident,
                    fingerprint,
                    typed: None,
                    seen: None,
                });
            }
            What::Reject { incident, reason } => {
                self.order(Command::Reject {
                    incident: *incident,
                    fingerprint: None,
                    reason: reason.clone(),
                });
            }
            What::Retry { incident } => self.order(Command::Retry { incident: *incident }),
            What::Undo { incident, typed } => {
                let typed = Some(typed.clone());
                self.order(Command::Undo { incident: *incident, typed });
            }
            What::Stop { incident } => self.order(Command::Stop { incident: *incident }),
            What::KillAction { incident } => self.order(Command::Kill { incident: *incident }),
            What::Verify { incident } => self.order(Command::Reverify { incident: *incident }),
            What::Note { incident, text } => {
                self.order(Command::Note { incident: *incident, text: text.clone() });
            }
            What::Crash => self.crash(),
            What::StoreGoes => self.feed(Input::StoreLost { reason: "connection refused".into() }),
            What::StoreReturns => self.feed(Input::StoreReturned { merged: 3 }),
            _ => {}
        }
    }

    fn runtime(&mut self, target: &str, kind: RuntimeEventKind, detail: &str) {
        let event = RuntimeEvent { at: self.bench.now, kind, detail: detail.into() };
        self.feed(Input::Runtime { target: TargetId::from(target), event });
    }

    /// The proposal that waits, or any text when none does.
    fn fingerprint(&self, number: u64) -> String {
        let incident = self.world.ledger.by_number(number);
        let proposal =
            incident.and_then(Incident::active_execution).and_then(|e| e.proposal.as_ref());
        proposal.map_or_else(|| "ffffffff".into(), |proposal| proposal.fingerprint.0.clone())
    }

    fn order(&mut self, command: Command) {
        self.feed(Input::Command(Ordered { actor: "ops1".into(), command }));
    }

    fn crash(&mut self) {
        let mut ledger = Ledger::default();
        for event in &self.log {
            ledger.apply(event);
        }
        assert_eq!(ledger, self.world.ledger, "the log gives the same ledger");
        self.world = world(ledger, self.scenario);
        self.pending.clear();
        self.feed(Input::Started { version: "test".into(), holder: "the next stage".into() });
    }

    fn feed(&mut self, input: Input) {
        let outcome = step(&mut self.world, input, self.bench.now, &mut self.ids);
        self.log.extend(outcome.events);
        for effect in outcome.effects {
            self.perform(effect);
        }
    }

    fn later(&mut self, ms: i64, execution: ExecutionId, input: Input) {
        self.pending.push((self.bench.now + TimeDelta::milliseconds(ms), execution, input));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Investigate { incident, execution, known } => {
                let result = self.investigate(&incident, &known);
                let (incident, revision) = (incident.id, incident.revision);
                self.later(
                    300,
                    execution,
                    Input::Diagnosed { incident, execution, revision, result },
                );
            }
            Effect::Recheck { incident, execution, step, .. } => {
                let result = Ok(Prepared::default());
                self.later(20, execution, Input::Rechecked { incident, execution, step, result });
            }
            Effect::Run { incident, execution, target, step, plan } => {
                if !self.scenario.useless.iter().any(|name| plan.action == *name.as_str()) {
                    self.bench.treat(target.as_str(), plan.action.as_str());
                }
                let output = Output { exit_code: Some(0), duration_ms: 60, ..Output::default() };
                let health = self.health(&target);
                self.later(
                    60,
                    execution,
                    Input::StepFinished { incident, execution, step, ok: true, output, health },
                );
            }
            Effect::Verify { incident, execution, target, .. } => {
                let verification = self.verification(&target);
                self.later(
                    10_000,
                    execution,
                    Input::Verified { incident, execution, verification },
                );
            }
            Effect::Undo { incident, execution, steps, .. } => {
                for ran in &steps {
                    self.bench.take_back(ran.plan.action.as_str());
                }
                let detail = "what was there before is back".into();
                self.later(100, execution, Input::Undone { incident, execution, ok: true, detail });
            }
            Effect::Cancel { execution } => self.pending.retain(|(_, of, _)| *of != execution),
            Effect::Confirm { .. }
            | Effect::Probe { .. }
            | Effect::Inject { .. }
            | Effect::Adopt { .. }
            | Effect::Revert { .. }
            | Effect::Forget { .. }
            | Effect::DryRun { .. }
            | Effect::Report { .. } => {}
        }
    }

    fn health(&self, target: &TargetId) -> Health {
        let known = self.world.target(target).expect("a watched target");
        let name = if *target == REDIS { REDIS } else { POSTGRES };
        let sample = |origin| self.bench.sample(name, origin);
        health::judge(known, Some(&sample(Origin::Held)), Some(&sample(Origin::Fresh)))
    }

    fn verification(&self, target: &TargetId) -> Verification {
        let health = self.health(target);
        let good = health.score().is_some_and(|score| score > 80);
        let check = Check {
            name: "it writes".into(),
            passed: Some(good),
            detail: format!("health {health}"),
        };
        Verification {
            checks: vec![check],
            rounds: 21,
            left_out: vec![],
            cause_gone: false,
            held_ms: 10_000,
            health_after: health,
            symptom_free_after_ms: Some(20),
        }
    }

    fn investigate(&self, incident: &Incident, known: &Known) -> Investigation {
        if let Some(request) = &incident.request {
            let diagnosis =
                Diagnosis { causes: vec![], evidence: vec![], summary: "asked for".into() };
            let plan = Ok(asked_for(request));
            return Investigation { agent: Request::AGENT.into(), diagnosis, plan };
        }
        let facts = self.bench.facts(&incident.target, incident.finding, known);
        let diagnosis = diagnose::diagnose(&facts);
        let remedies = playbook::remedies(&diagnosis, &facts, &incident.tried, &known.barred);
        let plan = match remedies.candidates.first() {
            Some(candidate) => Ok(Draft {
                cause: candidate.cause.clone(),
                steps: candidate.steps.iter().map(|(id, args)| proposed(id, args)).collect(),
                why: candidate.why.clone(),
                effect: candidate.effect.to_owned(),
                if_not: "it stays as it is".into(),
                target_identity: "abc@1".into(),
            }),
            None => Err(format!("no remedy fits; {}", remedies.advice.join("; "))),
        };
        Investigation { agent: "playbook".into(), diagnosis, plan }
    }

    fn told(&self) -> Told {
        let mut labels = Labels::default();
        let lines = self.log.iter().filter_map(|event| {
            labels.learn(event);
            narrate::sentence(event, &|id| labels.get(id))
        });
        let mut incidents: Vec<&Incident> = self.world.ledger.incidents.values().collect();
        incidents.sort_by_key(|incident| incident.number);
        let ends = incidents
            .iter()
            .map(|incident| format!("{} {}", incident.name(), incident.status.as_str()));
        Told { lines: lines.collect(), ends: ends.collect() }
    }
}

fn asked_for(request: &Request) -> Draft {
    Draft {
        cause: Request::CAUSE,
        steps: vec![proposed(&request.action, &request.args)],
        why: request.reason.clone(),
        effect: "it is done".into(),
        if_not: "nothing is changed".into(),
        target_identity: "abc@1".into(),
    }
}

fn proposed(id: &ActionId, args: &Args) -> ProposedStep {
    let action = actions::find(id.as_str()).expect("the playbook names real actions");
    let command = format!("{id} {}", serde_json::to_string(args).expect("arguments are JSON"));
    ProposedStep {
        action: id.clone(),
        args: args.clone(),
        risk: action.descriptor().risk,
        preview: Preview { commands: vec![command], ..Preview::default() },
        undo: match id.as_str() {
            "unlink_keys" => Undo::Exact("restores the keys".into()),
            "reset_redis_setting" => Undo::Exact("sets the setting to what it was".into()),
            _ => Undo::NotNeeded,
        },
        verify: action.descriptor().verify.to_owned(),
    }
}

fn world(ledger: Ledger, scenario: &Scenario) -> World {
    let target = |name, engine| Target {
        id: TargetId::of(name),
        engine,
        profile: Profile::Lab,
        lab: Some("lab".into()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    };
    let targets = vec![target(REDIS, Engine::Redis), target(POSTGRES, Engine::Postgres)];
    let rule = |name: &String| Rule {
        name: format!("{name} runs by itself"),
        action: Some(ActionId::from(name.as_str())),
        demand: Some(Demand::Automatic),
        ..Rule::default()
    };
    let rules: Vec<Rule> = scenario.automatic.iter().map(rule).collect();
    let automatic = !rules.is_empty();
    let policy = Policy { rules, version: "v1".into() };
    let mut world = World::new(ledger, targets, policy, Limits::default());
    if automatic {
        world.remediation = RemediationMode::Automatic;
    }
    world
}
