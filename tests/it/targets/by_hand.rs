//! Servers broken by hand, with nothing that would tell how: found, diagnosed from outside, fixed and proven.

use std::time::Duration;

use simctl::agent;
use simctl::detect;
use simctl::domain::diagnosis::Grade;
use simctl::domain::effect::{Investigation, Known};
use simctl::domain::finding::{FindingKind, Severity, Verdict};
use simctl::domain::health::Health;
use simctl::domain::ids::{Ids, IncidentId};
use simctl::domain::incident::{Incident, IncidentType, RemediationMode, Status};
use simctl::domain::target::Engine;
use simctl::domain::window::Window;
use simctl::engine::clock;
use simctl::ports::probe::Probe;
use simctl::targets::{Link, Server};
use simctl::{actions, domain::execution::Check};

use super::facts::server;
use super::servers::Postgres;

const HEARTBEAT: &str = "CREATE TABLE public.hb (id int PRIMARY KEY, at timestamptz NOT NULL); \
                         ALTER TABLE public.hb OWNER TO app";

/// A watched server, healthy at first.
struct Patient {
    postgres: Postgres,
    server: Server,
    probe: std::sync::Arc<dyn Probe>,
    known: Known,
}

impl Patient {
    async fn healthy() -> Self {
        Self::healthy_in("postgres").await
    }

    /// With a database of the application's own.
    async fn healthy_in(database: &str) -> Self {
        let mut postgres = Postgres::start();
        if database != "postgres" {
            postgres.sql(&format!("CREATE DATABASE {database}"));
        }
        let link = &mut postgres.link;
        for login in [&mut link.app, &mut link.monitor].into_iter().chain(&mut link.fixer) {
            database.clone_into(&mut login.database);
        }
        postgres.sql_in(database, HEARTBEAT);
        let server = server(Engine::Postgres, Link::Postgres(postgres.link.clone()));
        let probe = server.probe();
        let baseline = probe.settings().await.unwrap();
        assert!(probe.held().await.is_clean() && probe.fresh().await.is_clean());
        Self { postgres, server, probe, known: Known { baseline, ..Known::default() } }
    }

    fn sql(&self, statements: &[&str]) {
        for statement in statements {
            self.postgres.sql(statement);
        }
    }

