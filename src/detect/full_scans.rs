//! Large tables that were looked up by an index are read from end to end, again and again. A report reads whole tables
//! too, once; a server that always does so is compared with itself.

use chrono::{DateTime, Utc};

use super::counted::{Counted, Counters, Seen};
use crate::domain::finding::{Finding, FindingKind, Severity, Verdict};
use crate::domain::sample::reading;
use crate::domain::window::Window;

const SCANS: Counters =
    Counters { well: reading::INDEX_SCANS_TOTAL, badly: reading::FULL_SCANS_TOTAL };
/// Fewer than these are reports, dumps and builds of indexes.
const MANY: f64 = 50.0;
/// So much less by an index than usual is a trouble, and so much less is none.
const DROP: f64 = 0.5;
const NEAR: f64 = 0.1;

pub(super) fn judge(window: &Window, now: DateTime<Utc>) -> Verdict {
    let (long, end) = match SCANS.over(window, now) {
        Seen::Nothing => return Verdict::Absent,
        Seen::Unclear(why) => return Verdict::Inconclusive(why),
        Seen::Counted { long, end } => (long, end),
    };
    if long.badly < MANY {
        return Verdict::Absent;
    }
    let Some(usual) = window.usual_index_scans().share() else {
        return Verdict::Inconclusive("how large tables are usually read is not known yet");
    };
    if end.badly > 0.0 && long.share() <= usual - DROP {
        return Verdict::Present(finding(long, usual));
    }
    if end.badly <= 0.0 || end.share() >= usual - NEAR {
        return Verdict::Absent;
    }
    Verdict::Inconclusive("some more large tables are read from end to end than usual")
}

fn finding(seen: Counted, usual: f64) -> Finding {
    Finding {
        kind: FindingKind::FullScans,
        severity: Severity::Medium,
        sentence: format!(
            "large tables were read from end to end {:.0} times within {:.0} s and by an index in {:.0} % of the scans \
             (usually {:.0} %)",
            seen.badly,
            seen.seconds,
            seen.share() * 100.0,
            usual * 100.0
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

    /// Each second so many scans (by an index, from end to end); they are read every two seconds only.
    fn verdict(before: (f64, f64), after: &[(f64, f64)]) -> Verdict {
        let (mut index, mut full) = (5_000.0, 70.0);
        let (mut samples, mut read) = (Vec::<Sample>::new(), (index, full));
        for (n, (by_index, whole)) in (0i64..).zip([&[before; 20], after].concat()) {
            (index, full) = (index + by_index, full + whole);
            if n % 2 == 0 {
                read = (index, full);
            }
            let ok = sample(Origin::Held, n * 1_000, Answer::Ok, Answer::Ok, Answer::Ok);
            let counters =
                [(reading::INDEX_SCANS_TOTAL, read.0), (reading::FULL_SCANS_TOTAL, read.1)];
            samples.push(with(ok, &counters));
        }
        let now = at((samples.len() as i64 - 1) * 1_000);
        judge(&window(target(Engine::Postgres, Profile::Lab), samples), now)
    }

    #[test]
    fn what_turns_from_an_index_to_the_whole_table_is_a_trouble_and_a_report_is_none() {
        let lookups = (40.0, 0.0);
        let lab = |before, after: &[(f64, f64)]| letter(&verdict(before, after));
        assert_eq!(lab(lookups, &[lookups; 10]), 'A');
        assert_eq!(lab(lookups, &[(0.0, 30.0); 10]), 'P');
        assert_eq!(lab(lookups, &[(40.0, 1.0); 10]), 'A', "a report beside them");
        assert_eq!(lab(lookups, &[(0.0, 3.0); 10]), 'A', "nobody looks anything up, and a dump");
        assert_eq!(lab((0.0, 30.0), &[(0.0, 90.0); 10]), 'A', "it always reads whole tables");
        assert_eq!(lab(lookups, &[[(0.0, 30.0); 10], [lookups; 10]].concat()), 'A', "mended");
        let gone = [&[(-3_000.0, 30.0)][..], &[(0.0, 30.0); 9]].concat();
        assert_eq!(lab(lookups, &gone), 'P', "the index is gone, and what was counted for it");
        let finding = present(verdict(lookups, &[(0.0, 30.0); 10]));
        assert!(finding.sentence.contains("in 0 % of the scans (usually 100 %)"), "{finding:?}");
    }
}
