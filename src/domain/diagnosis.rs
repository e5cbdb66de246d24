//! Why a symptom is there: causes with a grade, each resting on evidence that was observed.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::CauseId;

/// How sure a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Inconclusive,
    Likely,
    /// Observed, together with something that rules out its look-alikes.
    Confirmed,
}

impl Grade {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inconclusive => "inconclusive",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that was observed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Cited by causes: `e1`, `e2` … in the order they were gathered.
    pub id: String,
    /// The question that was asked, as a person could ask it again.
    pub source: String,
    /// What the answer says, with its readings.
    pub text: String,
}

/// One possible cause, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JudgedCause {
    pub cause: CauseId,
    pub grade: Grade,
    /// The sentence that says why, with readings.
    pub because: String,
    /// Ids of the evidence it rests on.
    pub evidence: Vec<String>,
    /// What would settle it, when it is not confirmed.
    pub missing: Option<String>,
}

/// The whole answer of one investigation. An empty list of causes means: nothing known fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// Best first.
    pub causes: Vec<JudgedCause>,
    pub evidence: Vec<Evidence>,
    /// One sentence for a person.
    pub summary: String,
}

impl Diagnosis {
    /// The cause to act on: the best one, when it is better than inconclusive.
    pub fn leading(&self) -> Option<&JudgedCause> {
        self.causes.first().filter(|judged| judged.grade > Grade::Inconclusive)
    }
}
