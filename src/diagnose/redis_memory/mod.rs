//! A Redis that is full: what the memory is used for decides between causes that look the same to a client.

use crate::domain::finding::FindingKind;
use crate::domain::sample::{Sample, reading};

use super::facts::{BigKey, Facts, PrefixShare, RedisFacts};
use super::words;

mod buffers;
mod leak;
mod limit;
mod single_key;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use buffers::{LIMIT_BELOW_OVERHEAD, OUTPUT_BUFFERS, QUERY_BUFFERS};
pub(crate) use buffers::{Side, holders};
pub(super) use leak::LEAK;
pub(super) use limit::MAXMEMORY_LOWERED;
pub(crate) use single_key::giant_key;
pub(super) use single_key::{BIG_KEY, LIST_BACKLOG};
pub(crate) use writer::writers;

const FINDINGS: &[FindingKind] = &[FindingKind::WritesRefused, FindingKind::MemoryPressure];

/// Keys that come and go in a quiet server (heartbeats, expiry) are no trend.
const KEYS_NOISE: f64 = 50.0;
/// A shorter look does not show that nothing rises.
const STABLE_S: f64 = 1.0;
/// Below this a server is not full, whatever it refuses.
const FULL_PERCENT: u64 = 85;
/// A prefix with fewer keys is a few big keys, not a leak of keys.
const MANY_KEYS: u64 = 100;
/// Keys of this size are big ones.
const BIG_KEY_BYTES: u64 = 262_144;
/// Keys without a TTL stay for ever; a leak's do.
const NO_TTL_PERCENT: u8 = 90;

/// The present limit against the one of the healthy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// It was this; 0 is "no limit".
    LoweredFrom(u64),
    NotLowered,
    /// Nobody recorded it.
    Unknown,
}

/// How the number of keys moved while the present limit was in force.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keys {
    Growing { by: u64, seconds: f64 },
    Stable { seconds: f64 },
    Unknown,
}

/// Why the data is said to lie in very few keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FewKeys {
    /// These were counted.
    Hold { bytes: u64, keys: u64 },
    /// The counted ones explain only this percentage.
    Unseen { explained: u64 },
}

/// The readings all judges of this family share. Only there when a Redis answered and what it refuses, if
/// anything, is refused for lack of memory.
struct Memory<'a> {
    facts: &'a Facts,
    redis: &'a RedisFacts,
}

impl<'a> Memory<'a> {
    fn of(facts: &'a Facts) -> Option<Self> {
        let redis = facts.redis.as_ref()?;
        if redis.maxmemory == 0 {
            return None;
        }
        let is_full = match facts.finding {
            FindingKind::MemoryPressure => true,
            FindingKind::ServerDown
            | FindingKind::ServerHung
            | FindingKind::ClientsRefused
            | FindingKind::WritesRefused
            | FindingKind::ProbeFailing
            | FindingKind::Noticed => match newest_refusal(facts) {
                Some(code) => code == "OOM",
                None => words::percent(redis.used_memory, redis.maxmemory) >= FULL_PERCENT,
            },
            FindingKind::ConnectionPressure
            | FindingKind::DataVanished
            | FindingKind::CacheMisses
            | FindingKind::Slow
            | FindingKind::VolumeFull
            | FindingKind::LockQueue
            | FindingKind::DeadRows
            | FindingKind::WalRetained
            | FindingKind::InvalidIndex
            | FindingKind::Deadlocks
            | FindingKind::TransactionsFail
            | FindingKind::FullScans
            | FindingKind::Requested => false,
        };
        is_full.then_some(Self { facts, redis })
    }

    fn limit(&self) -> Limit {
        let was = self.facts.baseline.get("maxmemory").and_then(|text| text.trim().parse().ok());
        match was {
            None => Limit::Unknown,
            Some(was) if was == 0 || was > self.redis.maxmemory => Limit::LoweredFrom(was),
            Some(_) => Limit::NotLowered,
        }
    }

    /// Over the samples taken under the present limit only: keys written before it changed say nothing about it.
    fn keys(&self) -> Keys {
        let now = self.redis.maxmemory as f64;
        self.trend(|sample| sample.reading(reading::MAXMEMORY_BYTES) == Some(now))
    }

    /// Over all samples at hand.
    fn keys_ever(&self) -> Keys {
        self.trend(|_| true)
    }

    fn trend(&self, counts: impl Fn(&Sample) -> bool) -> Keys {
        let given = || {
            let counted = self.facts.samples.iter().filter(|sample| counts(sample));
            counted.filter_map(|sample| Some((sample.at, sample.reading(reading::KEYS)?)))
        };
        let (Some((first_at, first)), Some((last_at, last))) =
            (given().next(), given().next_back())
        else {
            return Keys::Unknown;
        };
        let seconds = (last_at - first_at).num_milliseconds() as f64 / 1_000.0;
        if seconds <= 0.0 {
            return Keys::Unknown;
        }
        let grown = last - first;
        if grown > KEYS_NOISE.max(last / 1_000.0) {
            Keys::Growing { by: grown as u64, seconds }
        } else if seconds >= STABLE_S {
            Keys::Stable { seconds }
        } else {
            Keys::Unknown
        }
    }

