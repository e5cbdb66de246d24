//! One lab Redis and its story so far: what tests of the decision say to it, and what they can ask.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use crate::domain::effect::{
    Accepted, Command, Effect, Input, Investigation, Ordered, Prepared, Refused,
};
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Check, ExecutionState, Output, Verification};
use crate::domain::finding::{Finding, FindingKind, Severity};
use crate::domain::health::Health;
use crate::domain::ids::{ActionId, CauseId, ExecutionId, Ids, IncidentId, TargetId};
use crate::domain::incident::{Incident, IncidentType, RemediationMode, Status};
use crate::domain::ledger::{Ledger, Limits};
use crate::domain::policy::Policy;
use crate::domain::proposal::{Args, Draft, Preview, ProposedStep, Risk, Undo};
use crate::domain::step::step;
use crate::domain::target::{Engine, Profile, Target, Thresholds};
use crate::domain::world::World;

pub(super) const REDIS: TargetId = TargetId::of("redis-test");

/// A world with one lab Redis, and the log of what happened in it.
pub(super) struct Story {
    pub(super) world: World,
    pub(super) ids: Ids,
    pub(super) now: DateTime<Utc>,
    pub(super) log: Vec<Event>,
    pub(super) effects: Vec<Effect>,
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with(Ledger::default(), Policy { rules: vec![], version: "v1".into() })
    }

    pub(super) fn with(ledger: Ledger, policy: Policy) -> Self {
        let target = Target {
            id: REDIS,
            engine: Engine::Redis,
            profile: Profile::Lab,
            lab: Some("lab".into()),
            has_runtime: true,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        };
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Self {
            world: World::new(ledger, vec![target], policy, Limits::default()),
            ids: Ids::seeded(1),
            now,
            log: Vec::new(),
            effects: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, input: Input) -> Option<Result<Accepted, Refused>> {
        let outcome = step(&mut self.world, input, self.now, &mut self.ids);
        self.log.extend(outcome.events);
        self.effects = outcome.effects;
        outcome.reply
    }

    pub(super) fn order(&mut self, command: Command) -> Result<Accepted, String> {
        let ordered = Ordered { actor: "ops1".into(), command };
        self.say(Input::Command(ordered))
            .expect("a command is answered")
            .map_err(|refused| refused.reason)
    }

    pub(super) fn approve(
        &mut self,
        fingerprint: &str,
        typed: Option<&str>,
    ) -> Result<Accepted, String> {
        let typed = typed.map(str::to_owned);
        self.order(Command::Approve {
            incident: 1,
            fingerprint: fingerprint.into(),
            typed,
            seen: None,
        })
    }

    pub(super) fn later(&mut self, seconds: i64) -> &mut Self {
        self.now += TimeDelta::seconds(seconds);
        self
    }

    /// An incident that is open and not looked into, as if found in the store.
    pub(super) fn opened() -> Self {
        let mut story = Self::new();
        story.open();
        story
    }

    pub(super) fn open(&mut self) {
        let incident = incident(self.now);
        let finding = finding(FindingKind::MemoryPressure, self.now);
        let event = Event {
            seq: self.world.ledger.seq + 1,
            at: self.now,
            incident: Some(incident.id),
            target: Some(REDIS),
            actor: "detector".into(),
            body: EventBody::IncidentOpened { incident: Box::new(incident), finding },
        };
        self.world.ledger.apply(&event);
        self.log.push(event);
        self.say(Input::Started { version: "t".into(), holder: "t".into() });
    }

    /// The same, with a proposal of `risk` waiting.
    pub(super) fn proposed(risk: Risk) -> Self {
        let mut story = Self::opened();
        story.propose(risk);
        story
    }

    /// The same, approved and ready to run.
    pub(super) fn begun(risk: Risk) -> Self {
        let mut story = Self::proposed(risk);
        story.begin();
        story
    }

    /// The same, proven and over.
    pub(super) fn resolved() -> Self {
        let mut story = Self::begun(Risk::Low);
        story.ran(true);
        story.measured(Some(true));
        story
    }

    /// The same, but nothing proved it and nobody goes on.
    pub(super) fn failed() -> Self {
        let mut story = Self::begun(Risk::Low);
        story.ran(true);
        story.measured(Some(false));
        story.taken_back(true);
        story.later(62).say(Input::Tick);
        assert_eq!(story.incident().status, Status::Failed);
        story
    }

    /// Approves what waits and lets the first step begin.
    pub(super) fn begin(&mut self) {
        let print = self.fingerprint();
        self.approve(&print, Some("redis-test")).unwrap();
        self.ready();
    }

    /// The end of the first step arrives after nobody waits for it any more.
    pub(super) fn ran_late(&mut self) {
        let (incident, execution) = (self.incident().id, self.incident().executions[0].id);
        let (output, health) = (Output::default(), Health::Score(90));
        self.say(Input::StepFinished { incident, execution, step: 0, ok: true, output, health });
    }

    /// What an undo came to, whoever wanted it.
    pub(super) fn taken_back(&mut self, ok: bool) {
        let incident = self.incident().id;
        let execution = self.incident().last_that_acted().expect("something acted").id;
        self.say(Input::Undone { incident, execution, ok, detail: "the keys are back".into() });
    }

    /// The text of every line of the log, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |event: &Event| {
            let EventBody::Phase { line, .. } = &event.body else { return None };
            Some(line.text.clone())
        };
        self.log.iter().filter_map(line).collect()
    }

    pub(super) fn propose(&mut self, risk: Risk) {
        let (incident, execution, revision) = self.thinking();
        let result = investigation(risk);
        self.say(Input::Diagnosed { incident, execution, revision, result });
    }

    pub(super) fn thinking(&self) -> (IncidentId, ExecutionId, u32) {
        let incident = self.incident();
        let active = incident.active_execution().expect("an execution is active");
        assert_eq!(active.state, ExecutionState::Thinking);
        (incident.id, active.id, active.revision)
    }

    pub(super) fn ready(&mut self) {
        let (incident, execution) = self.active();
        let step = self.incident().active_execution().unwrap().steps.len();
        self.say(Input::Rechecked { incident, execution, step, result: Ok(Prepared::default()) });
    }

    pub(super) fn ran(&mut self, ok: bool) {
        let (incident, execution) = self.active();
        let step = self.incident().active_execution().unwrap().steps.len() - 1;
        let (output, health) = (Output::default(), Health::Score(90));
        self.say(Input::StepFinished { incident, execution, step, ok, output, health });
    }

    pub(super) fn measured(&mut self, passed: Option<bool>) {
        let (incident, execution) = self.active();
        let check = Check { name: "it writes".into(), passed, detail: "as measured".into() };
        let verification = Verification {
            checks: vec![check],
            rounds: 3,
            left_out: vec![],
            cause_gone: false,
            held_ms: 10_000,
            health_after: Health::Score(90),
            symptom_free_after_ms: Some(40),
        };
        self.say(Input::Verified { incident, execution, verification });
    }

    pub(super) fn active(&self) -> (IncidentId, ExecutionId) {
        let incident = self.incident();
        (incident.id, incident.active_execution().expect("an execution is active").id)
    }

    pub(super) fn incident(&self) -> &Incident {
        self.world.ledger.by_number(1).expect("the incident is there")
    }

    pub(super) fn state(&self) -> Option<ExecutionState> {
        self.incident().executions.last().map(|execution| execution.state)
    }

    pub(super) fn fingerprint(&self) -> String {
        let proposal = self.incident().active_execution().and_then(|e| e.proposal.as_ref());
        proposal.expect("a proposal waits").fingerprint.0.clone()
    }

    pub(super) fn count(&self, kind: &str) -> usize {
        self.log.iter().filter(|event| event.body.kind() == kind).count()
    }

    pub(super) fn statuses(&self) -> Vec<&'static str> {
        let mut all = vec!["triage"];
        for event in &self.log {
            if let EventBody::StatusChanged { to, .. } = &event.body {
                all.push(to.as_str());
            }
            let ends = [("incident_resolved", "resolved"), ("incident_failed", "failed")];
            all.extend(
                ends.iter().filter(|(kind, _)| *kind == event.body.kind()).map(|(_, word)| *word),
            );
        }
        all
    }

    /// A new engine that knows only the log.
    pub(super) fn after_crash(&self) -> Self {
        let mut ledger = Ledger::default();
        for event in &self.log {
            ledger.apply(event);
        }
        assert_eq!(ledger, self.world.ledger, "the log gives the same ledger");
        let mut next = Self::with(ledger, self.world.policy.clone());
        next.now = self.now;
        next.ids = Ids::seeded(2);
        next.log.clone_from(&self.log);
        next.say(Input::Started { version: "t".into(), holder: "t2".into() });
        next
    }
}

