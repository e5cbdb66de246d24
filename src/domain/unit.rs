//! A look at what a server runs in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What the unit does right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitStatus {
    Running,
    Paused,
    Restarting,
    Exited,
    Absent,
}

/// A look at a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    pub status: UnitStatus,
    /// The container's id, or pid and start time: names one life of the unit together with `started_at`.
    pub id: String,
    pub lab: Option<String>,
    pub exit_code: Option<i64>,
    pub started_at: Option<DateTime<Utc>>,
    pub memory_limit: Option<u64>,
    pub image: Option<String>,
}

impl UnitState {
    /// Names this life of this unit: another container or a restart is another identity.
    pub fn identity(&self) -> String {
        let started =
            self.started_at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default();
        format!("{}@{started}", self.id)
    }
}
