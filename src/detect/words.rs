//! Sentences of findings: bytes as people read them, the error lines of a trouble.

use super::streak::Trouble;
use crate::domain::sample::{Answer, Sample, reading};

/// As Redis itself counts.
const MB: f64 = 1024.0 * 1024.0;

/// The first bad answer of a sample, in words.
pub(super) fn complaint(sample: &Sample) -> String {
    sample.first_bad().map_or_else(|| "no answer".to_owned(), Answer::describe)
}

/// What the clients got, each line once.
pub(super) fn error_lines(trouble: &Trouble<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &trouble.runs {
        for answer in [&run.newest.connect, &run.newest.read, &run.newest.write] {
            let line = answer.describe();
            if answer.is_bad() && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// `49.9 of 50.0 MB`, when both are known and there is a limit.
pub(super) fn memory_use(sample: &Sample) -> Option<String> {
    let max = sample.reading(reading::MAXMEMORY_BYTES).filter(|max| *max > 0.0)?;
    let used = sample.reading(reading::USED_MEMORY_BYTES)?;
    Some(format!("{:.1} of {:.1} MB", used / MB, max / MB))
}

/// `15 of 17 slots for ordinary roles are used, 12 by idle sessions`, as far as it is known.
pub(super) fn slot_use(sample: &Sample) -> Option<String> {
    let sessions = sample.reading(reading::SESSIONS)?;
    let own = sample.reading(reading::OWN_SESSIONS).unwrap_or(0.0);
    let max = sample.reading(reading::MAX_CONNECTIONS)?;
    let reserved = sample.reading(reading::RESERVED_CONNECTIONS)?;
    let usable = max - reserved - own;
    let idle = sample
        .reading(reading::IDLE_SESSIONS)
        .map(|idle| format!(", {idle:.0} by idle sessions"))
        .unwrap_or_default();
    Some(format!("{sessions:.0} of {usable:.0} slots for ordinary roles are used{idle}"))
}
