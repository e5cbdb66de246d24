//! Far more transactions are rolled back than usual. Some programs roll back all day and are well, so each server is
//! compared with itself.

use chrono::{DateTime, Utc};

use super::counted::{Counted, Counters, Seen};
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::reading;
use crate::domain::window::Window;

const TRANSACTIONS: Counters =
    Counters { well: reading::COMMITS_TOTAL, badly: reading::ROLLBACKS_TOTAL };
/// Fewer than these are somebody's mistake.
const MANY: f64 = 20.0;
/// So few in the last seconds are none.
const FEW: f64 = 2.0;
/// So much less committed than usual is a trouble, and so much less is none.
const DROP: f64 = 0.3;
const NEAR: f64 = 0.1;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let (long, end) = match TRANSACTIONS.over(window, now) {
        Seen::Nothing => return Verdict::Absent,
        Seen::Unclear(why) => return Verdict::Inconclusive(why),
        Seen::Counted { long, end } => (long, end),
    };
    if long.badly < MANY || end.badly <= FEW {
        return Verdict::Absent;
    }
    let Some(usual) = window.usual_commits().share() else {
        return Verdict::Inconclusive("how many transactions usually fail is not known yet");
    };
    if long.share() <= usual - DROP {
        return Verdict::Present(finding(long, usual));
    }
    if end.share() >= usual - NEAR {
        return Verdict::Absent;
    }
    Verdict::Inconclusive("some more transactions fail than usual")
}

fn finding(seen: Counted, usual: f64) -> Finding {
    let failed = 1.0 - seen.share();
    Finding {
        kind: FindingKind::TransactionsFail,
        severity: if failed >= 0.75 { Severity::High } else { Severity::Medium },
        sentence: format!(
            "{:.0} transactions were rolled back within {:.0} s, {:.0} % of all (usually {:.0} %)",
            seen.badly,
            seen.seconds,
            failed * 100.0,
            (1.0 - usual) * 100.0
        ),
        error_lines: Vec::new(),
        since: seen.since,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, letter, present, sample, target, window, with};
    use super::*;
    use crate::domain::sample::{Answer, Origin, Sample};
    use crate::domain::target::{Engine, Profile};

    /// Each second so many (commits, rollbacks), from 0 on.
    fn story(seconds: &[(f64, f64)]) -> Vec<Sample> {
        let (mut commits, mut rollbacks) = (900.0, 40.0);
        let mut all = Vec::new();
        for (n, (well, badly)) in (0i64..).zip(seconds) {
            (commits, rollbacks) = (commits + well, rollbacks + badly);
            let ok = sample(Origin::Held, n * 1_000, Answer::Ok, Answer::Ok, Answer::Ok);
            let counters =
                [(reading::COMMITS_TOTAL, commits), (reading::ROLLBACKS_TOTAL, rollbacks)];
            all.push(with(ok, &counters));
        }
        all
    }

    fn verdict(profile: Profile, before: (f64, f64), after: &[(f64, f64)]) -> Verdict {
        let samples = story(&[&[before; 20], after].concat());
        let now = at((samples.len() as i64 - 1) * 1_000);
        judge(&window(target(Engine::Postgres, profile), samples), now)
    }

    #[test]
    fn a_server_is_compared_with_itself() {
        let lab = |before, after: &[(f64, f64)]| letter(&verdict(Profile::Lab, before, after));
        let well = (30.0, 0.0);
        assert_eq!(lab(well, &[well; 9]), 'A');
        assert_eq!(lab(well, &[(10.0, 30.0); 9]), 'P');
        assert_eq!(lab(well, &[(400.0, 6.0); 9]), 'A', "a busy one with some failures");
        assert_eq!(lab(well, &[(1.0, 3.0); 6]), 'A', "few of few");
        assert_eq!(lab((10.0, 30.0), &[(10.0, 30.0); 9]), 'A', "it always rolls back much");
        assert_eq!(lab((10.0, 30.0), &[(40.0, 120.0); 9]), 'A', "and under load");
        assert_eq!(lab(well, &[[(10.0, 30.0); 9], [well; 9]].concat()), 'A', "it is over");
        assert_eq!(lab(well, &[(10.0, 30.0)]), 'I', "a moment of it");
        let production = |n| letter(&verdict(Profile::Production, well, &vec![(10.0, 30.0); n]));
        assert_eq!((production(9), production(30)), ('I', 'P'));
        let finding = present(verdict(Profile::Lab, well, &[(10.0, 30.0); 9]));
        assert_eq!(
            finding.sentence,
            "180 transactions were rolled back within 6 s, 75 % of all (usually 0 %)"
        );
    }

    #[test]
    fn what_was_counted_anew_or_not_at_all_says_nothing() {
        let mut samples = story(&[(30.0, 20.0); 12]);
        let reset = story(&[(30.0, 20.0)]).remove(0);
        samples.last_mut().unwrap().readings = reset.readings;
        let anew = judge(&window(target(Engine::Postgres, Profile::Lab), samples), at(11_000));
        assert_eq!(letter(&anew), 'I');
        let redis = judge(&window(target(Engine::Redis, Profile::Lab), Vec::new()), at(0));
        assert_eq!(letter(&redis), 'A');
        let unseen = sample(Origin::Held, 0, Answer::Ok, Answer::Ok, Answer::Ok);
        let unseen = judge(&window(target(Engine::Postgres, Profile::Lab), [unseen]), at(0));
        assert_eq!(letter(&unseen), 'A');
    }
}
