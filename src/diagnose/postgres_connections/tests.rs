//! The causes of taken slots, their look-alikes, both at once, and what happens when parts are missing.

use super::*;
use crate::diagnose::diagnose;
use crate::diagnose::facts::{HolderKind, PgHolder, Refusal};
use crate::diagnose::testing::*;
use crate::domain::sample::{Answer, Sample, reading};
use FindingKind::{ClientsRefused, ConnectionPressure, LockQueue, ServerHung};

fn refused(groups: &[Vec<PgSession>]) -> Facts {
    postgres(ClientsRefused, groups.concat())
}

fn pressed(groups: &[Vec<PgSession>]) -> Facts {
    postgres(ConnectionPressure, groups.concat())
}

fn with(mut sessions: Vec<PgSession>, bend: impl Fn(&mut PgSession)) -> Vec<PgSession> {
    sessions.iter_mut().for_each(bend);
    sessions
}

fn waiting_on(root: i32, from: i32, n: i32) -> Vec<PgSession> {
    with(sessions(from, n, "active", 2.0), |session| {
        session.wait_type = Some("Lock".into());
        session.blocked_by = vec![root];
    })
}

#[test]
fn each_cause_is_told_from_its_look_alikes() {
    let open = |age| {
        with(sessions(1, 14, "idle in transaction", age), |session| {
            session.xact_age_s = Some(age);
            session.has_written = true;
        })
    };
    let root = || vec![session(1, "idle in transaction", 4.0)];
    let elsewhere = with(waiting_on(999, 2, 13), |_| {});
    let cases: [(&str, Facts, &[&str]); 16] = [
        ("leaked, all slots", refused(&[sessions(1, 15, "idle", 3.0)]), &["idle-leak: confirmed"]),
        (
            "leaked, some slots",
            pressed(&[sessions(1, 12, "idle", 1.5), sessions(20, 2, "active", 0.1)]),
            &["idle-leak: confirmed"],
        ),
        (
            "a pool at work",
            refused(&[sessions(1, 9, "active", 0.1), sessions(20, 6, "idle", 0.2)]),
            &["plain-load: confirmed"],
        ),
        (
            "idle a moment ago: a leak or a pool",
            refused(&[sessions(1, 15, "idle", 0.3)]),
            &["idle-leak: inconclusive", "plain-load: inconclusive"],
        ),
        ("transactions left open", refused(&[open(3.0)]), &["idle-in-transaction: confirmed"]),
        ("transactions just begun", refused(&[open(0.4)]), &["idle-in-transaction: likely"]),
        ("a queue", refused(&[root(), waiting_on(1, 2, 13)]), &["lock-pile: confirmed"]),
        ("a queue behind nobody", refused(&[elsewhere]), &["lock-pile: likely"]),
        (
            "two queues",
            refused(&[
                root(),
                vec![session(40, "active", 1.0)],
                waiting_on(1, 2, 6),
                waiting_on(40, 20, 7),
            ]),
            &["lock-pile: likely"],
        ),
        ("slow queries", refused(&[sessions(1, 14, "active", 30.0)]), &["slow-pile: confirmed"]),
        (
            "half the slots leaked, half at work",
            refused(&[sessions(1, 7, "idle", 60.0), sessions(20, 7, "active", 0.1)]),
            &["idle-leak: likely"],
        ),
        (
            "a leak beside a few open transactions",
            refused(&[sessions(1, 11, "idle", 60.0), open(5.0)[..3].to_vec()]),
            &["idle-leak: confirmed"],
        ),
        (
            "a leak beside waiters",
            refused(&[sessions(1, 11, "idle", 60.0), waiting_on(1, 20, 2)]),
            &["idle-leak: likely"],
        ),
        ("refused with slots to spare", refused(&[sessions(1, 4, "idle", 60.0)]), &[]),
        ("no sessions at all", pressed(&[]), &[]),
        ("another symptom", postgres(ServerHung, sessions(1, 15, "idle", 9.0)), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn a_leak_and_open_transactions_at_once_are_both_named() {
    let facts = refused(&[
        sessions(1, 7, "idle", 60.0),
        with(sessions(20, 7, "idle in transaction", 30.0), |s| s.xact_age_s = Some(30.0)),
    ]);
    assert_eq!(graded(&facts), ["idle-in-transaction: likely", "idle-leak: likely"]);
    assert!(diagnose(&facts).summary.contains("to settle it"));
}

#[test]
fn a_limit_on_a_role_or_database_shows_while_slots_are_free() {
    let limited = |role: i32, database: i32, have: i32| {
        let mut facts = refused(&[sessions(1, have, "idle", 60.0)]);
        let pg = facts.postgres.as_mut().unwrap();
        pg.role_limits = vec![("app".into(), role)];
        pg.database_limits = vec![("app".into(), database)];
        facts
    };
    let cases: [(&str, Facts, &[&str]); 6] = [
        ("role full", limited(2, -1, 2), &["role-limit: confirmed"]),
        ("role closed", limited(0, -1, 0), &["role-limit: confirmed"]),
        ("database full", limited(-1, 2, 2), &["role-limit: confirmed"]),
        ("a limit not reached", limited(8, -1, 2), &["role-limit: likely"]),
        ("no limit at all", limited(-1, -1, 2), &[]),
        ("no slot free", limited(2, -1, 15), &["idle-leak: confirmed"]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn without_the_sessions_nothing_is_concluded_and_the_summary_says_what_is_missing() {
    let mut facts = refused(&[]);
    facts.postgres = None;
    facts.samples = vec![redis_sample(0.0, 0, 0, error("53300", "53300 reserved"))];
    let diagnosis = diagnose(&facts);
    assert!(diagnosis.causes.is_empty());
    assert_eq!(
        diagnosis.summary,
        "no known cause fits refused clients (a client got: 53300 reserved); not observed: what it runs in, \
         the server from inside; next: the server's log at the moment of a refusal"
    );
}

#[test]
fn names_prove_nothing_and_cannot_draw() {
    let leaker =
        |session: &mut PgSession| session.application = "leaker\u{1b}[2J\nidle-leak".into();
    let busy = pressed(&[with(sessions(1, 12, "active", 0.1), leaker)]);
    assert_eq!(graded(&busy), ["plain-load: confirmed"]);
    let idle = pressed(&[with(sessions(1, 12, "idle", 9.0), leaker)]);
    let judged = &diagnose(&idle).causes[0];
    assert_eq!(judged.cause, *"idle-leak");
    assert!(!judged.because.contains(char::is_control), "{:?}", judged.because);
}

#[test]
fn programs_are_judged_apart_from_each_other() {
    let other = |session: &mut PgSession| session.client = "172.18.0.7".into();
    let facts =
        pressed(&[sessions(1, 8, "idle", 60.0), with(sessions(20, 6, "idle", 90.0), other)]);
    assert_eq!(graded(&facts), ["idle-leak: confirmed"]);
    let pids: Vec<i32> = leaking_sessions(&facts).iter().map(|session| session.pid).collect();
    assert_eq!(pids, (1..=8).collect::<Vec<_>>());
}

#[test]
fn only_sessions_that_may_be_ended_are_named_oldest_first() {
    let mut all = sessions(1, 9, "idle", 60.0);
    all[1].is_superuser = true;
    all[2].holds_advisory_lock = true;
    all[3].backend_start = None;
    all[4].state_age_s = 0.5;
    all[5].state = "active".into();
    all[8].state_age_s = 600.0;
    let facts = pressed(&[all]);
    let pids: Vec<i32> = leaking_sessions(&facts).iter().map(|session| session.pid).collect();
    assert_eq!(pids, [9, 1, 7, 8]);
}

#[test]
fn another_look_is_worth_it_only_while_it_could_tell() {
    let young = with(sessions(1, 12, "idle in transaction", 0.3), |s| s.xact_age_s = Some(0.3));
    let old = with(sessions(1, 12, "idle in transaction", 3.0), |s| s.xact_age_s = Some(3.0));
    // Milliseconds at the first, second and third look; 0 is none.
    let cases: [(&str, Vec<PgSession>, [u128; 3]); 10] = [
        ("all young", sessions(1, 12, "idle", 0.2), [1_200; 3]),
        (
            "some young",
            [sessions(1, 6, "idle", 1.2), sessions(20, 6, "idle", 0.9)].concat(),
            [1_200; 3],
        ),
        ("none young", sessions(1, 12, "idle", 1.2), [0; 3]),
        ("transactions just begun", young, [1_200; 3]),
        ("transactions left open", old, [0; 3]),
        ("at work", sessions(1, 12, "active", 0.1), [1_200, 0, 0]),
        ("perhaps slow", sessions(1, 12, "active", 2.0), [3_300, 3_300, 0]),
        ("slow", sessions(1, 12, "active", 5.0), [0; 3]),
        (
            "half idle, half at work",
            [sessions(1, 6, "idle", 9.0), sessions(20, 6, "active", 0.1)].concat(),
            [0; 3],
        ),
        ("nobody", vec![], [0; 3]),
    ];
    for (story, sessions, expected) in cases {
        let facts = pressed(&[sessions]);
        let pauses = [0, 1, 2]
            .map(|looked| another_look(&facts, looked).map_or(0, |pause| pause.as_millis()));
        assert_eq!(pauses, expected, "{story}");
    }
}

fn queued(groups: &[Vec<PgSession>], prepared: Option<Vec<PgHolder>>) -> Facts {
    let mut facts = postgres(LockQueue, groups.concat());
    facts.postgres.as_mut().unwrap().holders = prepared;
    facts
}

fn prepared(name: &str, age_s: f64) -> PgHolder {
    PgHolder {
        kind: HolderKind::Prepared,
        name: name.into(),
        horizon_age: 9,
        age_s: Some(age_s),
        prepared: Some(start()),
        owner: "app".into(),
        locked: vec!["orders".into()],
    }
}

#[test]
fn who_blocks_a_row_or_a_table_is_told_apart() {
    let root = |state: &str| vec![session(1, state, 9.0)];
    let one = |root: i32| waiting_on(root, 30, 1);
    let nobody = || Some(Vec::new());
    let orphaned = |age| Some(vec![prepared("batch-7", age)]);
    let two = || Some(vec![prepared("batch-7", 60.0), prepared("batch-8", 50.0)]);
    let cases: [(&str, Facts, &[&str]); 10] = [
        (
            "one waits",
            queued(&[root("idle in transaction"), one(1)], nobody()),
            &["lock-pile: confirmed"],
        ),
        ("a root at work", queued(&[root("active"), one(1)], nobody()), &["lock-pile: confirmed"]),
        (
            "many idle beside it",
            queued(&[root("idle in transaction"), one(1), sessions(50, 9, "idle", 9.0)], nobody()),
            &["lock-pile: confirmed"],
        ),
        (
            "two heads",
            queued(
                &[
                    root("idle in transaction"),
                    vec![session(2, "active", 1.0)],
                    one(1),
                    waiting_on(2, 40, 1),
                ],
                nobody(),
            ),
            &["lock-pile: likely"],
        ),
        ("behind no session", queued(&[one(0)], orphaned(60.0)), &["prepared-orphan: confirmed"]),
        ("prepared a moment ago", queued(&[one(0)], orphaned(0.5)), &[]),
        ("several are prepared", queued(&[one(0)], two()), &["prepared-orphan: likely"]),
        ("prepared ones not observed", queued(&[one(0)], None), &["lock-pile: likely"]),
        (
            "prepared, but a session blocks",
            queued(&[root("idle in transaction"), one(1)], orphaned(60.0)),
            &["lock-pile: confirmed"],
        ),
        ("nobody waits any more", queued(&[root("idle in transaction")], nobody()), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
    let name = |facts: &Facts| orphan(facts).map(|(gid, _)| gid.to_owned());
    assert_eq!(name(&queued(&[one(0)], orphaned(60.0))), Ok("batch-7".into()));
    for left in
        [queued(&[one(0)], two()), queued(&[one(0)], orphaned(0.5)), queued(&[one(0)], None)]
    {
        assert!(name(&left).is_err());
    }
}

#[test]
fn only_one_head_that_may_be_ended_is_named() {
    let facts = |bend: fn(&mut PgSession)| {
        queued(
            &[with(vec![session(1, "active", 9.0)], bend), waiting_on(1, 30, 3)],
            Some(Vec::new()),
        )
    };
    assert_eq!(blocker(&facts(|_| ())).unwrap().pid, 1);
    assert!(blocker(&facts(|root| root.is_superuser = true)).is_err());
    assert!(blocker(&facts(|root| root.backend_start = None)).is_err());
    assert!(blocker(&facts(|root| root.pid = 2)).is_err(), "not in sight");
    assert!(blocker(&queued(&[waiting_on(0, 30, 3)], None)).is_err());
}

#[test]
fn deadlocks_are_the_servers_own_count() {
    let counted = |counts: [f64; 2], seen: Option<u64>| {
        let mut facts = postgres(FindingKind::Deadlocks, Vec::new());
        facts.samples = counts
            .into_iter()
            .zip([0.0, 10.0])
            .map(|(count, at)| Sample {
                readings: [(reading::DEADLOCKS_TOTAL, count)].into(),
                ..redis_sample(at, 0, 0, Answer::Ok)
            })
            .collect();
        let all = seen.map(|count| vec![("app".to_owned(), count)]);
        facts.postgres.as_mut().unwrap().deadlocks = all;
        facts
    };
    assert_eq!(graded(&counted([3.0, 9.0], Some(9))), ["deadlock: confirmed"]);
    assert_eq!(graded(&counted([3.0, 9.0], None)), ["deadlock: likely"]);
    assert_eq!(graded(&counted([9.0, 9.0], Some(9))), [""; 0], "none of them is new");
}

/// Three wait behind one session that is seen like this: the state of its process, and whether its client is there.
fn behind(process: Option<char>, has_client: Option<bool>) -> Facts {
    let mut head = session(1, "active", 40.0);
    (head.process, head.has_client) = (process, has_client);
    postgres(LockQueue, [vec![head], waiting_on(1, 2, 3)].concat())
}

#[test]
fn a_head_that_cannot_go_on_is_told_from_one_that_works() {
    let cases: [(&str, Facts, &[&str]); 8] = [
        ("at work", behind(Some('S'), Some(true)), &["lock-pile: confirmed"]),
        ("not seen from outside", behind(None, None), &["lock-pile: confirmed"]),
        ("its process stands still", behind(Some('T'), Some(true)), &["frozen-backend: confirmed"]),
        (
            "and its client is gone too",
            behind(Some('T'), Some(false)),
            &["frozen-backend: confirmed"],
        ),
        ("stopped by a debugger", behind(Some('t'), None), &["frozen-backend: confirmed"]),
        ("its client is gone", behind(Some('S'), Some(false)), &["ghost-client: confirmed"]),
        (
            "its client is gone, its process unseen",
            behind(None, Some(false)),
            &["ghost-client: likely"],
        ),
        (
            "nobody waits for it",
            {
                let mut facts = behind(Some('T'), Some(false));
                facts.postgres.as_mut().unwrap().sessions.truncate(1);
                facts
            },
            &[],
        ),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
    let mut two = behind(Some('T'), Some(true));
    two.postgres.as_mut().unwrap().sessions.extend([session(40, "active", 1.0)]);
    two.postgres.as_mut().unwrap().sessions.extend(waiting_on(40, 41, 2));
    assert_eq!(graded(&two), ["lock-pile: likely"], "two queues");
}

#[test]
fn a_leak_that_came_back_is_another_cause_than_one_that_was_never_ended() {
    let said = |action: &str, said: &str| {
        let mut facts = refused(&[sessions(1, 15, "idle", 3.0)]);
        facts.refusals = vec![Refusal { action: action.into(), said: said.into() }];
        graded(&facts)
    };
    let back = "sessions did not come back: 15 sessions again from the same clients";
    assert_eq!(said("kill_idle_connections", back), ["re-leak: confirmed"]);
    let refused_again = "a new client connects: 53300: FATAL: too many clients already";
    assert_eq!(said("kill_idle_connections", refused_again), ["re-leak: confirmed"]);
    assert_eq!(
        said("kill_idle_connections", "signalled, and still there"),
        ["idle-leak: confirmed"]
    );
    assert_eq!(said("kill_idle_transactions", back), ["idle-leak: confirmed"]);
    let mut few = refused(&[sessions(1, 3, "idle", 3.0), sessions(20, 12, "active", 0.1)]);
    few.refusals = vec![Refusal { action: "kill_idle_connections".into(), said: back.into() }];
    assert_eq!(graded(&few), ["plain-load: confirmed"], "what is there now are others");
}
