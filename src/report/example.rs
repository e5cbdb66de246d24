//! One incident with everything in it, for tests of what people read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::domain::diagnosis::{Diagnosis, Evidence, Grade, JudgedCause};
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{
    Approval, Check, Decision, Execution, ExecutionState, Output, Phase, PhaseLine, StepEnd,
    StepRun, Verification,
};
use crate::domain::finding::{Finding, FindingKind, Severity};
use crate::domain::health::Health;
use crate::domain::ids::{
    ApprovalId, ExecutionId, Fingerprint, IncidentId, InjectionId, ProposalId,
};
use crate::domain::incident::{Incident, IncidentType, Note, RemediationMode, Status};
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::policy::{Demand, Ruling};
use crate::domain::proposal::{Consequence, Draft, Preview, Proposal, ProposedStep, Risk, Undo};

pub(crate) fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_769_868_000_000 + ms).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(crate) fn finding() -> Finding {
    Finding {
        kind: FindingKind::WritesRefused,
        severity: Severity::Critical,
        sentence: "writes are refused: used 50.0 of 50.0 MB".into(),
        error_lines: vec!["OOM command not allowed when used memory > 'maxmemory'.".into()],
        since: at(0),
    }
}

pub(crate) fn diagnosis() -> Diagnosis {
    let judged = |cause: &str, grade, because: &str, evidence: &[&str]| JudgedCause {
        cause: cause.into(),
        grade,
        because: because.into(),
        evidence: evidence.iter().map(|&id| id.to_owned()).collect(),
        missing: None,
    };
    Diagnosis {
        causes: vec![
            judged(
                "leak-oom",
                Grade::Confirmed,
                "46,201 keys under `leak:` appeared",
                &["e1", "e9"],
            ),
            judged("maxmemory-lowered", Grade::Inconclusive, "maxmemory is as it was", &[]),
        ],
        evidence: vec![Evidence {
            id: "e1".into(),
            source: "INFO keyspace | DBSIZE".into(),
            text: "db0 grew from 20 to 46,221 keys".into(),
        }],
        summary: "A writer fills Redis under one prefix.".into(),
    }
}

pub(crate) fn proposal() -> Proposal {
    let step = ProposedStep {
        action: "unlink_keys".into(),
        args: BTreeMap::from([("prefix".into(), json!("leak:"))]),
        risk: Risk::Medium,
        preview: Preview {
            commands: vec!["docker exec redis-test redis-cli UNLINK leak:1 …".into()],
            scope: BTreeMap::new(),
            consequences: vec![Consequence { what: "keys removed".into(), count: 46_201 }],
            notes: vec!["20 keys outside the prefix stay".into()],
        },
        undo: Undo::Exact("restores every key from its DUMP".into()),
        verify: "writes work, other keys are still there".into(),
    };
    Proposal {
        id: ProposalId(id(5)),
        incident: IncidentId(id(1)),
        revision: 1,
        target: "redis-test".into(),
        draft: Draft {
            cause: "leak-oom".into(),
            steps: vec![step],
            why: "removes only what leaked".into(),
            effect: "frees about 45 MB".into(),
            if_not: "every write fails".into(),
            target_identity: "c1@1".into(),
        },
        risk: Risk::Medium,
        ruling: Ruling {
            demand: Demand::Typed,
            rule: "default: medium risk wants the target's name typed".into(),
        },
        fingerprint: Fingerprint("7f3a9c00aa11bb22".into()),
        created_at: at(900),
        expires_at: at(300_900),
    }
}

pub(crate) fn approval(decision: Decision) -> Approval {
    Approval {
        id: ApprovalId(id(6)),
        fingerprint: proposal().fingerprint,
        decision,
        actor: "ops1".into(),
        at: at(5_000),
    }
}

pub(crate) fn step_end() -> StepEnd {
    let output = Output {
        exit_code: Some(0),
        stdout: "46201\n```\nok".into(),
        stderr: "warning: \u{1b}[31mred\u{1b}[0m".into(),
        duration_ms: 1_352,
    };
    StepEnd { at: at(6_500), ok: true, output, health_after: Health::Score(96) }
}

pub(crate) fn step_run() -> StepRun {
    StepRun {
        id: id(7),
        action: "unlink_keys".into(),
        command: "docker exec redis-test redis-cli UNLINK leak:1 …".into(),
        started_at: at(5_100),
        health_before: Health::Score(0),
        undo_data: BTreeMap::new(),
        undo_commands: Vec::new(),
        end: Some(step_end()),
    }
}

