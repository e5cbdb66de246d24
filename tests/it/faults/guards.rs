//! What must not be broken is refused with a sentence, before anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use serde_json::{Value, json};
use simctl::domain::injection::Injection;
use simctl::faults::watchdog::{Report, Spec, live};
use simctl::targets::Link;

use super::bench::{self, Bench};
use super::{Broken, ask, assert_undone};

#[tokio::test]
async fn what_is_not_the_lab_is_refused_before_any_call() {
    let broken = Broken::over(Bench::redis());
    let unlabelled = {
        let mut server = broken.server.clone();
        server.target.lab = None;
        server
    };
    let elsewhere = {
        let mut server = broken.server.clone();
        let Link::Redis(link) = &mut server.link else { panic!("a Redis") };
        link.host = "192.0.2.7".into();
        server
    };
    let another_lab = {
        let mut server = broken.server.clone();
        server.place.as_mut().unwrap().unit.lab = Some("another".into());
        server
    };
    let nowhere = broken.bench.server(None);
    for (server, words) in [
        (unlabelled, "no server of the lab"),
        (elsewhere, "192.0.2.7, not on this machine"),
        (another_lab, "not labelled as lab `bench`"),
        (nowhere, "does not know the container or process"),
    ] {
        let good = broken.spec("leak-oom", &[]).await;
        let calls = broken.local.calls.load(Ordering::SeqCst);
        let prepared = Spec::prepare(good.injection.clone(), &server, broken.bench.state_dir());
        let said = prepared.await.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        // The injector does not trust who prepared its spec.
        let other = Broken { bench: Bench::redis(), local: Arc::clone(&broken.local), server };
        let reports = other.live(&good, async || ()).await;
        let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(broken.local.calls.load(Ordering::SeqCst), calls, "{words}");
    }
    let keys: u64 = ask(&mut broken.redis().await, "DBSIZE").await.unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn a_wrong_label_or_another_life_of_the_unit_is_refused() {
    let broken = Broken::over(Bench::redis());
    let spec = broken.spec("leak-oom", &[]).await;
    *broken.local.label.lock().unwrap() = None;
    let reports = broken.live(&spec, async || ()).await;
    let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(reason.contains("is labelled as no lab"), "{reason}");

    *broken.local.label.lock().unwrap() = Some(bench::LAB.into());
    let mut stale = spec.clone();
    stale.server.identity = Some("an earlier life".into());
    let reports = broken.live(&stale, async || ()).await;
    let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(reason.contains("restarted or replaced"), "{reason}");
}

#[tokio::test]
async fn a_server_at_a_port_that_the_unit_does_not_publish_is_refused() {
    let (broken, bystander) = (Broken::over(Bench::redis()), Bench::redis());
    let mut server = broken.server.clone();
    let Link::Redis(link) = &mut server.link else { panic!("a Redis") };
    link.port = bystander.port;
    let aimed = Broken { bench: Bench::redis(), local: Arc::clone(&broken.local), server };
    let good = broken.spec("leak-oom", &[]).await;
    let spec = Spec::prepare(good.injection, &aimed.server, aimed.bench.state_dir()).await.unwrap();
    let reports = aimed.live(&spec, async || ()).await;
    let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(reason.contains("does not publish"), "{reason}");
    let keys: u64 = ask(&mut super::connect(bystander.port).await, "DBSIZE").await.unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn wrong_parameters_deadlines_and_kinds_are_refused() {
    let broken = Broken::over(Bench::redis());
    let good = broken.spec("maxmemory-lowered", &[]).await;
    let changed = |change: &dyn Fn(&mut Injection)| {
        let mut spec = good.clone();
        change(&mut spec.injection);
        spec
    };
    let param = |name: &str, value: Value| BTreeMap::from([(name.to_owned(), value)]);
    for (spec, words) in [
        (changed(&|i| i.params = param("megabytes", json!(99))), "no whole number from 3 to 6"),
        (changed(&|i| i.params = param("sockets", json!(1))), "knows only: megabytes"),
        (changed(&|i| i.fault = "nonsense".into()), "there is no fault `nonsense`"),
        (changed(&|i| i.fault = "idle-leak".into()), "idle-leak is not for redis-test"),
        (changed(&|i| i.deadline = i.started_at), "a deadline in the future"),
        (changed(&|i| i.deadline += TimeDelta::hours(3)), "an hour away at most"),
    ] {
        let reports = broken.live(&spec, async || ()).await;
        let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
        assert!(reason.contains(words), "{reason}");
    }
    assert!(live(broken.bench.state_dir()).is_empty());
}

#[tokio::test]
async fn a_target_that_is_broken_already_is_not_broken_further() {
    let broken = Broken::over(Bench::redis());
    let first = broken.spec("maxmemory-lowered", &[]).await;
    let reports = broken
        .live(&first, async || {
            let second = broken.spec("leak-oom", &[]).await;
            let reports = Box::pin(broken.live(&second, async || ())).await;
            let [Report::Failed { reason }] = reports.as_slice() else { panic!("{reports:?}") };
            assert!(reason.contains("still broken by f-1 (maxmemory-lowered)"), "{reason}");
        })
        .await;
    assert_undone(&reports);
}
