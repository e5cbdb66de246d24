//! How often somebody may: a bucket for each, refilled by time, at a bounded number of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Buckets that are full again say nothing; beyond this they are thrown away.
const MOST: usize = 10_000;

/// Buckets by who it is.
pub(super) struct Rates<K> {
    per_s: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Rates<K> {
    /// So many a second, and twice as many at once.
    pub(super) fn new(per_s: u32) -> Self {
        Self { per_s: f64::from(per_s), buckets: Mutex::default() }
    }

    /// Takes one out of the bucket of `key`, or says how long until there is one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let full = self.per_s * 2.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + passed * self.per_s).min(full)
        };
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| refilled(bucket) < full);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: full, at: now });
        bucket.left = refilled(bucket);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / self.per_s));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again_and_others_are_their_own() {
        let rates = Rates::new(10);
        let start = Instant::now();
        let taken = (0..50).take_while(|_| rates.take("a", start).is_ok()).count();
        assert_eq!(taken, 20, "twice as many at once");
        let wait = rates.take("a", start).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(rates.take("b", start).is_ok());
        assert!(rates.take("a", start + wait).is_ok());
        assert!(rates.take("a", start + wait).is_err());
    }

    #[test]
    fn many_names_do_not_take_memory_for_ever() {
        let rates = Rates::new(1);
        let start = Instant::now();
        for n in 0..MOST {
            rates.take(n, start).unwrap();
        }
        rates.take(MOST, start + Duration::from_secs(10)).unwrap();
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
