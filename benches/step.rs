//! What one decision costs: a healthy sample, a bad one, and a tick, with few and many incidents in memory.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use divan::Bencher;
use simctl::domain::effect::Input;
use simctl::domain::ids::{Ids, TargetId};
use simctl::domain::ledger::{Ledger, Limits};
use simctl::domain::policy::Policy;
use simctl::domain::readings::Readings;
use simctl::domain::sample::{Answer, Origin, Sample, reading};
use simctl::domain::step::step;
use simctl::domain::target::{Engine, Profile, Target, Thresholds};
use simctl::domain::world::World;

fn main() {
    divan::main();
}

/// One sample of one target, its window full, with this many targets in the world.
#[divan::bench(args = [1, 10, 100, 1_000])]
fn one_healthy_sample(bencher: Bencher<'_, '_>, targets: usize) {
    let (mut world, mut now, mut ids) = warm(targets);
    let id = name(targets / 2);
    bencher.bench_local(|| {
        now += TimeDelta::milliseconds(250);
        let input = Input::Sampled { target: id.clone(), sample: sample(now, Answer::Ok) };
        step(&mut world, input, now, &mut ids)
    });
}

/// A tick with nothing to do.
#[divan::bench(args = [1, 1_000])]
fn one_idle_tick(bencher: Bencher<'_, '_>, targets: usize) {
    let (mut world, now, mut ids) = warm(targets);
    bencher.bench_local(|| step(&mut world, Input::Tick, now, &mut ids));
}

/// From a second refused write to the opened incident with its investigation under way.
#[divan::bench]
fn opening_an_incident(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| {
            let (mut world, now, mut ids) = warm(1);
            let first = Input::Sampled { target: name(0), sample: sample(now, refused()) };
            step(&mut world, first, now, &mut ids);
            (world, now + TimeDelta::milliseconds(100), ids)
        })
        .bench_local_values(|(mut world, now, mut ids)| {
            let second = Input::Sampled { target: name(0), sample: sample(now, refused()) };
            let outcome = step(&mut world, second, now, &mut ids);
            assert!(!outcome.effects.is_empty(), "the second bad sample opens an incident");
            (world, outcome)
        });
}

fn warm(targets: usize) -> (World, DateTime<Utc>, Ids) {
    let all = (0..targets).map(|n| Target {
        id: name(n),
        engine: Engine::Redis,
        profile: Profile::Lab,
        lab: Some("lab".into()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    });
    let policy = Policy { rules: vec![], version: "v1".into() };
    let mut world = World::new(Ledger::default(), all.collect(), policy, Limits::default());
    let mut ids = Ids::seeded(1);
    let mut now = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    for _ in 0..240 {
        now += TimeDelta::milliseconds(250);
        let input = Input::Sampled { target: name(targets / 2), sample: sample(now, Answer::Ok) };
        step(&mut world, input, now, &mut ids);
    }
    (world, now, ids)
}

fn name(n: usize) -> TargetId {
    TargetId::from(format!("redis-{n}"))
}

fn refused() -> Answer {
    Answer::Error {
        code: "OOM".into(),
        text: "OOM command not allowed when used memory > 'maxmemory'.".into(),
    }
}

fn sample(at: DateTime<Utc>, write: Answer) -> Sample {
    let readings = Readings::from([
        (reading::USED_MEMORY_BYTES, 5_000_000.0),
        (reading::MAXMEMORY_BYTES, 52_428_800.0),
        (reading::REFUSES_WHEN_FULL, 1.0),
        (reading::KEYS, 500.0),
        (reading::CLIENTS, 3.0),
    ]);
    Sample {
        at,
        origin: Origin::Held,
        took_ms: 0.3,
        connect: Answer::Ok,
        read: Answer::Ok,
        write,
        readings,
    }
}
