//! Evidence in, graded causes out; pure. One file per family of look-alikes; [`ALL`] is the closed list.
//!
//! *Confirmed* needs the cause observed and an observation that rules out each look-alike. What could not be
//! observed is never taken for absence, and names prove nothing.
#![warn(clippy::wildcard_enum_match_arm)]

use crate::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use crate::domain::finding::FindingKind;
use crate::domain::ids::CauseId;

use facts::Facts;

pub mod facts;
pub mod postgres_access;
pub mod postgres_connections;
mod postgres_plans;
pub mod postgres_rows;
pub mod postgres_settings;
pub mod postgres_transactions;
pub mod postgres_upkeep;
pub mod postgres_volumes;
pub mod redis_clients;
mod redis_data;
mod redis_eviction;
pub mod redis_memory;
pub mod redis_refusals;
mod slow;
mod unit_files;
mod unit_network;
mod unit_processes;
mod unit_state;
mod unknown;
mod verdict;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use postgres_plans::{WAYS as PLANNER_WAYS, overrides as planner_overrides};
pub(crate) use slow::cpu_to_restore;
pub(crate) use unit_files::files_to_restore;
pub(crate) use unit_processes::pids_to_restore;
pub(crate) use unit_state::memory_to_restore;
pub use verdict::source;

/// One cause, and how it is recognised.
pub struct Judge {
    pub cause: &'static str,
    pub title: &'static str,
    /// One or two sentences: what happened and how it shows.
    pub about: &'static str,
    /// The symptoms it can be behind.
    pub findings: &'static [FindingKind],
    /// `None`: not the cause, or nothing points to it.
    pub judge: fn(&Facts) -> Option<JudgedCause>,
}

/// Every cause there is. At the same grade, the earlier one leads: nothing works on a server that does not
/// run, and a setting is restored before data is touched.
pub const ALL: &[Judge] = &[
    unit_state::PAUSED,
    unit_state::STOPPED,
    unit_state::OUT_OF_MEMORY,
    unit_state::KILLED,
    unit_state::EXITED,
    unit_network::DISCONNECTED,
    unit_processes::PIDS_LIMIT,
    unit_files::FD_LIMIT,
    slow::CPU_THROTTLED,
    slow::BLOCKING_COMMAND,
    redis_refusals::CLIENT_PAUSE,
    redis_refusals::BUSY_SCRIPT_WROTE,
    redis_refusals::BUSY_SCRIPT,
    redis_refusals::REQUIREPASS,
    redis_refusals::USER_OFF,
    redis_refusals::ACL_NO_WRITE,
    redis_refusals::BIND,
    redis_refusals::REPLICAOF_DEAD,
    redis_refusals::MIN_REPLICAS,
    redis_refusals::AOF_ENOSPC,
    redis_refusals::RDB_ENOSPC,
    redis_refusals::FORK_FAILS,
    redis_memory::MAXMEMORY_LOWERED,
    redis_memory::LEAK,
    redis_memory::OUTPUT_BUFFERS,
    redis_memory::QUERY_BUFFERS,
    redis_memory::LIST_BACKLOG,
    redis_memory::BIG_KEY,
    redis_memory::LIMIT_BELOW_OVERHEAD,
    redis_data::FLUSHED,
    redis_eviction::EVICTION,
    redis_clients::LIMIT_LOWERED,
    redis_clients::IDLE_CLIENTS,
    postgres_settings::READ_ONLY,
    postgres_settings::STANDBY,
    postgres_settings::SYNC_STANDBY_MISSING,
    postgres_settings::TIMEOUTS,
    postgres_plans::PLANNER_SETTING,
    postgres_transactions::LOCK_TABLE_FULL,
    postgres_transactions::SPILL,
    postgres_transactions::SEQUENCE_END,
    postgres_volumes::DATA_FULL,
    postgres_access::DB_CLOSED,
    postgres_access::HBA_REJECT,
    postgres_access::NOLOGIN,
    postgres_access::EXPIRED,
    postgres_access::PASSWORD,
    postgres_access::CONNECT,
    postgres_access::TABLE,
    postgres_connections::ROLE_LIMIT,
    postgres_connections::FROZEN_BACKEND,
    postgres_connections::GHOST_CLIENT,
    postgres_connections::LOCK_PILE,
    postgres_connections::PREPARED_ORPHAN,
    postgres_connections::DEADLOCK,
    postgres_connections::IDLE_IN_TRANSACTION,
    postgres_connections::RE_LEAK,
    postgres_connections::IDLE_LEAK,
    postgres_connections::SLOW_PILE,
    postgres_connections::PLAIN_LOAD,
    postgres_rows::AUTOVACUUM_OFF,
    postgres_rows::XMIN_HELD,
    postgres_upkeep::ARCHIVE_FAILS,
    postgres_upkeep::DEAD_SLOT,
    postgres_upkeep::INVALID_INDEX,
];

/// The judge of a cause.
pub fn find(cause: &CauseId) -> Option<&'static Judge> {
    ALL.iter().find(|judge| *cause == *judge.cause)
}

/// Asks every judge that knows the symptom; the best grade comes first.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let mut causes: Vec<JudgedCause> = ALL
        .iter()
        .filter(|judge| judge.findings.contains(&facts.finding) || !facts.finding.is_measured())
        .filter_map(|judge| (judge.judge)(facts))
        // Without a symptom that was measured, what is merely likely is likely nothing.
        .filter(|judged| facts.finding.is_measured() || judged.grade == Grade::Confirmed)
        .map(only_with_evidence)
        .collect();
    causes.sort_by_key(|judged| std::cmp::Reverse(judged.grade));
    let summary = if causes.is_empty() { unknown::summary(facts) } else { summary(&causes) };
    Diagnosis { causes, evidence: facts.evidence.clone(), summary }
}

/// A judgement that cites nothing on record cannot be acted on, however good it looks.
fn only_with_evidence(mut judged: JudgedCause) -> JudgedCause {
    if judged.evidence.is_empty() && judged.grade > Grade::Inconclusive {
        judged.grade = Grade::Inconclusive;
        judged.missing = Some("the observation it rests on, on record".into());
    }
    judged
}

fn summary(causes: &[JudgedCause]) -> String {
    let best = causes.iter().map(|judged| judged.grade).max().unwrap_or(Grade::Inconclusive);
    let leading: Vec<&JudgedCause> = causes.iter().filter(|judged| judged.grade == best).collect();
    let names: Vec<&str> = leading.iter().map(|judged| judged.cause.as_str()).collect();
    let missing = || leading.iter().find_map(|judged| judged.missing.as_deref()).unwrap_or("more");
    match (best, leading.as_slice()) {
        (Grade::Confirmed, [one]) => format!("{}, confirmed: {}", one.cause, one.because),
        (Grade::Confirmed, _) => {
            format!("{} hold at once, each confirmed on its own evidence", names.join(" and "))
        }
        (Grade::Likely, [one]) => format!("{}, likely: {}", one.cause, one.because),
        (Grade::Likely, _) => {
            format!("{} are likely; to settle it: {}", names.join(" and "), missing())
        }
        (Grade::Inconclusive, _) => {
            format!("not settled ({}); to settle it: {}", names.join(", "), missing())
        }
    }
}

#[cfg(test)]
mod tests;
