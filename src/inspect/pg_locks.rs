//! `pg locks`: who waits for whom, the true root of every queue, and the cheapest way to free it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::lock_tree::{Edge, Root, Who, roots};
use super::pg_performance::first_line;
use super::postgres::PgDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::subject::{Session, Subject, rests};
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_database_locks",
    verb: "locks",
    title: "Locks",
    about: "Sessions that wait, and for each queue the one session or prepared transaction that waits for nobody, \
            with everyone behind it. Bystanders with open transactions are not accused.",
    args: &[Arg {
        name: "min-wait-s",
        about: "only waits that last for at least so many seconds",
        kind: ArgKind::Whole { default: 0, least: 0, most: 86_400 },
    }],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &[
        "cancel_query",
        "kill_idle_transactions",
        "kill_blocker",
        "terminate_query",
        "end_prepared",
    ],
    budget: Duration::from_secs(5),
    example: "simctl pg locks --watch 1",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

const MANY_VICTIMS: usize = 5;

/// A root as it is shown.
#[derive(Clone, Debug, Serialize)]
struct Blocker {
    pid: Option<i32>,
    prepared: Option<String>,
    victims: usize,
    longest_wait_s: f64,
    state: Option<String>,
    user: Option<String>,
    application: Option<String>,
    database: Option<String>,
    transaction_s: Option<f64>,
    has_written: Option<bool>,
    deadlock: bool,
    query: String,
}

/// A wait as it is shown.
#[derive(Clone, Debug, Serialize)]
struct Wait {
    waiter: i32,
    waits_for: String,
    lock: String,
    mode: String,
    wait_s: Option<f64>,
    at_most: bool,
    query: String,
}

const BLOCKERS: &[Column] = &[
    ("pid", Unit::None),
    ("prepared", Unit::None),
    ("victims", Unit::Count),
    ("longest_wait_s", Unit::Seconds),
    ("state", Unit::None),
    ("user", Unit::None),
    ("application", Unit::None),
    ("database", Unit::None),
    ("transaction_s", Unit::Seconds),
    ("has_written", Unit::None),
    ("deadlock", Unit::None),
    ("query", Unit::None),
];
const WAITS: &[Column] = &[
    ("waiter", Unit::None),
    ("waits_for", Unit::None),
    ("lock", Unit::None),
    ("mode", Unit::None),
    ("wait_s", Unit::Seconds),
    ("at_most", Unit::None),
    ("query", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let mut edges = desk.rows::<Edge>(questions::LOCKS, &[]).await;
    if let Err(hidden) = desk.capabilities.sees_others() {
        edges = Err(hidden);
    }
    let edges = match edges {
        Ok(edges) => edges,
        Err(unknown) => {
            draft.part("blockers", "Blockers", Err(unknown));
            return draft;
        }
    };
    let least = given.whole("min-wait-s") as f64;
    let roots: Vec<Root> =
        roots(&edges).into_iter().filter(|root| root.longest_wait_s >= least).collect();
    draft.judge(judge(&roots, &edges));
    let blockers: Vec<Blocker> = roots.iter().map(|root| blocker(root, &edges)).collect();
    let shown: Vec<&Edge> =
        edges.iter().filter(|edge| edge.wait_s.unwrap_or_default() >= least).collect();
    let waits: Vec<Wait> = shown.iter().map(|edge| wait(edge)).collect();
    let total =
        edges.first().map_or(0, |edge| u64::try_from(edge.waiters_total).unwrap_or_default());
    draft.part(
        "blockers",
        "Who blocks, and waits for nobody",
        Ok(Content::Table(
            Table::of(&blockers, BLOCKERS).about(&roots, |root| held_by(root, &edges)),
        )),
    );
    let table = Table::of(&waits, WAITS).about(&shown, |edge| waits_as(edge)).out_of(total);
    draft.part("waits", "Who waits", Ok(Content::Table(table)));
    draft
}

fn edge_of<'a>(root: &Root, edges: &'a [Edge]) -> Option<&'a Edge> {
    edges.iter().find(|edge| edge.holding() == root.who)
}

