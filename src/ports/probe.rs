//! Asking a server how it is: over a connection that is kept, and over one made for the question.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::sample::Sample;

/// Why a question outside the regular probes could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("connect to {target}")]
    Connect {
        target: String,
        #[source]
        source: anyhow::Error,
    },
    #[error("ask {target}: {question}")]
    Ask {
        target: String,
        question: String,
        #[source]
        source: anyhow::Error,
    },
    #[error("no answer from {target} within {after_ms} ms")]
    Deadline { target: String, after_ms: u64 },
}

/// One server's probes. A sample is always returned: what failed is in it, as a client would feel it.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Asks over the kept connection, making it first when there is none. One client-side deadline for all.
    async fn held(&self) -> Sample;

    /// Asks over a new connection, as a new client of the application would, and closes it.
    async fn fresh(&self) -> Sample;

    /// Returns as soon as the kept connection is closed by the other side; never, while there is none.
    async fn closed(&self);

    /// The settings a diagnosis compares with later, read over the kept connection.
    async fn settings(&self) -> Result<BTreeMap<String, String>, ProbeError>;
}