pub(super) fn finding(kind: FindingKind, at: DateTime<Utc>) -> Finding {
    let sentence = "memory is 95 % full".into();
    Finding { kind, severity: Severity::High, sentence, error_lines: vec![], since: at }
}

pub(super) fn incident(at: DateTime<Utc>) -> Incident {
    Incident {
        id: IncidentId(Ids::seeded(99).next(at)),
        number: 1,
        revision: 1,
        target: REDIS,
        finding: FindingKind::MemoryPressure,
        status: Status::Triage,
        severity: Severity::High,
        message: "memory is 95 % full".into(),
        source: "detector".into(),
        team: None,
        notes: vec![],
        error_logs: vec![],
        metrics: BTreeMap::new(),
        incident_type: IncidentType::Drill,
        remediation: RemediationMode::Approval,
        health_at_open: Health::Score(5),
        health_before: Some(100),
        occurrences: 1,
        first_bad_at: at,
        opened_at: at,
        last_seen: at,
        updated_at: at,
        acknowledged_at: None,
        resolved_at: None,
        health_at_end: None,
        failure_reason: None,
        diagnosis: None,
        executions: vec![],
        tried: vec![],
        attempts_from: 0,
        request: None,
        alerts: Vec::new(),
        model_spend: Default::default(),
    }
}

pub(super) fn investigation(risk: Risk) -> Investigation {
    investigation_of(&[("unlink_keys", risk)])
}

pub(super) fn investigation_of(actions: &[(&'static str, Risk)]) -> Investigation {
    let cause = CauseId::of("leak-oom");
    let judged = JudgedCause {
        cause: cause.clone(),
        grade: Grade::Confirmed,
        because: "one prefix grows".into(),
        evidence: vec!["e1".into()],
        missing: None,
    };
    let steps = actions.iter().map(|(name, risk)| ProposedStep {
        action: ActionId::of(name),
        args: Args::new(),
        risk: *risk,
        preview: Preview { commands: vec![format!("redis-cli {name}")], ..Preview::default() },
        undo: Undo::Exact("put the keys back".into()),
        verify: "writes work".into(),
    });
    let draft = Draft {
        cause,
        steps: steps.collect(),
        why: "it leaks".into(),
        effect: "memory falls".into(),
        if_not: "writes stay refused".into(),
        target_identity: "abc@1".into(),
    };
    let diagnosis = Diagnosis { causes: vec![judged], evidence: vec![], summary: "a leak".into() };
    Investigation { agent: "playbook".into(), diagnosis, plan: Ok(draft) }
}