pub(crate) fn verification() -> Verification {
    let check = |name: &str, passed, detail: &str| Check {
        name: name.into(),
        passed,
        detail: detail.into(),
    };
    Verification {
        checks: vec![
            check("client writes", Some(true), "40 of 40 rounds"),
            check("other keys", Some(true), "20 of 20"),
        ],
        rounds: 40,
        left_out: vec![],
        cause_gone: false,
        held_ms: 10_000,
        health_after: Health::Score(96),
        symptom_free_after_ms: Some(180),
    }
}

pub(crate) fn incident() -> Incident {
    let execution = Execution {
        id: ExecutionId(id(4)),
        state: ExecutionState::Completed,
        agent: "playbook".into(),
        revision: 1,
        proposal: Some(proposal()),
        approval: Some(approval(Decision::Approved {
            typed: Some("redis-test".into()),
            seen: None,
        })),
        steps: vec![step_run()],
        verification: Some(verification()),
        rolled_back: false,
        undo: None,
        stop: None,
        restarts: 0,
        error: None,
        started_at: at(500),
        completed_at: Some(at(17_000)),
    };
    Incident {
        id: IncidentId(id(1)),
        number: 42,
        revision: 1,
        target: "redis-test".into(),
        finding: FindingKind::WritesRefused,
        status: Status::Resolved,
        severity: Severity::Critical,
        message: finding().sentence,
        source: "detector".into(),
        team: None,
        notes: vec![Note { at: at(20_000), actor: "ops1".into(), text: "batch <job> | x".into() }],
        error_logs: finding().error_lines,
        metrics: BTreeMap::new(),
        incident_type: IncidentType::Drill,
        remediation: RemediationMode::Approval,
        health_at_open: Health::Score(0),
        health_before: Some(97),
        occurrences: 1,
        first_bad_at: at(0),
        opened_at: at(350),
        last_seen: at(350),
        updated_at: at(20_000),
        acknowledged_at: Some(at(5_000)),
        resolved_at: Some(at(17_100)),
        health_at_end: Some(Health::Score(96)),
        failure_reason: None,
        diagnosis: Some(diagnosis()),
        executions: vec![execution],
        tried: Vec::new(),
        attempts_from: 0,
        request: None,
        alerts: Vec::new(),
        model_spend: Default::default(),
    }
}

/// The same incident while a person is asked.
pub(crate) fn waiting() -> (Incident, Proposal) {
    let mut incident = incident();
    incident.status = Status::Investigating;
    if let Some(execution) = incident.executions.last_mut() {
        execution.state = ExecutionState::AwaitingApproval;
        execution.approval = None;
        execution.steps.clear();
        execution.verification = None;
        execution.completed_at = None;
    }
    (incident, proposal())
}

pub(crate) fn injection(state: InjectionState) -> Injection {
    Injection {
        id: InjectionId(id(9)),
        number: 19,
        fault: "leak-oom".into(),
        target: "redis-test".into(),
        params: BTreeMap::new(),
        actor: "ops1".into(),
        undo: vec!["UNLINK its own keys".into()],
        started_at: at(-3_000),
        deadline: at(117_000),
        beside: false,
        state,
    }
}

pub(crate) fn event(ms: i64, actor: &str, body: EventBody) -> Event {
    let whole = matches!(body, EventBody::EngineStarted { .. } | EventBody::EngineStopped { .. });
    let store = matches!(body, EventBody::StoreLost { .. } | EventBody::StoreReturned { .. });
    let of_target = matches!(
        body,
        EventBody::InjectionStarted { .. }
            | EventBody::InjectionMoved { .. }
            | EventBody::RuntimeObserved { .. }
            | EventBody::BaselineRecorded { .. }
            | EventBody::JobStarted { .. }
            | EventBody::JobEnded { .. }
    );
    let incident = (!whole && !store && !of_target).then_some(IncidentId(id(1)));
    let target = (!whole && !store).then(|| "redis-test".into());
    Event { seq: 0, at: at(ms), incident, target, actor: actor.into(), body }
}

