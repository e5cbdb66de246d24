//! 25006 and hanging commits: each cause from its look-alikes, and what happens when parts are missing.

use super::*;
use crate::diagnose::facts::PgRole;
use crate::diagnose::testing::*;
use crate::domain::sample::Origin;
use FindingKind::WritesRefused;

fn sample(write: Answer) -> Sample {
    Sample {
        at: start(),
        origin: Origin::Fresh,
        took_ms: 1.0,
        connect: Answer::Ok,
        read: Answer::Ok,
        write,
        readings: [("sessions", 1.0)].into(),
    }
}

/// A server whose writes end so, with one setting as it was and as it is.
fn with(write: Answer, name: &str, was: Option<&str>, now: &str, standing: PgStanding) -> Facts {
    let mut facts = postgres(WritesRefused, Vec::new());
    facts.samples = vec![sample(Answer::Ok), sample(write)];
    facts.baseline.extend(was.map(|was| (name.to_owned(), was.to_owned())));
    let pg = facts.postgres.as_mut().unwrap();
    pg.settings = Some([(name.to_owned(), now.to_owned())].into());
    pg.standing = Some(standing);
    facts
}

fn refused(was: Option<&str>, now: &str, in_recovery: Option<bool>) -> Facts {
    let refusal = error("25006", "ERROR: cannot execute INSERT in a read-only transaction");
    let role = PgRole { name: "app".into(), can_login: true, ..PgRole::default() };
    let standing = PgStanding { in_recovery, role: Some(role), ..PgStanding::default() };
    with(refusal, "default_transaction_read_only", was, now, standing)
}

fn hanging(was: Option<&str>, now: &str, standbys: Option<u32>, waits: u32) -> Facts {
    let standing = PgStanding {
        in_recovery: Some(false),
        sync_standbys: standbys,
        commit_waits: waits,
        ..PgStanding::default()
    };
    let hung = Answer::Hung { after_ms: 2_000 };
    with(hung, "synchronous_standby_names", was, now, standing)
}

fn own(mut facts: Facts, role: &str) -> Facts {
    let standing = facts.postgres.as_mut().unwrap().standing.as_mut().unwrap();
    let name = "default_transaction_read_only".to_owned();
    standing.overrides.push(PgOverride { role: role.into(), name, ..PgOverride::default() });
    facts
}

fn without(mut facts: Facts, bend: impl FnOnce(&mut Facts)) -> Facts {
    bend(&mut facts);
    facts
}

