//! `pg connections`: who has the slots, grouped the way a leak shows, and which limits are nearly reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::postgres::PgDesk;
use super::report::{Check, Column, Draft, Unit};
use super::unknown::Unknown;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "monitor_database_connections",
    verb: "connections",
    title: "Connections",
    about: "Sessions grouped by database, role, application, address and state, with how long they have been in it, \
            and the limits of roles and databases; with --watch also which group grows.",
    args: &[Arg { name: "database", about: "only sessions of this database", kind: ArgKind::Text }],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl pg connections --database orders",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

/// A pool's own idle sessions are used again and again; a leak's are not.
const LEAK_AGE_S: f64 = 600.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    datname: Option<String>,
    usename: Option<String>,
    application_name: Option<String>,
    client_addr: Option<String>,
    state: Option<String>,
    sessions: i64,
    max_state_s: Option<f64>,
    median_state_s: Option<f64>,
    older_10m: i64,
    have_written: i64,
    ours: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Limit {
    scope: String,
    name: String,
    max_sessions: i64,
    sessions: i64,
}

pub(super) const GROUPS: &[Column] = &[
    ("sessions", Unit::Count),
    ("datname", Unit::None),
    ("usename", Unit::None),
    ("application_name", Unit::None),
    ("client_addr", Unit::None),
    ("state", Unit::None),
    ("median_state_s", Unit::Seconds),
    ("max_state_s", Unit::Seconds),
    ("older_10m", Unit::Count),
    ("have_written", Unit::Count),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let groups = groups(desk, given.text("database")).await;
    draft.table("groups", "Sessions", &groups, GROUPS);
    if let Ok(groups) = &groups {
        let before = desk.earlier.since("connections", groups);
        draft.judge(before.and_then(|(seconds, before)| leak(&before, groups, seconds)));
        if given.text("database").is_none() {
            draft.judge([slots(groups, desk.capabilities.usable_slots())]);
        }
    }
    let limits = desk.rows::<Limit>(questions::CONNECTION_LIMITS, &[]).await;
    if let Ok(limits) = &limits {
        draft.judge(limits.iter().filter_map(full));
    }
    let columns = &[
        ("scope", Unit::None),
        ("name", Unit::None),
        ("sessions", Unit::Count),
        ("max_sessions", Unit::Count),
    ];
    draft.table("limits", "Limits of roles and databases", &limits, columns);
    draft
}

pub(super) async fn groups(
    desk: &mut PgDesk,
    database: Option<&str>,
) -> Result<Vec<Group>, Unknown> {
    desk.capabilities.sees_others()?;
    desk.rows(questions::CONNECTIONS, &[(&database, Type::TEXT)]).await
}

fn slots(groups: &[Group], usable: i64) -> Check {
    let used: i64 = groups.iter().map(|group| group.sessions).sum();
    let pct = 100.0 * used as f64 / usable.max(1) as f64;
    let most = groups.iter().filter(|group| !group.ours).max_by_key(|group| group.sessions);
    let most = most.map_or_else(String::new, |group| {
        format!("; most of one kind: {} of {}", group.sessions, describe(group))
    });
    Check::over("slots_used", pct, Unit::Percent, (Some(75.0), Some(90.0)))
        .because(format!("{used} of {usable} slots that ordinary roles may use{most}"))
        .advise("find out why that application needs so many before ending any")
}

fn describe(group: &Group) -> String {
    let or = |text: &Option<String>, none: &str| {
        text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| none.to_owned())
    };
    format!(
        "{} by {} ({})",
        or(&group.application_name, "an application without a name"),
        or(&group.usename, "nobody"),
        or(&group.state, "no state"),
    )
}

fn full(limit: &Limit) -> Option<Check> {
    let pct = 100.0 * limit.sessions as f64 / limit.max_sessions.max(1) as f64;
    let Limit { scope, name, max_sessions, sessions } = limit;
    (pct >= 90.0 || *max_sessions == 0).then(|| {
        Check::over("connection_limit", pct.max(90.0), Unit::Percent, (Some(90.0), Some(100.0)))
            .because(format!(
                "{sessions} of the {max_sessions} sessions that {scope} {name} may have"
            ))
            .advise(format!(
                "raise it if it is too low: ALTER {} … CONNECTION LIMIT",
                scope.to_uppercase()
            ))
    })
}

/// Sessions of one kind that became more while the old ones were not used again.
fn leak(before: &[Group], now: &[Group], seconds: f64) -> Option<Check> {
    let same = |a: &Group, b: &Group| {
        (&a.datname, &a.usename, &a.application_name, &a.client_addr, &a.state)
            == (&b.datname, &b.usename, &b.application_name, &b.client_addr, &b.state)
    };
    let grown = now.iter().filter(|group| !group.ours).filter_map(|group| {
        let was = before.iter().find(|old| same(old, group)).map_or(0, |old| old.sessions);
        let old = group.median_state_s.unwrap_or_default() > LEAK_AGE_S;
        (group.sessions > was && old).then_some((group, group.sessions - was))
    });
    let (group, more) = grown.max_by_key(|(_, more)| *more)?;
    let check = Check::over("leak", more as f64, Unit::Count, (Some(1.0), None));
    Some(
        check
            .because(format!(
                "{more} more in {seconds:.0} s, half of them untouched for 10 minutes: {}",
                describe(group)
            ))
            .advise("that application opens sessions and does not give them back"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Grade;

    fn group(sessions: i64, median: f64) -> Group {
        Group {
            datname: Some("app".into()),
            usename: Some("app".into()),
            application_name: Some("web".into()),
            client_addr: None,
            state: Some("idle".into()),
            sessions,
            max_state_s: Some(median),
            median_state_s: Some(median),
            older_10m: 0,
            have_written: 0,
            ours: false,
        }
    }

    #[test]
    fn a_healthy_pool_of_idle_sessions_is_no_leak() {
        assert_eq!(leak(&[group(15, 5.0)], &[group(15, 5.0)], 10.0), None);
        assert_eq!(leak(&[group(5, 2.0)], &[group(15, 2.0)], 10.0), None, "young ones are used");
        assert_eq!(leak(&[group(15, 900.0)], &[group(15, 910.0)], 10.0), None, "old, not more");
        let check = leak(&[group(15, 900.0)], &[group(17, 910.0)], 10.0).unwrap();
        assert!(check.evidence.starts_with("2 more in 10 s"), "{}", check.evidence);
    }

    #[test]
    fn who_has_most_slots_is_named() {
        let check = slots(&[group(14, 1.0), group(2, 1.0)], 17);
        assert_eq!(check.grade, Grade::Crit);
        assert!(check.evidence.contains("14 of web by app (idle)"), "{}", check.evidence);
    }

    #[test]
    fn a_limit_of_its_own_has_a_cure_of_its_own() {
        let limit = |max_sessions, sessions| Limit {
            scope: "role".into(),
            name: "app".into(),
            max_sessions,
            sessions,
        };
        assert!(full(&limit(10, 8)).is_none());
        assert_eq!(full(&limit(10, 10)).unwrap().grade, Grade::Crit);
        assert!(full(&limit(10, 9)).unwrap().advice.contains("ALTER ROLE"));
        assert!(full(&limit(0, 0)).is_some(), "nobody is let in at all");
    }
}
