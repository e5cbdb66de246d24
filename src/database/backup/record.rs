//! What became of a backup after it was taken: every verification with its result. The one file of a backup that
//! changes, always replaced as a whole.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How often a backup of a database is restored to prove it.
const PROOF_EVERY: TimeDelta = TimeDelta::days(7);

/// How thoroughly a backup was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Level {
    /// The hashes of its files.
    Hashes,
    /// `pg_restore` read it from the first byte to the last.
    Read,
    /// It was restored, and the copy holds the same.
    Restored,
}

impl TryFrom<u8> for Level {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        match level {
            1 => Ok(Self::Hashes),
            2 => Ok(Self::Read),
            3 => Ok(Self::Restored),
            _ => Err(format!("there is no level {level}; write 1, 2 or 3")),
        }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        match level {
            Level::Hashes => 1,
            Level::Read => 2,
            Level::Restored => 3,
        }
    }
}

/// One verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub level: Level,
    pub at: DateTime<Utc>,
    /// Why it failed; empty: it did not.
    pub problems: Vec<String>,
    /// What was left out, and why.
    pub remarks: Vec<String>,
}

impl Verified {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The record of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub finished_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub pinned: bool,
    /// Of the manifest's bytes.
    pub manifest_sha256: String,
    /// Oldest first.
    pub verifications: Vec<Verified>,
}

impl Record {
    /// What it is worth: its best verification, unless a later one failed.
    pub fn verified(&self) -> Option<&Verified> {
        let last_bad = self.verifications.iter().rposition(|one| !one.is_ok());
        let good = &self.verifications[last_bad.map_or(0, |at| at + 1)..];
        // Of equals the newest.
        good.iter().max_by_key(|one| (one.level, one.at))
    }

    /// Whether it counts as a backup: it was at least read whole.
    pub fn counts(&self) -> bool {
        self.verified().is_some_and(|one| one.level >= Level::Read)
    }

    /// Why it failed last, when that is how it stands.
    pub fn broken(&self) -> Option<&Verified> {
        self.verifications.last().filter(|one| !one.is_ok())
    }
}

/// How thoroughly the next backup is looked at: restored when it is the first, or when a week has passed.
pub fn next_level<'a>(records: impl Iterator<Item = &'a Record>, now: DateTime<Utc>) -> Level {
    let restored = records.flat_map(|record| &record.verifications);
    let restored = restored.filter(|one| one.is_ok() && one.level == Level::Restored);
    match restored.map(|one| one.at).max() {
        Some(last) if now - last < PROOF_EVERY => Level::Read,
        _ => Level::Restored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_004_900, 0).unwrap() + TimeDelta::days(days)
    }

    fn looked(level: Level, day: i64, ok: bool) -> Verified {
        let problems = if ok { Vec::new() } else { vec!["dump: it was changed".to_owned()] };
        Verified { level, at: at(day), problems, remarks: Vec::new() }
    }

    fn record(verifications: &[Verified]) -> Record {
        Record {
            finished_at: at(0),
            duration_ms: 1,
            pinned: false,
            manifest_sha256: String::new(),
            verifications: verifications.to_vec(),
        }
    }

    #[test]
    fn a_later_failure_takes_the_proof_away_and_a_later_proof_gives_it_back() {
        use Level::{Hashes, Read, Restored};
        assert!(!record(&[]).counts());
        assert!(!record(&[looked(Hashes, 0, true)]).counts());
        let proven = record(&[looked(Restored, 0, true), looked(Hashes, 1, true)]);
        assert_eq!(proven.verified().map(|one| one.level), Some(Restored));
        let broken = record(&[looked(Restored, 0, true), looked(Hashes, 1, false)]);
        assert!(!broken.counts() && broken.broken().is_some());
        let again = record(&[looked(Hashes, 1, false), looked(Read, 2, true)]);
        assert!(again.counts() && again.broken().is_none());
    }

    #[test]
    fn the_first_is_restored_and_then_one_a_week() {
        assert_eq!(next_level([].iter(), at(0)), Level::Restored);
        let failed = [record(&[looked(Level::Restored, 0, false)])];
        assert_eq!(next_level(failed.iter(), at(1)), Level::Restored);
        let proven = [record(&[looked(Level::Restored, 0, true)])];
        assert_eq!(next_level(proven.iter(), at(6)), Level::Read);
        assert_eq!(next_level(proven.iter(), at(7)), Level::Restored);
    }

    #[test]
    fn a_level_is_a_number_outside() {
        assert_eq!(serde_json::to_string(&Level::Restored).unwrap(), "3");
        assert!(serde_json::from_str::<Level>("4").unwrap_err().to_string().contains("1, 2 or 3"));
    }
}
