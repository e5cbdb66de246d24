//! `redis memory`: what fills it, how far it is from refusing writes, and what only looks like waste.

use std::time::Duration;

use serde::Serialize;

use super::redis::RedisDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Ask, Given, Inspection};
use crate::actions::Need;
use crate::targets::redis::Info;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_memory",
    verb: "memory",
    title: "Memory",
    about: "Memory against its limit and policy, split into data, clients, replication and scripts; fragmentation and \
            peak only where there is enough memory for them to mean something.",
    args: &[],
    needs: &[Need::Redis(&["info"])],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl redis memory --watch 2",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

const MB: u64 = 1_048_576;
/// Below this, ratios are noise.
const NOTABLE: u64 = 100 * MB;

/// What INFO says of memory.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Memory {
    pub(super) used_bytes: u64,
    pub(super) maxmemory_bytes: u64,
    pub(super) policy: String,
    dataset_bytes: u64,
    overhead_bytes: u64,
    clients_bytes: u64,
    replicas_bytes: u64,
    scripts_bytes: u64,
    peak_bytes: u64,
    rss_bytes: u64,
    host_bytes: u64,
    fragmentation: Option<f64>,
    allocator_frag_bytes: u64,
    pub(super) keys: u64,
    pub(super) expiring: u64,
    /// Writes refused for lack of memory since the start; `None` where it is not counted.
    pub(super) oom_errors: Option<u64>,
}

impl Memory {
    pub(super) fn of(info: &Info) -> Self {
        let whole = |field: &str| info.whole(field).unwrap_or_default();
        Self {
            used_bytes: whole("used_memory"),
            maxmemory_bytes: whole("maxmemory"),
            policy: info.text("maxmemory_policy").unwrap_or_default().to_owned(),
            dataset_bytes: whole("used_memory_dataset"),
            overhead_bytes: whole("used_memory_overhead"),
            clients_bytes: whole("mem_clients_normal"),
            replicas_bytes: whole("mem_total_replication_buffers").max(whole("mem_clients_slaves")),
            scripts_bytes: whole("used_memory_scripts").max(whole("used_memory_lua")),
            peak_bytes: whole("used_memory_peak"),
            rss_bytes: whole("used_memory_rss"),
            host_bytes: whole("total_system_memory"),
            fragmentation: info.text("mem_fragmentation_ratio").and_then(|text| text.parse().ok()),
            allocator_frag_bytes: whole("allocator_frag_bytes"),
            keys: info.keys().unwrap_or_default(),
            expiring: info.expiring(),
            oom_errors: info.errors("OOM"),
        }
    }

    /// Whether a full memory means refused writes: nothing may be evicted, or there is nothing that may.
    pub(super) fn refuses_when_full(&self) -> bool {
        self.policy == "noeviction" || self.has_nothing_to_evict()
    }

    fn has_nothing_to_evict(&self) -> bool {
        self.policy.starts_with("volatile-") && self.keys > 0 && self.expiring * 20 < self.keys
    }
}

const FIGURES: &[Column] = &[
    ("used_bytes", Unit::Bytes),
    ("maxmemory_bytes", Unit::Bytes),
    ("policy", Unit::None),
    ("dataset_bytes", Unit::Bytes),
    ("overhead_bytes", Unit::Bytes),
    ("clients_bytes", Unit::Bytes),
    ("replicas_bytes", Unit::Bytes),
    ("scripts_bytes", Unit::Bytes),
    ("peak_bytes", Unit::Bytes),
    ("rss_bytes", Unit::Bytes),
    ("fragmentation", Unit::Count),
    ("allocator_frag_bytes", Unit::Bytes),
    ("keys", Unit::Count),
    ("expiring", Unit::Count),
    ("oom_errors", Unit::Count),
];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let memory = desk.info().await.map(|info| Memory::of(&info));
    if let Ok(memory) = &memory {
        draft.judge(judge(memory));
        let before = desk.earlier.since("memory", memory);
        draft.judge(before.iter().flat_map(|(seconds, before)| growth(before, memory, *seconds)));
    }
    draft.figures("memory", "Memory", &memory, FIGURES);
    draft
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn judge(m: &Memory) -> Vec<Check> {
    let mut checks = vec![limit(m)];
    if m.has_nothing_to_evict() {
        checks.push(
            Check::graded("nothing_to_evict", Grade::Warn)
                .because(format!(
                    "{} of {} keys expire: {} refuses writes when full",
                    m.expiring, m.keys, m.policy
                ))
                .advise("give keys a time to live, or choose an allkeys policy"),
        );
    }
    if m.used_bytes >= NOTABLE {
        checks.extend(waste(m));
    }
    checks
}

fn limit(m: &Memory) -> Check {
    let bytes = |n: u64| value(n as f64, Unit::Bytes);
    if m.maxmemory_bytes == 0 {
        let pct = share(m.used_bytes, m.host_bytes);
        return Check::over("memory_used", pct, Unit::Percent, (None, Some(70.0)))
            .because(format!(
                "{} of the machine's {}, without a limit",
                bytes(m.used_bytes),
                bytes(m.host_bytes)
            ))
            .advise("set maxmemory before the system ends the process");
    }
    let pct = share(m.used_bytes, m.maxmemory_bytes);
    // A cache that evicts is meant to be full.
    let limits = if m.refuses_when_full() { (Some(75.0), Some(90.0)) } else { (None, None) };
    Check::over("memory_used", pct, Unit::Percent, limits)
        .because(format!("{} of {} ({})", bytes(m.used_bytes), bytes(m.maxmemory_bytes), m.policy))
        .advise("`simctl redis bigkeys` tells what fills it; when full, writes are refused")
}

