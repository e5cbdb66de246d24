//! The health score, 0–100, from the formulas of the product; "cannot tell" is a value of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sample::{Sample, reading};
use super::target::{Engine, Profile, Target};

/// How well a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Score(u8),
    /// Loading, in recovery or shutting down.
    Starting,
    /// Nothing usable was measured; never the same as 100.
    #[default]
    Inconclusive,
}

impl Health {
    /// The number, when there is one.
    pub fn score(self) -> Option<u8> {
        if let Self::Score(score) = self { Some(score) } else { None }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score(score) => f.pad(&score.to_string()),
            Self::Starting => f.pad("starting"),
            Self::Inconclusive => f.pad("-"),
        }
    }
}

/// Health from the newest held and fresh samples. A client that is hurt on either makes it 0.
pub fn judge(target: &Target, held: Option<&Sample>, fresh: Option<&Sample>) -> Health {
    let samples = [held, fresh];
    let given = || samples.into_iter().flatten();
    if given().any(Sample::is_starting) {
        return Health::Starting;
    }
    if given().any(|sample| sample.first_bad().is_some()) {
        return Health::Score(0);
    }
    let Some(read) = given().find(|sample| !sample.readings.is_empty()) else {
        return Health::Inconclusive;
    };
    let score = match target.engine {
        Engine::Redis => redis_score(read),
        Engine::Postgres => postgres_score(target.profile, read),
    };
    score.and_then(percent).map_or(Health::Inconclusive, Health::Score)
}

/// `100 − 100·used/max` while a full server would refuse writes; unbounded or evicting is full marks.
fn redis_score(sample: &Sample) -> Option<f64> {
    let max = sample.reading(reading::MAXMEMORY_BYTES)?;
    let refuses = sample.reading(reading::REFUSES_WHEN_FULL)? > 0.0;
    if max <= 0.0 || !refuses {
        return Some(100.0);
    }
    Some(100.0 - 100.0 * sample.reading(reading::USED_MEMORY_BYTES)? / max)
}

fn postgres_score(profile: Profile, sample: &Sample) -> Option<f64> {
    let usage = usage_score(sample)?;
    let idle = match profile {
        Profile::Lab => idle_steps(sample.reading(reading::IDLE_SESSIONS)?),
        Profile::Production => 100.0,
    };
    Some(usage.min(idle))
}

/// The lab's steps for idle sessions: >15→0, >12→30, >10→50, >8→70.
fn idle_steps(idle: f64) -> f64 {
    const STEPS: [(f64, f64); 4] = [(15.0, 0.0), (12.0, 30.0), (10.0, 50.0), (8.0, 70.0)];
    STEPS.iter().find(|(above, _)| idle > *above).map_or(100.0, |(_, score)| *score)
}

/// Full marks up to three quarters of the slots ordinary roles may use, then down to 0 when all are taken.
fn usage_score(sample: &Sample) -> Option<f64> {
    let share = used_slot_percent(sample)?;
    Some(if share <= 75.0 { 100.0 } else { (100.0 - share) * 4.0 })
}

/// Slots used by anybody but us, in percent of those open to ordinary roles.
pub fn used_slot_percent(sample: &Sample) -> Option<f64> {
    let max = sample.reading(reading::MAX_CONNECTIONS)?;
    let reserved = sample.reading(reading::RESERVED_CONNECTIONS)?;
    let own = sample.reading(reading::OWN_SESSIONS).unwrap_or(0.0);
    let usable = max - reserved - own;
    let used = sample.reading(reading::SESSIONS)?;
    (usable > 0.0).then(|| 100.0 * used / usable)
}

/// A score as a whole number, rounded down so that 99.9 never reads as full marks. No number is no score.
fn percent(value: f64) -> Option<u8> {
    let clamped = value.clamp(0.0, 100.0).floor();
    (0..=100u8).find(|whole| f64::from(*whole) >= clamped)
}

/// Whether a score is the level before again; scores breathe a little with ordinary traffic.
pub fn is_back_at(score: u8, level_before: u8) -> bool {
    score >= level_before.saturating_sub(3)
}

/// Table bloat, `100·live/(live+dead)`, above a floor of dead tuples.
pub fn bloat_score(live: u64, dead: u64, floor: u64) -> u8 {
    if dead < floor {
        return 100;
    }
    let whole = u128::from(live) + u128::from(dead);
    u8::try_from(100 * u128::from(live) / whole.max(1)).unwrap_or(100)
}

#[cfg(test)]
mod tests;
