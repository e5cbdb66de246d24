//! The list of causes as a whole, what a server runs in, and the order and sentence of a diagnosis.

use std::collections::BTreeSet;

use super::testing::*;
use super::*;
use crate::domain::sample::RuntimeEventKind::{Died, OutOfMemory, Paused, Started, Unpaused};
use crate::domain::unit::UnitStatus;
use FindingKind::{ProbeFailing, ServerDown, ServerHung, WritesRefused};

#[test]
fn every_cause_has_a_name_of_its_own_and_words() {
    let names: BTreeSet<&str> = ALL.iter().map(|judge| judge.cause).collect();
    assert_eq!(names.len(), ALL.len());
    for judge in ALL {
        assert!(find(&CauseId::of(judge.cause)).is_some());
        assert!(!judge.title.is_empty() && judge.about.ends_with('.'), "{}", judge.cause);
        assert!(!judge.findings.is_empty(), "{}", judge.cause);
    }
    assert!(find(&CauseId::of("no-such-cause")).is_none());
}

#[test]
fn the_state_of_what_it_runs_in_decides_how_it_ended() {
    use UnitStatus::{Absent, Exited, Restarting, Running};
    let frozen = || Some(unit(UnitStatus::Paused, None));
    let ended = |code| Some(unit(Exited, code));
    let runs = || Some(unit(Running, None));
    let cases: [(&str, Facts, &[&str]); 16] = [
        ("frozen", in_unit(ServerHung, frozen(), &[Paused]), &["container-paused: confirmed"]),
        ("frozen, no events", in_unit(ServerHung, frozen(), &[]), &["container-paused: confirmed"]),
        (
            "frozen amid another symptom",
            in_unit(WritesRefused, frozen(), &[]),
            &["container-paused: confirmed"],
        ),
        (
            "a pause on record only",
            in_unit(ServerHung, None, &[Paused]),
            &["container-paused: likely"],
        ),
        ("a pause that ended", in_unit(ServerHung, None, &[Paused, Unpaused]), &[]),
        ("a pause, seen running", in_unit(ServerHung, runs(), &[Paused]), &[]),
        (
            "killed",
            in_unit(ServerDown, ended(Some(137)), &[Died]),
            &["container-killed: confirmed"],
        ),
        (
            "137, no events",
            in_unit(ServerDown, ended(Some(137)), &[]),
            &["container-killed: likely"],
        ),
        (
            "out of memory",
            in_unit(ServerDown, ended(Some(137)), &[OutOfMemory, Died]),
            &["cgroup-oom: confirmed"],
        ),
        (
            "out of memory in an earlier life",
            in_unit(ServerDown, ended(Some(137)), &[OutOfMemory, Died, Started, Died]),
            &["container-killed: confirmed"],
        ),
        ("failed", in_unit(ServerDown, ended(Some(1)), &[Died]), &["container-exited: confirmed"]),
        ("stopped", in_unit(ServerDown, ended(Some(0)), &[Died]), &["container-exited: confirmed"]),
        ("ended somehow", in_unit(ServerDown, ended(None), &[Died]), &["container-exited: likely"]),
        ("running", in_unit(ServerDown, runs(), &[Died, Started]), &[]),
        ("gone", in_unit(ServerDown, Some(unit(Absent, None)), &[]), &[]),
        ("in a loop", in_unit(ServerDown, Some(unit(Restarting, Some(1))), &[]), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn a_first_process_that_stands_still_is_told_from_a_pause_and_from_one_that_waits() {
    use UnitStatus::{Paused, Running};
    let seen = |finding, status, state| {
        let mut facts = in_unit(finding, Some(unit(status, None)), &[]);
        facts.place.first_process = state;
        graded(&facts)
    };
    const STOPPED: [&str; 1] = ["container-sigstop: confirmed"];
    assert_eq!(seen(ServerHung, Running, Some('T')), STOPPED);
    assert_eq!(seen(ProbeFailing, Running, Some('T')), STOPPED, "its children go on");
    assert_eq!(seen(ServerHung, Paused, Some('T')), ["container-paused: confirmed"]);
    for (finding, state) in [
        (ServerHung, Some('S')),
        (ServerHung, Some('D')),
        (ServerHung, None),
        (WritesRefused, Some('T')),
    ] {
        assert_eq!(seen(finding, Running, state), [""; 0], "{finding:?} {state:?}");
    }
}

#[test]
fn a_lower_limit_of_memory_than_before_is_named() {
    let ended = |was: &str| {
        let mut facts =
            in_unit(ServerDown, Some(unit(UnitStatus::Exited, Some(137))), &[OutOfMemory, Died]);
        facts.baseline.insert("unit.memory".into(), was.into());
        (memory_to_restore(&facts), diagnose(&facts).causes.remove(0).because)
    };
    let (restore, because) = ended(&(400 * MB).to_string());
    assert_eq!(restore, Some(400 * MB));
    assert!(
        because.contains("memory limit of 256.0 MB, which was 400.0 MB, was reached"),
        "{because}"
    );
    assert_eq!(ended(&(256 * MB).to_string()).0, None, "as it always was");
}

#[test]
fn when_nothing_fits_the_summary_names_the_next_question() {
    let summary = |facts: &Facts| {
        let diagnosis = diagnose(facts);
        assert!(diagnosis.causes.is_empty() && diagnosis.leading().is_none());
        diagnosis.summary
    };
    let running = in_unit(ServerHung, Some(unit(UnitStatus::Running, None)), &[]);
    assert!(summary(&running).ends_with("whether its first process is stopped"));
    let absent = in_unit(ServerDown, Some(unit(UnitStatus::Absent, None)), &[]);
    assert!(summary(&absent).ends_with("is not there at all"));
    assert_eq!(
        summary(&in_unit(ServerDown, None, &[])),
        "no known cause fits a server that is down; not observed: what it runs in; next: whether the process \
         runs, and its log"
    );
    let mut strange = in_unit(ProbeFailing, Some(unit(UnitStatus::Running, None)), &[]);
    strange.samples = vec![redis_sample(0.0, 0, 0, error("ERR", "ERR\u{1b}[2J required"))];
    assert!(summary(&strange).contains("(a client got: ERR\\u{1b}[2J required)"));
}

#[test]
fn the_best_grade_leads_and_nothing_leads_without_evidence() {
    let mut facts = lowered();
    facts.baseline.clear();
    facts.unit = Some(unit(UnitStatus::Paused, None));
    let order = ["container-paused: confirmed", "maxmemory-lowered: likely", "leak-oom: likely"];
    assert_eq!(graded(&facts), order);

    facts.evidence.clear();
    let diagnosis = diagnose(&facts);
    assert!(diagnosis.leading().is_none());
    assert!(diagnosis.causes.iter().all(|judged| judged.missing.is_some()));
}

#[test]
fn confirmed_causes_cite_evidence_and_miss_nothing() {
    for facts in [leak(), lowered(), lowered_and_leaking()] {
        for judged in diagnose(&facts).causes {
            assert_eq!(judged.missing.is_none(), judged.grade == Grade::Confirmed);
            assert!(!judged.evidence.is_empty());
            for id in &judged.evidence {
                assert!(facts.evidence.iter().any(|evidence| evidence.id == *id), "{id}");
            }
        }
    }
}
