//! How long a target's answers usually take, learnt from the answers themselves.

/// Fewer answers than these do not make a habit.
const LEAST: u32 = 2;
/// After so many, one more answer moves it by a small step only.
const MANY: u32 = 20;
const STEP: f64 = 0.01;
/// Slow is: so many times the usual …
const FACTOR: f64 = 4.0;
/// … and never less than this, which a busy machine alone may cost.
const FLOOR_MS: f64 = 60.0;

/// The answer in the middle, about. A trouble does not become a habit: slow answers are not learnt from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usual {
    ms: f64,
    seen: u32,
}

impl Usual {
    /// Takes one good answer into account.
    pub(super) fn learn(&mut self, took_ms: f64) {
        if self.seen > 0 && took_ms >= self.slow_from_ms() {
            return;
        }
        // The first answers include making the connection.
        if self.seen <= MANY && took_ms * FACTOR < self.ms {
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen <= MANY {
            self.ms += (took_ms - self.ms) / f64::from(self.seen);
        } else if took_ms > self.ms {
            self.ms *= 1.0 + STEP;
        } else {
            self.ms *= 1.0 - STEP;
        }
    }

    /// `None` until enough was seen.
    pub fn ms(&self) -> Option<f64> {
        (self.seen >= LEAST).then_some(self.ms)
    }

    /// Whether an answer took far longer than usual.
    pub fn is_slow(&self, took_ms: f64) -> bool {
        self.ms().is_some() && took_ms >= self.slow_from_ms()
    }

    fn slow_from_ms(&self) -> f64 {
        FLOOR_MS.max(self.ms * FACTOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: impl IntoIterator<Item = f64>) -> Usual {
        let mut usual = Usual::default();
        answers.into_iter().for_each(|ms| usual.learn(ms));
        usual
    }

    #[test]
    fn it_settles_in_the_middle_and_follows_slowly() {
        assert_eq!(after([1.0]).ms(), None);
        assert_eq!(after([90.0, 1.0, 1.0]).ms(), Some(1.0), "the first one connected");
        assert_eq!(after([2.0, 200.0, 300.0, 2.0]).ms(), Some(2.0), "a trouble from the start");
        let settled = after((0..2_000).map(|n| f64::from(n % 10)));
        assert!((3.0..6.0).contains(&settled.ms().unwrap()), "{settled:?}");
        let moved = after((0..2_000).map(|n| if n < 100 { 1.0 } else { 10.0 }));
        assert!((9.0..11.0).contains(&moved.ms().unwrap()), "{moved:?}");
    }

    #[test]
    fn a_trouble_is_not_learnt() {
        let troubled = after((0..5_000).map(|n| if n < 100 { 1.0 } else { 300.0 }));
        assert!(troubled.is_slow(300.0), "{troubled:?}");
        assert!(!after([1.0; 50]).is_slow(29.0), "not slow for a client");
        assert!(!after([80.0; 50]).is_slow(300.0), "it is far away");
        assert!(after([80.0; 50]).is_slow(500.0));
    }
}
