//! The last minutes of a target, and what helped before.

use chrono::TimeDelta;
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::CauseId;
use simctl::ports::store::HistoryPoint;

use crate::store::Place;
use crate::store::script::{Script, start};

pub(super) async fn points_read_back(place: &Place) {
    let point = |minute: i64, target: &str, health| HistoryPoint {
        at: start() + TimeDelta::minutes(minute),
        target: target.into(),
        health,
        readings: [("keys".to_owned(), 0.25), ("used".to_owned(), 1e15)].into(),
    };
    let redis = [point(0, "redis-test", Some(100)), point(1, "redis-test", None)];
    let other = [point(0, "postgres-test", Some(7)), point(2, "postgres-test", Some(8))];
    place.store.record_history(&[redis.clone(), other.clone()].concat(), start()).await.unwrap();
    let past = async |target, minute, limit| {
        let since = start() + TimeDelta::minutes(minute);
        place.store.past(target, since, limit).await.expect("read")
    };
    assert_eq!(past(Some("redis-test"), 0, 10).await, redis);
    assert_eq!(past(Some("redis-test"), 1, 10).await, redis[1..]);
    assert_eq!(past(Some("elsewhere"), 0, 10).await, []);
    let all = [other[0].clone(), redis[0].clone(), redis[1].clone(), other[1].clone()];
    assert_eq!(past(None, 0, 10).await, all, "oldest first");
    assert_eq!(past(None, 0, 2).await, all[2..], "a limit keeps the newest");
    assert_eq!(past(None, 0, 0).await, []);
}

pub(super) async fn what_helped_before(place: &Place) {
    let lease = place.lease().await;
    let mut script = Script::new(5);
    let first = script.whole_incident("redis-test");
    let elsewhere = script.whole_incident("redis-other");
    let kind = script.ledger.incidents[&first].finding;
    let undiagnosed = script.open("redis-test", kind, "not looked into");
    script.resolve(undiagnosed);
    let other = script.open("redis-test", FindingKind::ServerHung, "another finding");
    script.resolve(other);
    let newest = script.whole_incident("redis-test");
    place.store.append(&script.batch(), &lease).await.expect("append");
    let of = |id| script.ledger.incidents[&id].clone();
    let similar = async |id, limit| place.store.similar(&of(id), limit).await.expect("read");
    let numbers = async |id, limit| -> Vec<u64> {
        similar(id, limit).await.iter().map(|one| one.number).collect()
    };
    let [first_number, elsewhere_number, plain] =
        [first, elsewhere, undiagnosed].map(|id| of(id).number);
    assert_eq!(numbers(newest, 10).await, [elsewhere_number, first_number]);
    assert_eq!(numbers(newest, 1).await, [elsewhere_number], "newest first");
    assert_eq!(numbers(first, 10).await, [0u64; 0], "nothing came before the first");
    assert_eq!(numbers(undiagnosed, 10).await, [first_number], "its own target only");
    assert!(plain > elsewhere_number);

    let told = similar(newest, 10).await.remove(1);
    let known = of(first);
    assert_eq!(told.cause.as_deref(), known.cause().map(CauseId::as_str));
    assert_eq!((told.target.as_str(), told.opened_at), ("redis-test", known.opened_at));
    let took = known.resolved_at.expect("it ended") - known.opened_at;
    assert_eq!(told.took_s, Some(took.num_milliseconds() as f64 / 1_000.0));
    assert!(told.resolved);
    let actions: Vec<&str> = told.actions.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, [known.executions[0].steps[0].action.as_str()]);
}
