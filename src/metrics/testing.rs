//! Times of incidents to compute with, in tests here and of the screen.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::ids::IncidentId;
use crate::ports::store::{AttemptTimes, IncidentTimes};

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

/// An incident that was first seen at second 0 and opened a second later.
pub(crate) fn incident(status: &str, cause: Option<&str>, resolved: Option<i64>) -> IncidentTimes {
    IncidentTimes {
        id: IncidentId(Uuid::from_u128(1)),
        number: 1,
        target: "redis-test".into(),
        finding: "writes-refused".into(),
        cause: cause.map(str::to_owned),
        status: status.into(),
        incident_type: "drill".into(),
        first_bad_at: at(0),
        opened_at: at(1),
        acknowledged_at: resolved.map(|_| at(5)),
        resolved_at: resolved.map(at),
        actions: Vec::new(),
        actor: resolved.map(|_| "ops1".into()),
        attempts: Vec::new(),
        ended_by: resolved.map(|_| "agent".into()),
    }
}

/// An attempt by seconds: started, proposed, decided, acted, acted until, ended.
pub(crate) fn attempt(seconds: [i64; 6], decision: &str) -> AttemptTimes {
    let [started, proposed, decided, acted, until, ended] = seconds.map(at);
    AttemptTimes {
        started_at: started,
        proposed_at: Some(proposed),
        decided_at: Some(decided),
        decision: Some(decision.into()),
        acted_at: Some(acted),
        acted_until: Some(until),
        ended_at: Some(ended),
        state: "completed".into(),
        undone: false,
    }
}

/// A day of incidents before `now`: several causes, targets and actors, fast and slow, some still open.
pub(crate) fn day(now: DateTime<Utc>) -> Vec<IncidentTimes> {
    let causes = [
        ("leak-oom", "redis-test"),
        ("idle-in-txn", "postgres-test"),
        ("idle-leak", "postgres-test"),
        ("leak-oom", "redis-test"),
        ("busy-script", "redis-cache"),
        ("lock-pile", "postgres-test"),
        ("maxmemory-lowered", "redis-test"),
    ];
    (0..38u64).map(|n| of_the_day(n, now, causes[usize::try_from(n).unwrap() % 7])).collect()
}

fn of_the_day(n: u64, now: DateTime<Utc>, (cause, target): (&str, &str)) -> IncidentTimes {
    let whole = i64::try_from(n).unwrap();
    let opened = now - TimeDelta::minutes(1_400 - whole * 37);
    let took = 30 + (whole * 71) % 400 + if n % 11 == 3 { 1_100 } else { 0 };
    let later = |seconds: i64| opened + TimeDelta::seconds(seconds);
    let (ended, failed) = (n % 10 != 9, n % 10 == 8);
    let resolved = (ended && !failed).then(|| later(took));
    let actor = ["ops1", "policy", "ops2"][usize::try_from(n % 3).unwrap()];
    let decision = if actor == "policy" { "automatic" } else { "approved" };
    let attempt = AttemptTimes {
        started_at: later(1),
        proposed_at: Some(later(took / 10 + 1)),
        decided_at: Some(later(took / 2)),
        decision: Some(if failed { "denied".into() } else { decision.into() }),
        acted_at: resolved.map(|_| later(took / 2 + 1)),
        acted_until: resolved.map(|_| later(took * 7 / 10)),
        ended_at: resolved,
        state: if ended { "completed" } else { "executing" }.into(),
        undone: n == 3,
    };
    IncidentTimes {
        id: IncidentId(Uuid::from_u128(1_000 + u128::from(n))),
        number: n + 1,
        target: target.into(),
        finding: "writes-refused".into(),
        cause: (n % 13 != 12).then(|| cause.into()),
        status: match (ended, failed) {
            (_, true) => "failed",
            (true, false) => "resolved",
            (false, false) => "fixing",
        }
        .into(),
        incident_type: "drill".into(),
        first_bad_at: opened - TimeDelta::milliseconds(300 + whole * 7),
        opened_at: opened,
        acknowledged_at: (actor != "policy").then(|| later(took / 2)),
        resolved_at: resolved,
        actions: vec![("unlink_keys".into(), "success".into())],
        actor: (!failed).then(|| actor.into()),
        attempts: vec![attempt],
        ended_by: resolved.map(|_| if n % 9 == 4 { "ops1" } else { "agent" }.into()),
    }
}
