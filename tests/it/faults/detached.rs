//! The injector as a process of its own: it outlives who started it, and its journal outlives it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use simctl::config::RuntimeChoice;
use simctl::domain::injection::InjectionState;
use simctl::engine::clock;
use simctl::faults::watchdog::{
    Report, Running, Spec, clear_all, forget, live, revert_now, spawn_from, sweep,
};
use simctl::runtime;
use simctl::runtime::process::record::{Record, Records, StopSignal, User};
use simctl::runtime::process::table::Life;
use simctl::targets::Place;

use super::bench::{Bench, LAB};
use super::{ask, connect, injection, until};

pub(super) const SIMCTL: &str = env!("CARGO_BIN_EXE_simctl");

/// Puts the bench's process on record in the process runtime, as the lab's own start would.
pub(super) async fn place(bench: &Bench, state_dir: &Path) -> Place {
    let unit = bench.unit();
    let records = Records::of(LAB, state_dir);
    records.prepare().expect("a directory");
    let (launch, pid) = (&bench.launch, i32::try_from(bench.pid()).expect("a pid"));
    let mut argv = vec![launch.program.display().to_string()];
    argv.extend(launch.args.clone());
    let record = Record {
        name: unit.name.clone(),
        lab: LAB.into(),
        kind: bench.engine.as_str().into(),
        port: bench.port,
        argv,
        env: BTreeMap::new(),
        client_env: BTreeMap::new(),
        user: launch.user.map(|(uid, gid)| User { uid, gid }),
        stop_signal: StopSignal::Int,
        data: launch.directory.clone(),
        log: launch.directory.join("log"),
        life: Life::of(pid),
        started_at: Some(clock::now()),
    };
    records.save(&record).expect("a file");
    let runtime = runtime::open(RuntimeChoice::Process, LAB, state_dir).await;
    Place { runtime: runtime.expect("the servers are installed"), unit }
}

async fn prepare(bench: &Bench, fault: &str, ttl: Duration) -> Spec {
    let server = bench.server(Some(place(bench, bench.state_dir()).await));
    let injection = injection(bench, fault, &[], ttl);
    Spec::prepare(injection, &server, bench.state_dir()).await.expect("it is the lab")
}

/// Starts the injector and waits until the fault is there.
pub(super) async fn broken(spec: &Spec) -> Running {
    let mut running = spawn_from(Path::new(SIMCTL), spec).await.expect("simctl starts");
    while let Some(report) = running.next().await {
        if matches!(report, Report::Took { .. }) {
            return running;
        }
        assert!(!report.is_last(), "{report:?}");
    }
    panic!("the injector ended without a word");
}

pub(super) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("the test's own process");
}

pub(super) async fn refuses_writes(bench: &Bench) -> bool {
    ask::<()>(&mut connect(bench.port).await, "SET probe x EX 60").await.is_err()
}

#[tokio::test]
async fn the_injector_reports_and_undoes_at_its_deadline() {
    let bench = Bench::redis();
    let spec = prepare(&bench, "leak-oom", Duration::from_secs(3)).await;
    let mut running = broken(&spec).await;
    assert!(refuses_writes(&bench).await);
    let mut last = None;
    while let Some(report) = running.next().await {
        last = Some(report);
    }
    assert_eq!(last, Some(Report::Reverted { by: "deadline".into(), left_over: Vec::new() }));
    assert!(!refuses_writes(&bench).await);
    let swept = sweep(bench.state_dir()).await;
    let ended = swept[0].ended.as_ref().unwrap();
    assert!(matches!(ended.state, InjectionState::Reverted { .. }), "{ended:?}");
    forget(bench.state_dir(), spec.injection.id);
    assert!(sweep(bench.state_dir()).await.is_empty());
}

#[tokio::test]
async fn an_order_undoes_at_once_and_a_second_one_finds_it_done() {
    let bench = Bench::postgres();
    let spec = prepare(&bench, "idle-leak", Duration::from_secs(60)).await;
    let _running = broken(&spec).await;
    let state = revert_now(bench.state_dir(), spec.injection.id).await.unwrap();
    let InjectionState::Reverted { by, left_over, .. } = &state else { panic!("{state:?}") };
    assert_eq!((by.as_str(), left_over.len()), ("order", 0));
    assert_eq!(revert_now(bench.state_dir(), spec.injection.id).await.unwrap(), state);
}

