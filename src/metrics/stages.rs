//! Where the time of an incident goes, over all its attempts.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{mean, seconds, took};
use crate::narrate::duration;
use crate::ports::store::{AttemptTimes, IncidentTimes};

/// Mean seconds of the stages of incidents that ended after an action; none without such incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    pub incidents: u64,
    pub detect_s: Option<f64>,
    pub diagnose_s: Option<f64>,
    pub wait_s: Option<f64>,
    pub fix_s: Option<f64>,
    pub verify_s: Option<f64>,
}

impl Stages {
    /// Every stage in the order of an incident's life, in words.
    pub fn named(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("detect", self.detect_s),
            ("diagnose", self.diagnose_s),
            ("wait for approval", self.wait_s),
            ("fix", self.fix_s),
            ("verify", self.verify_s),
        ]
    }
}

/// One incident's share of each stage.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    detect: TimeDelta,
    diagnose: TimeDelta,
    wait: TimeDelta,
    fix: TimeDelta,
    verify: TimeDelta,
}

/// The mean of every stage, each over the same incidents, so that they add up.
pub(super) fn of(times: &[IncidentTimes]) -> Stages {
    let acted = |t: &&IncidentTimes| {
        t.resolved_at.is_some() && t.attempts.iter().any(|attempt| attempt.acted_at.is_some())
    };
    let parts: Vec<Parts> = times.iter().filter(acted).map(parts).collect();
    let of = |part: fn(&Parts) -> TimeDelta| mean(parts.iter().map(part).map(seconds));
    Stages {
        incidents: parts.len() as u64,
        detect_s: of(|parts| parts.detect),
        diagnose_s: of(|parts| parts.diagnose),
        wait_s: of(|parts| parts.wait),
        fix_s: of(|parts| parts.fix),
        verify_s: of(|parts| parts.verify),
    }
}

fn parts(times: &IncidentTimes) -> Parts {
    let started = times.attempts.first().map_or(times.opened_at, |attempt| attempt.started_at);
    let mut parts = Parts {
        detect: positive(times.opened_at - times.first_bad_at),
        diagnose: positive(started - times.opened_at),
        ..Parts::default()
    };
    for attempt in &times.attempts {
        add(&mut parts, attempt);
    }
    parts
}

fn add(parts: &mut Parts, attempt: &AttemptTimes) {
    let until = |end: Option<_>, start: Option<_>| match (end, start) {
        (Some(end), Some(start)) => positive(end - start),
        _ => TimeDelta::zero(),
    };
    let thought_until = attempt.proposed_at.or(attempt.ended_at);
    parts.diagnose += until(thought_until, Some(attempt.started_at));
    parts.wait += until(attempt.decided_at, attempt.proposed_at);
    if attempt.acted_at.is_some() {
        let from = attempt.decided_at.or(attempt.acted_at);
        let acted_until = attempt.acted_until.or(attempt.acted_at);
        parts.fix += until(acted_until, from);
        parts.verify += until(attempt.ended_at, acted_until);
    }
}

/// Clocks of two machines may disagree.
fn positive(duration: TimeDelta) -> TimeDelta {
    duration.max(TimeDelta::zero())
}

/// What made one incident slow, where one thing stands out.
pub(super) fn why(times: &IncidentTimes) -> Option<String> {
    let acted = times.attempts.iter().filter(|attempt| attempt.acted_at.is_some()).count();
    if times.attempts.iter().any(|attempt| attempt.undone) {
        return Some("what was done was taken back".into());
    }
    if acted > 1 {
        return Some(format!("{acted} proposals were carried out"));
    }
    if let Some(decision @ ("denied" | "expired")) =
        times.attempts.iter().find_map(|attempt| attempt.decision.as_deref())
    {
        return Some(format!("a proposal was {decision}"));
    }
    let parts = parts(times);
    let half = took(times)? / 2;
    let most = [
        ("diagnosis", parts.diagnose),
        ("approval", parts.wait),
        ("the fix", parts.fix),
        ("verification", parts.verify),
    ];
    let (what, part) = most.into_iter().find(|(_, part)| *part > half)?;
    let ms = u64::try_from(part.num_milliseconds()).unwrap_or(0);
    Some(format!("{what} took {}", duration(ms)))
}
