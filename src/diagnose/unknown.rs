//! When nothing known fits: saying what was not seen and what a person should ask next.

use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Sample};
use crate::domain::unit::UnitStatus;

use super::facts::Facts;
use super::words;

/// One sentence: nothing fits, what could not be observed, the next question.
pub(super) fn summary(facts: &Facts) -> String {
    let mut text = format!("no known cause fits {}", facts.finding.about().phrase);
    if let Some(error) = last_error(facts) {
        text = format!("{text} (a client got: {})", words::line(&error));
    }
    let unseen = unseen(facts);
    if !unseen.is_empty() {
        text = format!("{text}; not observed: {}", unseen.join(", "));
    }
    format!("{text}; next: {}", next_question(facts))
}

fn last_error(facts: &Facts) -> Option<String> {
    facts.samples.iter().rev().find_map(Sample::first_bad).map(Answer::describe)
}

fn unseen(facts: &Facts) -> Vec<&'static str> {
    let mut unseen = Vec::new();
    if facts.unit.is_none() {
        unseen.push("what it runs in");
    }
    match facts.finding {
        FindingKind::WritesRefused
        | FindingKind::MemoryPressure
        | FindingKind::DataVanished
        | FindingKind::CacheMisses => {
            if facts.redis.is_none() {
                unseen.push("the server's memory, clients and keys");
            }
        }
        FindingKind::ConnectionPressure | FindingKind::LockQueue | FindingKind::VolumeFull => {
            if facts.postgres.is_none() {
                unseen.push("its sessions");
            }
        }
        FindingKind::ClientsRefused | FindingKind::ProbeFailing | FindingKind::Noticed => {
            if facts.postgres.is_none() && facts.redis.is_none() {
                unseen.push("the server from inside");
            }
        }
        FindingKind::Slow => {
            if facts.place.throttling.is_none() {
                unseen.push("whether a CPU limit holds it back");
            }
        }
        FindingKind::DeadRows => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.tables.is_none()) {
                unseen.push("its tables");
            }
        }
        FindingKind::WalRetained => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.wal.is_none()) {
                unseen.push("its replication slots and its archive");
            }
        }
        FindingKind::InvalidIndex => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.invalid_indexes.is_none()) {
                unseen.push("its indexes");
            }
        }
        FindingKind::Deadlocks => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.deadlocks.is_none()) {
                unseen.push("in which database");
            }
        }
        FindingKind::TransactionsFail => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.promised_locks.is_none()) {
                unseen.push("its sequences and its locks");
            }
        }
        FindingKind::FullScans => {
            if facts.postgres.as_ref().is_none_or(|pg| pg.settings.is_none()) {
                unseen.push("the planner's settings of the application");
            }
        }
        FindingKind::ServerDown | FindingKind::ServerHung | FindingKind::Requested => {}
    }
    unseen
}

fn next_question(facts: &Facts) -> &'static str {
    match (facts.finding, facts.unit.as_ref().map(|unit| unit.status)) {
        (_, Some(UnitStatus::Absent)) => "why the container or process is not there at all",
        (_, Some(UnitStatus::Restarting)) => {
            "its log, because something makes it end again and again"
        }
        (FindingKind::ServerDown, Some(UnitStatus::Running)) => {
            "whether a client inside gets an answer, and whether its network is attached"
        }
        (FindingKind::ServerHung, Some(UnitStatus::Running)) => {
            "whether a client inside gets an answer; if not, whether its first process is stopped"
        }
        (finding, _) => finding.about().next_question,
    }
}
