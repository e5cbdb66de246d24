//! What a person changes about an incident by hand: where it stands, how bad it is, whose it is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::Severity;
use super::incident::Status;
use super::notice::check_name;

const NOTE_CHARS: usize = 4_000;
const REASON_CHARS: usize = 500;

/// What is to be different; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    pub status: Option<Status>,
    pub severity: Option<Severity>,
    /// Empty takes the team away.
    pub team: Option<String>,
    pub note: Option<String>,
    /// Why, for the records.
    pub reason: String,
    /// Only while nothing has happened to it since.
    pub as_of: Option<DateTime<Utc>>,
}

impl Change {
    /// Why it cannot be taken as it is, if so.
    pub fn check(&self) -> Result<(), String> {
        let Self { status, severity, team, note, reason, .. } = self;
        if status.is_none() && severity.is_none() && team.is_none() && note.is_none() {
            return Err("name what is to change: status, severity, team or notes".into());
        }
        if let Some(team) = team.as_ref().filter(|team| !team.is_empty()) {
            check_name("team", team)?;
        }
        let is_bad = |note: &String| note.trim().is_empty() || note.chars().count() > NOTE_CHARS;
        if note.as_ref().is_some_and(is_bad) {
            return Err(format!("a note has 1 to {NOTE_CHARS} characters"));
        }
        if reason.chars().count() > REASON_CHARS {
            return Err(format!("a reason has at most {REASON_CHARS} characters"));
        }
        Ok(())
    }
}