    /// The data alone is clearly above the limit: writes cannot carry it there, only a limit that came down
    /// leaves it there.
    fn is_beyond_limit(&self) -> bool {
        self.redis.dataset_bytes > self.redis.maxmemory.saturating_add(self.redis.maxmemory / 20)
    }

    fn dataset_percent(&self) -> u64 {
        words::percent(self.redis.dataset_bytes, self.redis.used_memory)
    }

    fn client_percent(&self) -> u64 {
        words::percent(self.redis.client_bytes, self.redis.used_memory)
    }

    /// The prefix under which most of the counted bytes lie (most keys, where no sizes were taken).
    fn leading_prefix(&self) -> Option<&'a PrefixShare> {
        let prefixes = || self.redis.prefixes.iter().filter(|share| !is_ours(share));
        let weigh = |share: &PrefixShare| (share.bytes, share.keys);
        let leading = prefixes().max_by_key(|share| weigh(share))?;
        let all_bytes: u64 = prefixes().map(|share| share.bytes).sum();
        let majority = if all_bytes > 0 {
            leading.bytes > all_bytes / 2
        } else {
            leading.keys > self.redis.keys_seen / 2
        };
        majority.then_some(leading)
    }

    /// What the counted keys explain of the dataset, in percent: little means that a few keys that the count
    /// missed hold the rest. `None`: no sizes were taken, or not of all prefixes.
    fn explained_percent(&self) -> Option<u64> {
        let counted: u64 = self.redis.prefixes.iter().map(|share| share.bytes).sum();
        let keys: u64 = self.redis.prefixes.iter().map(|share| share.keys).sum();
        if words::percent(keys, self.redis.keys_seen) < 90 {
            return None;
        }
        (counted > 0).then(|| words::percent(self.in_all(counted), self.redis.dataset_bytes))
    }

    /// What was counted over the seen keys, estimated for all keys.
    fn in_all(&self, counted: u64) -> u64 {
        let all = u128::from(self.redis.keys.max(self.seen()));
        let estimate = u128::from(counted) * all / u128::from(self.seen());
        u64::try_from(estimate).unwrap_or(u64::MAX)
    }

    /// How many keys the counts stand for, at least one.
    fn seen(&self) -> u64 {
        let counted: u64 = self.redis.prefixes.iter().map(|share| share.keys).sum();
        self.redis.keys_seen.max(counted).max(1)
    }

    /// The one key that holds at least half of the dataset.
    fn giant(&self) -> Option<&'a BigKey> {
        let largest = self.redis.biggest.iter().max_by_key(|key| key.bytes)?;
        (largest.bytes >= self.redis.dataset_bytes / 2).then_some(largest)
    }

    /// How it shows that most of the dataset lies in very few keys, if it does.
    fn few_keys(&self) -> Option<FewKeys> {
        if let Some(giant) = self.giant() {
            return Some(FewKeys::Hold { bytes: giant.bytes, keys: 1 });
        }
        let are_big = |bytes: u64, keys: u64| bytes / keys.max(1) >= BIG_KEY_BYTES;
        let (bytes, keys) = (self.redis.dataset_bytes, self.redis.keys);
        if are_big(bytes, keys) {
            return Some(FewKeys::Hold { bytes, keys });
        }
        let leading = self.leading_prefix().filter(|share| share.keys < MANY_KEYS);
        if let Some(share) = leading.filter(|share| are_big(share.bytes, share.keys)) {
            return Some(FewKeys::Hold { bytes: share.bytes, keys: share.keys });
        }
        let explained = self.explained_percent().filter(|percent| *percent < 50)?;
        Some(FewKeys::Unseen { explained })
    }
}

fn newest_refusal(facts: &Facts) -> Option<&str> {
    facts.samples.iter().rev().find_map(Sample::first_bad)?.code()
}

fn is_ours(share: &PrefixShare) -> bool {
    share.prefix.starts_with("__simctl:")
}

/// The prefix a leak is under, and how many keys it has in the whole server: only where it can be named, so
/// that nothing else is touched.
pub(crate) fn leaking_prefix(facts: &Facts) -> Option<(&PrefixShare, u64)> {
    let memory = Memory::of(facts)?;
    let share = memory.leading_prefix().filter(|share| !share.prefix.is_empty())?;
    Some((share, memory.in_all(share.keys)))
}

/// The limit of the healthy server, when the present one is below it.
pub(crate) fn limit_to_restore(facts: &Facts) -> Option<u64> {
    match Memory::of(facts)?.limit() {
        Limit::LoweredFrom(was) => Some(was),
        Limit::NotLowered | Limit::Unknown => None,
    }
}
