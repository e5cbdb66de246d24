//! What a scrape shows, of a story that is known.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Tally;
use super::text::Format;
use crate::api::testing::router;
use crate::domain::event::Event;
use crate::engine::handle::{Handle, Snapshot, StoreView};
use crate::report::example;

fn counted(events: impl Iterator<Item = Event>) -> String {
    let tally = Tally::default();
    for event in events {
        tally.note(&event);
    }
    let mut registry = Registry::default();
    tally.register(&mut registry);
    Format::Plain.of(&registry).unwrap()
}

#[test]
fn a_story_is_counted_once_and_a_part_of_it_only_as_far_as_it_is_known() {
    let story = example::events();
    let text = counted(story.iter().cloned());
    for line in [
        "simctl_incidents_opened_total{severity=\"critical\"} 1",
        "simctl_incidents_opened_total{severity=\"low\"} 0",
        "simctl_incident_mitigation_seconds_count 1",
        "simctl_incident_acknowledgement_seconds_count 1",
        "simctl_approvals_total{decision=\"approved\"} 1",
        "simctl_approvals_total{decision=\"denied\"} 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    let ended = story.iter().cloned().skip_while(|event| event.body.kind() != "verified");
    let text = counted(ended);
    assert!(text.contains("simctl_incident_mitigation_seconds_count 0"), "{text}");
}

async fn scraped(accept: &str) -> (String, String) {
    let (_, snapshots) = watch::channel(Arc::new(Snapshot {
        at: example::at(0),
        seq: 42,
        targets: Vec::new(),
        incidents: vec![Arc::new(example::incident())],
        injections: Vec::new(),
        store: StoreView { reachable: true, journaled: 3, ..StoreView::default() },
    }));
    let handle =
        Handle { snapshots, events: broadcast::channel(1).0, requests: mpsc::channel(1).0 };
    let request =
        Request::get("/metrics").header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    let answer = router(handle, None, CancellationToken::new()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_scrape_answers_in_the_format_that_was_asked_for() {
    let (kind, text) = scraped("application/openmetrics-text; version=1.0.0").await;
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# UNIT simctl_incident_mitigation_seconds seconds\n"), "{text}");
    let (kind, text) = scraped("*/*").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for line in ["simctl_events_total 42", "simctl_journal_events 3.0", "simctl_store_up 1.0"] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}
