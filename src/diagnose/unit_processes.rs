//! Nothing more can be started in the container: whether it may have fewer processes than when it was healthy.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Origin};
use crate::domain::unit::{pids_of, setting};

use super::Judge;
use super::facts::Facts;
use super::verdict::{Verdict, source};
use super::words;

pub(super) const PIDS_LIMIT: Judge = Judge {
    cause: "pids-limit",
    title: "no process can be started for a client",
    about: "PostgreSQL starts a process for each client, and what it runs in may have no more of them: who is in goes \
            on, who comes is cut off.",
    findings: &[FindingKind::ProbeFailing, FindingKind::ServerDown],
    judge: no_more,
};

const SOURCES: [&str; 4] = [source::CLIENT_VIEW, source::UNIT, source::LOG, source::BASELINE];
/// As the server's log says it of a client.
const COULD_NOT: &str = "could not fork new process";

/// The limit of processes of the healthy server, when there is less now.
pub(crate) fn pids_to_restore(facts: &Facts) -> Option<Option<u32>> {
    let now = facts.unit.as_ref()?.limits?.pids?;
    let was = pids_of(facts.baseline.get(setting::PIDS)?)?;
    was.is_none_or(|was| now < was).then_some(was)
}

/// How many may run now, and how many could, when that is fewer.
pub(super) fn lowered(facts: &Facts) -> Option<String> {
    let was = pids_to_restore(facts)?;
    let now = facts.unit.as_ref()?.limits?.pids?;
    Some(match was {
        Some(was) => {
            format!("what it runs in may have {now} processes and threads, it could have {was}")
        }
        None => {
            format!("what it runs in may have {now} processes and threads, there was no limit")
        }
    })
}

fn no_more(facts: &Facts) -> Option<JudgedCause> {
    let fresh = facts.samples.iter().rev().find(|sample| sample.origin == Origin::Fresh)?;
    if !matches!(fresh.connect, Answer::Gone { .. }) {
        return None;
    }
    let line = facts.log.iter().flatten().rev().find(|line| line.contains(COULD_NOT))?;
    let because = match line.find(COULD_NOT).and_then(|at| line.get(at..)) {
        Some(said) => format!("new clients are cut off; the log says: {}", words::line(said)),
        None => "new clients are cut off for want of a process, by the log".into(),
    };
    let verdict = Verdict::on(facts, PIDS_LIMIT.cause, &SOURCES);
    Some(match lowered(facts) {
        Some(limit) => verdict.confirmed(format!("{because}; {limit}")),
        None => verdict.likely(because, "what else the processes there are, and the memory left"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graded, in_unit, redis_sample, unit};
    use super::*;
    use crate::domain::unit::{CpuLimit, UnitLimits, UnitState, UnitStatus};

    const LOG: &str =
        "LOG:  could not fork new process for connection: Resource temporarily unavailable";

    fn limited(pids: Option<u32>) -> UnitState {
        let limits = UnitLimits { cpu: CpuLimit::of(None, None), pids };
        UnitState { limits: Some(limits), ..unit(UnitStatus::Running, None) }
    }

    /// A new client is cut off in the midst of its greeting; who is in is content.
    fn cut_off(pids: Option<u32>) -> Facts {
        let mut facts = in_unit(FindingKind::ProbeFailing, Some(limited(pids)), &[]);
        facts.baseline.insert(setting::PIDS.into(), "128".into());
        facts.log = Some(vec![LOG.into(), "LOG:  checkpoint starting: time".into()]);
        let mut fresh = redis_sample(1.0, 0, 0, Answer::NotAsked);
        fresh.origin = Origin::Fresh;
        (fresh.connect, fresh.read) =
            (Answer::Gone { text: "unexpected end of file".into() }, Answer::NotAsked);
        facts.samples = vec![redis_sample(0.9, 0, 0, Answer::Ok), fresh];
        facts
    }

    #[test]
    fn a_lowered_limit_and_the_log_settle_it() {
        assert_eq!(graded(&cut_off(Some(9))), ["pids-limit: confirmed"]);
        assert_eq!(pids_to_restore(&cut_off(Some(9))), Some(Some(128)));
        assert_eq!(graded(&cut_off(Some(128))), ["pids-limit: likely"], "as it always was");
        assert_eq!(pids_to_restore(&cut_off(Some(128))), None);
        assert_eq!(pids_to_restore(&cut_off(None)), None, "there is none");
        let mut unlimited = cut_off(Some(9));
        unlimited.baseline.insert(setting::PIDS.into(), "none".into());
        assert_eq!(pids_to_restore(&unlimited), Some(None));
        assert_eq!(graded(&unlimited), ["pids-limit: confirmed"]);
    }

    #[test]
    fn what_looks_like_it_is_not_it() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = cut_off(Some(9));
            change(&mut facts);
            graded(&facts)
        };
        const NONE: Vec<String> = Vec::new();
        assert_eq!(with(|f| f.log = Some(vec!["LOG:  ready".into()])), NONE, "no word of it");
        assert_eq!(with(|f| f.log = None), NONE);
        assert_eq!(with(|f| f.baseline.clear()), ["pids-limit: likely"]);
        let refused = |f: &mut Facts| {
            f.samples[1].connect =
                Answer::Error { code: "28000".into(), text: "role may not log in".into() };
        };
        assert_eq!(with(refused), NONE, "the server itself answered");
    }
}
