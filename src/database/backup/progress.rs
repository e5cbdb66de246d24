//! How far a long job is. The job tells; whoever started it shows it or does not.

use std::sync::Arc;

use serde::Serialize;

/// What a job is doing, with as many figures as are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// `dump`, `hash`, `globals`, `verify`, `restore`, `compare`, `swap`, `copy`, `migrate`.
    pub phase: &'static str,
    /// What it is at, like a table or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// An estimate: a compressed dump is smaller than what it is a dump of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

impl Progress {
    pub fn of(phase: &'static str) -> Self {
        Self { phase, ..Self::default() }
    }

    /// `done` of `of` things, and the one that comes next.
    pub fn counted(phase: &'static str, done: usize, of: usize, at: impl Into<String>) -> Self {
        let number = |n: usize| u64::try_from(n).ok();
        Self { done: number(done), of: number(of), at: Some(at.into()), ..Self::of(phase) }
    }

    pub fn sized(phase: &'static str, bytes: u64, of_bytes: Option<u64>) -> Self {
        Self { bytes: Some(bytes), of_bytes, ..Self::of(phase) }
    }
}

/// Takes what a job tells. Cheap to clone.
#[derive(Clone, Default)]
pub struct Teller(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl Teller {
    pub fn new(tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// Nobody listens.
    pub fn silent() -> Self {
        Self::default()
    }

    pub fn tell(&self, progress: Progress) {
        if let Some(tell) = &self.0 {
            tell(progress);
        }
    }
}