    /// Probes until something is found, then asks the agent.
    async fn investigated(&mut self) -> (FindingKind, Investigation) {
        let mut window = Window::new(self.server.target.clone());
        self.known.samples.clear();
        for _ in 0..80 {
            for sample in [self.probe.held().await, self.probe.fresh().await] {
                window.push(sample.clone());
                self.known.samples.push(sample);
            }
            let now = clock::now();
            let found = detect::ALL.iter().find_map(|d| match (d.judge)(&window, now) {
                Verdict::Present(finding) => Some(finding),
                Verdict::Absent | Verdict::Inconclusive(_) => None,
            });
            if let Some(finding) = found {
                let incident = incident(finding.kind, &self.server, &finding.sentence);
                let look = agent::investigate(
                    &self.server,
                    &incident,
                    &self.known,
                    &|_| Box::pin(async { Vec::new() }),
                    &|_| (),
                );
                let investigation = Box::pin(look).await;
                return (finding.kind, investigation);
            }
            // Some symptoms count only when they last.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nothing was found: {:?}", self.known.samples.last());
    }

    /// Carries the plan out as the engine does, and measures until all is well.
    async fn fixed(&self, investigation: &Investigation) {
        let draft = investigation.plan.as_ref().expect("something is proposed");
        let [step] = draft.steps.as_slice() else { panic!("one step: {draft:?}") };
        let action = actions::find(step.action.as_str()).unwrap();
        let preview = action.preview(&self.server, &step.args).await.unwrap();
        assert_eq!(preview.drift_from(&step.preview), None);
        let saved = action.save(&self.server, &step.args).await.unwrap();
        let output = action.run(&self.server, &step.args, &|_| ()).await.unwrap();
        assert_eq!(output.exit_code, Some(0), "{output:?}");
        let mut checks = Vec::new();
        for _ in 0..100 {
            checks = action.verify(&self.server, &step.args, &saved).await;
            if checks.iter().all(Check::is_good) && self.probe.fresh().await.is_clean() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not well again: {checks:?} {:?}", self.probe.fresh().await);
    }
}

trait Good {
    fn is_good(&self) -> bool;
}

impl Good for Check {
    fn is_good(&self) -> bool {
        self.passed == Some(true)
    }
}

fn incident(finding: FindingKind, server: &Server, message: &str) -> Incident {
    let now = clock::now();
    Incident {
        id: IncidentId(Ids::seeded(7).next(now)),
        number: 1,
        revision: 1,
        target: server.target.id.clone(),
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
        health_before: Some(100),
        occurrences: 1,
        first_bad_at: now,
        opened_at: now,
        last_seen: now,
        updated_at: now,
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

#[track_caller]
fn assert_cause(investigation: &Investigation, cause: &str, actions: &[&str]) {
    let diagnosis = &investigation.diagnosis;
    let confirmed: Vec<&str> = diagnosis
        .causes
        .iter()
        .filter(|judged| judged.grade == Grade::Confirmed)
        .map(|judged| judged.cause.as_str())
        .collect();
    let expected = (!cause.is_empty()).then_some(cause);
    assert_eq!(confirmed, expected.as_slice(), "{diagnosis:#?}");
    let steps = investigation.plan.as_ref().map_or(&[][..], |draft| draft.steps.as_slice());
    let proposed: Vec<&str> = steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(proposed, actions, "{:?}", investigation.plan);
}

const RELOAD: &str = "SELECT pg_reload_conf()";

#[tokio::test]
async fn a_read_only_server_is_made_writable_a_read_only_role_and_a_standby_are_not() {
    let mut patient = Patient::healthy().await;
    patient.sql(&["ALTER SYSTEM SET default_transaction_read_only = on", RELOAD]);
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WritesRefused);
    assert_cause(&investigation, "read-only", &["reset_pg_setting"]);
    patient.fixed(&investigation).await;

    patient.sql(&["ALTER ROLE app SET default_transaction_read_only = on"]);
    let (_, investigation) = patient.investigated().await;
    assert_cause(&investigation, "read-only", &[]);
    let handed_over = investigation.plan.unwrap_err();
    assert!(handed_over.contains("set for role app"), "{handed_over}");
    patient.sql(&["ALTER ROLE app RESET ALL"]);

    patient.postgres.become_standby();
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WritesRefused);
    assert_cause(&investigation, "standby", &[]);
}

#[tokio::test]
async fn a_timeout_that_cuts_everybody_off_goes_and_one_of_a_role_does_not() {
    let mut patient = Patient::healthy().await;
    patient.sql(&["ALTER SYSTEM SET statement_timeout = '1ms'", RELOAD]);
    let (finding, investigation) = patient.investigated().await;
    assert!(matches!(finding, FindingKind::ProbeFailing | FindingKind::WritesRefused));
    assert_cause(&investigation, "timeouts", &["reset_pg_setting"]);
    patient.fixed(&investigation).await;

    patient.sql(&["ALTER ROLE app SET statement_timeout = '1ms'"]);
    let (_, investigation) = patient.investigated().await;
    assert_cause(&investigation, "timeouts", &[]);
    let handed_over = investigation.plan.unwrap_err();
    assert!(handed_over.contains("set for role app"), "{handed_over}");
}

#[tokio::test]
async fn what_is_kept_for_nobody_is_let_go_of() {
    let mut patient = Patient::healthy().await;
    let segment = ["SELECT pg_logical_emit_message(true, 'x', '')", "SELECT pg_switch_wal()"];
    patient.sql(&["SELECT pg_create_physical_replication_slot('standby_b', true)"]);
    patient.sql(&[segment, segment].concat());
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WalRetained);
    assert_cause(&investigation, "dead-slot", &["drop_replication_slot"]);
    patient.fixed(&investigation).await;
    assert_eq!(patient.postgres.sql("SELECT count(*) FROM pg_replication_slots"), "0");

    patient.sql(&["ALTER SYSTEM SET archive_command = '/bin/false'", RELOAD]);
    patient.sql(&segment);
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WalRetained);
    assert_cause(&investigation, "archive-fails", &["reset_pg_setting"]);
    patient.fixed(&investigation).await;
    let taken = "SELECT last_archived_time > last_failed_time FROM pg_stat_archiver";
    super::servers::until("the archive takes what waited", || patient.postgres.sql(taken) == "t");

    patient.sql(&["CREATE TABLE twice (id int)", "INSERT INTO twice VALUES (7), (7)"]);
    let build = "CREATE UNIQUE INDEX CONCURRENTLY twice_id ON twice (id)";
    assert!(patient.postgres.try_sql(build).is_err());
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::InvalidIndex);
    assert_cause(&investigation, "invalid-index", &["drop_invalid_index"]);
    patient.fixed(&investigation).await;
    assert_eq!(patient.postgres.sql("SELECT count(*) FROM twice"), "2");
}

