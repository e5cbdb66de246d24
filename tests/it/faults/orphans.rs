//! Injectors whose starter is killed, and injectors that are killed themselves: for every fault these servers can have.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use simctl::domain::injection::InjectionState;
use simctl::faults::watchdog::{Report, Spec, forget, live, sweep};
use simctl::faults::{ALL, Descriptor, Fault, Tier};
use simctl::runtime::process::record::Records;
use simctl::targets::Server;

use super::bench::{Bench, LAB};
use super::detached::{SIMCTL, broken, kill, place, refuses_writes};
use super::{injection, until};

/// Long enough for every fault to take, short enough to wait for.
const TTL: Duration = Duration::from_secs(8);

/// A shell that started an injector, in a group of its own.
struct Parent(Child);

impl Parent {
    /// Starts one and waits until the fault is there.
    fn of(spec: &Spec) -> Self {
        let file = spec.state_dir.join("spec.json");
        std::fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
        let mut shell = Command::new("sh")
            // More than one command, so that the shell stays.
            .args(["-c", r#""$0" watchdog <"$1"; :"#, SIMCTL])
            .arg(file)
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = shell.stdout.take().unwrap();
        let this = Self(shell);
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let report: Report = serde_json::from_str(&line).expect("a report");
            if matches!(report, Report::Took { .. }) {
                return this;
            }
            assert!(!report.is_last(), "{report:?}");
        }
        panic!("the injector of {} ended without a word", spec.injection.fault);
    }

    /// Kills it with everything that is still of its group.
    fn kill(mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process_group(pid, Signal::KILL).unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_fault_ends_by_its_deadline_although_who_injected_it_was_killed() {
    let bench = Bench::redis();
    let server = bench.server(Some(place(&bench, bench.state_dir()).await));
    let injection = injection(&bench, "leak-oom", &[], TTL);
    let spec = Spec::prepare(injection, &server, bench.state_dir()).await.unwrap();
    Parent::of(&spec).kill();
    assert!(refuses_writes(&bench).await);
    assert!(live(bench.state_dir())[0].watchdog.is_alive());
    until("the fault is gone", async || !refuses_writes(&bench).await).await;
    until("its journal is closed", async || live(bench.state_dir()).is_empty()).await;
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Starter,
    Injector,
}

/// Injects every fault of these that the server can have, one after the other; the names of those.
async fn each_is_undone(
    mut bench: Bench,
    killed: Killed,
    faults: impl Iterator<Item = &&'static dyn Fault>,
) -> Vec<&'static str> {
    let server = bench.server(Some(place(&bench, bench.state_dir()).await));
    // PostgreSQL takes a dead process that nobody collected for a living one.
    let mut child = bench.child.take().unwrap();
    let collector = std::thread::spawn(move || child.wait());
    let mut broke = Vec::new();
    for fault in faults {
        if can_break(*fault, &server).await {
            let id = fault.descriptor().id;
            let by = one(&bench, &server, fault.descriptor(), killed).await;
            let expected = if killed == Killed::Starter { "deadline" } else { "sweep" };
            assert_eq!(by, expected, "{id}");
            bench.wait_until_it_answers();
            broke.push(id);
        }
    }
    stop(&bench).await;
    collector.join().unwrap().unwrap();
    broke
}

async fn can_break(fault: &dyn Fault, server: &Server) -> bool {
    let d = fault.descriptor();
    d.tier != Tier::Dangerous
        && d.engine.is_none_or(|engine| engine == server.target.engine)
        && fault.available(server).await.is_ok()
}

/// Injects one and kills; who undid it, once nothing of it is left over.
async fn one(bench: &Bench, server: &Server, d: &Descriptor, killed: Killed) -> String {
    let (state_dir, fault) = (bench.state_dir(), d.id);
    let ttl = if killed == Killed::Starter { TTL } else { Duration::from_secs(100) };
    // What nobody can end before its time shall not take long.
    let seconds = d.params.iter().filter(|param| param.name == "seconds");
    let params: Vec<(&str, u64)> = seconds.map(|param| (param.name, param.min)).collect();
    let spec = Spec::prepare(injection(bench, fault, &params, ttl), server, state_dir).await;
    let spec = spec.unwrap_or_else(|error| panic!("{fault}: {}", error.in_words()));
    match killed {
        Killed::Starter => {
            Parent::of(&spec).kill();
            let over = async || live(state_dir).is_empty();
            until(&format!("the deadline of {fault} undid it"), over).await;
        }
        Killed::Injector => {
            let running = broken(&spec).await;
            kill(running.pid, Signal::KILL);
            until("it is dead", async || !live(state_dir)[0].watchdog.is_alive()).await;
        }
    }
    let swept = sweep(state_dir).await;
    let ended = swept[0].ended.as_ref().unwrap_or_else(|error| panic!("{fault}: {error}"));
    let InjectionState::Reverted { by, left_over, .. } = &ended.state else {
        panic!("{fault}: {ended:?}")
    };
    assert!(left_over.is_empty(), "{fault}: {left_over:?}");
    forget(state_dir, spec.injection.id);
    by.clone()
}

/// Stops the server that runs now: some faults start another one.
async fn stop(bench: &Bench) {
    let record = Records::of(LAB, bench.state_dir()).load(&bench.unit().name).unwrap().unwrap();
    let life = record.life.unwrap();
    kill(u32::try_from(life.pid).unwrap(), Signal::QUIT);
    until("it has stopped", async || life.now().is_none()).await;
}

/// So many servers share the faults, because each deadline is waited for.
const LANES: usize = 3;
/// Fewer than this many, and the servers of these tests lost what faults need.
const LEAST: usize = 10;

async fn all_are_undone(start: fn() -> Bench, killed: Killed) {
    let lanes = (0..LANES)
        .map(|lane| each_is_undone(start(), killed, ALL.iter().skip(lane).step_by(LANES)));
    let broke = futures::future::join_all(lanes).await.concat();
    assert!(broke.len() >= LEAST, "{broke:?}");
}

#[tokio::test]
async fn every_fault_of_redis_ends_by_its_deadline_when_its_starter_is_killed() {
    all_are_undone(Bench::redis, Killed::Starter).await;
}

#[tokio::test]
async fn every_fault_of_postgres_ends_by_its_deadline_when_its_starter_is_killed() {
    all_are_undone(Bench::postgres, Killed::Starter).await;
}

#[tokio::test]
async fn every_fault_of_redis_is_undone_by_a_sweep_when_its_injector_is_killed() {
    all_are_undone(Bench::redis, Killed::Injector).await;
}

#[tokio::test]
async fn every_fault_of_postgres_is_undone_by_a_sweep_when_its_injector_is_killed() {
    all_are_undone(Bench::postgres, Killed::Injector).await;
}