/// Every kind of event once, in an order that could have happened.
pub(crate) fn events() -> Vec<Event> {
    let execution = ExecutionId(id(4));
    let bodies = vec![
        (0, "engine", EventBody::EngineStarted { version: "0.1.0".into(), holder: "h:1".into() }),
        (1, "engine", EventBody::BaselineRecorded { settings: BTreeMap::new() }),
        (2, "ops1", EventBody::InjectionStarted { injection: injection(InjectionState::Starting) }),
        (
            3,
            "engine",
            EventBody::InjectionMoved {
                injection: InjectionId(id(9)),
                state: InjectionState::Active { took_at: at(3), symptom: "SET: OOM".into() },
            },
        ),
        (
            10,
            "engine",
            EventBody::RuntimeObserved {
                event: crate::domain::sample::RuntimeEvent {
                    at: at(10),
                    kind: crate::domain::sample::RuntimeEventKind::OutOfMemory,
                    detail: "oom in redis-test".into(),
                },
            },
        ),
        (
            350,
            "detector",
            EventBody::IncidentOpened {
                incident: Box::new(Incident { acknowledged_at: None, ..incident() }),
                finding: finding(),
            },
        ),
        (
            400,
            "detector",
            EventBody::IncidentEscalated { finding: finding(), health: Health::Score(0) },
        ),
        (450, "detector", EventBody::IncidentRecurred { finding: finding() }),
        (
            500,
            "engine",
            EventBody::StatusChanged {
                from: Status::Triage,
                to: Status::Investigating,
                reason: "the agent looks".into(),
            },
        ),
        (
            500,
            "agent",
            EventBody::InvestigationStarted { execution, agent: "playbook".into(), revision: 1 },
        ),
        (
            600,
            "agent",
            EventBody::Phase {
                execution,
                line: PhaseLine::say(Phase::Thinking, "asks INFO\nand DBSIZE"),
            },
        ),
        (
            800,
            "agent",
            EventBody::Diagnosed { execution, agent: "playbook".into(), diagnosis: diagnosis() },
        ),
        (900, "agent", EventBody::Proposed { execution, proposal: Box::new(proposal()) }),
        (4_000, "ops2", EventBody::DecisionRefused { reason: "the fingerprint is another".into() }),
        (
            5_000,
            "ops1",
            EventBody::Decided {
                execution,
                approval: approval(Decision::Approved {
                    typed: Some("redis-test".into()),
                    seen: None,
                }),
            },
        ),
        (5_050, "engine", EventBody::ExecutionMoved { execution, to: ExecutionState::Executing }),
        (5_100, "agent", EventBody::ActionStarted { execution, run: step_run() }),
        (
            6_400,
            "agent",
            EventBody::Phase {
                execution,
                line: PhaseLine {
                    phase: Phase::Result,
                    text: String::new(),
                    command: None,
                    output: Some(step_end().output),
                    health: Some(Health::Score(96)),
                },
            },
        ),
        (6_500, "agent", EventBody::ActionFinished { execution, run: id(7), end: step_end() }),
        (16_900, "agent", EventBody::Verified { execution, verification: verification() }),
        (16_800, "ops1", EventBody::StopOrdered { execution, kill: false }),
        (16_940, "ops1", EventBody::UndoStarted { execution }),
        (
            16_950,
            "agent",
            EventBody::RolledBack { execution, ok: false, detail: "nothing to undo".into() },
        ),
        (
            17_000,
            "agent",
            EventBody::ExecutionEnded {
                execution,
                state: ExecutionState::Completed,
                error: None,
                tried: None,
            },
        ),
        (
            17_100,
            "engine",
            EventBody::IncidentResolved {
                health: Health::Score(96),
                reason: "healthy twice in a row".into(),
            },
        ),
        (17_200, "engine", EventBody::IncidentFailed { reason: "two attempts failed".into() }),
        (
            18_000,
            "watchdog",
            EventBody::InjectionMoved {
                injection: InjectionId(id(9)),
                state: InjectionState::Reverted {
                    at: at(18_000),
                    by: "watchdog".into(),
                    left_over: Vec::new(),
                },
            },
        ),
        (19_000, "engine", EventBody::StoreLost { reason: "connection refused".into() }),
        (19_500, "engine", EventBody::StoreReturned { merged: 1 }),
        (20_000, "ops1", EventBody::IncidentNoted { text: "batch <job> | \u{1b}]0;x\u{7}".into() }),
        (
            20_500,
            "engine",
            EventBody::ReportWritten { execution: Some(execution), markdown: "# x".into() },
        ),
        (21_000, "engine", EventBody::EngineStopped { reason: "told to stop".into() }),
    ];
    bodies.into_iter().map(|(ms, actor, body)| event(ms, actor, body)).collect()
}
