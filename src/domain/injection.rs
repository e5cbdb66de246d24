//! A fault that simctl caused in its own lab, with its undo and its deadline.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ids::{FaultId, InjectionId, TargetId};

/// Where an injection stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum InjectionState {
    Starting,
    /// Its own symptom was seen.
    Active {
        took_at: DateTime<Utc>,
        symptom: String,
    },
    /// Its symptom did not show; it was undone.
    DidNotTake {
        reason: String,
    },
    Reverting,
    /// Gone; what is still different from before, if anything.
    Reverted {
        at: DateTime<Utc>,
        by: String,
        left_over: Vec<String>,
    },
}

impl InjectionState {
    /// Whether the lab may still be broken by it.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Starting | Self::Active { .. } | Self::Reverting => true,
            Self::DidNotTake { .. } | Self::Reverted { .. } => false,
        }
    }

    /// The word people read and the store keeps.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active { .. } => "active",
            Self::DidNotTake { .. } => "did_not_take",
            Self::Reverting => "reverting",
            Self::Reverted { .. } => "reverted",
        }
    }
}

/// A fault that simctl caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Injection {
    pub id: InjectionId,
    /// People read `f-19`.
    pub number: u64,
    pub fault: FaultId,
    pub target: TargetId,
    pub params: BTreeMap<String, Value>,
    pub actor: String,
    /// What reverting does, in words; stored before the fault.
    pub undo: Vec<String>,
    pub started_at: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
    /// Ordered although the target may be broken already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
    pub state: InjectionState,
}

impl Injection {
    /// `f-19`.
    pub fn name(&self) -> String {
        format!("f-{}", self.number)
    }
}