fn blocker(root: &Root, edges: &[Edge]) -> Blocker {
    let edge = edge_of(root, edges).cloned().unwrap_or_default();
    let (pid, prepared) = match &root.who {
        Who::Session(pid) => (Some(*pid), None),
        Who::Prepared(gid) => (None, Some(gid.clone())),
    };
    Blocker {
        pid,
        victims: root.victims.len(),
        longest_wait_s: root.longest_wait_s,
        state: edge.blocker_state,
        user: edge.blocker_user.or(edge.prepared_owner),
        application: edge.blocker_app,
        database: edge.blocker_database,
        transaction_s: edge.blocker_xact_s,
        has_written: pid.is_some().then_some(edge.blocker_has_written).flatten(),
        deadlock: root.in_cycle,
        query: if prepared.is_some() {
            String::new()
        } else {
            first_line(edge.blocker_query.as_deref())
        },
        prepared,
    }
}

fn wait(edge: &Edge) -> Wait {
    Wait {
        waiter: edge.waiter,
        waits_for: named(&edge.holding()),
        lock: edge.lock(),
        mode: edge.mode.clone(),
        wait_s: edge.wait_s,
        at_most: edge.wait_s_is_upper_bound,
        query: first_line(edge.waiter_query.as_deref()),
    }
}

/// The one who waits: its query may be cancelled, or it may be ended.
fn waits_as(edge: &Edge) -> Option<Subject> {
    let is_client = edge.waiter_type.as_deref().is_none_or(|kind| kind == "client backend");
    is_client.then(|| {
        Subject::Session(Session {
            pid: edge.waiter,
            backend_start: edge.waiter_start.clone(),
            query_start: edge.waiter_query_start.clone(),
            ..Session::default()
        })
    })
}

/// The one who blocks.
fn held_by(root: &Root, edges: &[Edge]) -> Option<Subject> {
    let edge = edge_of(root, edges)?;
    match &root.who {
        Who::Prepared(gid) => {
            Some(Subject::Prepared { gid: gid.clone(), prepared: edge.prepared_at.clone() })
        }
        Who::Session(_) if edge.blocker_type.as_deref() == Some("autovacuum worker") => None,
        Who::Session(pid) => Some(Subject::Session(Session {
            pid: *pid,
            backend_start: edge.blocker_start.clone(),
            in_transaction: rests(edge.blocker_state.as_deref()),
            blocks: !root.in_cycle,
            ..Session::default()
        })),
    }
}

fn named(who: &Who) -> String {
    match who {
        Who::Session(pid) => format!("session {pid}"),
        Who::Prepared(gid) => format!("prepared transaction `{gid}`"),
    }
}

fn judge(roots: &[Root], edges: &[Edge]) -> Vec<Check> {
    if roots.is_empty() {
        return vec![Check::graded("blocked", Grade::Ok).because("nobody waits for a lock")];
    }
    roots.iter().map(|root| judge_root(root, edges)).collect()
}

fn judge_root(root: &Root, edges: &[Edge]) -> Check {
    let (victims, wait) = (root.victims.len(), root.longest_wait_s);
    let mut check = Check::over("blocked", wait, Unit::Seconds, (Some(5.0), Some(60.0)));
    check.threshold = "warn 5 s; crit 60 s, 5 victims, or a queue behind waiting DDL".into();
    let queue = queue_behind_ddl(root, edges);
    if victims >= MANY_VICTIMS || queue.is_some() {
        check.grade = Grade::Crit;
    }
    let who = named(&root.who);
    let held = value(wait, Unit::Seconds);
    let check = check.because(format!("{who} holds up {victims}, the longest for {held}"));
    if root.in_cycle {
        return check
            .advise("a deadlock: the server ends one of them by itself within deadlock_timeout");
    }
    let check = match queue {
        Some(ddl) => check.offer("cancel_query", json!({ "queries": [query(ddl)] })),
        None => check,
    };
    match edge_of(root, edges) {
        Some(edge) => cure(edge, check),
        None => check,
    }
}

