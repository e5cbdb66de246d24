//! The causes of dead rows, their look-alikes, and what happens when parts are missing.

use super::*;
use crate::diagnose::testing::*;

/// 100,000 dead rows that a vacuum 3 s ago left, and one reader that began before it.
fn held() -> Facts {
    let mut reader = session(7, "idle in transaction", 20.0);
    (reader.xact_age_s, reader.horizon_age) = (Some(20.0), Some(12));
    let mut facts =
        postgres(FindingKind::DeadRows, [vec![reader], sessions(20, 4, "active", 0.1)].concat());
    let pg = facts.postgres.as_mut().unwrap();
    pg.tables = Some(vec![PgTable {
        schema: "public".into(),
        name: "orders".into(),
        live: 50_000,
        dead: 100_000,
        vacuumed_s: Some(3.0),
        ..PgTable::default()
    }]);
    pg.holders = Some(Vec::new());
    facts
}

fn bent(bend: impl FnOnce(&mut PostgresFacts)) -> Facts {
    let mut facts = held();
    bend(facts.postgres.as_mut().unwrap());
    facts
}

fn holder(kind: HolderKind, horizon_age: i32) -> PgHolder {
    let name = "batch-7".to_owned();
    let (age_s, locked) = (Some(60.0), Vec::new());
    PgHolder { kind, name, horizon_age, age_s, prepared: None, owner: "app".into(), locked }
}

fn table(pg: &mut PostgresFacts) -> &mut PgTable {
    &mut pg.tables.as_mut().unwrap()[0]
}

#[test]
fn an_old_snapshot_is_told_from_its_look_alikes() {
    let cases: [(&str, Facts, &[&str]); 9] = [
        ("a reader, a vacuum in vain", held(), &["xmin-held: confirmed"]),
        ("no vacuum since", bent(|pg| table(pg).vacuumed_s = Some(60.0)), &["xmin-held: likely"]),
        ("never vacuumed", bent(|pg| table(pg).vacuumed_s = None), &["xmin-held: likely"]),
        ("no transaction is open", bent(|pg| drop(pg.sessions.remove(0))), &[]),
        ("one is, but needs no old rows", bent(|pg| pg.sessions[0].horizon_age = None), &[]),
        ("a young one", bent(|pg| pg.sessions[0].xact_age_s = Some(0.4)), &[]),
        (
            "an older slot",
            bent(|pg| pg.holders = Some(vec![holder(HolderKind::Slot, 40)])),
            &["xmin-held: likely"],
        ),
        (
            "a younger prepared transaction",
            bent(|pg| pg.holders = Some(vec![holder(HolderKind::Prepared, 2)])),
            &["xmin-held: confirmed"],
        ),
        ("others not observed", bent(|pg| pg.holders = None), &["xmin-held: likely"]),
    ];
    for (story, facts, expected) in cases {
        let judged: Vec<String> =
            graded(&facts).into_iter().filter(|text| text.starts_with("xmin-held")).collect();
        assert_eq!(judged, expected, "{story}");
    }
    let unread = bent(|pg| pg.tables = None);
    assert_eq!(graded(&unread), [""; 0]);
}

#[test]
fn only_sessions_that_do_nothing_are_named_and_only_those_that_hold_the_rows() {
    let pids = |facts: &Facts| -> Result<Vec<i32>, String> {
        Ok(idle_holders(facts)?.iter().map(|session| session.pid).collect())
    };
    let another = |age: f64, horizon: i32| {
        let mut other = session(8, "idle in transaction", age);
        (other.xact_age_s, other.horizon_age) = (Some(age), Some(horizon));
        other
    };
    assert_eq!(pids(&held()), Ok(vec![7]));
    assert_eq!(pids(&bent(|pg| pg.sessions.push(another(10.0, 6)))), Ok(vec![7, 8]));
    let both_old = bent(|pg| {
        pg.sessions.push(another(10.0, 6));
        table(pg).vacuumed_s = None;
    });
    assert_eq!(pids(&both_old), Ok(vec![7]), "only the oldest is known to matter");
    for refused in [
        bent(|pg| pg.sessions[0].state = "active".into()),
        bent(|pg| pg.sessions[0].is_superuser = true),
        bent(|pg| pg.sessions[0].backend_start = None),
        bent(|pg| pg.sessions.clear()),
        bent(|pg| pg.tables = None),
    ] {
        assert!(pids(&refused).is_err());
    }
}

#[test]
fn autovacuum_that_is_off_is_told_from_rows_that_are_kept() {
    let off = |was: Option<&str>, now: &str, bend: &dyn Fn(&mut PostgresFacts)| {
        let mut facts = bent(|pg| {
            drop(pg.sessions.remove(0));
            table(pg).vacuumed_s = None;
            bend(pg);
        });
        facts.baseline.extend(was.map(|was| ("autovacuum".to_owned(), was.to_owned())));
        let settings = [("autovacuum".to_owned(), now.to_owned())].into();
        facts.postgres.as_mut().unwrap().settings = Some(settings);
        facts
    };
    let reader = held().postgres.unwrap().sessions.remove(0);
    let read = |pg: &mut PostgresFacts| pg.sessions.push(reader.clone());
    let slot = |pg: &mut PostgresFacts| pg.holders = Some(vec![holder(HolderKind::Slot, 1)]);
    let cases: [(&str, Facts, &[&str]); 7] = [
        ("switched off", off(Some("on"), "off", &|_| ()), &["autovacuum-off: confirmed"]),
        ("always off", off(Some("off"), "off", &|_| ()), &["autovacuum-off: likely"]),
        ("no baseline", off(None, "off", &|_| ()), &["autovacuum-off: likely"]),
        ("on", off(Some("on"), "on", &|_| ()), &[]),
        (
            "off, and a transaction is open",
            off(Some("on"), "off", &read),
            &["autovacuum-off: likely", "xmin-held: likely"],
        ),
        ("off, and a slot", off(Some("on"), "off", &slot), &["autovacuum-off: likely"]),
        (
            "holders not observed",
            off(Some("on"), "off", &|pg| pg.holders = None),
            &["autovacuum-off: likely"],
        ),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}
