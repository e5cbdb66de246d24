//! Refusals that read alike, told apart by the catalog; and what is said where it was not seen.

use super::*;
use crate::diagnose::facts::{PgHba, PgHbaRule};
use crate::diagnose::testing::*;
use crate::domain::sample::Origin;
use FindingKind::{ProbeFailing, WritesRefused};

fn healthy() -> PgStanding {
    PgStanding {
        in_recovery: Some(false),
        role: Some(PgRole { name: "app".into(), can_login: true, ..PgRole::default() }),
        database: Some(PgDatabase {
            name: "app".into(),
            is_open: true,
            may_connect: true,
            everybody_may_connect: true,
        }),
        heartbeat: Some(PgTableRights {
            name: "public.hb".into(),
            select: true,
            insert: true,
            update: true,
        }),
        ..PgStanding::default()
    }
}

/// A client that is refused with this code, at the door or when it writes.
fn refused(finding: FindingKind, code: &str, bend: impl FnOnce(&mut PgStanding)) -> Facts {
    let mut facts = postgres(finding, Vec::new());
    let refusal = error(code, "ERROR: some words");
    let at_the_door = finding == ProbeFailing;
    facts.samples = vec![Sample {
        at: start(),
        origin: Origin::Fresh,
        took_ms: 1.0,
        connect: if at_the_door { refusal.clone() } else { Answer::Ok },
        read: if at_the_door { Answer::NotAsked } else { Answer::Ok },
        write: if at_the_door { Answer::NotAsked } else { refusal },
        readings: [("sessions", 1.0)].into(),
    }];
    let mut standing = healthy();
    bend(&mut standing);
    facts.postgres.as_mut().unwrap().standing = Some(standing);
    facts
}

#[test]
fn the_catalog_decides_between_refusals_that_read_alike() {
    fn role(standing: &mut PgStanding) -> &mut PgRole {
        standing.role.as_mut().unwrap()
    }
    fn database(standing: &mut PgStanding) -> &mut PgDatabase {
        standing.database.as_mut().unwrap()
    }
    let cases: [(&str, Facts, &[&str]); 12] = [
        (
            "closed",
            refused(ProbeFailing, "55000", |s| database(s).is_open = false),
            &["db-closed: confirmed"],
        ),
        ("55000 of something else", refused(ProbeFailing, "55000", |_| ()), &[]),
        (
            "may not log in",
            refused(ProbeFailing, "28000", |s| role(s).can_login = false),
            &["auth-nologin: confirmed"],
        ),
        ("28000 of pg_hba.conf", refused(ProbeFailing, "28000", |_| ()), &[]),
        (
            "expired reads as a wrong password",
            refused(ProbeFailing, "28P01", |s| role(s).expired = true),
            &["auth-expired: confirmed"],
        ),
        ("a wrong password", refused(ProbeFailing, "28P01", |_| ()), &["auth-password: likely"]),
        (
            "no CONNECT",
            refused(ProbeFailing, "42501", |s| database(s).may_connect = false),
            &["auth-connect: confirmed"],
        ),
        ("42501 of something else", refused(ProbeFailing, "42501", |_| ()), &[]),
        (
            "no right to write",
            refused(WritesRefused, "42501", |s| s.heartbeat.as_mut().unwrap().insert = false),
            &["auth-table: confirmed"],
        ),
        ("writes refused otherwise", refused(WritesRefused, "42501", |_| ()), &[]),
        (
            "expired, and refused for something else",
            refused(ProbeFailing, "55000", |s| role(s).expired = true),
            &[],
        ),
        ("the role is gone", refused(ProbeFailing, "28P01", |s| s.role = None), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

fn rule(line: u32, method: &str) -> PgHbaRule {
    let text = Some(format!("host all app all {method}"));
    PgHbaRule { line, text, method: method.into(), is_sure: true }
}

/// A client that is turned away, and these lines that fit it.
fn at_the_door(rules: &[PgHbaRule], bend: impl FnOnce(&mut PgHba)) -> Facts {
    let mut facts = refused(ProbeFailing, "28000", |_| ());
    facts.baseline.insert("max_connections".into(), "20".into());
    let mut hba = PgHba { address: "172.18.0.1".into(), errors: 0, rules: rules.to_vec() };
    bend(&mut hba);
    facts.postgres.as_mut().unwrap().hba = Some(hba);
    facts
}

#[test]
fn the_first_line_that_fits_decides_and_only_a_surely_harmful_one_may_go() {
    let (reject, scram) = (rule(1, "reject"), rule(98, "scram-sha-256"));
    let lines = [reject.clone(), scram.clone()];
    let confirmed: &[&str] = &["hba-reject: confirmed"];
    let likely: &[&str] = &["hba-reject: likely"];
    let host_name = PgHbaRule { is_sure: false, ..reject.clone() };
    let included = PgHbaRule { text: None, ..reject.clone() };
    let perhaps = PgHbaRule { is_sure: false, ..rule(92, "trust") };
    let perhaps_not = PgHbaRule { is_sure: false, ..rule(92, "reject") };
    let behind = |maybe: &PgHbaRule| [reject.clone(), maybe.clone(), scram.clone()];
    let cases: [(&str, Facts, &[&str], bool); 12] = [
        ("a host name between", at_the_door(&behind(&perhaps), |_| ()), confirmed, true),
        ("one that may reject too", at_the_door(&behind(&perhaps_not), |_| ()), confirmed, false),
        (
            "everybody is turned away, seen from inside",
            {
                let mut facts = at_the_door(&lines, |hba| hba.address.clear());
                let hba = facts.postgres.take().and_then(|pg| pg.hba);
                facts.postgres =
                    Some(crate::diagnose::facts::PostgresFacts { hba, ..Default::default() });
                facts
            },
            confirmed,
            true,
        ),
        ("rejected, then let in", at_the_door(&lines, |_| ()), confirmed, true),
        ("nothing behind it", at_the_door(&lines[..1], |_| ()), confirmed, false),
        (
            "rejected twice",
            at_the_door(&[reject.clone(), rule(2, "reject")], |_| ()),
            confirmed,
            false,
        ),
        ("no line at all", at_the_door(&[], |_| ()), confirmed, false),
        ("let in first", at_the_door(&[scram.clone(), reject], |_| ()), &[], false),
        ("a host name", at_the_door(&[host_name, scram.clone()], |_| ()), likely, false),
        ("of an included file", at_the_door(&[included, scram], |_| ()), confirmed, false),
        ("a file with errors", at_the_door(&lines, |hba| hba.errors = 1), likely, true),
        (
            "never seen healthy",
            {
                let mut facts = at_the_door(&lines, |_| ());
                facts.baseline.clear();
                facts
            },
            confirmed,
            false,
        ),
    ];
    for (story, facts, expected, may_go) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
        assert_eq!(rejecting_line(&facts).is_ok(), may_go, "{story}");
    }
    assert_eq!(
        rejecting_line(&at_the_door(&lines, |_| ())).unwrap(),
        (1, "host all app all reject")
    );
    let mut other = at_the_door(&lines, |_| ());
    other.samples[0].connect = error("28P01", "password authentication failed");
    assert_eq!(graded(&other), ["auth-password: likely"], "another refusal");
}

#[test]
fn nothing_is_said_where_the_catalog_was_not_seen() {
    let mut facts = refused(ProbeFailing, "28000", |_| ());
    facts.postgres.as_mut().unwrap().standing = None;
    assert_eq!(graded(&facts), [""; 0]);
    facts.postgres = None;
    assert_eq!(graded(&facts), [""; 0]);
}
