//! What is measured is counted once; what is not is no number.

use super::testing::{at, attempt, incident};
use super::*;

#[test]
fn nothing_measured_is_no_number() {
    let metrics = of(&[]);
    assert_eq!(metrics, Metrics::default());
    assert_eq!(metrics.mttr.mean_s, None);
    assert_eq!(metrics.stages.named().map(|(_, mean)| mean), [None; 5]);
    assert_eq!(Success::default().percent(), None);
    assert_eq!(Group::default().percent(), None);
    assert_eq!(over(&[], None, at(0)).over_time, None);
    let hours = over(&[], Some(at(-86_400)), at(0)).over_time.unwrap();
    assert_eq!((&*hours.each, hours.mean_s), ("hour", vec![None; 24]));
}

#[test]
fn means_and_ranks_are_of_what_was_measured() {
    let times: Vec<_> =
        (1..=10).map(|n| incident("resolved", Some("leak-oom"), Some(1 + n * 10))).collect();
    let metrics = of(&times);
    assert_eq!(metrics.mttd.p50_s, Some(1.0));
    assert_eq!(metrics.mtta.mean_s, Some(4.0));
    assert_eq!(metrics.mttr.count, 10);
    assert_eq!(metrics.mttr.mean_s, Some(55.0));
    assert_eq!(metrics.mttr.p50_s, Some(50.0));
    assert_eq!(metrics.mttr.p90_s, Some(90.0));
    assert_eq!(metrics.mttr.p99_s, Some(100.0));
}

#[test]
fn what_a_person_asked_for_counts_for_its_action_only() {
    let mut asked = incident("resolved", None, Some(9));
    asked.finding = "requested".into();
    asked.actions = vec![("vacuum_table".into(), "success".into())];
    let trouble = incident("resolved", Some("leak-oom"), Some(5));
    let metrics = over(&[asked, trouble.clone()], Some(at(-86_400)), at(10));
    assert_eq!(metrics.by_action[0].name, "vacuum_table");
    let alone = over(&[trouble], Some(at(-86_400)), at(10));
    assert_eq!(Metrics { by_action: Vec::new(), ..metrics }, alone);
}

#[test]
fn what_is_still_open_does_not_count_as_success_or_failure() {
    let mut acted = incident("resolved", Some("leak-oom"), Some(9));
    acted.actions = vec![
        ("unlink_keys".into(), "failed".into()),
        ("unlink_keys".into(), "success".into()),
        ("restart_redis".into(), "running".into()),
    ];
    let metrics = of(&[
        acted,
        incident("failed", Some("leak-oom"), None),
        incident("fixing", Some("leak-oom"), None),
        incident("failed", None, None),
    ]);
    assert_eq!((metrics.incidents, metrics.resolved), (4, 1));
    assert_eq!((metrics.failed, metrics.open), (2, 1));
    let seen = |group: &Group| (group.name.clone(), group.incidents, group.ok, group.total);
    let by_cause: Vec<_> = metrics.by_cause.iter().map(seen).collect();
    assert_eq!(by_cause, [("leak-oom".into(), 3, 1, 2), ("unknown".into(), 1, 0, 1)]);
    assert_eq!(metrics.by_cause[0].percent(), Some(50));
    assert_eq!(metrics.by_cause[0].mttr.mean_s, Some(8.0));
    assert_eq!(metrics.by_cause[1].mttr, Spread::default());
    assert_eq!(
        metrics.by_target.iter().map(seen).collect::<Vec<_>>(),
        [("redis-test".into(), 4, 1, 3)]
    );
    assert_eq!(metrics.by_actor.iter().map(seen).collect::<Vec<_>>(), [("ops1".into(), 1, 1, 1)]);
    assert_eq!(metrics.by_action, [Success { name: "unlink_keys".into(), ok: 1, total: 2 }]);
}

