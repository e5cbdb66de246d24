//! The last ten minutes of every target's readings, for bars that have a memory: one point every five seconds.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::health::used_slot_percent;
use crate::domain::sample::{Sample, reading};
use crate::domain::target::Engine;
use crate::engine::handle::{Snapshot, TargetView};
use crate::ports::store::HistoryPoint;

/// How far back the bars reach.
pub const REACH: TimeDelta = TimeDelta::minutes(10);
const STEP: TimeDelta = TimeDelta::seconds(5);

/// One moment of a target, in percent of what it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: DateTime<Utc>,
    pub percent: Option<f64>,
}

/// Every target's points, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Past(BTreeMap<String, VecDeque<Point>>);

impl Past {
    /// Takes note of how the targets are, at most once per step.
    pub fn note(&mut self, snapshot: &Snapshot) {
        for view in &snapshot.targets {
            let points = self.0.entry(view.target.id.as_str().to_owned()).or_default();
            let at = snapshot.at;
            if points.back().is_some_and(|last| at < last.at + STEP) {
                continue;
            }
            points.push_back(Point { at, percent: fill(view) });
            while points.front().is_some_and(|first| first.at < at - REACH) {
                points.pop_front();
            }
        }
    }

    /// Adds what the store remembers from before this console started.
    pub fn recall(&mut self, recorded: &[HistoryPoint], snapshot: &Snapshot) {
        for view in &snapshot.targets {
            let name = view.target.id.as_str();
            let points = self.0.entry(name.to_owned()).or_default();
            let first = points.front().map_or(snapshot.at, |point| point.at);
            let older = recorded.iter().filter(|point| point.target == name && point.at < first);
            let mut older: Vec<Point> = older
                .map(|point| {
                    let sample = Sample { readings: point.readings.clone(), ..empty(point.at) };
                    Point { at: point.at, percent: fill_of(view.target.engine, &sample) }
                })
                .collect();
            older.sort_by_key(|point| point.at);
            older.extend(points.iter().copied());
            *points = older.into();
        }
    }

    /// A target's last ten minutes as so many equal stretches, newest last; the highest of each stretch.
    pub fn stretches(&self, target: &str, now: DateTime<Utc>, count: usize) -> Vec<Option<f64>> {
        let mut stretches = vec![None; count];
        let points = self.0.get(target).into_iter().flatten();
        for point in points {
            let age = (now - point.at).num_milliseconds();
            let reach = REACH.num_milliseconds();
            if count == 0 || age >= reach {
                continue;
            }
            let back = usize::try_from(age.max(0)).unwrap_or(0) * count
                / usize::try_from(reach).unwrap_or(1);
            let slot = &mut stretches[count - 1 - back.min(count - 1)];
            if let Some(percent) = point.percent {
                *slot = Some(slot.map_or(percent, |known: f64| known.max(percent)));
            }
        }
        stretches
    }
}

fn empty(at: DateTime<Utc>) -> Sample {
    use crate::domain::sample::{Answer, Origin};
    Sample {
        at,
        origin: Origin::Held,
        took_ms: 0.0,
        connect: Answer::NotAsked,
        read: Answer::NotAsked,
        write: Answer::NotAsked,
        readings: crate::domain::readings::Readings::default(),
    }
}

/// How full a target is: memory of its limit, or slots of those open to ordinary roles.
pub fn fill(view: &TargetView) -> Option<f64> {
    let sample = view.held.as_ref().filter(|sample| !sample.readings.is_empty());
    fill_of(view.target.engine, sample.or(view.fresh.as_ref())?)
}

fn fill_of(engine: Engine, sample: &Sample) -> Option<f64> {
    match engine {
        Engine::Redis => {
            let max = sample.reading(reading::MAXMEMORY_BYTES).filter(|max| *max > 0.0)?;
            Some(100.0 * sample.reading(reading::USED_MEMORY_BYTES)? / max)
        }
        Engine::Postgres => used_slot_percent(sample),
    }
}
