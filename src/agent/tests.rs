//! Whole investigations as a person reads them: the lines, then the proposal or the hand-over.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::actions::{Action, ActionError, Descriptor};
use crate::diagnose::testing::*;
use crate::domain::execution::{Check, Output};
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::health::Health;
use crate::domain::ids::{ActionId, IncidentId};
use crate::domain::incident::{IncidentType, RemediationMode, Status, Tried};
use crate::domain::proposal::{Args, Consequence, Draft, Preview, Risk, Undo};
use crate::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use crate::domain::unit::UnitStatus;
use crate::targets::{Link, redis};

/// An action that previews from its arguments alone.
struct Fake {
    descriptor: Descriptor,
    refuses: Option<&'static str>,
    changes: &'static str,
    undo: Undo,
}

#[async_trait]
impl Action for Fake {
    fn descriptor(&self) -> &'static Descriptor {
        FAKES.iter().map(|fake| &fake.descriptor).find(|d| d.id == self.descriptor.id).unwrap()
    }

    async fn preview(&self, _server: &Server, args: &Args) -> Result<Preview, ActionError> {
        match self.refuses {
            Some(reason) => Err(ActionError::Precondition(reason.into())),
            None => Ok(Preview {
                commands: vec![format!("{} {}", self.descriptor.id, serde_json::json!(args))],
                consequences: vec![Consequence { what: self.changes.into(), count: 12 }],
                ..Preview::default()
            }),
        }
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        match self.descriptor.id {
            "unlink_keys" => Undo::Exact("puts every removed key back from its dump".into()),
            _ => self.undo.clone(),
        }
    }

    async fn run(
        &self,
        _server: &Server,
        _args: &Args,
        _report: Report<'_>,
    ) -> Result<Output, ActionError> {
        Err(ActionError::Precondition("an investigation must run nothing".into()))
    }

    async fn verify(&self, _: &Server, _: &Args, _: &crate::actions::Saved) -> Vec<Check> {
        Vec::new()
    }
}

const fn fake(
    id: &'static str,
    engine: Option<Engine>,
    risk: Risk,
    undo: Undo,
    changes: &'static str,
) -> Fake {
    let descriptor = Descriptor {
        id,
        aliases: &[],
        engine,
        needs_runtime: engine.is_none(),
        risk,
        title: id,
        about: "",
        args: &[],
        needs: &[],
        verify: "the symptom is gone",
    };
    Fake { descriptor, refuses: None, changes, undo }
}

const fn refusing(id: &'static str, reason: &'static str) -> Fake {
    let mut fake = fake(id, Some(Engine::Redis), Risk::Low, Undo::Impossible, "");
    fake.refuses = Some(reason);
    fake
}

static FAKES: [Fake; 5] = [
    fake("kill_redis_clients", Some(Engine::Redis), Risk::Low, Undo::NotNeeded, "clients cut"),
    fake("unlink_keys", Some(Engine::Redis), Risk::High, Undo::NotNeeded, "keys removed"),
    fake(
        "reset_redis_setting",
        Some(Engine::Redis),
        Risk::Low,
        Undo::NotNeeded,
        "settings changed",
    ),
    fake(
        "kill_idle_connections",
        Some(Engine::Postgres),
        Risk::Low,
        Undo::Impossible,
        "sessions ended",
    ),
    fake("unpause_container", None, Risk::Low, Undo::NotNeeded, "containers resumed"),
];
static GONE: Fake = refusing("kill_redis_clients", "client 77 is gone");
static TOO_MANY: Fake = refusing("unlink_keys", "60,000 keys now, 55,441 were allowed");

fn all_hold(name: &str) -> Option<&'static dyn Action> {
    FAKES.iter().find(|fake| fake.descriptor.id == name).map(|fake| fake as &dyn Action)
}

fn writer_gone(name: &str) -> Option<&'static dyn Action> {
    if name == "kill_redis_clients" { Some(&GONE) } else { all_hold(name) }
}

fn none_hold(name: &str) -> Option<&'static dyn Action> {
    match name {
        "kill_redis_clients" => Some(&GONE),
        "unlink_keys" => Some(&TOO_MANY),
        _ => None,
    }
}

pub(in crate::agent) fn server(engine: Engine) -> Server {
    let name = match engine {
        Engine::Redis => "redis-test",
        Engine::Postgres => "postgres-test",
    };
    Server {
        target: Target {
            id: name.into(),
            engine,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        },
        periods: Periods::of(engine),
        link: Link::Redis(redis::RedisLink {
            name: name.into(),
            host: "127.0.0.1".into(),
            port: 1,
            database: 0,
            user: None,
            password: None,
            tls: None,
            deadline: Duration::from_secs(1),
            kept: Default::default(),
        }),
        place: None,
    }
}

pub(in crate::agent) fn incident(finding: FindingKind, target: &Server, message: &str) -> Incident {
    Incident {
        id: IncidentId(uuid::Uuid::nil()),
        number: 42,
        revision: 1,
        target: target.target.id.clone(),
        finding,
        status: Status::Investigating,
        severity: Severity::Critical,
        message: message.into(),
        source: "detector".into(),
        team: None,
        notes: Vec::new(),
        error_logs: Vec::new(),
        metrics: [].into(),
        incident_type: IncidentType::Real,
        remediation: RemediationMode::Approval,
        health_at_open: Health::Score(0),
        health_before: None,
        occurrences: 1,
        first_bad_at: start(),
        opened_at: start(),
        last_seen: start(),
        updated_at: start(),
        acknowledged_at: None,
        resolved_at: None,
        health_at_end: None,
        failure_reason: None,
        diagnosis: None,
        executions: Vec::new(),
        tried: Vec::new(),
        attempts_from: 0,
        request: None,
        alerts: Vec::new(),
        model_spend: Default::default(),
    }
}