#[tokio::test]
async fn commits_that_wait_for_a_ghost_go_on_and_a_locked_table_is_something_else() {
    let mut patient = Patient::healthy().await;
    patient.sql(&["ALTER SYSTEM SET synchronous_standby_names = 'ghost'", RELOAD]);
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WritesRefused);
    assert_cause(&investigation, "sync-standby-missing", &["reset_pg_setting"]);
    for _ in 0..3 {
        patient.probe.fresh().await;
    }
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'simctl/fresh'";
    super::servers::until("hanging probes are taken back", || patient.postgres.sql(ours) == "0");
    patient.fixed(&investigation).await;

    let link = patient.postgres.link.clone();
    let session = simctl::targets::postgres::Session::App;
    let holder = link.connect(&link.app, "hands", session).await.unwrap();
    holder.batch_execute("SET application_name = 'job'; BEGIN; LOCK TABLE hb").await.unwrap();
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WritesRefused);
    let causes = &investigation.diagnosis.causes;
    assert!(causes.iter().all(|judged| judged.cause != *"sync-standby-missing"), "{causes:?}");
}

#[tokio::test]
async fn each_way_of_locking_the_application_out_gets_its_own_key() {
    let mut patient = Patient::healthy_in("shop").await;
    let locks: [(&[&str], &str, &str); 4] = [
        (&["ALTER DATABASE shop ALLOW_CONNECTIONS false"], "db-closed", "open_database"),
        (&["ALTER ROLE app NOLOGIN"], "auth-nologin", "restore_role_access"),
        (&["ALTER ROLE app VALID UNTIL '2001-01-01'"], "auth-expired", "restore_role_access"),
        (
            &[
                "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
                "REVOKE CONNECT ON DATABASE shop FROM app",
            ],
            "auth-connect",
            "restore_role_access",
        ),
    ];
    for (lock, cause, key) in locks {
        patient.sql(lock);
        let (finding, investigation) = patient.investigated().await;
        assert_eq!(finding, FindingKind::ProbeFailing, "{cause}");
        assert_cause(&investigation, cause, &[key]);
        patient.fixed(&investigation).await;
    }
    patient.sql(&["ALTER ROLE app PASSWORD 'another'"]);
    let (_, investigation) = patient.investigated().await;
    assert_cause(&investigation, "", &[]);
    let handed_over = investigation.plan.unwrap_err();
    assert!(handed_over.contains("secret store"), "{handed_over}");
}

#[tokio::test]
async fn a_rejecting_line_of_pg_hba_goes_and_a_missing_one_is_a_persons_business() {
    let mut patient = Patient::healthy().await;
    let file = patient.postgres.data.join("pg_hba.conf");
    let healthy = std::fs::read_to_string(&file).unwrap();
    let reject = "host all +pg_monitor,app 127.0.0.0/8 reject\n";
    std::fs::write(&file, format!("# who\n{reject}{healthy}")).unwrap();
    patient.sql(&[RELOAD]);
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::ProbeFailing);
    assert_cause(&investigation, "hba-reject", &["remove_hba_line"]);
    patient.fixed(&investigation).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("# who\n{healthy}"));

    let only_others = healthy.replace("host all all", "host all postgres");
    let only_others = only_others.replace("hostssl all all", "hostssl all postgres");
    std::fs::write(&file, only_others).unwrap();
    patient.sql(&[RELOAD]);
    let (_, investigation) = patient.investigated().await;
    assert_cause(&investigation, "hba-reject", &[]);
}

#[tokio::test]
async fn a_right_on_a_table_comes_back_and_nothing_more() {
    let mut patient = Patient::healthy().await;
    patient.sql(&["REVOKE INSERT, TRUNCATE ON public.hb FROM app"]);
    let (finding, investigation) = patient.investigated().await;
    assert_eq!(finding, FindingKind::WritesRefused);
    assert_cause(&investigation, "auth-table", &["restore_role_access"]);
    patient.fixed(&investigation).await;
    let may = "SELECT has_table_privilege('app', 'hb', 'INSERT'), has_table_privilege('app', 'hb', 'TRUNCATE')";
    assert_eq!(patient.postgres.sql(may), "t|f");
}