#[tokio::test]
async fn frozen_and_killed_servers_of_both_kinds_come_back() {
    for mut bench in [Bench::redis(), Bench::postgres()] {
        let server = bench.server(Some(place(&bench, bench.state_dir()).await));
        let first = bench.pid();
        // PostgreSQL takes a dead process that nobody collected for a living one.
        let mut child = bench.child.take().unwrap();
        let collector = std::thread::spawn(move || child.wait());
        for fault in ["container-paused", "container-killed"] {
            let injection = injection(&bench, fault, &[], Duration::from_secs(60));
            let spec = Spec::prepare(injection, &server, bench.state_dir()).await.unwrap();
            let mut running = broken(&spec).await;
            running.stop();
            let undone = Report::Reverted { by: "order".into(), left_over: Vec::new() };
            assert_eq!(running.next().await, Some(undone), "{fault}");
            bench.wait_until_it_answers();
        }
        let record = Records::of(LAB, bench.state_dir()).load(&bench.unit().name).unwrap().unwrap();
        let second = record.life.unwrap();
        assert_ne!(second.pid, i32::try_from(first).unwrap(), "another process was started");
        collector.join().unwrap().unwrap();
        kill(u32::try_from(second.pid).unwrap(), Signal::QUIT);
        until("it has stopped", async || second.now().is_none()).await;
    }
}

#[tokio::test]
async fn an_order_before_the_injector_has_begun_keeps_it_from_breaking_anything() {
    let bench = Bench::redis();
    let spec = prepare(&bench, "maxmemory-lowered", Duration::from_secs(60)).await;
    let state = revert_now(bench.state_dir(), spec.injection.id).await.unwrap();
    assert!(matches!(state, InjectionState::DidNotTake { .. }), "{state:?}");
    let mut running = spawn_from(Path::new(SIMCTL), &spec).await.unwrap();
    let undone = Report::Reverted { by: "order".into(), left_over: Vec::new() };
    assert_eq!(running.next().await, Some(undone));
    let keys: u64 = ask(&mut connect(bench.port).await, "DBSIZE").await.unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn an_injector_is_not_called_simctl_and_leads_its_own_session() {
    let bench = Bench::redis();
    let spec = prepare(&bench, "maxmemory-lowered", Duration::from_secs(60)).await;
    let running = broken(&spec).await;
    let proc =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", running.pid)).unwrap();
    assert_eq!(proc("comm").trim(), "lab-watchdog");
    assert!(!proc("cmdline").contains("simctl"), "{}", proc("cmdline"));
    let session =
        proc("stat").rsplit(')').next().unwrap().split_whitespace().nth(3).map(str::to_owned);
    assert_eq!(session, Some(running.pid.to_string()));
    running.stop();
    until("it is undone", async || live(bench.state_dir()).is_empty()).await;
}

#[tokio::test]
async fn what_a_dead_injector_left_is_undone_by_the_next_sweep() {
    let bench = Bench::redis();
    let spec = prepare(&bench, "maxmemory-lowered", Duration::from_secs(60)).await;
    let running = broken(&spec).await;
    assert!(sweep(bench.state_dir()).await.is_empty(), "a living injector is left alone");
    kill(running.pid, Signal::KILL);
    until("it is dead", async || !live(bench.state_dir())[0].watchdog.is_alive()).await;
    assert!(refuses_writes(&bench).await, "a setting stays when its injector dies");
    let swept = sweep(bench.state_dir()).await;
    let ended = swept[0].ended.as_ref().unwrap();
    let InjectionState::Reverted { by, left_over, .. } = &ended.state else { panic!("{ended:?}") };
    assert_eq!((by.as_str(), left_over.len()), ("sweep", 0));
    assert!(!refuses_writes(&bench).await);
}

#[tokio::test]
async fn clear_undoes_living_and_dead_injectors_without_an_engine() {
    let (redis, postgres) = (Bench::redis(), Bench::postgres());
    // Both journals are in one state directory, as on a real machine.
    let state_dir = redis.state_dir();
    let one = prepare(&redis, "leak-oom", Duration::from_secs(60)).await;
    let server = postgres.server(Some(place(&postgres, state_dir).await));
    let injection = injection(&postgres, "exhaust", &[], Duration::from_secs(60));
    let two = Spec::prepare(injection, &server, state_dir).await.unwrap();
    let (dead, _living) = (broken(&one).await, broken(&two).await);
    kill(dead.pid, Signal::KILL);
    let cleared = clear_all(state_dir).await;
    assert_eq!(cleared.len(), 2);
    for (swept, expected) in cleared.iter().zip([&two, &one]) {
        let ended = swept.ended.as_ref().unwrap();
        assert_eq!(ended.id, expected.injection.id, "newest first");
        let InjectionState::Reverted { left_over, .. } = &ended.state else { panic!("{ended:?}") };
        assert!(left_over.is_empty(), "{left_over:?}");
    }
    assert!(clear_all(state_dir).await.is_empty());
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_reported() {
    let bench = Bench::redis();
    let injections = bench.state_dir().join("injections");
    std::fs::create_dir_all(&injections).unwrap();
    std::fs::write(injections.join("torn.json"), b"{").unwrap();
    let swept = sweep(bench.state_dir()).await;
    assert!(swept[0].ended.as_ref().unwrap_err().contains("torn.json"), "{swept:?}");
}