struct Story {
    engine: Engine,
    facts: Facts,
    message: &'static str,
    tried: Vec<Tried>,
    lookup: choose::Lookup,
}

impl Story {
    fn redis(facts: Facts, lookup: choose::Lookup) -> Self {
        let message = "Writes are refused with OOM; reads work.";
        Self { engine: Engine::Redis, facts, message, tried: Vec::new(), lookup }
    }

    fn postgres(facts: Facts, lookup: choose::Lookup) -> Self {
        let message = "Connections as app are refused with 53300.";
        Self { engine: Engine::Postgres, facts, message, tried: Vec::new(), lookup }
    }

    /// The lines, then the outcome.
    async fn tell(&self) -> (String, Result<Draft, String>) {
        let server = server(self.engine);
        let mut incident = incident(self.facts.finding, &server, self.message);
        incident.tried.clone_from(&self.tried);
        let lines = Mutex::new(vec![narration::opening(&incident)]);
        let report = |line: PhaseLine| {
            assert_eq!(line.phase, Phase::Thinking);
            lines.lock().unwrap().push(line.text);
        };
        let known = Known::default();
        let (diagnosis, remedies) = conclude(&self.facts, &incident, &known, &report);
        let case = choose::Case {
            server: &server,
            identity: "0f3c@1",
            incident: &incident,
            diagnosis: &diagnosis,
        };
        let plan = choose::choose(&case, &remedies, self.lookup, &report).await;
        let mut text = lines.into_inner().unwrap().join("\n");
        match &plan {
            Ok(draft) => {
                let _ = write!(
                    text,
                    "\n--- {} for {}, {} risk\nwhy: {}\neffect: {}\nif not: {}",
                    draft.actions(),
                    draft.cause,
                    draft.risk(),
                    draft.why,
                    draft.effect,
                    draft.if_not
                );
                for step in &draft.steps {
                    let _ = write!(text, "\n{}", step.preview.commands.join("\n"));
                }
            }
            Err(reason) => {
                let _ = write!(text, "\n--- nothing proposed\n{reason}");
            }
        }
        (text, plan)
    }
}

fn tried(cause: &str, actions: &[&str]) -> Tried {
    Tried {
        cause: cause.into(),
        actions: actions.iter().map(|action| ActionId::from(*action)).collect(),
        outcome: "writes were refused again after 3 s".into(),
    }
}

#[tokio::test]
async fn a_leak_ends_in_cutting_the_writer_and_unlinking_its_keys() {
    let (text, plan) = Story::redis(leak(), all_hold).tell().await;
    let draft = plan.unwrap();
    assert_eq!(draft.target_identity, "0f3c@1");
    assert!(draft.steps.iter().all(|step| step.verify == "the symptom is gone"));
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_candidate_whose_precondition_fails_is_skipped_for_the_next() {
    let (text, plan) = Story::redis(leak(), writer_gone).tell().await;
    assert_eq!(plan.unwrap().actions(), "unlink_keys");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn when_no_precondition_holds_a_person_is_told_what_to_look_at() {
    let (text, plan) = Story::redis(leak(), none_hold).tell().await;
    assert!(plan.is_err());
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn when_everything_was_tried_a_person_is_told_what_and_how_it_went() {
    let mut story = Story::redis(lowered(), all_hold);
    story.tried = vec![tried("maxmemory-lowered", &["reset_redis_setting"])];
    let (text, plan) = story.tell().await;
    assert!(plan.is_err());
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_lowered_limit_with_a_leak_beside_it_restores_the_limit_first() {
    let (text, plan) = Story::redis(lowered_and_leaking(), all_hold).tell().await;
    assert_eq!(plan.unwrap().actions(), "reset_redis_setting");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn leaked_sessions_are_ended_and_nobody_else() {
    let sessions = [sessions(1, 12, "idle", 3.0), sessions(40, 2, "active", 0.1)].concat();
    let facts = postgres(FindingKind::ClientsRefused, sessions);
    let (text, plan) = Story::postgres(facts, all_hold).tell().await;
    assert_eq!(plan.unwrap().actions(), "kill_idle_connections");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn plain_load_gets_advice_and_no_action() {
    let facts = postgres(FindingKind::ClientsRefused, sessions(1, 15, "active", 0.1));
    let (text, plan) = Story::postgres(facts, all_hold).tell().await;
    assert!(plan.is_err());
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn an_action_that_needs_the_runtime_is_not_proposed_without_one() {
    let paused = in_unit(FindingKind::ServerHung, Some(unit(UnitStatus::Paused, None)), &[]);
    let mut story = Story::redis(paused, all_hold);
    story.message = "Connects, then silence.";
    let (text, plan) = story.tell().await;
    assert!(plan.is_err());
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn what_nobody_knows_is_handed_over_with_the_next_question() {
    let mut story = Story::redis(facts(FindingKind::ServerDown), all_hold);
    story.message = "Nobody answers.";
    let (text, plan) = story.tell().await;
    assert!(plan.is_err());
    insta::assert_snapshot!(text);
}

#[test]
fn an_investigation_can_run_beside_others() {
    fn is_send<T: Send>(_: &T) {}
    let server = server(Engine::Redis);
    let incident = incident(FindingKind::WritesRefused, &server, "Writes are refused.");
    let known = Known::default();
    let nothing: Recall<'_> = &|_| Box::pin(async { Vec::new() });
    is_send(&investigate(&server, &incident, &known, nothing, &|_| {}));
}