fn waste(m: &Memory) -> Vec<Check> {
    let clients = share(m.clients_bytes, m.used_bytes);
    let ratio = m.fragmentation.unwrap_or_default();
    let fragmented = ratio > 1.4 && m.allocator_frag_bytes > 10 * MB;
    let peaked = m.peak_bytes * 2 > m.used_bytes * 3;
    vec![
        Check::over("client_buffers", clients, Unit::Percent, (Some(10.0), None))
            .because("of all memory is held by clients' buffers")
            .advise("`simctl redis clients` tells whose"),
        Check::graded("fragmentation", if fragmented { Grade::Warn } else { Grade::Ok })
            .because(format!(
                "ratio {ratio:.2}, {} between objects",
                value(m.allocator_frag_bytes as f64, Unit::Bytes)
            ))
            .advise("activedefrag yes gives it back while it runs"),
        Check::graded("peak", if peaked { Grade::Warn } else { Grade::Ok })
            .because(format!("the peak was {}", value(m.peak_bytes as f64, Unit::Bytes)))
            .advise("what was freed stays with the process until it is used again"),
    ]
}

/// What happened since the look before.
fn growth(before: &Memory, now: &Memory, seconds: f64) -> Vec<Check> {
    let refused =
        now.oom_errors.zip(before.oom_errors).map_or(0, |(now, was)| now.saturating_sub(was));
    let grown = now.used_bytes.saturating_sub(before.used_bytes) as f64;
    let left = now.maxmemory_bytes.saturating_sub(now.used_bytes) as f64;
    let full_in = (grown > 0.0 && now.maxmemory_bytes > 0).then(|| left * seconds / grown);
    let soon = full_in.is_some_and(|s| s < 600.0) && now.refuses_when_full();
    vec![
        Check::graded("writes_refused", if refused > 0 { Grade::Crit } else { Grade::Ok })
            .because(format!("{refused} writes refused for lack of memory in {seconds:.0} s"))
            .advise("make room: `simctl redis bigkeys`; or raise maxmemory if the machine has it"),
        Check::graded("full_soon", if soon { Grade::Warn } else { Grade::Ok })
            .because(full_in.map_or_else(
                || "it does not grow".to_owned(),
                |s| format!("full in {} at this rate", value(s, Unit::Seconds)),
            ))
            .advise("find out who writes before it is full"),
    ]
}

/// Why deltas are not there yet.
pub(super) fn one_look_only() -> Unknown {
    Unknown::NotEnoughHistory { have_s: 0.0, need_s: 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(used: u64, policy: &str) -> Memory {
        Memory {
            used_bytes: used * MB,
            maxmemory_bytes: 50 * MB,
            policy: policy.into(),
            keys: 1_000,
            expiring: 1_000,
            host_bytes: 1_000 * MB,
            ..Memory::default()
        }
    }

    fn grade(m: &Memory, id: &str) -> Option<Grade> {
        judge(m).iter().find(|check| check.id == id).map(|check| check.grade)
    }

    #[test]
    fn a_full_cache_that_evicts_is_well_and_one_that_refuses_is_not() {
        assert_eq!(grade(&memory(50, "allkeys-lru"), "memory_used"), Some(Grade::Ok));
        assert_eq!(grade(&memory(46, "noeviction"), "memory_used"), Some(Grade::Crit));
        let volatile = Memory { expiring: 10, ..memory(46, "volatile-lru") };
        assert_eq!(grade(&volatile, "memory_used"), Some(Grade::Crit), "nothing may be evicted");
        assert_eq!(grade(&volatile, "nothing_to_evict"), Some(Grade::Warn));
    }

    #[test]
    fn without_a_limit_the_machine_is_the_limit() {
        let unbounded = |used| Memory { maxmemory_bytes: 0, ..memory(used, "noeviction") };
        assert_eq!(grade(&unbounded(600), "memory_used"), Some(Grade::Ok));
        assert_eq!(grade(&unbounded(800), "memory_used"), Some(Grade::Crit));
    }

    #[test]
    fn ratios_of_a_tiny_dataset_are_noise() {
        let tiny = Memory {
            fragmentation: Some(9.0),
            allocator_frag_bytes: 20 * MB,
            ..memory(5, "noeviction")
        };
        assert_eq!(grade(&tiny, "fragmentation"), None);
        let big = Memory { used_bytes: 200 * MB, maxmemory_bytes: 500 * MB, ..tiny };
        assert_eq!(grade(&big, "fragmentation"), Some(Grade::Warn));
    }

    #[test]
    fn refused_writes_count_between_looks_not_since_the_start() {
        let at = |errors| Memory { oom_errors: Some(errors), ..memory(10, "noeviction") };
        assert_eq!(growth(&at(260), &at(260), 2.0)[0].grade, Grade::Ok);
        assert_eq!(growth(&at(260), &at(261), 2.0)[0].grade, Grade::Crit);
        let grown = growth(&memory(10, "noeviction"), &memory(20, "noeviction"), 2.0);
        assert!(grown[1].evidence.starts_with("full in 6 s"), "{}", grown[1].evidence);
    }
}
