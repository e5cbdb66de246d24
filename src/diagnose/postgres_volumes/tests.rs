//! What fills a volume, and what is said where that was not seen.

use super::*;
use crate::diagnose::testing::*;
use crate::domain::sample::Origin;
use FindingKind::{VolumeFull, WritesRefused};

fn volume(available: u64, tables: &[u64]) -> PgVolume {
    let table = |(n, bytes): (usize, &u64)| SizedTable {
        schema: "public".into(),
        name: format!("t{n}"),
        bytes: *bytes,
    };
    PgVolume {
        tablespace: "bounded".into(),
        dir: "/tablespace/space".into(),
        total: 32 * MB,
        available,
        tables: tables.iter().enumerate().map(table).collect(),
    }
}

fn found(finding: FindingKind, code: &str, volume: PgVolume) -> Facts {
    let mut facts = postgres(finding, Vec::new());
    facts.samples = vec![Sample {
        at: start(),
        origin: Origin::Fresh,
        took_ms: 1.0,
        connect: Answer::Ok,
        read: Answer::Ok,
        write: if code.is_empty() { Answer::Ok } else { error(code, "could not extend file") },
        readings: [("sessions", 1.0)].into(),
    }];
    facts.postgres.as_mut().unwrap().volumes = Some(vec![volume]);
    facts
}

#[test]
fn a_volume_that_tables_fill_is_told_from_one_that_something_else_fills() {
    let confirmed: &[&str] = &["data-full: confirmed"];
    let inconclusive: &[&str] = &["data-full: inconclusive"];
    let cases: [(&str, Facts, &[&str]); 7] = [
        ("one table", found(VolumeFull, "", volume(0, &[31 * MB])), confirmed),
        ("many tables", found(VolumeFull, "", volume(0, &[9 * MB, 9 * MB, 9 * MB])), confirmed),
        (
            "clients are refused for it",
            found(WritesRefused, "53100", volume(0, &[31 * MB])),
            confirmed,
        ),
        (
            "refused for something else",
            found(WritesRefused, "25006", volume(0, &[31 * MB])),
            &["read-only: inconclusive"],
        ),
        ("something else fills it", found(VolumeFull, "", volume(0, &[MB])), inconclusive),
        ("no tables at all", found(VolumeFull, "", volume(0, &[])), inconclusive),
        ("not full any more", found(VolumeFull, "", volume(20 * MB, &[9 * MB])), &[]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
    let one = found(VolumeFull, "", volume(0, &[31 * MB]));
    assert_eq!(filling_table(&one).map(|table| table.name.as_str()), Some("t0"));
    assert!(filling_table(&found(VolumeFull, "", volume(0, &[9 * MB, 9 * MB, 9 * MB]))).is_none());
}

#[test]
fn an_unseen_volume_is_no_cause() {
    let mut facts = found(VolumeFull, "", volume(0, &[31 * MB]));
    facts.postgres.as_mut().unwrap().volumes = None;
    assert_eq!(graded(&facts), [""; 0]);
}
