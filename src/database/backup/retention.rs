//! Which backups may go. A backup goes only when nothing that could be needed depends on it: what keeps it is a
//! rule each, so that whatever a rule misses another still keeps.

use chrono::{DateTime, TimeDelta, Utc};

/// How long backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub days: u32,
    /// So many of the newest verified ones remain, however old they are.
    pub min_keep: usize,
}

/// What the rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    /// Backups are aged by this, never by their names.
    pub finished_at: DateTime<Utc>,
    pub verified: bool,
    pub pinned: bool,
}

/// Those of one database that may go, oldest first.
pub fn expired(backups: &[Kept], rule: Rule, now: DateTime<Utc>) -> Vec<&Kept> {
    let edge = now - TimeDelta::days(i64::from(rule.days));
    let mut newest_first: Vec<&Kept> = backups.iter().collect();
    newest_first.sort_by(|a, b| (b.finished_at, &b.name).cmp(&(a.finished_at, &a.name)));
    let is_old = |one: &Kept| one.finished_at < edge;
    let newest_old = newest_first.iter().find(|one| is_old(one)).map(|one| one.name.as_str());
    let mut verified_seen = 0;
    let mut goes = Vec::new();
    for (place, &one) in newest_first.iter().enumerate() {
        let among_newest = one.verified && verified_seen < rule.min_keep;
        verified_seen += usize::from(one.verified);
        // The newest verified ones cannot be counted where there are too few: then nothing goes.
        let enough = verified_seen >= rule.min_keep && verified_seen > 0;
        let has_later = place > 0;
        let is_last_old = newest_old == Some(one.name.as_str());
        if is_old(one) && !among_newest && enough && has_later && !is_last_old && !one.pinned {
            goes.push(one);
        }
    }
    goes.reverse();
    goes
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule { days: 30, min_keep: 3 };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_004_900, 0).unwrap()
    }

    fn aged(days: i64, verified: bool) -> Kept {
        let finished_at = now() - TimeDelta::days(days);
        Kept { name: format!("b{days:03}"), finished_at, verified, pinned: false }
    }

    fn names(goes: &[&Kept]) -> Vec<String> {
        goes.iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn daily_backups_go_after_the_window_but_for_the_newest_beyond_it() {
        let all: Vec<Kept> = (0..35).map(|days| aged(days, true)).collect();
        assert_eq!(names(&expired(&all, RULE, now())), ["b034", "b033", "b032"]);
    }

    #[test]
    fn a_job_that_fails_for_31_days_deletes_nothing() {
        let all: Vec<Kept> = (32..35).map(|days| aged(days, true)).collect();
        assert!(expired(&all, RULE, now()).is_empty());
        // Also when what it leaves cannot be verified.
        let mut all: Vec<Kept> = (32..35).map(|days| aged(days, true)).collect();
        all.extend((0..32).map(|days| aged(days, false)));
        assert!(expired(&all, RULE, now()).is_empty());
    }

    #[test]
    fn a_pinned_one_stays() {
        let mut all: Vec<Kept> = (0..40).map(|days| aged(days, true)).collect();
        all[38].pinned = true;
        assert!(!names(&expired(&all, RULE, now())).contains(&"b038".to_owned()));
    }

    #[test]
    fn without_verified_ones_nothing_goes_whatever_is_kept_at_least() {
        let all: Vec<Kept> = (0..60).map(|days| aged(days, false)).collect();
        for min_keep in [0, 1, 3] {
            assert!(expired(&all, Rule { days: 1, min_keep }, now()).is_empty());
        }
    }

    fn any_backups() -> impl Strategy<Value = Vec<Kept>> {
        vec((0i64..100_000, any::<bool>(), any::<bool>()), 0..40).prop_map(|drawn| {
            let one = |(index, (minutes, verified, pinned)): (usize, (i64, bool, bool))| Kept {
                name: format!("n{index}"),
                finished_at: now() - TimeDelta::minutes(minutes),
                verified,
                pinned,
            };
            drawn.into_iter().enumerate().map(one).collect()
        })
    }

    proptest! {
        #[test]
        fn the_newest_verified_and_what_is_young_or_pinned_remain(
            all in any_backups(), days in 0u32..60, min_keep in 0usize..6,
        ) {
            let rule = Rule { days, min_keep };
            let goes = names(&expired(&all, rule, now()));
            let mut verified: Vec<&Kept> = all.iter().filter(|one| one.verified).collect();
            verified.sort_by(|a, b| (b.finished_at, &b.name).cmp(&(a.finished_at, &a.name)));
            for one in verified.iter().take(min_keep) {
                prop_assert!(!goes.contains(&one.name), "{} is among the newest", one.name);
            }
            let edge = now() - TimeDelta::days(i64::from(days));
            for one in &all {
                if one.pinned || one.finished_at >= edge {
                    prop_assert!(!goes.contains(&one.name));
                }
            }
            if verified.len() < min_keep || verified.is_empty() {
                prop_assert!(goes.is_empty());
            }
            if !all.is_empty() {
                prop_assert!(goes.len() < all.len(), "one always remains");
            }
        }

        #[test]
        fn pruning_twice_takes_nothing_more(all in any_backups(), min_keep in 0usize..6) {
            let rule = Rule { days: 30, min_keep };
            let goes = names(&expired(&all, rule, now()));
            let left: Vec<Kept> =
                all.into_iter().filter(|one| !goes.contains(&one.name)).collect();
            prop_assert!(expired(&left, rule, now()).is_empty());
        }
    }
}