/// DDL that waits and makes everyone behind it wait: to cancel it frees them and ends no work.
fn queue_behind_ddl<'a>(root: &Root, edges: &'a [Edge]) -> Option<&'a Edge> {
    edges.iter().find(|edge| {
        edge.mode == "AccessExclusiveLock"
            && root.victims.contains(&edge.waiting())
            && edges.iter().any(|other| other.holding() == edge.waiting())
    })
}

fn query(edge: &Edge) -> Value {
    json!({
        "pid": edge.waiter,
        "backend_start": edge.waiter_start,
        "query_start": edge.waiter_query_start,
    })
}

fn cure(edge: &Edge, check: Check) -> Check {
    if edge.blocker == 0 {
        let args =
            json!({ "gid": edge.prepared_gid, "prepared": edge.prepared_at, "end": "rollback" });
        return check
            .advise("only its transaction manager knows whether it is to be committed")
            .offer("end_prepared", args);
    }
    let session = json!({ "pid": edge.blocker, "backend_start": edge.blocker_start });
    if edge.blocker_type.as_deref() == Some("autovacuum worker") {
        return check.advise(if edge.blocker_prevents_wraparound == Some(true) {
            "it vacuums against wraparound: let it finish, and cancel what waits"
        } else {
            "it gives way by itself"
        });
    }
    if rests(edge.blocker_state.as_deref()) {
        return check.offer("kill_idle_transactions", json!({ "sessions": [session] }));
    }
    check.offer("kill_blocker", json!({ "session": session }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(waiter: i32, blocker: i32, wait_s: f64) -> Edge {
        Edge { waiter, blocker, wait_s: Some(wait_s), mode: "ShareLock".into(), ..Edge::default() }
    }

    fn judged(edges: &[Edge]) -> Vec<Check> {
        judge(&roots(edges), edges)
    }

    fn offered(check: &Check) -> Vec<&'static str> {
        check.leads_to.iter().map(|offer| offer.action).collect()
    }

    #[test]
    fn nobody_waiting_is_ok_and_a_short_wait_is_traffic() {
        assert_eq!(judged(&[])[0].grade, Grade::Ok);
        assert_eq!(judged(&[edge(2, 1, 0.3)])[0].grade, Grade::Ok);
        assert_eq!(judged(&[edge(2, 1, 6.0)])[0].grade, Grade::Warn);
        assert_eq!(judged(&[edge(2, 1, 61.0)])[0].grade, Grade::Crit);
    }

    #[test]
    fn waiting_ddl_is_cancelled_before_anybody_is_ended() {
        let ddl = Edge { mode: "AccessExclusiveLock".into(), ..edge(2, 1, 6.0) };
        let reader = Edge { mode: "AccessShareLock".into(), ..edge(3, 2, 5.0) };
        let checks = judged(&[ddl.clone(), reader]);
        assert_eq!((checks.len(), checks[0].grade), (1, Grade::Crit));
        assert_eq!(offered(&checks[0]), ["cancel_query", "kill_blocker"]);
        assert_eq!(checks[0].leads_to[0].args["queries"][0]["pid"], 2);
        assert_eq!(offered(&judged(&[ddl])[0]), ["kill_blocker"], "nobody is behind it");
    }

    #[test]
    fn every_kind_of_blocker_has_its_own_cure() {
        let idle = Edge { blocker_state: Some("idle in transaction".into()), ..edge(2, 1, 9.0) };
        assert_eq!(offered(&judged(&[idle])[0]), ["kill_idle_transactions"]);
        let prepared = Edge { prepared_gid: Some("g".into()), ..edge(2, 0, 9.0) };
        let check = judged(&[prepared]).remove(0);
        assert_eq!(
            (offered(&check), &check.leads_to[0].args["gid"]),
            (vec!["end_prepared"], &json!("g"))
        );
        let vacuum = Edge { blocker_type: Some("autovacuum worker".into()), ..edge(2, 1, 9.0) };
        let check = judged(&[vacuum]).remove(0);
        assert!(offered(&check).is_empty() && check.advice.contains("gives way"));
        let deadlock = judged(&[edge(1, 2, 9.0), edge(2, 1, 9.0)]);
        assert!(deadlock[0].leads_to.is_empty() && deadlock[0].advice.contains("deadlock"));
    }
}
