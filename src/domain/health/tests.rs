//! The formulas, at and around each of their edges.

use std::time::Duration;

use chrono::DateTime;

use super::*;
use crate::domain::ids::TargetId;
use crate::domain::sample::{Answer, Origin};
use crate::domain::target::Thresholds;

fn target(engine: Engine, profile: Profile) -> Target {
    Target {
        id: TargetId::of("t"),
        engine,
        profile,
        lab: None,
        has_runtime: false,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    }
}

fn sample(origin: Origin, write: Answer, readings: &[(&'static str, f64)]) -> Sample {
    Sample {
        at: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
        origin,
        took_ms: 0.2,
        connect: Answer::Ok,
        read: Answer::Ok,
        write,
        readings: readings.iter().copied().collect(),
    }
}

fn memory(used: f64, max: f64, refuses: f64) -> Sample {
    let readings = [
        (reading::USED_MEMORY_BYTES, used),
        (reading::MAXMEMORY_BYTES, max),
        (reading::REFUSES_WHEN_FULL, refuses),
    ];
    sample(Origin::Held, Answer::Ok, &readings)
}

fn slots(sessions: f64, idle: f64) -> Sample {
    let readings = [
        (reading::SESSIONS, sessions),
        (reading::IDLE_SESSIONS, idle),
        (reading::OWN_SESSIONS, 1.0),
        (reading::MAX_CONNECTIONS, 104.0),
        (reading::RESERVED_CONNECTIONS, 3.0),
    ];
    sample(Origin::Held, Answer::NotAsked, &readings)
}

fn score(target: &Target, held: &Sample) -> Health {
    judge(target, Some(held), None)
}

#[test]
fn redis_loses_what_it_uses_of_a_limit_at_which_it_would_refuse() {
    let table = [
        (0.0, 100.0, 1.0, 100),
        (30.0, 100.0, 1.0, 70),
        (0.1, 100.0, 1.0, 99),
        (99.9, 100.0, 1.0, 0),
        (100.0, 100.0, 1.0, 0),
        (220.0, 100.0, 1.0, 0),
        (85.0, 100.0, 0.0, 100),
        (5_000.0, 0.0, 1.0, 100),
    ];
    let redis = target(Engine::Redis, Profile::Lab);
    for (used, max, refuses, expected) in table {
        let held = memory(used, max, refuses);
        assert_eq!(score(&redis, &held), Health::Score(expected), "{used} of {max}, {refuses}");
    }
}

#[test]
fn idle_sessions_cost_steps_on_the_lab_and_nothing_on_a_real_server() {
    let table = [
        (0.0, 100),
        (8.0, 100),
        (9.0, 70),
        (10.0, 70),
        (11.0, 50),
        (12.0, 50),
        (13.0, 30),
        (15.0, 30),
        (16.0, 0),
        (60.0, 0),
    ];
    let lab = target(Engine::Postgres, Profile::Lab);
    let production = target(Engine::Postgres, Profile::Production);
    for (idle, expected) in table {
        let held = slots(idle, idle);
        assert_eq!(score(&lab, &held), Health::Score(expected), "{idle} idle");
        assert_eq!(score(&production, &held), Health::Score(100), "{idle} idle");
    }
}

#[test]
fn used_slots_cost_from_three_quarters_to_all_of_those_open_to_others() {
    let production = target(Engine::Postgres, Profile::Production);
    // 104 less 3 reserved less 1 of ours: a hundred.
    let table =
        [(0.0, 100), (75.0, 100), (76.0, 96), (90.0, 40), (99.0, 4), (100.0, 0), (102.0, 0)];
    for (sessions, expected) in table {
        assert_eq!(
            score(&production, &slots(sessions, 0.0)),
            Health::Score(expected),
            "{sessions}"
        );
    }
    let lab = target(Engine::Postgres, Profile::Lab);
    assert_eq!(score(&lab, &slots(95.0, 9.0)), Health::Score(20), "the lower of the two counts");
}

#[test]
fn a_hurt_client_is_zero_and_a_starting_server_has_no_score() {
    let redis = target(Engine::Redis, Profile::Lab);
    let good = memory(1.0, 100.0, 1.0);
    let with =
        |answer: Answer| Sample { connect: answer, ..sample(Origin::Fresh, Answer::Ok, &[]) };
    let bad = [
        Answer::Gone { text: "refused".into() },
        Answer::Hung { after_ms: 1_000 },
        Answer::Error { code: "NOAUTH".into(), text: "NOAUTH".into() },
    ];
    for answer in bad {
        let fresh = with(answer.clone());
        assert_eq!(judge(&redis, Some(&good), Some(&fresh)), Health::Score(0), "{answer:?}");
        assert_eq!(judge(&redis, None, Some(&fresh)), Health::Score(0), "{answer:?}");
    }
    let starting = with(Answer::Starting { text: "LOADING".into() });
    assert_eq!(judge(&redis, Some(&good), Some(&starting)), Health::Starting);
    let refused =
        sample(Origin::Held, Answer::Error { code: "OOM".into(), text: "OOM".into() }, &[]);
    assert_eq!(judge(&redis, Some(&refused), Some(&starting)), Health::Starting);
    assert_eq!(judge(&redis, Some(&refused), None), Health::Score(0));
}

#[test]
fn what_was_not_measured_is_inconclusive_and_never_full_marks() {
    let redis = target(Engine::Redis, Profile::Lab);
    let lab = target(Engine::Postgres, Profile::Lab);
    let fresh = sample(Origin::Fresh, Answer::Ok, &[]);
    assert_eq!(judge(&redis, None, None), Health::Inconclusive);
    assert_eq!(judge(&redis, None, Some(&fresh)), Health::Inconclusive);
    for (of, whole) in [(&redis, memory(10.0, 100.0, 1.0)), (&lab, slots(2.0, 2.0))] {
        assert!(score(of, &whole).score().is_some());
        let needed = |(name, _): &(&str, f64)| *name != reading::OWN_SESSIONS;
        for (name, _) in whole.readings.iter().filter(needed) {
            let readings = whole.readings.without(name);
            let less = Sample { readings, ..whole.clone() };
            assert_eq!(score(of, &less), Health::Inconclusive, "without {name}");
        }
    }
    assert_eq!(score(&redis, &memory(f64::NAN, 100.0, 1.0)), Health::Inconclusive);
}

#[test]
fn no_slot_left_for_anybody_cannot_be_a_share() {
    let mut held = slots(5.0, 5.0);
    held.readings = held.readings.with(reading::MAX_CONNECTIONS, 4.0);
    assert_eq!(used_slot_percent(&held), None);
    assert_eq!(score(&target(Engine::Postgres, Profile::Lab), &held), Health::Inconclusive);
}

#[test]
fn bloat_is_the_share_of_live_rows_above_a_floor() {
    let table = [
        (0, 0, 100),
        (0, 999, 100),
        (0, 1_000, 0),
        (1_000, 1_000, 50),
        (200_000, 400_000, 33),
        (u64::MAX, u64::MAX, 50),
    ];
    for (live, dead, expected) in table {
        assert_eq!(bloat_score(live, dead, 1_000), expected, "{live} live, {dead} dead");
    }
}
