//! What the server runs in: paused, killed, out of memory, or ended by itself.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::RuntimeEventKind;
use crate::domain::unit::{UnitState, UnitStatus, setting};

use super::Judge;
use super::facts::Facts;
use super::verdict::{Verdict, source};

/// 128 + SIGKILL.
const KILLED_CODE: i64 = 137;

pub(super) const PAUSED: Judge = Judge {
    cause: "container-paused",
    title: "paused",
    about: "Somebody froze what the server runs in: connections open, nothing answers, nothing is lost.",
    findings: FindingKind::ALL,
    judge: paused,
};

pub(super) const STOPPED: Judge = Judge {
    cause: "container-sigstop",
    title: "stopped by a signal",
    about: "Somebody sent SIGSTOP to the container's first process: the container runs, connections open, nothing \
            answers, nothing is lost.",
    findings: &[FindingKind::ServerHung, FindingKind::ServerDown, FindingKind::ProbeFailing],
    judge: stopped,
};

pub(super) const KILLED: Judge = Judge {
    cause: "container-killed",
    title: "killed",
    about: "The server's process was ended with SIGKILL from outside: exit code 137 and no report of \
            missing memory.",
    findings: FindingKind::ALL,
    judge: killed,
};

pub(super) const OUT_OF_MEMORY: Judge = Judge {
    cause: "cgroup-oom",
    title: "out of the container's memory",
    about: "The kernel ended the server because it used more memory than its container may have.",
    findings: FindingKind::ALL,
    judge: out_of_memory,
};

pub(super) const EXITED: Judge = Judge {
    cause: "container-exited",
    title: "exited",
    about: "The server ended by itself or was stopped in order; its exit code and log say why.",
    findings: FindingKind::ALL,
    judge: exited,
};

/// What the runtime reported about the present life of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    /// It reported that memory ran out.
    OutOfMemory,
    /// It reported the end, and nothing about memory.
    DiedAlone,
    /// It reported no end, so its silence about memory means nothing.
    Nothing,
}

fn paused(facts: &Facts) -> Option<JudgedCause> {
    let verdict = Verdict::on(
        facts,
        PAUSED.cause,
        &[source::UNIT, source::RUNTIME_EVENTS, source::CLIENT_VIEW],
    );
    match &facts.unit {
        Some(unit) => (unit.status == UnitStatus::Paused).then(|| {
            verdict.confirmed(
                "what the server runs in is paused: its processes are frozen, so clients connect and hear \
                 nothing",
            )
        }),
        None => last_pause_is_on(facts).then(|| {
            verdict.likely(
                "the runtime reported a pause and no end of it",
                "the state of the container or process now",
            )
        }),
    }
}

fn stopped(facts: &Facts) -> Option<JudgedCause> {
    facts.unit.as_ref().filter(|unit| unit.status == UnitStatus::Running)?;
    let state = facts.place.first_process.filter(|state| matches!(state, 'T' | 't'))?;
    let sources = [source::FIRST_PROCESS, source::UNIT, source::CLIENT_VIEW];
    Some(Verdict::on(facts, STOPPED.cause, &sources).confirmed(format!(
        "the container runs and is not paused, and its first process is stopped by a signal (state {state})"
    )))
}

fn last_pause_is_on(facts: &Facts) -> bool {
    facts.runtime_events.iter().rev().find_map(|event| match event.kind {
        RuntimeEventKind::Paused => Some(true),
        RuntimeEventKind::Unpaused | RuntimeEventKind::Started | RuntimeEventKind::Died => {
            Some(false)
        }
        RuntimeEventKind::OutOfMemory | RuntimeEventKind::HealthChanged => None,
    }) == Some(true)
}

fn out_of_memory(facts: &Facts) -> Option<JudgedCause> {
    let unit = ended(facts)?;
    let sources = [source::RUNTIME_EVENTS, source::UNIT, source::BASELINE];
    (reported(facts) == Reported::OutOfMemory).then(|| {
        let limit = unit
            .memory_limit
            .map_or_else(String::new, |limit| format!(" of {}", super::words::bytes(limit)));
        let was = memory_to_restore(facts)
            .map_or_else(String::new, |was| format!(", which was {},", super::words::bytes(was)));
        Verdict::on(facts, OUT_OF_MEMORY.cause, &sources).confirmed(format!(
            "the runtime reported that memory ran out before the server ended{}; the container's \
             memory limit{limit}{was} was reached",
            code(unit)
        ))
    })
}

/// The container's memory limit while the server was healthy, when there is less now.
pub(crate) fn memory_to_restore(facts: &Facts) -> Option<u64> {
    let now = facts.unit.as_ref()?.memory_limit?;
    let was: u64 = facts.baseline.get(setting::MEMORY)?.parse().ok()?;
    (now < was).then_some(was)
}

fn killed(facts: &Facts) -> Option<JudgedCause> {
    let unit = ended(facts)?;
    if unit.exit_code != Some(KILLED_CODE) {
        return None;
    }
    let verdict = Verdict::on(facts, KILLED.cause, &[source::UNIT, source::RUNTIME_EVENTS]);
    match reported(facts) {
        Reported::OutOfMemory => None,
        Reported::DiedAlone => Some(verdict.confirmed(
            "the server ended with exit code 137 (SIGKILL) and the runtime, which reported the end, \
             reported no lack of memory: it was killed from outside",
        )),
        Reported::Nothing => Some(verdict.likely(
            "the server ended with exit code 137 (SIGKILL)",
            "whether the runtime reported a lack of memory at that time",
        )),
    }
}

fn exited(facts: &Facts) -> Option<JudgedCause> {
    let unit = ended(facts)?;
    let verdict = Verdict::on(facts, EXITED.cause, &[source::UNIT, source::RUNTIME_EVENTS]);
    match (unit.exit_code, reported(facts)) {
        (Some(KILLED_CODE), _) | (_, Reported::OutOfMemory) => None,
        (Some(0), _) => {
            Some(verdict.confirmed("the server ended in order (exit code 0): it was told to stop"))
        }
        (Some(exit), _) => Some(verdict.confirmed(format!(
            "the server ended with exit code {exit}, so it was not killed with SIGKILL"
        ))),
        (None, _) => Some(verdict.likely(
            "the server does not run any more, and how it ended is not known",
            "its exit code",
        )),
    }
}

fn ended(facts: &Facts) -> Option<&UnitState> {
    facts.unit.as_ref().filter(|unit| unit.status == UnitStatus::Exited)
}

/// The flag `OOMKilled` lies both ways; only the event counts, and only since the last start.
fn reported(facts: &Facts) -> Reported {
    let events = &facts.runtime_events;
    let life = events
        .iter()
        .rposition(|event| event.kind == RuntimeEventKind::Started)
        .map_or(0, |at| at + 1);
    let seen = |kind| events.iter().skip(life).any(|event| event.kind == kind);
    let (starved, died) = (seen(RuntimeEventKind::OutOfMemory), seen(RuntimeEventKind::Died));
    match (starved, died) {
        (true, _) => Reported::OutOfMemory,
        (false, true) => Reported::DiedAlone,
        (false, false) => Reported::Nothing,
    }
}

fn code(unit: &UnitState) -> String {
    unit.exit_code.map_or_else(String::new, |exit| format!(" with exit code {exit}"))
}
