//! `pg performance`: what runs now, how long, what it waits for, and which open transaction harms anyone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::postgres::PgDesk;
use super::report::{Check, Draft, Grade, Unit};
use super::subject::{Session, Subject, rests};
use super::unknown::Unknown;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "query_database_performance",
    verb: "performance",
    title: "What runs now",
    about: "Sessions that are not idle, with three ages (of the query while it runs, of the transaction, of the \
            state), what each waits for, and whether it has written or holds back VACUUM.",
    args: &[
        Arg {
            name: "min-ms",
            about: "only those in their state for at least so many milliseconds",
            kind: ArgKind::Whole { default: 0, least: 0, most: 86_400_000 },
        },
        Arg {
            name: "limit",
            about: "show at most so many, the oldest transactions first",
            kind: ArgKind::Whole { default: 50, least: 1, most: 200 },
        },
    ],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &["cancel_query", "kill_idle_transactions", "terminate_query"],
    budget: Duration::from_secs(5),
    example: "simctl pg performance --min-ms 1000",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Activity {
    pub(super) pid: i32,
    backend_start: String,
    query_start: Option<String>,
    datname: Option<String>,
    usename: Option<String>,
    application_name: Option<String>,
    backend_type: String,
    pub(super) state: Option<String>,
    wait_event_type: Option<String>,
    wait_event: Option<String>,
    pub(super) query_s: Option<f64>,
    xact_s: Option<f64>,
    state_s: Option<f64>,
    has_written: bool,
    xmin_age: Option<i64>,
    leader_pid: Option<i32>,
    query: Option<String>,
}