#[test]
fn the_stages_add_up_to_the_time_it_took() {
    let mut twice = incident("resolved", Some("leak-oom"), Some(101));
    twice.attempts = vec![
        attempt([2, 5, 15, 16, 20, 30], "approved"),
        attempt([31, 36, 60, 60, 61, 101], "approved"),
    ];
    let mut once = incident("resolved", None, Some(11));
    once.attempts = vec![attempt([1, 2, 2, 3, 4, 11], "automatic")];
    let by_itself = incident("resolved", None, Some(500));
    let stages = of(&[twice.clone(), once, by_itself]).stages;
    assert_eq!(stages.incidents, 2);
    assert_eq!(stages.detect_s, Some(1.0));
    // (1 + 3 + 5) and 1, (10 + 24) and 0, (5 + 1) and 2, (10 + 40) and 7.
    assert_eq!(stages.diagnose_s, Some(5.0));
    assert_eq!(stages.wait_s, Some(17.0));
    assert_eq!(stages.fix_s, Some(4.0));
    assert_eq!(stages.verify_s, Some(28.5));

    let lost: f64 = of(&[twice]).stages.named().iter().filter_map(|(_, mean)| *mean).sum();
    // One second to detect, and one between the attempts that belongs to no stage.
    assert_eq!(lost, 100.0);
}

#[test]
fn clocks_that_disagree_make_no_negative_time() {
    let mut odd = incident("resolved", None, Some(10));
    odd.first_bad_at = at(5);
    odd.attempts = vec![attempt([9, 2, 1, 8, 3, 0], "approved")];
    for (stage, mean) in of(&[odd]).stages.named() {
        assert!(mean.is_some_and(|mean| mean >= 0.0), "{stage}: {mean:?}");
    }
}

#[test]
fn decisions_and_ends_are_counted() {
    let mut by_hand = incident("resolved", None, Some(9));
    by_hand.ended_by = Some("ops1".into());
    by_hand.attempts = ["denied", "expired"].map(|how| attempt([1; 6], how)).to_vec();
    by_hand.attempts[0].undone = true;
    let mut by_itself = incident("resolved", None, Some(9));
    by_itself.ended_by = Some("detector".into());
    let mut automatic = incident("resolved", None, Some(9));
    automatic.attempts = vec![attempt([1; 6], "automatic")];
    let counts = of(&[by_hand, by_itself, automatic, incident("failed", None, None)]).counts;
    assert_eq!(
        counts,
        Counts {
            by_agent: 1,
            by_operator: 1,
            by_itself: 1,
            denied: 1,
            expired: 1,
            automatic: 1,
            undone: 1
        }
    );
}

#[test]
fn the_slowest_are_named_with_their_reason() {
    let mut times: Vec<_> = (0..12)
        .map(|n| IncidentTimes {
            number: n,
            ..incident("resolved", None, Some(2 + i64::try_from(n).unwrap()))
        })
        .collect();
    times[4].resolved_at = Some(at(201));
    times[4].attempts = vec![attempt([1, 5, 160, 161, 170, 200], "approved")];
    times[5].resolved_at = Some(at(301));
    times[5].attempts = vec![attempt([1; 6], "approved"); 2];
    let slowest = of(&times).slowest;
    assert_eq!(slowest.len(), SLOWEST);
    let named = |slow: &Slow| (slow.number, slow.why.clone());
    assert_eq!(named(&slowest[0]), (5, Some("2 proposals were carried out".into())));
    assert_eq!(named(&slowest[1]), (4, Some("approval took 2m35s".into())));
    assert_eq!(named(&slowest[2]), (11, None));
    assert_eq!(slowest[2].cause, "writes-refused");
}

#[test]
fn stretches_are_as_wide_as_the_time_asked_for() {
    let hour = 3_600;
    let times = [
        incident("resolved", None, Some(2)),
        IncidentTimes { opened_at: at(hour), ..incident("resolved", None, Some(hour + 20)) },
        IncidentTimes { opened_at: at(hour), ..incident("resolved", None, Some(hour + 40)) },
        incident("failed", None, None),
    ];
    let now = at(2 * hour);
    let over = |since| over(&times, since, now).over_time.unwrap();
    let day = over(Some(at(2 * hour - 86_400)));
    assert_eq!((&*day.each, day.mean_s.len()), ("hour", 24));
    assert_eq!(day.mean_s[22..], [Some(1.0), Some(30.0)]);
    for (days, each, len) in [(7, "6 hours", 28), (30, "day", 30), (200, "week", 29)] {
        let buckets = over(Some(now - TimeDelta::days(days)));
        assert_eq!((&*buckets.each, buckets.mean_s.len()), (each, len));
    }
    assert_eq!(over(None).mean_s.len(), 2);
    let ages = over(Some(now - TimeDelta::days(40_000)));
    assert_eq!((&*ages.each, ages.mean_s.len()), ("year", 31));
    assert_eq!(over(Some(now)).mean_s.len(), 1);
}
