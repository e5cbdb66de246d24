//! What makes transactions fail, each told from the others and from what only looks like it.

use crate::diagnose::facts::{Facts, PgLocks, PgSequence};
use crate::diagnose::testing::{graded, postgres, session, sessions};
use crate::domain::finding::FindingKind;

const NONE: [&str; 0] = [];

/// Nothing is wrong, and everything was looked at.
fn failing() -> Facts {
    let mut facts =
        postgres(FindingKind::TransactionsFail, vec![session(7, "idle in transaction", 30.0)]);
    facts.baseline.insert("temp_file_limit".into(), "-1kB".into());
    facts.log = Some(vec!["ERROR:  duplicate key value".into()]);
    let pg = facts.postgres.as_mut().unwrap();
    pg.settings = Some([("temp_file_limit".to_owned(), "-1kB".to_owned())].into());
    pg.ended_sequences = Some(Vec::new());
    let holders = vec![(7, 12), (9, 2)];
    pg.promised_locks = Some(PgLocks { promised: 64, are_given: Some(true), taken: 14, holders });
    facts
}

fn with(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = failing();
    change(&mut facts);
    graded(&facts)
}

fn ended(facts: &mut Facts) {
    let sequence = PgSequence {
        schema: "public".into(),
        name: "orders_id_seq".into(),
        end: 2_147_483_647,
        kind: "integer".into(),
        table: "orders".into(),
    };
    facts.postgres.as_mut().unwrap().ended_sequences = Some(vec![sequence]);
}

fn full(facts: &mut Facts) {
    let locks = facts.postgres.as_mut().unwrap().promised_locks.as_mut().unwrap();
    (locks.are_given, locks.taken, locks.holders) = (Some(false), 5_300, vec![(7, 5_290), (9, 2)]);
}

fn limited(facts: &mut Facts) {
    facts.postgres.as_mut().unwrap().settings =
        Some([("temp_file_limit".to_owned(), "1024kB".to_owned())].into());
}

#[test]
fn errors_of_the_programs_themselves_have_no_cause_here() {
    assert_eq!(with(|_| ()), NONE);
    assert_eq!(with(|f| f.log = None), NONE);
    assert_eq!(with(|f| f.postgres = None), NONE);
    assert_eq!(with(|f| f.finding = FindingKind::Deadlocks), NONE);
}

#[test]
fn a_sequence_at_its_end_counts_when_somebody_asks_it() {
    let asked = "ERROR:  nextval: reached maximum value of sequence \"orders_id_seq\" (2147483647)";
    assert_eq!(with(ended), ["sequence-end: inconclusive"], "nobody asks it any more");
    let told = |line: &str| {
        with(|f| {
            ended(f);
            f.log = Some(vec![line.to_owned()]);
        })
    };
    assert_eq!(told(asked), ["sequence-end: confirmed"]);
    assert_eq!(
        told("FEHLER:  nextval: \"orders_id_seq\" (2147483647)"),
        ["sequence-end: confirmed"]
    );
    assert_eq!(
        told("ERROR:  relation \"orders_id_seq\" does not exist"),
        ["sequence-end: inconclusive"]
    );
    let unread = with(|f| {
        ended(f);
        f.log = None;
    });
    assert_eq!(unread, ["sequence-end: likely"]);
}

#[test]
fn a_full_table_of_locks_is_one_sessions_or_not_settled() {
    assert_eq!(with(full), ["lock-table-full: confirmed"]);
    let many = with(|f| {
        full(f);
        f.postgres.as_mut().unwrap().promised_locks.as_mut().unwrap().holders = vec![(7, 900)];
    });
    assert_eq!(many, ["lock-table-full: likely"], "many sessions hold some");
    let unseen = with(|f| {
        full(f);
        f.postgres.as_mut().unwrap().sessions = sessions(20, 2, "idle", 3.0);
    });
    assert_eq!(unseen, ["lock-table-full: likely"], "no session in sight holds them");
    let untried = with(|f| {
        full(f);
        f.postgres.as_mut().unwrap().promised_locks.as_mut().unwrap().are_given = None;
    });
    assert_eq!(untried, NONE, "much is held, and nobody is known to lack anything");
}

#[test]
fn a_probe_that_finds_no_room_has_the_same_cause() {
    for finding in [FindingKind::ProbeFailing, FindingKind::WritesRefused] {
        let met = with(|f| {
            full(f);
            f.finding = finding;
        });
        assert_eq!(met, ["lock-table-full: confirmed"]);
    }
}

#[test]
fn a_limit_on_temporary_files_counts_when_it_came_down_and_a_query_fails_at_it() {
    let told = |line: &str| {
        with(|f| {
            limited(f);
            f.log = Some(vec![line.to_owned()]);
        })
    };
    let failed = "ERROR:  temporary file size exceeds temp_file_limit (1024kB)";
    assert_eq!(told(failed), ["spill: confirmed"]);
    assert_eq!(told("LOG:  parameter \"temp_file_limit\" changed"), ["spill: inconclusive"]);
    let always = with(|f| {
        limited(f);
        f.baseline.insert("temp_file_limit".into(), "1024kB".into());
        f.log = Some(vec![failed.to_owned()]);
    });
    assert_eq!(always, NONE, "the limit was always there: the query is another matter");
    let unknown = with(|f| {
        limited(f);
        f.baseline.clear();
    });
    assert_eq!(unknown, ["spill: likely"]);
}

#[test]
fn two_at_once_are_both_named() {
    let both = with(|f| {
        full(f);
        limited(f);
        f.log = Some(vec!["ERROR:  … temp_file_limit (1024kB)".into()]);
    });
    assert_eq!(both, ["lock-table-full: confirmed", "spill: confirmed"]);
}
