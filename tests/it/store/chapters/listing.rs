//! Listings: filters alone and together, and pages by cursor.

use chrono::{DateTime, Utc};
use simctl::domain::event::EventBody;
use simctl::domain::finding::{FindingKind, Severity};
use simctl::domain::incident::Status;
use simctl::ports::store::IncidentFilter;

use crate::store::Place;
use crate::store::script::Script;

/// Ten incidents: 1–6 redis ended, 7 redis open, 8 redis with a known cause, 9–10 postgres open. Returns when 7
/// opened.
async fn ten_incidents(place: &Place) -> DateTime<Utc> {
    let lease = place.lease().await;
    let mut script = Script::new(5);
    for n in 1..=6 {
        let text = format!("redis-test is full, round {n}");
        let id = script.open("redis-test", FindingKind::MemoryPressure, &text);
        script.resolve(id);
    }
    let seventh = script.open("redis-test", FindingKind::ServerHung, "redis-test hangs");
    let at = script.ledger.incidents[&seventh].opened_at;
    let body = EventBody::IncidentNoted { text: "O'Brien's \"hypervisor\" was moved; 50%".into() };
    script.tell(Some(seventh), "ann", body);
    script.whole_incident("redis-test");
    script.open("postgres-test", FindingKind::ClientsRefused, "postgres-test refuses clients");
    let tenth = script.open("postgres-test", FindingKind::ServerDown, "postgres-test is down");
    let finding = simctl::domain::finding::Finding {
        severity: Severity::Critical,
        ..crate::store::script::finding(FindingKind::ServerDown, "down", script.now)
    };
    script.tell(Some(tenth), "detector", EventBody::IncidentRecurred { finding });
    place.store.append(&script.batch(), &lease).await.expect("append");
    at
}

async fn numbers(place: &Place, filter: IncidentFilter) -> Vec<u64> {
    let lines = place.store.incidents(&filter).await.expect("list");
    lines.iter().map(|line| line.number).collect()
}

fn all() -> IncidentFilter {
    IncidentFilter { limit: 100, ..IncidentFilter::default() }
}

pub(super) async fn filters_narrow(place: &Place) {
    let seventh = ten_incidents(place).await;
    let text = |text: &str| IncidentFilter { text: Some(text.into()), ..all() };
    let fault = |fault: &str| IncidentFilter { fault_type: Some(fault.into()), ..all() };
    let cases: Vec<(&str, IncidentFilter, Vec<u64>)> = vec![
        ("nothing", all(), (1..=10).rev().collect()),
        ("limit", IncidentFilter { limit: 3, ..all() }, vec![10, 9, 8]),
        ("no lines", IncidentFilter { limit: 0, ..all() }, vec![]),
        ("status", IncidentFilter { status: vec![Status::Triage], ..all() }, vec![10, 9, 7]),
        (
            "statuses, one twice, one unused",
            IncidentFilter {
                status: vec![Status::Triage, Status::Resolved, Status::Triage, Status::Fixing],
                limit: 4,
                ..all()
            },
            vec![10, 9, 8, 7],
        ),
        ("target", IncidentFilter { target: Some("postgres-test".into()), ..all() }, vec![10, 9]),
        ("unknown target", IncidentFilter { target: Some("x' or 1=1".into()), ..all() }, vec![]),
        ("finding kind", fault("server-hung"), vec![7]),
        ("cause", fault("leak-oom"), vec![8]),
        ("unknown fault type", fault("nothing"), vec![]),
        (
            "severity",
            IncidentFilter { severity: vec![Severity::Critical, Severity::Low], ..all() },
            vec![10],
        ),
        (
            "created after, with the moment itself",
            IncidentFilter { created_after: Some(seventh), ..all() },
            vec![10, 9, 8, 7],
        ),
        (
            "created before, without the moment itself",
            IncidentFilter { created_before: Some(seventh), ..all() },
            vec![6, 5, 4, 3, 2, 1],
        ),
        (
            "created never",
            IncidentFilter { created_before: Some(DateTime::UNIX_EPOCH), ..all() },
            vec![],
        ),
        (
            "created in the future",
            IncidentFilter { created_after: Some(seventh + chrono::TimeDelta::days(1)), ..all() },
            vec![],
        ),
        ("a word of the message", text("HANGS"), vec![7]),
        ("a word of a note", text("o'brien"), vec![7]),
        ("words of message and note", text("hypervisor \"hangs\""), vec![7]),
        ("a word of the cause", text("leak"), vec![8]),
        ("part of a word", text("hyper"), vec![]),
        ("words that are operators", text("hangs | & ! * OR NOT"), vec![]),
        ("no words at all", text("'; -- \" *"), (1..=10).rev().collect()),
        (
            "everything",
            IncidentFilter {
                status: vec![Status::Resolved, Status::Failed],
                target: Some("redis-test".into()),
                fault_type: Some("memory-pressure".into()),
                severity: vec![Severity::High, Severity::Medium],
                created_after: Some(DateTime::UNIX_EPOCH),
                created_before: Some(seventh),
                text: Some("full".into()),
                before_number: Some(6),
                limit: 2,
            },
            vec![5, 4],
        ),
    ];
    for (what, filter, expected) in cases {
        assert_eq!(numbers(place, filter).await, expected, "{what}");
    }
    let line = place.store.incidents(&IncidentFilter { limit: 1, ..all() }).await.expect("list");
    assert_eq!((line[0].severity.as_str(), line[0].occurrences), ("critical", 2));
}

pub(super) async fn pages_follow_each_other(place: &Place) {
    ten_incidents(place).await;
    let filters = [
        all(),
        IncidentFilter { status: vec![Status::Resolved, Status::Triage], ..all() },
        IncidentFilter { text: Some("redis".into()), ..all() },
    ];
    for filter in filters {
        let whole = numbers(place, filter.clone()).await;
        let mut pages = Vec::new();
        let mut before_number = None;
        loop {
            let page =
                numbers(place, IncidentFilter { before_number, limit: 3, ..filter.clone() }).await;
            assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            before_number = Some(*last);
            pages.extend(page);
        }
        assert_eq!(pages, whole);
        assert!(whole.len() > 6, "{filter:?}");
    }
}
