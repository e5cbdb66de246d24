//! `pg replication`: how far behind each standby is and in which leg, what slots retain, how this standby stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pg_health::graded_if;
use super::postgres::PgDesk;
use super::report::{Check, Draft, Grade, Unit};
use super::words::value;
use super::{Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_replication_status",
    verb: "replication",
    title: "Replication",
    about: "On a primary: each standby's distance in bytes, split into network, the standby's disk and replay, and \
            what slots retain. On a standby: whether it streams, without claiming a lag it cannot know.",
    args: &[],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl pg replication --watch 1",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

const MB: f64 = 1_048_576.0;
const GB: f64 = 1_024.0 * MB;
/// A primary that is idle still says something every `wal_receiver_status_interval` (10 s).
const SILENT_S: f64 = 60.0;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Standby {
    application_name: Option<String>,
    client_addr: Option<String>,
    state: Option<String>,
    sync_state: Option<String>,
    pending_bytes: Option<i64>,
    in_flight_bytes: Option<i64>,
    replay_bytes: Option<i64>,
    total_bytes: Option<i64>,
    replay_lag_s: Option<f64>,
    reply_age_s: Option<f64>,
    feedback_xmin_age: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Slot {
    slot_name: String,
    slot_type: String,
    active: bool,
    wal_status: Option<String>,
    safe_wal_bytes: Option<i64>,
    retained_bytes: Option<i64>,
    xmin_age: Option<i64>,
    catalog_xmin_age: Option<i64>,
    inactive_since: Option<String>,
    invalidation_reason: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Receiver {
    receiver_status: Option<String>,
    sender_host: Option<String>,
    sender_port: Option<i64>,
    slot_name: Option<String>,
    last_message_s: Option<f64>,
    receive_lsn: Option<String>,
    replay_lsn: Option<String>,
    replay_backlog_bytes: Option<i64>,
    last_replayed_commit_s: Option<f64>,
    paused: Option<bool>,
}

/// How a standby stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Streaming,
    Connecting,
    Paused,
    /// Nothing was ever streamed, WAL comes from an archive.
    ArchiveOnly,
    Down,
}

impl Link {
    fn of(receiver: &Receiver) -> Self {
        let silent = receiver.last_message_s.is_none_or(|age| age >= SILENT_S);
        match receiver.receiver_status.as_deref() {
            _ if receiver.paused == Some(true) => Self::Paused,
            Some("streaming") if !silent => Self::Streaming,
            Some("streaming") => Self::Down,
            Some(_) => Self::Connecting,
            None if receiver.receive_lsn.is_none() => Self::ArchiveOnly,
            None => Self::Down,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "STREAMING",
            Self::Connecting => "CONNECTING",
            Self::Paused => "PAUSED",
            Self::ArchiveOnly => "ARCHIVE_ONLY",
            Self::Down => "LINK_DOWN",
        }
    }
}

async fn look(desk: &mut PgDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    if desk.capabilities.standby {
        receiver(desk, &mut draft).await;
    }
    let mut standbys = desk.rows::<Standby>(questions::REPLICATION_PRIMARY, &[]).await;
    if let Err(hidden) = desk.capabilities.sees_others() {
        standbys = Err(hidden);
    }
    draft.table("standbys", "Standbys of this server", &standbys, STANDBYS);
    if let Ok(standbys) = &standbys {
        draft.judge(standbys.iter().map(judge_standby));
        draft.judge(synchronous(standbys, &desk.capabilities.synchronous_standby_names));
    }
    let slots = desk.rows::<Slot>(questions::REPLICATION_SLOTS, &[]).await;
    draft.table("slots", "Replication slots", &slots, SLOTS);
    if let Ok(slots) = &slots {
        draft.judge(slots.iter().map(judge_slot));
    }
    draft
}

async fn receiver(desk: &mut PgDesk, draft: &mut Draft) {
    let receiver = desk.row::<Receiver>(questions::REPLICATION_STANDBY, &[]).await;
    draft.figures("receiver", "This standby", &receiver, RECEIVER);
    if let Ok(receiver) = &receiver {
        draft.judge([judge_receiver(receiver)]);
    }
}

const STANDBYS: &[(&str, Unit)] = &[
    ("application_name", Unit::None),
    ("client_addr", Unit::None),
    ("state", Unit::None),
    ("sync_state", Unit::None),
    ("pending_bytes", Unit::Bytes),
    ("in_flight_bytes", Unit::Bytes),
    ("replay_bytes", Unit::Bytes),
    ("total_bytes", Unit::Bytes),
    ("replay_lag_s", Unit::Seconds),
    ("reply_age_s", Unit::Seconds),
    ("feedback_xmin_age", Unit::Count),
];

const SLOTS: &[(&str, Unit)] = &[
    ("slot_name", Unit::None),
    ("slot_type", Unit::None),
    ("active", Unit::None),
    ("wal_status", Unit::None),
    ("retained_bytes", Unit::Bytes),
    ("safe_wal_bytes", Unit::Bytes),
    ("xmin_age", Unit::Count),
    ("catalog_xmin_age", Unit::Count),
    ("inactive_since", Unit::None),
];

const RECEIVER: &[(&str, Unit)] = &[
    ("receiver_status", Unit::None),
    ("sender_host", Unit::None),
    ("sender_port", Unit::None),
    ("last_message_s", Unit::Seconds),
    ("receive_lsn", Unit::None),
    ("replay_lsn", Unit::None),
    ("replay_backlog_bytes", Unit::Bytes),
    ("last_replayed_commit_s", Unit::Seconds),
    ("paused", Unit::None),
];

fn bytes(n: Option<i64>) -> String {
    n.map_or_else(|| "unknown".into(), |n| value(n as f64, Unit::Bytes))
}

fn judge_standby(standby: &Standby) -> Check {
    let legs = [standby.pending_bytes, standby.in_flight_bytes, standby.replay_bytes];
    let slow =
        ["network or sender", "the standby's disk", "replay there: a conflict or a long query"];
    let most = legs.iter().zip(slow).max_by_key(|(bytes, _)| bytes.unwrap_or_default());
    let total = standby.total_bytes.unwrap_or_default().max(0) as f64;
    let name = standby.application_name.as_deref().unwrap_or("?");
    let state = standby.state.as_deref().unwrap_or("?");
    let reply = standby.reply_age_s.map_or_else(String::new, |age| {
        format!(", last heard of {} ago", value(age, Unit::Seconds))
    });
    let mut check = Check::over("standby_behind", total, Unit::Bytes, (Some(64.0 * MB), Some(GB)))
        .because(format!("{name} ({state}) is behind by {}{reply}", bytes(standby.total_bytes)))
        .advise(format!("the slow leg is {}", most.map_or("unknown", |(_, words)| words)));
    // A link that was cut keeps its row until the sender gives up.
    if standby.reply_age_s.is_some_and(|age| age >= SILENT_S) {
        check.grade = Grade::Crit;
    }
    check
}

fn judge_slot(slot: &Slot) -> Check {
    let retained = slot.retained_bytes.unwrap_or_default().max(0) as f64;
    let limit = if slot.active { None } else { Some(GB) };
    let mut check = Check::over("slot_retains", retained, Unit::Bytes, (limit, None));
    let lost = slot.invalidation_reason.is_some() || slot.wal_status.as_deref() == Some("lost");
    if lost || slot.wal_status.as_deref() == Some("unreserved") {
        check.grade = Grade::Crit;
    }
    let active = if slot.active { "used" } else { "used by nobody" };
    let status = slot.wal_status.as_deref().unwrap_or("status unknown");
    check
        .because(format!("{} ({active}, {status}) retains {}", slot.slot_name, bytes(slot.retained_bytes)))
        .advise(if lost {
            "what reads from it must be built anew"
        } else {
            "set max_slot_wal_keep_size to bound it; drop the slot only when its reader is gone for good"
        })
}

/// A commit hangs when fewer synchronous standbys are there than were asked for.
fn synchronous(standbys: &[Standby], wanted: &str) -> Option<Check> {
    let there = standbys
        .iter()
        .filter(|standby| matches!(standby.sync_state.as_deref(), Some("sync" | "quorum")))
        .count();
    (!wanted.trim().is_empty()).then(|| {
        graded_if("synchronous_standbys", there == 0, Grade::Crit)
            .because(format!("synchronous_standby_names is `{wanted}`, {there} are there"))
            .advise(
                "commits hang: bring the standby back, or take it out of synchronous_standby_names",
            )
    })
}

fn judge_receiver(receiver: &Receiver) -> Check {
    let link = Link::of(receiver);
    let backlog = receiver.replay_backlog_bytes.unwrap_or_default();
    let last = receiver.last_replayed_commit_s;
    let last = last.map_or_else(
        || "no commit replayed yet".to_owned(),
        |age| format!("last commit replayed {} ago", value(age, Unit::Seconds)),
    );
    let evidence = match link {
        Link::Streaming if backlog > 0 => {
            format!("STREAMING, {} received and not replayed, {last}", bytes(Some(backlog)))
        }
        Link::Streaming => "STREAMING, everything received is replayed".to_owned(),
        // Received = replayed says nothing when nothing more is received.
        other => format!("{}, lag unknown, {last}", other.as_str()),
    };
    let (grade, advice) = match link {
        Link::Streaming => (Grade::Ok, ""),
        Link::Paused => {
            (Grade::Warn, "SELECT pg_wal_replay_resume() on the standby, unless it is meant")
        }
        Link::Connecting => (Grade::Warn, "look again in a moment; then at the standby's log"),
        Link::ArchiveOnly => {
            (Grade::Inconclusive, "only its archive tells how far it is; ask the primary")
        }
        Link::Down => (
            Grade::Crit,
            "look at primary_conninfo, the primary's pg_hba.conf and the network between",
        ),
    };
    Check::graded("standby_link", grade).because(evidence).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        Receiver {
            receiver_status: Some("streaming".into()),
            last_message_s: Some(8.0),
            receive_lsn: Some("0/3000000".into()),
            replay_lsn: Some("0/3000000".into()),
            replay_backlog_bytes: Some(0),
            last_replayed_commit_s: Some(900.0),
            ..Receiver::default()
        }
    }

    #[test]
    fn an_idle_link_is_no_lag_however_old_the_last_commit() {
        let check = judge_receiver(&receiver());
        assert_eq!(check.grade, Grade::Ok);
        assert!(!check.evidence.contains("15m"), "{}", check.evidence);
    }

    #[test]
    fn a_cut_link_is_never_a_lag_of_nothing() {
        let cut = Receiver { receiver_status: None, last_message_s: None, ..receiver() };
        let check = judge_receiver(&cut);
        assert_eq!(check.grade, Grade::Crit);
        assert!(check.evidence.starts_with("LINK_DOWN, lag unknown"), "{}", check.evidence);
        let silent = Receiver { last_message_s: Some(61.0), ..receiver() };
        assert_eq!(judge_receiver(&silent).grade, Grade::Crit);
    }

    #[test]
    fn the_other_states_are_told_apart() {
        let paused = Receiver { paused: Some(true), ..receiver() };
        assert_eq!(Link::of(&paused), Link::Paused);
        let archive = Receiver { receiver_status: None, receive_lsn: None, ..receiver() };
        assert_eq!(judge_receiver(&archive).grade, Grade::Inconclusive);
        let waiting = Receiver { receiver_status: Some("waiting".into()), ..receiver() };
        assert_eq!(Link::of(&waiting), Link::Connecting);
    }

    #[test]
    fn the_slow_leg_is_named() {
        let standby = Standby {
            application_name: Some("replica".into()),
            pending_bytes: Some(10),
            in_flight_bytes: Some(20),
            replay_bytes: Some(100 << 20),
            total_bytes: Some(100 << 20),
            ..Standby::default()
        };
        let check = judge_standby(&standby);
        assert_eq!(check.grade, Grade::Warn);
        assert!(check.advice.contains("replay there"), "{}", check.advice);
        assert_eq!(
            judge_standby(&Standby { reply_age_s: Some(90.0), ..Standby::default() }).grade,
            Grade::Crit
        );
    }

    #[test]
    fn a_slot_is_bad_when_it_is_lost_or_holds_much_for_nobody() {
        let slot = |active, retained, status: &str| {
            let slot = Slot {
                active,
                retained_bytes: Some(retained),
                wal_status: Some(status.into()),
                ..Slot::default()
            };
            judge_slot(&slot).grade
        };
        assert_eq!(slot(false, 1 << 20, "reserved"), Grade::Ok);
        assert_eq!(slot(false, 2 << 30, "extended"), Grade::Warn);
        assert_eq!(slot(true, 2 << 30, "extended"), Grade::Ok);
        assert_eq!(slot(true, 0, "unreserved"), Grade::Crit);
        assert_eq!(slot(false, 0, "lost"), Grade::Crit);
    }

    #[test]
    fn commits_hang_without_a_synchronous_standby() {
        let standby =
            |state: &str| Standby { sync_state: Some(state.into()), ..Standby::default() };
        assert_eq!(synchronous(&[standby("async")], ""), None);
        let grade = |all: &[Standby]| synchronous(all, "ANY 1 (a, b)").unwrap().grade;
        assert_eq!(grade(&[standby("potential")]), Grade::Crit);
        assert_eq!(grade(&[standby("quorum")]), Grade::Ok);
    }
}
