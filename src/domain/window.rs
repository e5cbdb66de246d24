//! The recent samples of one target: what detectors look at. Bounded, in memory only.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::sample::{Origin, RuntimeEvent, Sample};
use super::target::Target;

/// How far back a window reaches.
const SPAN: TimeDelta = TimeDelta::seconds(60);
/// And never more than this, whatever the period.
const MOST: usize = 512;

/// The recent past of one target, oldest first.
#[derive(Clone, Debug)]
pub struct Window {
    pub target: Target,
    held: VecDeque<Sample>,
    fresh: VecDeque<Sample>,
    runtime: VecDeque<RuntimeEvent>,
}

impl Window {
    /// An empty window.
    pub fn new(target: Target) -> Self {
        Self { target, held: VecDeque::new(), fresh: VecDeque::new(), runtime: VecDeque::new() }
    }

    /// Adds a sample and forgets what is too old.
    pub fn push(&mut self, sample: Sample) {
        let horizon = sample.at - SPAN;
        let side = match sample.origin {
            Origin::Held => &mut self.held,
            Origin::Fresh => &mut self.fresh,
        };
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
