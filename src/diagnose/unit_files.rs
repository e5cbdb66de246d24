//! No socket can be opened for a client: whether the process may have fewer files open than when it was healthy.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Origin};
use crate::domain::unit::setting;

use super::Judge;
use super::facts::Facts;
use super::verdict::{Verdict, source};

pub(super) const FD_LIMIT: Judge = Judge {
    cause: "fd-limit",
    title: "no socket for a new client",
    about: "The process has as many files open as it may: who is in goes on, who comes is never answered.",
    findings: &[FindingKind::ProbeFailing, FindingKind::ServerHung],
    judge: none_left,
};

const SOURCES: [&str; 4] = [source::CLIENT_VIEW, source::UNIT, source::LOG, source::BASELINE];
/// As the kernel says it, and servers write it down.
const TOO_MANY: &str = "Too many open files";

/// The limit of open files of the healthy server, when there is less now.
pub(crate) fn files_to_restore(facts: &Facts) -> Option<u64> {
    let now = facts.unit.as_ref()?.files?;
    let was: u64 = facts.baseline.get(setting::FILES)?.parse().ok()?;
    (now.soft < was).then_some(was.min(now.hard)).filter(|was| *was > now.soft)
}

fn none_left(facts: &Facts) -> Option<JudgedCause> {
    let files = facts.unit.as_ref()?.files?;
    let fresh = facts.samples.iter().rev().find(|sample| sample.origin == Origin::Fresh)?;
    let waits = [&fresh.connect, &fresh.read].into_iter().any(|a| matches!(a, Answer::Hung { .. }));
    if !waits || files.next < files.soft {
        return None;
    }
    let verdict = Verdict::on(facts, FD_LIMIT.cause, &SOURCES);
    let logged = facts.log.iter().flatten().any(|line| line.contains(TOO_MANY));
    let said = if logged { ", and its log says: too many open files" } else { "" };
    let because = format!(
        "new clients are not answered; the process has {} files open and may have {}{said}",
        files.open, files.soft
    );
    Some(match files_to_restore(facts) {
        Some(was) => verdict.confirmed(format!("{because}; it could have {was}")),
        None => verdict.likely(because, "the limit while it was healthy, and what it has open"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graded, in_unit, redis_sample, unit};
    use super::*;
    use crate::domain::unit::{FileLimit, UnitState, UnitStatus};

    /// A new client connects and waits; who is in is content.
    fn waiting(next: u64, soft: u64) -> Facts {
        let files = Some(FileLimit { open: next + 2, next, soft, hard: 20_000 });
        let seen = UnitState { files, ..unit(UnitStatus::Running, None) };
        let mut facts = in_unit(FindingKind::ProbeFailing, Some(seen), &[]);
        facts.baseline.insert(setting::FILES.into(), "10032".into());
        let mut fresh = redis_sample(1.0, 0, 0, Answer::NotAsked);
        fresh.origin = Origin::Fresh;
        (fresh.connect, fresh.read) = (Answer::Hung { after_ms: 1_000 }, Answer::NotAsked);
        facts.samples = vec![redis_sample(0.9, 0, 0, Answer::Ok), fresh];
        facts
    }

    #[test]
    fn no_file_left_under_a_lowered_limit_is_the_cause() {
        assert_eq!(graded(&waiting(16, 16)), ["fd-limit: confirmed"]);
        assert_eq!(files_to_restore(&waiting(16, 16)), Some(10_032));
        let mut capped = waiting(16, 16);
        capped.unit.as_mut().unwrap().files.as_mut().unwrap().hard = 64;
        assert_eq!(files_to_restore(&capped), Some(64), "no further than it goes");
        assert_eq!(graded(&waiting(10_032, 10_032)), ["fd-limit: likely"], "as it always was");
        assert_eq!(files_to_restore(&waiting(10_032, 10_032)), None);
    }

    #[test]
    fn what_looks_like_it_is_not_it() {
        const NONE: Vec<String> = Vec::new();
        assert_eq!(graded(&waiting(9, 16)), NONE, "there is room");
        let with = |change: fn(&mut Facts)| {
            let mut facts = waiting(16, 16);
            change(&mut facts);
            graded(&facts)
        };
        assert_eq!(with(|f| f.unit.as_mut().unwrap().files = None), NONE);
        let refused = |f: &mut Facts| f.samples[1].connect = Answer::Gone { text: "reset".into() };
        assert_eq!(with(refused), NONE, "somebody hung up");
    }
}