#[test]
fn a_read_only_primary_is_told_from_a_standby() {
    let no_settings = |facts: &mut Facts| facts.postgres.as_mut().unwrap().settings = None;
    let blind = |facts: &mut Facts| facts.postgres = None;
    let other = |facts: &mut Facts| {
        facts.samples = vec![sample(error("53100", "could not extend file"))];
    };
    let cases: [(&str, Facts, &[&str]); 8] = [
        ("changed", refused(Some("off"), "on", Some(false)), &["read-only: confirmed"]),
        ("a standby", refused(Some("off"), "off", Some(true)), &["standby: confirmed"]),
        (
            "a standby that is set so too",
            refused(Some("off"), "on", Some(true)),
            &["standby: confirmed"],
        ),
        ("standby or not is not known", refused(Some("off"), "on", None), &["read-only: likely"]),
        ("no baseline", refused(None, "on", Some(false)), &["read-only: likely"]),
        (
            "the client itself asks for it",
            refused(Some("off"), "off", Some(false)),
            &["read-only: inconclusive"],
        ),
        (
            "settings unseen",
            without(refused(Some("off"), "on", Some(false)), no_settings),
            &["read-only: inconclusive"],
        ),
        ("another refusal", without(refused(Some("off"), "on", Some(false)), other), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
    let facts = without(refused(Some("off"), "on", Some(false)), blind);
    assert_eq!(graded(&facts), ["read-only: inconclusive"]);
}

#[test]
fn only_a_server_wide_value_is_named_to_go_back_to() {
    let name = "default_transaction_read_only";
    let changed = || refused(Some("off"), "on", Some(false));
    assert_eq!(to_restore(&changed(), name), Ok("off"));
    assert_eq!(to_restore(&own(changed(), "reports"), name), Ok("off"), "another role's");
    let said = to_restore(&own(changed(), "app"), name).unwrap_err();
    assert!(said.contains("set for role app"), "{said}");
    let said = to_restore(&own(changed(), ""), name).unwrap_err();
    assert!(said.contains("not for the server"), "{said}");
    assert!(to_restore(&refused(None, "on", None), name).unwrap_err().contains("not known"));
    assert!(to_restore(&refused(Some("on"), "on", None), name).unwrap_err().contains("as it was"));
}

#[test]
fn commits_that_wait_for_nobody_are_told_from_locks() {
    let locked = |facts: &mut Facts| {
        let waiter = session(9, "active", 3.0);
        let waiter = crate::diagnose::facts::PgSession { wait_type: Some("Lock".into()), ..waiter };
        facts.postgres.as_mut().unwrap().sessions.push(waiter);
    };
    let refusal = |facts: &mut Facts| facts.samples = vec![sample(error("25006", "read-only"))];
    let confirmed: &[&str] = &["sync-standby-missing: confirmed"];
    let likely: &[&str] = &["sync-standby-missing: likely"];
    let cases: [(&str, Facts, &[&str]); 8] = [
        ("a ghost", hanging(Some(""), "ghost", Some(0), 2), confirmed),
        ("nobody waits at this moment", hanging(Some(""), "ghost", Some(0), 0), confirmed),
        ("the standby went away", hanging(Some("s1"), "s1", Some(0), 1), confirmed),
        ("it is there", hanging(Some(""), "s1", Some(1), 0), &[]),
        ("it never was asked for", hanging(Some(""), "", Some(0), 0), &[]),
        ("a lock beside", without(hanging(Some(""), "ghost", Some(0), 0), locked), likely),
        ("standbys unseen", hanging(Some(""), "ghost", None, 1), likely),
        (
            "refused, not hanging",
            without(hanging(Some(""), "ghost", Some(0), 0), refusal),
            &["read-only: inconclusive"],
        ),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn a_timeout_that_came_is_told_from_a_cancelled_query_and_a_slow_one() {
    let cut = |code: &str, name: &str, was: Option<&str>, now: &str| {
        with(error(code, "canceling statement"), name, was, now, PgStanding::default())
    };
    let statement = |was, now| cut("57014", "statement_timeout", was, now);
    let unseen = |facts: &mut Facts| facts.postgres.as_mut().unwrap().settings = None;
    let cases: [(&str, Facts, &[&str]); 9] = [
        ("came", statement(Some("0ms"), "1ms"), &["timeouts: confirmed"]),
        ("was longer", statement(Some("30000ms"), "5ms"), &["timeouts: confirmed"]),
        ("no baseline", statement(None, "1ms"), &["timeouts: likely"]),
        ("off: somebody cancelled it", statement(Some("0ms"), "0ms"), &[]),
        ("as it always was: it got slow", statement(Some("50ms"), "50ms"), &[]),
        ("longer than a probe waits", statement(Some("0ms"), "30000ms"), &[]),
        (
            "idle sessions",
            cut("57P05", "idle_session_timeout", Some("0ms"), "1ms"),
            &["timeouts: confirmed"],
        ),
        (
            "settings unseen",
            without(statement(Some("0ms"), "1ms"), unseen),
            &["timeouts: inconclusive"],
        ),
        ("another error", cut("55P03", "statement_timeout", Some("0ms"), "1ms"), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
    assert_eq!(cutting(&statement(Some("0ms"), "1ms")), Some("statement_timeout"));
}
