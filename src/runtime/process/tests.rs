//! Local processes for real: started, frozen, woken, killed, restarted.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::record::StopSignal;
use super::*;
use crate::domain::sample::RuntimeEventKind;

/// A runtime with one unit on record, which is not running yet.
fn runtime(argv: &[&str]) -> (tempfile::TempDir, ProcessRuntime, Unit) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = ProcessRuntime::new("trial", dir.path());
    runtime.records().prepare().unwrap();
    let record = Record {
        name: "unit".into(),
        lab: "trial".into(),
        kind: "redis".into(),
        port: 1,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::new(),
        client_env: BTreeMap::from([("GREETING".into(), "good day".into())]),
        user: None,
        stop_signal: StopSignal::Term,
        data: dir.path().into(),
        log: dir.path().join("log"),
        life: None,
        started_at: None,
    };
    runtime.records().save(&record).unwrap();
    let unit = Unit { name: "unit".into(), lab: Some("trial".into()), client: Vec::new() };
    (dir, runtime, unit)
}

async fn status(runtime: &ProcessRuntime, unit: &Unit) -> UnitStatus {
    runtime.inspect(unit).await.unwrap().status
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn a_unit_and_its_children_stop_go_on_and_die_together() {
    let (_dir, runtime, unit) = runtime(&["sh", "-c", "setsid sleep 600 & wait"]);
    let mut events = runtime.events(std::slice::from_ref(&unit));
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Exited);
    runtime.start(&unit).await.unwrap();
    let leader = runtime.record("test", &unit).unwrap().life.unwrap();
    while table::family(&leader).len() < 2 {
        sleep(LOOK).await;
    }
    let family = table::family(&leader);
    assert_eq!(events.next().await.unwrap().kind, RuntimeEventKind::Started);

    runtime.pause(&unit).await.unwrap();
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Paused);
    assert!(family.iter().all(|life| life.now().unwrap().is_stopped()), "children too");
    assert_eq!(events.next().await.unwrap().kind, RuntimeEventKind::Paused);
    assert!(runtime.start(&unit).await.is_err(), "a paused unit is not started");

    runtime.unpause(&unit).await.unwrap();
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Running);
    assert_eq!(events.next().await.unwrap().kind, RuntimeEventKind::Unpaused);

    runtime.kill(&unit).await.unwrap();
    assert!(family.iter().all(|life| life.now().is_none()), "no child is left behind");
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Exited);
    assert_eq!(events.next().await.unwrap().kind, RuntimeEventKind::Died);
    assert!(runtime.pause(&unit).await.is_err());
}

#[tokio::test]
async fn a_restart_is_another_life_even_when_the_polite_signal_is_ignored() {
    let (_dir, runtime, unit) =
        runtime(&["sh", "-c", "trap '' TERM; echo up; sleep 600 & wait; wait"]);
    runtime.start(&unit).await.unwrap();
    while runtime.logs(&unit, 5).await.unwrap().is_empty() {
        sleep(LOOK).await;
    }
    let before = runtime.inspect(&unit).await.unwrap();
    let leader = runtime.record("test", &unit).unwrap().life.unwrap();
    runtime.restart(&unit, Duration::from_millis(50)).await.unwrap();
    let after = runtime.inspect(&unit).await.unwrap();
    assert_eq!(after.status, UnitStatus::Running);
    assert_ne!(before.identity(), after.identity());
    assert!(leader.now().is_none());
    runtime.kill(&unit).await.unwrap();
}

#[tokio::test]
async fn a_start_waits_until_the_dead_one_has_left_the_process_table() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    // A child of ours that nobody waits for stays in the table, as under a slow init.
    let mut dead = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let life = table::Life::of(i32::try_from(dead.id()).unwrap()).unwrap();
    let mut record = runtime.record("test", &unit).unwrap();
    record.life = Some(life);
    runtime.records().save(&record).unwrap();
    dead.kill().unwrap();
    while life.now().is_some() {
        sleep(LOOK).await;
    }
    let (starting, handle) = (runtime.clone(), unit.clone());
    let mut start = std::pin::pin!(async move { starting.start(&handle).await });
    assert!(timeout(LOOK * 5, &mut start).await.is_err(), "it waits");
    dead.wait().unwrap();
    start.await.unwrap();
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Running);
    runtime.kill(&unit).await.unwrap();
}

#[tokio::test]
async fn a_pid_that_belongs_to_another_program_now_is_not_ours() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    runtime.start(&unit).await.unwrap();
    let mut record = runtime.record("test", &unit).unwrap();
    let real = record.life.unwrap();
    record.life = Some(table::Life { start: real.start + 1, ..real });
    runtime.records().save(&record).unwrap();
    assert_eq!(status(&runtime, &unit).await, UnitStatus::Exited);
    assert!(runtime.kill(&unit).await.is_err());
    assert!(real.now().is_some(), "not signalled");
    real.signal(KernelSignal::KILL);
}

#[tokio::test]
async fn commands_get_stdin_and_environment_and_keep_their_streams_apart() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    let argv = words(&["sh", "-c", "cat; echo $GREETING; echo oops >&2; exit 3"]);
    let output = runtime.exec(&unit, &argv, Some(b"in\n"), ExecLimits::default()).await.unwrap();
    assert_eq!(output.exit_code, Some(3));
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("in\ngood day\n", "oops\n"));
}

#[tokio::test]
async fn commands_end_at_their_deadline_and_a_missing_one_is_an_output() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    let limits = ExecLimits { deadline: Duration::from_millis(100), output_bytes: 10 };
    let slow = runtime.exec(&unit, &words(&["sleep", "600"]), None, limits).await;
    assert!(matches!(slow, Err(RuntimeError::Deadline { .. })), "{slow:?}");
    let missing = words(&["no-such-program-anywhere"]);
    let output = runtime.exec(&unit, &missing, None, ExecLimits::default()).await.unwrap();
    assert_eq!(output.exit_code, Some(127));
    assert!(output.stderr.starts_with("no-such-program-anywhere: "), "{}", output.stderr);
}

#[tokio::test]
async fn units_of_another_lab_are_not_found() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    let foreign = Unit { lab: Some("other".into()), ..unit };
    assert_eq!(status(&runtime, &foreign).await, UnitStatus::Absent);
    let started = runtime.start(&foreign).await;
    assert!(matches!(started, Err(RuntimeError::NoSuchUnit { .. })));
}

#[tokio::test]
async fn operations_are_spelled_with_what_the_client_needs() {
    let (_dir, runtime, unit) = runtime(&["sleep", "600"]);
    let argv = words(&["redis-cli", "GET", "a key"]);
    assert_eq!(
        runtime.spell(&unit, Operation::Exec(&argv)),
        "GREETING='good day' redis-cli GET 'a key'"
    );
    assert_eq!(runtime.spell(&unit, Operation::Start), "sleep 600");
    assert_eq!(runtime.spell(&unit, Operation::Pause), "kill -STOP PID and its children");
}
