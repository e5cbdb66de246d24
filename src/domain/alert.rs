//! What a monitoring system says: that something it watches is wrong, and later that it is not any more.
//!
//! It says so again and again; the fingerprint and the moment it began tell one trouble from the next.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::{FindingKind, Severity};
use super::ids::TargetId;
use super::notice::Notice;

const FINGERPRINT_BYTES: usize = 64;
const LABELS: usize = 64;
const LABEL_CHARS: usize = 500;

/// One alert as it stands, in terms of what is watched here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its sender's name for it; the same in every message about it.
    pub fingerprint: String,
    pub name: String,
    /// What it is about; need not be watched.
    pub target: TargetId,
    /// The symptom that it stands for, where one of ours is the same.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub finding: Option<FindingKind>,
    pub severity: Severity,
    pub message: String,
    /// Who sends it.
    pub source: String,
    #[serde(default)]
    pub team: Option<String>,
    pub is_firing: bool,
    /// When it began.
    pub since: DateTime<Utc>,
    /// As its sender has them, for the records.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Alert {
    /// Why it cannot be taken as it is, if so.
    pub fn check(&self) -> Result<(), String> {
        self.as_notice().check()?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let print = self.fingerprint.as_str();
        if print.is_empty() || print.len() > FINGERPRINT_BYTES || !print.chars().all(is_word) {
            return Err(format!("a fingerprint has 1 to {FINGERPRINT_BYTES} letters and digits"));
        }
        let is_long = |text: &String| text.chars().count() > LABEL_CHARS;
        let mut texts = self.labels.iter().flat_map(|(name, value)| [name, value]);
        if self.labels.len() > LABELS || texts.any(is_long) {
            return Err(format!("there are at most {LABELS} labels of {LABEL_CHARS} characters"));
        }
        super::notice::check_name("alert's name", &self.name)
    }

    /// As what somebody outside noticed.
    pub fn as_notice(&self) -> Notice {
        Notice {
            target: self.target.clone(),
            severity: self.severity,
            message: self.message.clone(),
            source: Some(self.source.clone()),
            team: self.team.clone(),
            error_lines: Vec::new(),
        }
    }
}

/// An alert as its incident remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Heard {
    pub fingerprint: String,
    pub name: String,
    pub source: String,
    #[schema(value_type = Option<String>)]
    pub finding: Option<FindingKind>,
    pub is_firing: bool,
    pub since: DateTime<Utc>,
}

impl Heard {
    /// Whether the alert is about the same trouble.
    pub fn is_of(&self, alert: &Alert) -> bool {
        self.fingerprint == alert.fingerprint && self.since == alert.since
    }
}

impl From<&Alert> for Heard {
    fn from(alert: &Alert) -> Self {
        Self {
            fingerprint: alert.fingerprint.clone(),
            name: alert.name.clone(),
            source: alert.source.clone(),
            finding: alert.finding,
            is_firing: alert.is_firing,
            since: alert.since,
        }
    }
}
