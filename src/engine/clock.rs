//! The only place that reads the clock.

use chrono::{DateTime, SubsecRound, Utc};

/// Now, in whole microseconds, so that every store keeps it exactly.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
