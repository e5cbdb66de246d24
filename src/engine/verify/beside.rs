//! A proof on a target that has other trouble too: what that trouble explains is not held against the fix.
//!
//! Left out is only what failed and is explained; what passed counts, and the action's own checks always count.

use super::answer_check;
use crate::domain::effect::Goal;
use crate::domain::execution::Check;
use crate::domain::finding::Family;
use crate::domain::sample::Sample;

/// The checks that count, and in words those that do not.
pub(super) fn without_other_trouble(
    base: Vec<Check>,
    held: &Sample,
    goal: &Goal,
) -> (Vec<Check>, Vec<String>) {
    if goal.besides.is_empty() {
        return (base, Vec::new());
    }
    let (counting, explained): (Vec<Check>, Vec<Check>) =
        base.into_iter().partition(|check| check.passed == Some(true));
    let mut counting = counting;
    if explained.is_empty() {
        return (counting, Vec::new());
    }
    if !all_explained(goal) {
        counting.extend(explained);
        return (counting, Vec::new());
    }
    // What a new client cannot tell, the one that stayed may.
    let over_kept = [
        answer_check("the kept connection reads", held, &held.read),
        answer_check("the kept connection writes", held, &held.write),
    ];
    counting.extend(over_kept.into_iter().filter(|check| check.passed == Some(true)));
    let left_out = explained.iter().map(|check| format!("{}: {}", check.name, check.detail));
    (counting, left_out.collect())
}

/// A server that is away proves nothing, whatever else is wrong with it.
fn all_explained(goal: &Goal) -> bool {
    goal.besides.findings.iter().all(|finding| finding.family() != Family::Availability)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::domain::effect::Besides;
    use crate::domain::finding::FindingKind;
    use crate::domain::readings::Readings;
    use crate::domain::sample::{Answer, Origin};

    fn check(name: &str, passed: bool) -> Check {
        Check { name: name.into(), passed: Some(passed), detail: "seen".into() }
    }

    fn held(write: Answer) -> Sample {
        Sample {
            at: DateTime::from_timestamp(1, 0).unwrap(),
            origin: Origin::Held,
            took_ms: 1.0,
            connect: Answer::Ok,
            read: Answer::Ok,
            write,
            readings: Readings::default(),
        }
    }

    fn judged(findings: Vec<FindingKind>, causes: &[&str]) -> (Vec<String>, Vec<String>) {
        let causes = causes.iter().map(|cause| (*cause).into()).collect();
        let goal = Goal {
            hold: Duration::ZERO,
            above_score: 80.0,
            or_level: None,
            besides: Besides { findings, causes },
        };
        let base = vec![check("a new client connects", false), check("it reads", true)];
        let (counting, left_out) = without_other_trouble(base, &held(Answer::Ok), &goal);
        (counting.into_iter().map(|check| check.name).collect(), left_out)
    }

    #[test]
    fn without_other_trouble_every_check_counts() {
        let (counting, left_out) = judged(vec![], &[]);
        assert_eq!(counting, ["a new client connects", "it reads"]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn what_other_trouble_explains_is_said_and_left_out() {
        let kept = ["it reads", "the kept connection reads", "the kept connection writes"];
        for (findings, causes) in
            [(vec![FindingKind::ClientsRefused], &[][..]), (vec![], &["leak-oom"][..])]
        {
            let (counting, left_out) = judged(findings, causes);
            assert_eq!(counting, kept);
            assert_eq!(left_out, ["a new client connects: seen"]);
        }
    }

    #[test]
    fn a_server_that_is_away_explains_nothing() {
        let (counting, left_out) = judged(vec![FindingKind::ServerHung], &[]);
        assert_eq!(counting, ["it reads", "a new client connects"]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_kept_connection_that_fails_too_is_no_proof() {
        let goal = Goal {
            hold: Duration::ZERO,
            above_score: 80.0,
            or_level: None,
            besides: Besides { findings: vec![FindingKind::WritesRefused], causes: vec![] },
        };
        let refused = Answer::Error { code: "OOM".into(), text: "OOM no".into() };
        let (counting, left_out) =
            without_other_trouble(vec![check("it writes", false)], &held(refused), &goal);
        let names: Vec<String> = counting.into_iter().map(|check| check.name).collect();
        assert_eq!(names, ["the kept connection reads"]);
        assert_eq!(left_out.len(), 1);
    }
}