pub(super) const COLUMNS: &[(&str, Unit)] = &[
    ("pid", Unit::None),
    ("datname", Unit::None),
    ("usename", Unit::None),
    ("application_name", Unit::None),
    ("state", Unit::None),
    ("wait_event_type", Unit::None),
    ("wait_event", Unit::None),
    ("query_s", Unit::Seconds),
    ("xact_s", Unit::Seconds),
    ("state_s", Unit::Seconds),
    ("has_written", Unit::None),
    ("xmin_age", Unit::Count),
    ("query", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let all = activity(desk).await;
    if let Ok(all) = &all {
        draft.judge(judge(all));
    }
    let least = given.whole("min-ms") as f64 / 1_000.0;
    let limit = usize::try_from(given.whole("limit")).unwrap_or(usize::MAX);
    let shown = all.map(|all| {
        let long = |one: &Activity| one.query_s.or(one.state_s).unwrap_or_default() >= least;
        all.into_iter().filter(long).take(limit).collect::<Vec<_>>()
    });
    draft.table_about("sessions", "Sessions that are not idle", &shown, COLUMNS, Activity::subject);
    draft
}

/// Everything that is not idle, ours left out.
pub(super) async fn activity(desk: &mut PgDesk) -> Result<Vec<Activity>, Unknown> {
    desk.capabilities.sees_others()?;
    desk.rows(questions::PERFORMANCE, &[]).await
}

impl Activity {
    fn idles_in_transaction(&self) -> bool {
        rests(self.state.as_deref())
    }

    /// An open transaction that only rests holds nobody up: what it has written or still sees does.
    fn harms(&self) -> bool {
        self.has_written || self.xmin_age.is_some()
    }

    fn session(&self) -> Value {
        json!({ "pid": self.pid, "backend_start": self.backend_start })
    }

    fn query(&self) -> Value {
        json!({ "pid": self.pid, "backend_start": self.backend_start, "query_start": self.query_start })
    }

    /// A session that may be ended: none of the server's own.
    fn subject(&self) -> Option<Subject> {
        let runs = self.state.as_deref() == Some("active");
        self.is_client().then(|| {
            Subject::Session(Session {
                pid: self.pid,
                backend_start: Some(self.backend_start.clone()),
                query_start: self.query_start.clone().filter(|_| runs),
                in_transaction: self.idles_in_transaction(),
                blocks: false,
            })
        })
    }

    fn is_client(&self) -> bool {
        self.backend_type == "client backend"
    }
}

fn longest(
    all: &[Activity],
    age: impl Fn(&Activity) -> Option<f64>,
    fits: impl Fn(&Activity) -> bool,
) -> Option<(&Activity, f64)> {
    let fitting = all.iter().filter(|one| one.is_client() && fits(one));
    fitting.filter_map(|one| Some((one, age(one)?))).max_by(|a, b| a.1.total_cmp(&b.1))
}

fn judge(all: &[Activity]) -> Vec<Check> {
    let quiet = |id| Check::graded(id, Grade::Ok).because("none");
    let active = |one: &Activity| one.state.as_deref() == Some("active");
    let running = longest(all, |one| one.query_s, active);
    let waiting = longest(
        all,
        |one| one.state_s,
        |one| active(one) && one.wait_event_type.as_deref() == Some("Lock"),
    );
    let resting = longest(all, |one| one.state_s, |one| one.idles_in_transaction() && one.harms());
    let running = running.map_or_else(
        || quiet("longest_query"),
        |(one, age)| {
            Check::over("longest_query", age, Unit::Seconds, (Some(30.0), None))
                .because(format!("pid {}: {}", one.pid, first_line(one.query.as_deref())))
                .offer("cancel_query", json!({ "queries": [one.query()] }))
        },
    );
    let waiting = waiting.map_or_else(
        || quiet("longest_wait"),
        |(one, age)| {
            Check::over("longest_wait", age, Unit::Seconds, (Some(5.0), Some(60.0)))
                .because(format!(
                    "pid {} waits for a lock: {}",
                    one.pid,
                    first_line(one.query.as_deref())
                ))
                .advise("`simctl pg locks` names the session it waits for")
        },
    );
    let resting = resting.map_or_else(
        || quiet("harmful_idle_transaction"),
        |(one, age)| {
            let wrote = if one.has_written { "has written" } else { "holds back VACUUM" };
            Check::over("harmful_idle_transaction", age, Unit::Seconds, (Some(60.0), Some(600.0)))
                .because(format!("pid {} rests in an open transaction that {wrote}", one.pid))
                .offer("kill_idle_transactions", json!({ "sessions": [one.session()] }))
        },
    );
    vec![running, waiting, resting]
}

/// The beginning of a statement on one line.
pub(super) fn first_line(query: Option<&str>) -> String {
    let text = query.unwrap_or("(no text)").split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(80).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(state: &str) -> Activity {
        Activity {
            pid: 7,
            backend_start: "2026-01-31T14:00:00+00:00".into(),
            backend_type: "client backend".into(),
            state: Some(state.into()),
            ..Activity::default()
        }
    }

    fn grades(all: &[Activity]) -> Vec<Grade> {
        judge(all).iter().map(|check| check.grade).collect()
    }

    #[test]
    fn a_long_query_can_be_cancelled_by_what_names_it_for_good() {
        let long = Activity {
            query_s: Some(31.0),
            query_start: Some("t".into()),
            query: Some("select 1".into()),
            ..session("active")
        };
        let check = judge(&[long]).remove(0);
        assert_eq!((check.grade, check.leads_to[0].action), (Grade::Warn, "cancel_query"));
        assert_eq!(check.leads_to[0].args["queries"][0]["query_start"], "t");
    }

    #[test]
    fn an_open_transaction_is_judged_by_what_it_holds_not_by_its_age() {
        let resting = || Activity { state_s: Some(5_000.0), ..session("idle in transaction") };
        assert_eq!(grades(&[resting()])[2], Grade::Ok, "it has read and holds nothing");
        assert_eq!(grades(&[Activity { has_written: true, ..resting() }])[2], Grade::Crit);
        assert_eq!(grades(&[Activity { xmin_age: Some(3), ..resting() }])[2], Grade::Crit);
    }

    #[test]
    fn the_time_of_an_idle_transaction_is_no_query_time() {
        let resting =
            Activity { state_s: Some(5_000.0), query_s: None, ..session("idle in transaction") };
        assert_eq!(grades(&[resting])[0], Grade::Ok);
    }

    #[test]
    fn background_work_is_no_long_query() {
        let worker = Activity {
            backend_type: "autovacuum worker".into(),
            query_s: Some(500.0),
            ..session("active")
        };
        assert_eq!(grades(&[worker]), [Grade::Ok; 3]);
    }

    #[test]
    fn waiting_for_a_lock_is_told_after_five_seconds() {
        let waiter = |s| Activity {
            wait_event_type: Some("Lock".into()),
            state_s: Some(s),
            ..session("active")
        };
        assert_eq!(grades(&[waiter(4.0)])[1], Grade::Ok);
        assert_eq!(grades(&[waiter(6.0)])[1], Grade::Warn);
    }
}
