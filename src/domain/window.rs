//! The recent samples of one target: what detectors look at. Bounded, in memory only.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::sample::{Origin, RuntimeEvent, Sample, reading};
use super::target::Target;

mod share;
mod usual;

pub use share::UsualShare;
pub use usual::Usual;

/// How far back a window reaches.
const SPAN: TimeDelta = TimeDelta::seconds(60);
/// And never more than this, whatever the period.
const MOST: usize = 512;

/// Fewer reads, transactions or scans than these say nothing of a habit.
const READS: f64 = 100.0;
const TRANSACTIONS: f64 = 20.0;
const SCANS: f64 = 50.0;

/// The recent past of one target, oldest first.
#[derive(Clone, Debug)]
pub struct Window {
    pub target: Target,
    held: VecDeque<Sample>,
    fresh: VecDeque<Sample>,
    runtime: VecDeque<RuntimeEvent>,
    usual_held: Usual,
    usual_fresh: Usual,
    usual_hits: UsualShare,
    usual_commits: UsualShare,
    usual_index_scans: UsualShare,
}

impl Window {
    /// An empty window.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            held: VecDeque::new(),
            fresh: VecDeque::new(),
            runtime: VecDeque::new(),
            usual_held: Usual::default(),
            usual_fresh: Usual::default(),
            usual_hits: UsualShare::over(READS),
            usual_commits: UsualShare::over(TRANSACTIONS),
            usual_index_scans: UsualShare::over(SCANS),
        }
    }

    /// Adds a sample and forgets what is too old.
    pub fn push(&mut self, mut sample: Sample) {
        let horizon = sample.at - SPAN;
        let (side, usual) = match sample.origin {
            Origin::Held => (&mut self.held, &mut self.usual_held),
            Origin::Fresh => (&mut self.fresh, &mut self.usual_fresh),
        };
        if sample.is_clean() {
            usual.learn(sample.took_ms);
        }
        for (usual, well, badly) in [
            (&mut self.usual_hits, reading::HITS_TOTAL, reading::MISSES_TOTAL),
            (&mut self.usual_commits, reading::COMMITS_TOTAL, reading::ROLLBACKS_TOTAL),
            (&mut self.usual_index_scans, reading::INDEX_SCANS_TOTAL, reading::FULL_SCANS_TOTAL),
        ] {
            if let (Some(well), Some(badly)) = (sample.reading(well), sample.reading(badly)) {
                usual.learn(well, badly);
            }
        }
        if let Some(last) = side.back() {
            sample.readings.share_names(&last.readings);
        }
        side.push_back(sample);
        while side.len() > MOST || side.front().is_some_and(|old| old.at < horizon) {
            side.pop_front();
        }
    }

    /// Adds an event of the runtime.
    pub fn push_runtime(&mut self, event: RuntimeEvent) {
        self.runtime.push_back(event);
        while self.runtime.len() > 64 {
            self.runtime.pop_front();
        }
    }

    /// The samples of one connection, newest first.
    pub fn newest(&self, origin: Origin) -> impl Iterator<Item = &Sample> {
        let side = match origin {
            Origin::Held => &self.held,
            Origin::Fresh => &self.fresh,
        };
        side.iter().rev()
    }

    /// How long answers over one connection usually take; reaches further back than the samples.
    pub fn usual(&self, origin: Origin) -> &Usual {
        match origin {
            Origin::Held => &self.usual_held,
            Origin::Fresh => &self.usual_fresh,
        }
    }

    /// How often reads usually find their key; reaches further back than the samples.
    pub fn usual_hits(&self) -> &UsualShare {
        &self.usual_hits
    }

    /// Which share of the transactions is usually committed.
    pub fn usual_commits(&self) -> &UsualShare {
        &self.usual_commits
    }

    /// Which share of the scans of large tables usually goes by an index.
    pub fn usual_index_scans(&self) -> &UsualShare {
        &self.usual_index_scans
    }

    /// The newest sample of one connection.
    pub fn last(&self, origin: Origin) -> Option<&Sample> {
        self.newest(origin).next()
    }

    /// Every sample, newest first, of both connections.
    pub fn all_newest(&self) -> Vec<&Sample> {
        let mut all: Vec<&Sample> = self.held.iter().chain(&self.fresh).collect();
        all.sort_by_key(|sample| std::cmp::Reverse(sample.at));
        all
    }

    /// Events of the runtime since `since`, oldest first.
    pub fn runtime_since(&self, since: DateTime<Utc>) -> impl Iterator<Item = &RuntimeEvent> {
        self.runtime.iter().filter(move |event| event.at >= since)
    }

    /// The newest sample that carries readings.
    pub fn last_readings(&self) -> Option<&Sample> {
        self.newest(Origin::Held).find(|sample| !sample.readings.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::TargetId;
    use crate::domain::sample::{Answer, RuntimeEventKind};
    use crate::domain::target::{Engine, Profile, Thresholds};

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    fn window() -> Window {
        Window::new(Target {
            id: TargetId::of("t"),
            engine: Engine::Redis,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        })
    }

    fn sample(origin: Origin, ms: i64, readings: &[(&'static str, f64)]) -> Sample {
        Sample {
            at: at(ms),
            origin,
            took_ms: 0.1,
            connect: Answer::Ok,
            read: Answer::Ok,
            write: Answer::Ok,
            readings: readings.iter().copied().collect(),
        }
    }

    fn times<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<i64> {
        samples.into_iter().map(|sample| (sample.at - at(0)).num_milliseconds()).collect()
    }

    #[test]
    fn each_connection_has_its_own_past_newest_first() {
        let mut window = window();
        for (origin, ms) in [(Origin::Held, 0), (Origin::Fresh, 100), (Origin::Held, 250)] {
            window.push(sample(origin, ms, &[]));
        }
        assert_eq!(times(window.newest(Origin::Held)), [250, 0]);
        assert_eq!(times(window.newest(Origin::Fresh)), [100]);
        assert_eq!(times(window.last(Origin::Held)), [250]);
        assert_eq!(times(window.all_newest()), [250, 100, 0]);
    }

    #[test]
    fn a_minute_is_kept_and_no_more() {
        let mut window = window();
        for ms in [0, 30_000, 60_000, 60_001, 61_000] {
            window.push(sample(Origin::Held, ms, &[]));
        }
        assert_eq!(times(window.newest(Origin::Held)), [61_000, 60_001, 60_000, 30_000]);
    }

    #[test]
    fn readings_come_from_the_newest_held_sample_that_has_any() {
        let mut window = window();
        assert!(window.last_readings().is_none());
        window.push(sample(Origin::Held, 0, &[("keys", 1.0)]));
        window.push(sample(Origin::Held, 250, &[("keys", 2.0)]));
        window.push(sample(Origin::Held, 500, &[]));
        window.push(sample(Origin::Fresh, 600, &[("keys", 9.0)]));
        assert_eq!(window.last_readings().and_then(|s| s.reading("keys")), Some(2.0));
    }

    #[test]
    fn runtime_events_are_bounded_and_read_from_a_time_on() {
        let mut window = window();
        for ms in 0..100 {
            let kind = RuntimeEventKind::HealthChanged;
            window.push_runtime(RuntimeEvent { at: at(ms), kind, detail: String::new() });
        }
        assert_eq!(window.runtime_since(at(0)).count(), 64);
        let since: Vec<_> = window.runtime_since(at(98)).map(|event| event.at).collect();
        assert_eq!(since, [at(98), at(99)]);
    }

    proptest! {
        #[test]
        fn a_window_never_holds_more_than_its_bounds(steps in prop::collection::vec(0i64..500, 0..2_000)) {
            let mut window = window();
            let mut now = 0;
            for step in steps {
                now += step;
                window.push(sample(Origin::Held, now, &[]));
                prop_assert_eq!(times(window.last(Origin::Held)), [now]);
            }
            let kept = times(window.newest(Origin::Held));
            prop_assert!(kept.len() <= MOST);
            prop_assert!(kept.iter().all(|ms| now - ms <= SPAN.num_milliseconds()));
            prop_assert!(kept.is_sorted_by(|newer, older| newer >= older));
        }
    }

    #[test]
    fn an_empty_window_says_nothing() {
        let window = window();
        assert!(window.last(Origin::Held).is_none() && window.all_newest().is_empty());
    }
}
