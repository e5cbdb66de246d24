//! A look at what a server runs in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What the unit does right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitStatus {
    Running,
    Paused,
    Restarting,
    Exited,
    #[default]
    Absent,
}

/// A look at a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    pub status: UnitStatus,
    /// The container's id, or pid and start time: names one life of the unit together with `started_at`.
    pub id: String,
    pub lab: Option<String>,
    pub exit_code: Option<i64>,
    pub started_at: Option<DateTime<Utc>>,
    pub memory_limit: Option<u64>,
    pub image: Option<String>,
    /// The networks it is attached to; `None` where it has none of its own, as a local process.
    #[serde(default)]
    pub networks: Option<Vec<Attachment>>,
    /// The network it was made for.
    #[serde(default)]
    pub home_network: Option<String>,
    /// Its ports on this machine's loopback; `None` where that is not known.
    #[serde(default)]
    pub published: Option<Vec<u16>>,
    /// `None` where there are no such limits.
    #[serde(default)]
    pub limits: Option<UnitLimits>,
    /// Of a local process; `None` where that cannot be seen.
    #[serde(default)]
    pub files: Option<FileLimit>,
}

/// How many files, sockets among them, a process has open, and how many it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLimit {
    pub open: u64,
    /// The number that the next one would get: at the limit, none can be opened.
    pub next: u64,
    /// The limit that counts …
    pub soft: u64,
    /// … and how far it can be raised.
    pub hard: u64,
}

/// One network a container is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub network: String,
    /// The names it was given there, besides its own.
    pub aliases: Vec<String>,
}

/// What a container may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitLimits {
    pub cpu: CpuLimit,
    /// Processes and threads; `None`: as many as it likes.
    pub pids: Option<u32>,
}

/// Processor time: so many microseconds in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CpuLimit {
    /// `None`: no limit.
    pub quota_us: Option<u32>,
    pub period_us: u32,
}

/// What a unit has taken and was kept from since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitUsage {
    /// Periods of the CPU limit in which it wanted to run, and those in which it was stopped.
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ms: u64,
    pub pids: Option<u64>,
}

/// The names under which a unit's limits stand among the settings of a healthy target.
pub mod setting {
    /// They are of what the server runs in, not of the server.
    pub const PREFIX: &str = "unit.";
    pub const CPU: &str = "unit.cpu";
    pub const PIDS: &str = "unit.pids";
    /// In bytes.
    pub const MEMORY: &str = "unit.memory";
    pub const FILES: &str = "unit.files";
}

impl UnitLimits {
    /// The limits as settings, by the names of [`setting`].
    pub fn settings(self) -> [(String, String); 2] {
        [(setting::CPU.into(), self.cpu.to_string()), (setting::PIDS.into(), pids_text(self.pids))]
    }
}

/// A limit of processes as a setting.
pub fn pids_text(limit: Option<u32>) -> String {
    limit.map_or_else(|| NO_LIMIT.into(), |limit| limit.to_string())
}

/// A limit of processes out of a setting; the inner `None` is no limit.
pub fn pids_of(text: &str) -> Option<Option<u32>> {
    if text == NO_LIMIT { Some(None) } else { text.parse().ok().map(Some) }
}

const NO_LIMIT: &str = "none";
const USUAL_PERIOD_US: u32 = 100_000;

impl CpuLimit {
    /// As an engine gives it: nothing, zero and negative numbers stand for no limit and the usual period.
    pub fn of(quota_us: Option<i64>, period_us: Option<i64>) -> Self {
        let positive =
            |us: Option<i64>| us.and_then(|us| u32::try_from(us).ok()).filter(|us| *us > 0);
        Self {
            quota_us: positive(quota_us),
            period_us: positive(period_us).unwrap_or(USUAL_PERIOD_US),
        }
    }

    /// Out of its text, as a baseline holds it.
    pub fn parse(text: &str) -> Option<Self> {
        if text == NO_LIMIT {
            return Some(Self { quota_us: None, period_us: USUAL_PERIOD_US });
        }
        let (quota, period) = text.split_once('/')?;
        let limit = Self { quota_us: quota.parse().ok(), period_us: period.parse().ok()? };
        (limit.quota_us.is_some_and(|us| us > 0) && limit.period_us > 0).then_some(limit)
    }

    /// The share of one core, in percent; `None`: no limit.
    pub fn percent(self) -> Option<f64> {
        self.quota_us.map(|quota| f64::from(quota) * 100.0 / f64::from(self.period_us.max(1)))
    }

    /// Whether it leaves less than `other`.
    pub fn is_below(self, other: Self) -> bool {
        match (self.percent(), other.percent()) {
            (Some(now), Some(was)) => now < was,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// As people say it.
    pub fn words(self) -> String {
        match self.percent() {
            None => "no CPU limit".into(),
            Some(percent) if percent < 100.0 => format!("{percent:.0} % of a core"),
            Some(percent) => format!("{:.1} cores", percent / 100.0),
        }
    }
}

impl std::fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.quota_us {
            None => f.write_str(NO_LIMIT),
            Some(quota) => write!(f, "{quota}/{}", self.period_us),
        }
    }
}

impl UnitState {
    /// Names this life of this unit: another container or a restart is another identity.
    pub fn identity(&self) -> String {
        let started =
            self.started_at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default();
        format!("{}@{started}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_back_as_they_are_written() {
        for limit in [CpuLimit::of(Some(200_000), Some(100_000)), CpuLimit::of(Some(-1), None)] {
            assert_eq!(CpuLimit::parse(&limit.to_string()), Some(limit));
        }
        for text in ["", "0/100000", "1000", "1000/0", "a/b"] {
            assert_eq!(CpuLimit::parse(text), None, "{text}");
        }
        for limit in [Some(128), None] {
            assert_eq!(pids_of(&pids_text(limit)), Some(limit));
        }
        assert_eq!(pids_of("many"), None);
    }

    #[test]
    fn less_is_less_whatever_the_period() {
        let of = |quota, period| CpuLimit::of(Some(quota), Some(period));
        assert!(of(1_000, 100_000).is_below(of(200_000, 100_000)));
        assert!(of(1_000, 100_000).is_below(of(-1, 0)));
        assert!(!of(200_000, 100_000).is_below(of(100_000, 50_000)));
        assert!(!of(-1, 0).is_below(of(1_000, 100_000)));
        assert_eq!(of(1_000, 100_000).words(), "1 % of a core");
        assert_eq!(of(200_000, 100_000).words(), "2.0 cores");
    }
}
