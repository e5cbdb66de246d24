//! Which share of things usually goes well (reads find their key, transactions commit), learnt from the server's own
//! counters.

/// Fewer intervals do not make a habit.
const LEAST: u32 = 3;
/// After so many, one more moves it by this share only.
const MANY: u32 = 20;
const STEP: f64 = 0.05;
/// A share that is so much lower is a trouble, and a trouble does not become a habit.
const TROUBLE: f64 = 0.1;

/// The usual share of what goes well.
#[derive(Clone, Debug, PartialEq)]
pub struct UsualShare {
    /// An interval with fewer things in it says nothing.
    least: f64,
    share: f64,
    seen: u32,
    /// Where the present interval began: what went well, and what did not.
    from: Option<(f64, f64)>,
}

impl UsualShare {
    /// Learnt over intervals of at least so many things.
    pub(super) fn over(least: f64) -> Self {
        Self { least, share: 0.0, seen: 0, from: None }
    }

    /// Takes the counters of one more sample into account.
    pub(super) fn learn(&mut self, well: f64, badly: f64) {
        let Some((well_before, badly_before)) = self.from else {
            self.from = Some((well, badly));
            return;
        };
        let (went_well, went_badly) = (well - well_before, badly - badly_before);
        if went_well < 0.0 || went_badly < 0.0 {
            // Counted anew: another life of the server.
            self.from = Some((well, badly));
        } else if went_well + went_badly >= self.least {
            self.from = Some((well, badly));
            self.settle(went_well / (went_well + went_badly));
        }
    }

    fn settle(&mut self, share: f64) {
        if self.seen >= LEAST && share < self.share - TROUBLE {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        let step = if self.seen <= MANY { 1.0 / f64::from(self.seen) } else { STEP };
        self.share += (share - self.share) * step;
    }

    /// From 0 to 1; `None` until enough was seen.
    pub fn share(&self) -> Option<f64> {
        (self.seen >= LEAST).then_some(self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals of (hits, misses), one after the other.
    fn after(intervals: &[(f64, f64)]) -> Option<f64> {
        let mut usual = UsualShare::over(100.0);
        let (mut hits, mut misses) = (5_000.0, 9_000.0);
        usual.learn(hits, misses);
        for (found, missed) in intervals {
            (hits, misses) = (hits + found, misses + missed);
            usual.learn(hits, misses);
        }
        usual.share()
    }

    #[test]
    fn a_habit_takes_some_reads_and_a_trouble_does_not_change_it() {
        let good = (900.0, 100.0);
        assert_eq!(after(&[]), None, "what was before is nobody's habit");
        assert_eq!(after(&[good, good]), None);
        assert_eq!(after(&[(9.0, 1.0); 20]), None, "two intervals' worth of reads");
        assert_eq!(after(&[good; 5]), Some(0.9));
        let troubled = [&[good; 5][..], &[(100.0, 900.0); 50]].concat();
        assert_eq!(after(&troubled), Some(0.9));
        let share = after(&[&[good; 5][..], &[(980.0, 20.0); 50]].concat()).unwrap();
        assert!(share > 0.95, "better becomes the habit: {share}");
        let share = after(&[(600.0, 400.0); 9]).unwrap();
        assert!((share - 0.6).abs() < 1e-9, "a cache that always missed much: {share}");
    }

    #[test]
    fn counters_that_begin_anew_are_no_misses() {
        let mut usual = UsualShare::over(100.0);
        for n in 1..=5 {
            usual.learn(f64::from(n) * 1_000.0, 0.0);
        }
        usual.learn(10.0, 500.0);
        usual.learn(1_010.0, 500.0);
        assert_eq!(usual.share(), Some(1.0));
    }
}
