//! WAL that piles up and indexes without a use: each cause from its look-alikes.

use super::*;
use crate::diagnose::facts::{Facts, PgInvalidIndex, PgSlot, PgWal};
use crate::diagnose::testing::*;

const MIB: u64 = 1 << 20;

fn slot(name: &str, active: bool, retained: u64) -> PgSlot {
    PgSlot {
        name: name.into(),
        kind: "physical".into(),
        active,
        position: "0/5000028".into(),
        retained,
    }
}

fn with(wal: Option<PgWal>, command: Option<(&str, &str)>) -> Facts {
    let mut facts = postgres(FindingKind::WalRetained, Vec::new());
    let setting = |value: &str| ("archive_command".to_owned(), value.to_owned());
    let pg = facts.postgres.as_mut().unwrap();
    pg.settings = command.map(|(_, now)| [setting(now)].into());
    pg.wal = wal;
    facts.baseline.extend(command.map(|(was, _)| setting(was)));
    facts
}

fn slots(slots: &[PgSlot]) -> Facts {
    with(Some(PgWal { slots: slots.to_vec(), ..PgWal::default() }), None)
}

fn archive(failed_s: Option<f64>, archived_s: Option<f64>) -> PgWal {
    let stuck_at = Some("000000010000000000000003".into());
    PgWal { archives: true, failed: 3, failed_s, archived_s, stuck_at, slots: Vec::new() }
}

#[test]
fn a_slot_nobody_reads_is_told_from_a_slow_reader() {
    let dead = slot("standby_b", false, 300 * MIB);
    let cases: [(&str, Facts, &[&str], bool); 7] = [
        ("nobody reads it", slots(std::slice::from_ref(&dead)), &["dead-slot: confirmed"], true),
        (
            "a reader that keeps up",
            slots(&[dead.clone(), slot("a", true, MIB)]),
            &["dead-slot: confirmed"],
            true,
        ),
        (
            "a reader further behind",
            slots(&[slot("a", true, 400 * MIB), dead.clone()]),
            &["dead-slot: likely"],
            true,
        ),
        ("every slot is read", slots(&[slot("a", true, 400 * MIB)]), &[], false),
        ("a moment away", slots(&[slot("a", false, 3 * MIB)]), &[], false),
        (
            "two of them",
            slots(&[dead, slot("c", false, 90 * MIB)]),
            &["dead-slot: confirmed"],
            false,
        ),
        ("not observed", with(None, None), &[], false),
    ];
    for (story, facts, expected, may_go) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
        assert_eq!(dead_slot(&facts).is_ok(), may_go, "{story}");
    }
}

#[test]
fn a_failing_archive_is_seen_by_its_last_attempt_and_its_command() {
    let changed = Some(("cp %p /archive/%f", "/bin/false"));
    let same = Some(("cp %p /archive/%f", "cp %p /archive/%f"));
    let failing = || Some(archive(Some(2.0), Some(90.0)));
    let mut both = failing().unwrap();
    both.slots = vec![slot("standby_b", false, 300 * MIB)];
    let cases: [(&str, Facts, &[&str]); 7] = [
        ("another command", with(failing(), changed), &["archive-fails: confirmed"]),
        ("the same command", with(failing(), same), &["archive-fails: likely"]),
        ("settings not read", with(failing(), None), &["archive-fails: likely"]),
        (
            "never took one",
            with(Some(archive(Some(2.0), None)), changed),
            &["archive-fails: confirmed"],
        ),
        ("works again", with(Some(archive(Some(90.0), Some(2.0))), changed), &[]),
        ("never failed", with(Some(archive(None, Some(2.0))), changed), &[]),
        (
            "and a slot, each on its own evidence",
            with(Some(both), changed),
            &["archive-fails: confirmed", "dead-slot: confirmed"],
        ),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn an_index_somebody_is_building_is_not_left_over() {
    let of = |indexes: Option<&[PgInvalidIndex]>| {
        let mut facts = postgres(FindingKind::InvalidIndex, Vec::new());
        facts.postgres.as_mut().unwrap().invalid_indexes = indexes.map(<[_]>::to_vec);
        facts
    };
    let left = PgInvalidIndex {
        schema: "public".into(),
        name: "orders_number".into(),
        table: "orders".into(),
        is_unique: true,
        ..PgInvalidIndex::default()
    };
    let built = PgInvalidIndex { name: "built".into(), is_worked_on: true, ..left.clone() };
    assert_eq!(graded(&of(Some(&[built.clone(), left]))), ["invalid-index: confirmed"]);
    assert_eq!(graded(&of(Some(std::slice::from_ref(&built)))), ["invalid-index: inconclusive"]);
    assert!(invalid_index(&of(Some(&[built]))).is_err());
    assert_eq!(graded(&of(Some(&[]))), [""; 0]);
    assert_eq!(graded(&of(None)), [""; 0]);
}
