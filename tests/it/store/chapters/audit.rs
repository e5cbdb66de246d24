//! Tampering: whatever is done to the log behind the store's back is found, at the first record it touches.

use simctl::domain::event::Head;
use simctl::store::audit::{anchor_dir, export, recall, remember, verify};

use crate::store::Place;
use crate::store::script::Script;

/// Nine notes. Returns the script that told them.
async fn nine_records(place: &Place) -> Script {
    let lease = place.lease().await;
    let mut script = Script::new(9);
    for n in 1..=9 {
        script.note(&format!("note {n}"));
    }
    place.store.append(&script.batch(), &lease).await.expect("append");
    script
}

async fn found(place: &Place, anchor: Option<&Head>) -> Option<(u64, String)> {
    let report = verify(&*place.store, anchor).await.expect("an audit");
    assert_eq!(report.is_ok(), report.broken.is_none());
    report.broken.map(|broken| (broken.seq, broken.what))
}

pub(super) async fn untouched_log_passes(place: &Place) {
    let report = verify(&*place.store, None).await.expect("an audit");
    assert!(report.is_ok(), "an empty log: {report}");
    let lease = place.lease().await;
    let mut script = Script::new(9);
    // More than a page, and every kind of event.
    for n in 0..150 {
        script.whole_incident("redis-test");
        script.note(&format!("{}", f64::from(n) / 7.0));
        if n % 30 == 29 {
            place.store.append(&script.batch(), &lease).await.expect("append");
        }
    }
    let dir = anchor_dir(place.dir.path(), &*place.store);
    remember(&dir, &script.head).expect("remember");
    let anchor = recall(&dir).expect("recall");
    assert_eq!(anchor.as_ref(), Some(&script.head));
    let report = verify(&*place.store, anchor.as_ref()).await.expect("an audit");
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.intact, script.head.seq);
    assert!(report.intact > 2_000);
}

pub(super) async fn every_edit_is_found(place: &Place) {
    let script = nine_records(place).await;
    let later = place.either("at = at + interval '1 microsecond'", "at = at + 1");
    let earlier = place.either("at = at - interval '1 microsecond'", "at = at - 1");
    let json = |text: &str| {
        let body = format!(r#"{{"kind":"decision_refused","reason":"{text}"}}"#);
        format!("body = '{body}'")
    };
    let (edited, original) = (json("note 44"), json("note 4"));
    for (edit, repair) in [
        (edited.as_str(), original.as_str()),
        ("actor = 'bob'", "actor = 'ann'"),
        (later, earlier),
        ("kind = 'engine_stopped'", "kind = 'decision_refused'"),
        ("target = 'redis-test'", "target = null"),
        ("incident_id = '00000000-0000-0000-0000-000000000001'", "incident_id = null"),
        ("prev_hash = upper(prev_hash)", "prev_hash = lower(prev_hash)"),
        ("hash = upper(hash)", "hash = lower(hash)"),
    ] {
        place.behind_its_back(&format!("update events set {edit} where seq = 4")).await;
        let (seq, what) = found(place, None).await.unwrap_or_else(|| panic!("{edit} went unseen"));
        assert_eq!(seq, 4, "{edit}: {what}");
        place.behind_its_back(&format!("update events set {repair} where seq = 4")).await;
        assert_eq!(found(place, None).await, None, "after {repair}");
    }
    let unreadable = place.either(r#"body = '"gone"'"#, "body = 'no json'");
    place.behind_its_back(&format!("update events set {unreadable} where seq = 6")).await;
    assert_eq!(found(place, None).await.map(|broken| broken.0), Some(6));
    // A forger who makes the hash fit breaks the link after it.
    let forged = "update events set actor = 'bob' where seq = 2";
    place.behind_its_back(forged).await;
    let record = place.store.events(1, 1).await.expect("read").remove(0);
    let hash = record.expected_hash();
    place.behind_its_back(&format!("update events set hash = '{hash}' where seq = 2")).await;
    let (seq, what) = found(place, None).await.expect("a broken link");
    assert!(seq == 3 && what.contains("record 2"), "{seq}: {what}");
    drop(script);
}

pub(super) async fn every_deletion_is_found(place: &Place) {
    let script = nine_records(place).await;
    let eighth = place.store.events(7, 1).await.expect("read").remove(0);
    place.behind_its_back("delete from events where seq = 9").await;
    let (seq, what) = found(place, None).await.expect("a cut tail");
    assert!(seq == 9 && what.contains("deleted"), "{seq}: {what}");

    let back = format!("update chain_head set seq = 8, hash = '{}'", eighth.hash);
    place.behind_its_back(&back).await;
    assert_eq!(found(place, None).await, None, "the store alone cannot know");
    let (seq, what) = found(place, Some(&script.head)).await.expect("this machine remembers");
    assert!(seq == 9 && what.contains("this machine"), "{seq}: {what}");

    place.behind_its_back("update chain_head set seq = 5").await;
    let (seq, what) = found(place, None).await.expect("an edited memory");
    assert!((seq == 5 || seq == 8) && what.contains("remember"), "{seq}: {what}");
    place.behind_its_back("delete from chain_head").await;
    assert_eq!(found(place, None).await.expect("no memory").0, 8);

    place.behind_its_back("delete from events where seq in (4, 5)").await;
    let (seq, what) = found(place, None).await.expect("a gap");
    assert!(seq == 4 && what.contains("4 to 5 are missing"), "{seq}: {what}");
    place.behind_its_back("delete from events").await;
    let (seq, what) = found(place, Some(&script.head)).await.expect("an empty log");
    assert!(seq == 1 && what.contains("1 to 9"), "{seq}: {what}");
}

pub(super) async fn holds_while_events_come_in(place: &Place) {
    let mut script = nine_records(place).await;
    let lease = place.lease().await;
    let writing = async {
        for n in 0..60 {
            script.note(&format!("meanwhile {n}"));
            place.store.append(&script.batch(), &lease).await.expect("append");
        }
    };
    let auditing = async {
        for _ in 0..20 {
            assert_eq!(found(place, None).await, None);
        }
    };
    futures::future::join(writing, auditing).await;
}

pub(super) async fn export_has_every_record(place: &Place) {
    let script = nine_records(place).await;
    let mut out = Vec::new();
    assert_eq!(export(&*place.store, &mut out).await.expect("export"), 9);
    let text = String::from_utf8(out).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[8]["hash"], serde_json::json!(script.head.hash));
    assert_eq!(lines[8]["body"]["reason"], serde_json::json!("note 9"));
}
