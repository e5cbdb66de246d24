//! How long an incident spent in each phase, from the events that begin and end one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{ExecutionState, Phase};

/// So many turning points are kept of one incident; it has about ten for each attempt.
pub(super) const MOST: usize = 512;

/// The time in one phase, over all attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTime {
    /// `Command` stands for the proposal that waits; `Complete` for the whole incident.
    pub phase: Phase,
    /// When it first began; `None` when it has not yet.
    pub began: Option<DateTime<Utc>>,
    /// The finished parts.
    pub took: TimeDelta,
    /// Set while it goes on.
    pub since: Option<DateTime<Utc>>,
}

impl PhaseTime {
    fn of(phase: Phase) -> Self {
        Self { phase, began: None, took: TimeDelta::zero(), since: None }
    }

    /// The time spent until now; `None` when it has not begun.
    pub fn elapsed(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.began?;
        let going = self.since.map_or(TimeDelta::zero(), |since| now - since);
        Some(self.took + going.max(TimeDelta::zero()))
    }

    fn begin(&mut self, at: DateTime<Utc>) {
        self.began.get_or_insert(at);
        self.since.get_or_insert(at);
    }

    fn end(&mut self, at: DateTime<Utc>) {
        if let Some(since) = self.since.take() {
            self.took += (at - since).max(TimeDelta::zero());
        }
    }
}

/// What turned at one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Opened,
    Thinks,
    Waits,
    Decided,
    Executes,
    Verifies,
    /// The attempt ended, well or not.
    Rests,
    Closed,
}

/// The turning points, by sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(BTreeMap<u64, (DateTime<Utc>, Turn)>);

impl Times {
    pub(super) fn learn(&mut self, event: &Event) {
        let Some(turn) = turn(&event.body) else { return };
        self.0.insert(event.seq, (event.at, turn));
        if self.0.len() > MOST {
            // The first one says since when the incident is open.
            let second = self.0.keys().nth(1).copied();
            second.and_then(|seq| self.0.remove(&seq));
        }
    }

    pub(super) fn phases(&self) -> [PhaseTime; 5] {
        let [mut thinking, mut waiting, mut executing, mut verifying, mut whole] =
            [Phase::Thinking, Phase::Command, Phase::Executing, Phase::Verifying, Phase::Complete]
                .map(PhaseTime::of);
        for &(at, turn) in self.0.values() {
            // An attempt is in one phase at a time.
            for phase in [&mut thinking, &mut waiting, &mut executing, &mut verifying] {
                phase.end(at);
            }
            match turn {
                Turn::Opened => {
                    whole.begin(at);
                    thinking.begin(at);
                }
                Turn::Thinks => thinking.begin(at),
                Turn::Waits => waiting.begin(at),
                Turn::Executes => executing.begin(at),
                Turn::Verifies => verifying.begin(at),
                Turn::Decided | Turn::Rests => {}
                Turn::Closed => whole.end(at),
            }
        }
        [thinking, waiting, executing, verifying, whole]
    }
}

fn turn(body: &EventBody) -> Option<Turn> {
    match body {
        EventBody::IncidentOpened { .. } => Some(Turn::Opened),
        EventBody::InvestigationStarted { .. } => Some(Turn::Thinks),
        EventBody::Proposed { .. } => Some(Turn::Waits),
        EventBody::Decided { .. } => Some(Turn::Decided),
        EventBody::ExecutionMoved { to, .. } => moved(*to),
        EventBody::ActionStarted { .. } => Some(Turn::Executes),
        // Failed needs a person, and stays open.
        EventBody::Verified { .. }
        | EventBody::ExecutionEnded { .. }
        | EventBody::IncidentFailed { .. } => Some(Turn::Rests),
        EventBody::IncidentResolved { .. } => Some(Turn::Closed),
        _ => None,
    }
}

fn moved(to: ExecutionState) -> Option<Turn> {
    match to {
        ExecutionState::Thinking => Some(Turn::Thinks),
        ExecutionState::AwaitingApproval => Some(Turn::Waits),
        ExecutionState::Previewing | ExecutionState::Executing => Some(Turn::Executes),
        ExecutionState::Verifying => Some(Turn::Verifies),
        ExecutionState::Completed | ExecutionState::Failed | ExecutionState::Cancelled => {
            Some(Turn::Rests)
        }
    }
}
