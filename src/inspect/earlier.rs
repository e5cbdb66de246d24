//! The sample before, kept with the time it was taken, so that counters become what happened between.

use std::any::Any;
use std::collections::BTreeMap;

use tokio::time::Instant;

/// The samples before, by the name of what was sampled.
#[derive(Default)]
pub(super) struct Earlier(BTreeMap<&'static str, (Instant, Box<dyn Any + Send + Sync>)>);

impl Earlier {
    /// Keeps a sample and gives the one before with its age in seconds.
    pub(super) fn since<T: Any + Send + Sync + Clone>(
        &mut self,
        what: &'static str,
        sample: &T,
    ) -> Option<(f64, T)> {
        let now = Instant::now();
        let (at, before) = self.0.insert(what, (now, Box::new(sample.clone())))?;
        let sample = before.downcast::<T>().ok()?;
        Some(((now - at).as_secs_f64(), *sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_sample_before_comes_with_its_age() {
        let mut earlier = Earlier::default();
        assert_eq!(earlier.since("x", &1), None);
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        assert_eq!(earlier.since("x", &2), Some((5.0, 1)));
        assert_eq!(earlier.since("y", &3), None, "another sample");
    }
}
