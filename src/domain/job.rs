//! A job of the workbench that changes something: what the records keep of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::event::EventBody;
use super::ids::Fingerprint;

/// What was begun. The engine writes it, or the command itself when none runs; the audit shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: Uuid,
    /// `query`, `transaction`, `restore` …
    pub what: String,
    pub database: String,
    /// Without the values in them.
    pub commands: Vec<String>,
    /// Of everything that was agreed to, values included.
    pub fingerprint: Fingerprint,
    /// How it was agreed to.
    pub permitted: String,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobEnd {
    pub ok: bool,
    pub rows: Option<u64>,
    /// Where the server's log stood afterwards.
    pub lsn: Option<String>,
    pub error: Option<String>,
}

/// One entry of the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Started(Job),
    Ended { job: Uuid, end: JobEnd },
}

impl From<Entry> for EventBody {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Started(job) => Self::JobStarted { job },
            Entry::Ended { job, end } => Self::JobEnded { job, end },
        }
    }
}
