//! A story in events, told the way the engine tells it: each step is sealed, folded and turned into rows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use simctl::domain::consult::{Exchange, Purpose, Spend, Verdict};
use simctl::domain::diagnosis::{Diagnosis, Evidence, Grade, JudgedCause};
use simctl::domain::event::{Event, EventBody, Head};
use simctl::domain::execution::{
    Approval, Check, Decision, ExecutionState, Output, Phase, PhaseLine, StepEnd, StepRun,
    Verification,
};
use simctl::domain::finding::{Finding, FindingKind, Severity};
use simctl::domain::health::Health;
use simctl::domain::ids::{
    ApprovalId, ExecutionId, Fingerprint, Ids, IncidentId, InjectionId, ProposalId, TargetId,
};
use simctl::domain::incident::{Incident, IncidentType, RemediationMode, Request, Status, Tried};
use simctl::domain::injection::{Injection, InjectionState};
use simctl::domain::ledger::Ledger;
use simctl::domain::policy::{Demand, Ruling};
use simctl::domain::proposal::{Draft, Preview, Proposal, ProposedStep, Risk, Undo};
use simctl::ports::store::Batch;
use simctl::store::rows::rows_of;

/// The beginning of every story.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_790_000_000_123_456).expect("a valid time")
}

pub(crate) struct Script {
    pub(crate) ledger: Ledger,
    pub(crate) head: Head,
    pub(crate) now: DateTime<Utc>,
    pub(crate) ids: Ids,
    batch: Batch,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self::after(Ledger::default(), Head::genesis(), seed)
    }

    /// A story that goes on from what a store holds.
    pub(crate) fn after(ledger: Ledger, head: Head, seed: u64) -> Self {
        let batch = Batch { events: Vec::new(), rows: Vec::new() };
        Self { ledger, head, now: start(), ids: Ids::seeded(seed), batch }
    }

    /// What was told since the last call.
    pub(crate) fn batch(&mut self) -> Batch {
        std::mem::replace(&mut self.batch, Batch { events: Vec::new(), rows: Vec::new() })
    }

    pub(crate) fn tell(&mut self, incident: Option<IncidentId>, actor: &str, body: EventBody) {
        let target = incident
            .and_then(|id| self.ledger.incidents.get(&id))
            .map(|incident| incident.target.clone());
        self.tell_on(incident, target, actor, body);
    }

    pub(crate) fn tell_on(
        &mut self,
        incident: Option<IncidentId>,
        target: Option<TargetId>,
        actor: &str,
        body: EventBody,
    ) {
        self.now += TimeDelta::microseconds(1_000_001);
        let event = Event { seq: 0, at: self.now, incident, target, actor: actor.into(), body };
        let sealed = event.seal(&self.head);
        let before = incident.and_then(|id| self.ledger.incidents.get(&id)).map(|i| i.status);
        self.ledger.apply(&sealed.event);
        self.batch.rows.extend(rows_of(&sealed.event, before, &self.ledger));
        self.head = sealed.head();
        self.batch.events.push(sealed);
    }

    pub(crate) fn note(&mut self, text: &str) {
        let body = EventBody::DecisionRefused { reason: text.into() };
        self.tell(None, "ann", body);
    }

    pub(crate) fn open(&mut self, target: &str, kind: FindingKind, message: &str) -> IncidentId {
        self.open_as(target, kind, message, None)
    }

    fn open_as(
        &mut self,
        target: &str,
        kind: FindingKind,
        message: &str,
        request: Option<Request>,
    ) -> IncidentId {
        let id = IncidentId(self.ids.next(self.now));
        let target = TargetId::from(target);
        let finding = finding(kind, message, self.now);
        let incident = Incident {
            id,
            number: self.ledger.last_incident + 1,
            revision: 1,
            target: target.clone(),
            finding: kind,
            status: Status::Triage,
            severity: finding.severity,
            message: message.into(),
            source: "detector".into(),
            team: Some("data".into()),
            notes: Vec::new(),
            error_logs: finding.error_lines.clone(),
            metrics: BTreeMap::from([("used_memory_bytes".into(), 0.1), ("keys".into(), 1e21)]),
            incident_type: IncidentType::Drill,
            remediation: RemediationMode::Approval,
            health_at_open: Health::Score(3),
            health_before: Some(97),
            occurrences: 1,
            first_bad_at: self.now,
            opened_at: self.now,
            last_seen: self.now,
            updated_at: self.now,
            acknowledged_at: None,
            resolved_at: None,
            health_at_end: None,
            failure_reason: None,
            diagnosis: None,
            executions: Vec::new(),
            tried: Vec::new(),
            attempts_from: 0,
            request,
            alerts: Vec::new(),
            model_spend: Default::default(),
        };
        let body = EventBody::IncidentOpened { incident: Box::new(incident), finding };
        self.tell_on(Some(id), Some(target), "detector", body);
        id
    }

    /// What a person asks for, with names that are hard to keep.
    pub(crate) fn ask(&mut self, target: &str) -> IncidentId {
        let args = BTreeMap::from([
            ("schema".into(), json!("Ünicode \"quoted\"")),
            ("table".into(), json!("\u{1f980} ' $1")),
            ("after".into(), json!([{"pid": 7, "backend_start": "2026-01-01T00:00:00Z"}])),
        ]);
        let reason = "before the upgrade".into();
        let request = Request { action: "vacuum_table".into(), args, reason };
        self.open_as(target, FindingKind::Requested, "ann asks for vacuum_table", Some(request))
    }

    pub(crate) fn resolve(&mut self, incident: IncidentId) {
        let body =
            EventBody::IncidentResolved { health: Health::Score(99), reason: "proven".into() };
        self.tell(Some(incident), "engine", body);
    }

    pub(crate) fn inject(&mut self) -> InjectionId {
        let id = InjectionId(self.ids.next(self.now));
        let injection = Injection {
            id,
            number: self.ledger.last_injection + 1,
            fault: "leak-oom".into(),
            target: "redis-test".into(),
            params: BTreeMap::from([("megabytes".into(), json!(50))]),
            actor: "ann".into(),
            undo: vec!["unlink simctl:fill:*".into()],
            started_at: self.now,
            deadline: self.now + TimeDelta::seconds(120),
            beside: false,
            state: InjectionState::Starting,
        };
        self.tell(None, "ann", EventBody::InjectionStarted { injection });
        id
    }

    pub(crate) fn move_injection(&mut self, injection: InjectionId, state: InjectionState) {
        self.tell(None, "watchdog", EventBody::InjectionMoved { injection, state });
    }

    /// From the opening to the proof, with everything that happens on the way.
    pub(crate) fn whole_incident(&mut self, target: &str) -> IncidentId {
        let id = self.open(target, FindingKind::WritesRefused, "redis-test refuses writes: OOM");
        let execution = ExecutionId(self.ids.next(self.now));
        self.investigate(id, execution);
        let proposal = self.propose(id, execution);
        self.decide(id, execution, &proposal);
        self.act(id, execution);
        let verification = Verification {
            checks: vec![Check {
                name: "write".into(),
                passed: Some(true),
                detail: "SET answered OK".into(),
            }],
            rounds: 40,
            left_out: vec![],
            cause_gone: false,
            held_ms: 10_000,
            health_after: Health::Score(98),
            symptom_free_after_ms: Some(120),
        };
        self.tell(Some(id), "agent", EventBody::Verified { execution, verification });
        self.tell(
            Some(id),
            "engine",
            EventBody::ExecutionEnded {
                execution,
                state: ExecutionState::Completed,
                error: None,
                tried: Some(Tried {
                    cause: "leak-oom".into(),
                    actions: vec!["unlink_keys".into()],
                    outcome: "worked".into(),
                }),
            },
        );
        self.resolve(id);
        let markdown = "# INC\nwhat happened".to_owned();
        self.tell(
            Some(id),
            "engine",
            EventBody::ReportWritten { execution: Some(execution), markdown },
        );
        id
    }

    fn investigate(&mut self, id: IncidentId, execution: ExecutionId) {
        let moved = |from, to, reason: &str| EventBody::StatusChanged {
            from,
            to,
            reason: reason.to_owned(),
        };
        let start =
            EventBody::InvestigationStarted { execution, agent: "playbook".into(), revision: 1 };
        self.tell(
            Some(id),
            "engine",
            moved(Status::Triage, Status::Investigating, "the agent looks"),
        );
        self.tell(Some(id), "engine", start);
        let line = PhaseLine::say(Phase::Thinking, "which keys grow?");
        self.tell(Some(id), "agent", EventBody::Phase { execution, line });
        let diagnosis = Diagnosis {
            causes: vec![JudgedCause {
                cause: "leak-oom".into(),
                grade: Grade::Confirmed,
                because: "one prefix holds 93 %".into(),
                evidence: vec!["e1".into()],
                missing: None,
            }],
            evidence: vec![Evidence {
                id: "e1".into(),
                source: "SCAN".into(),
                text: "46,201 keys\0with a NUL".into(),
            }],
            summary: "a client leaks keys".into(),
        };
        self.consult(id, execution);
        let agent = "playbook".into();
        self.tell(Some(id), "agent", EventBody::Diagnosed { execution, agent, diagnosis });
        self.tell(
            Some(id),
            "agent",
            moved(Status::Investigating, Status::Fixing, "a fix is known"),
        );
    }

    fn consult(&mut self, id: IncidentId, execution: ExecutionId) {
        let exchange = Box::new(Exchange {
            purpose: Purpose::Decide,
            provider: "openai".into(),
            model: "gpt".into(),
            sent: vec![json!({"role": "user", "content": "odd \0 text"})],
            tools: vec!["settings".into()],
            said: "{}".into(),
            calls: vec![],
            error: None,
            spend: Spend { tokens_in: 1_200, tokens_out: 80, micro_usd: 900 },
            latency_ms: 850,
        });
        self.tell(
            Some(id),
            "agent",
            EventBody::ModelAsked { execution: Some(execution), exchange },
        );
        let verdict = Verdict {
            agent: "openai/gpt".into(),
            accepted: false,
            reason: "the answer is empty".into(),
            answers: vec![],
        };
        self.tell(
            Some(id),
            "agent",
            EventBody::ModelJudged { execution: Some(execution), verdict },
        );
    }

    fn propose(&mut self, id: IncidentId, execution: ExecutionId) -> Proposal {
        let draft = Draft {
            cause: "leak-oom".into(),
            steps: vec![ProposedStep {
                action: "unlink_keys".into(),
                args: BTreeMap::from([("prefix".into(), json!("simctl:fill:"))]),
                risk: Risk::Medium,
                preview: Preview { commands: vec!["UNLINK …".into()], ..Preview::default() },
                undo: Undo::Impossible,
                verify: "writes work".into(),
            }],
            why: "only the leaking prefix goes".into(),
            effect: "46,201 keys go".into(),
            if_not: "writes stay refused".into(),
            target_identity: "run 1".into(),
        };
        let proposal = Proposal {
            id: ProposalId(self.ids.next(self.now)),
            incident: id,
            revision: 1,
            target: "redis-test".into(),
            draft,
            risk: Risk::Medium,
            ruling: Ruling { demand: Demand::Approval, rule: "default".into() },
            fingerprint: Fingerprint("7f3a9c00aa".into()),
            created_at: self.now,
            expires_at: self.now + TimeDelta::seconds(300),
        };
        let body = EventBody::Proposed { execution, proposal: Box::new(proposal.clone()) };
        self.tell(Some(id), "agent", body);
        proposal
    }

    fn decide(&mut self, id: IncidentId, execution: ExecutionId, proposal: &Proposal) {
        let approval = Approval {
            id: ApprovalId(self.ids.next(self.now)),
            fingerprint: proposal.fingerprint.clone(),
            decision: Decision::Approved { typed: Some("redis-test".into()), seen: None },
            actor: "ann".into(),
            at: self.now,
        };
        self.tell(Some(id), "ann", EventBody::Decided { execution, approval });
    }

    fn act(&mut self, id: IncidentId, execution: ExecutionId) {
        let run = StepRun {
            id: self.ids.next(self.now),
            action: "unlink_keys".into(),
            command: "redis-cli UNLINK …".into(),
            started_at: self.now,
            health_before: Health::Score(0),
            undo_data: BTreeMap::from([("keys".into(), json!(46_201))]),
            undo_commands: vec![],
            end: None,
        };
        let step = run.id;
        self.tell(Some(id), "agent", EventBody::ActionStarted { execution, run });
        let end = StepEnd {
            at: self.now,
            ok: true,
            output: Output {
                exit_code: Some(0),
                stdout: "46201\n".into(),
                stderr: "a warning".into(),
                duration_ms: 19,
            },
            health_after: Health::Score(98),
        };
        self.tell(Some(id), "agent", EventBody::ActionFinished { execution, run: step, end });
    }
}

pub(crate) fn finding(kind: FindingKind, sentence: &str, since: DateTime<Utc>) -> Finding {
    Finding {
        kind,
        severity: Severity::High,
        sentence: sentence.into(),
        error_lines: vec!["OOM command not allowed".into()],
        since,
    }
}
