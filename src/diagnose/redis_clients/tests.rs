//! A lowered limit and clients that only stay, told apart; and what is missing for either.

use super::super::testing::*;
use super::*;

fn bent(bend: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = crowded();
    bend(&mut facts);
    facts
}

fn redis(bend: impl FnOnce(&mut RedisFacts)) -> Facts {
    bent(|facts| bend(facts.redis.as_mut().unwrap()))
}

fn limit_was(facts: &mut Facts, was: u64) {
    facts.baseline.insert("maxclients".into(), was.to_string());
}

#[test]
fn the_limit_and_the_crowd_are_told_apart() {
    let woken = redis(|r| r.again.as_mut().unwrap().clients[3].idle_s = 0);
    let busy = redis(|r| r.clients.iter_mut().for_each(|client| client.idle_s = 0));
    let scattered = redis(|r| {
        for client in &mut r.clients {
            client.addr = format!("10.0.0.{}:1", client.id);
        }
    });
    let waiting = redis(|r| r.clients.iter_mut().for_each(|client| client.flags = "b".into()));
    let cases = [
        ("idle at the old limit", crowded(), vec!["idle-clients: confirmed"]),
        ("the limit came down", bent(|f| limit_was(f, 10_000)), vec!["maxclients: confirmed"]),
        (
            "it came down a little over a crowd",
            bent(|f| limit_was(f, 32)),
            vec!["idle-clients: confirmed", "maxclients: likely"],
        ),
        (
            "the old limit unknown",
            bent(|f| f.baseline.clear()),
            vec!["idle-clients: likely", "maxclients: inconclusive"],
        ),
        ("looked at once", redis(|r| r.again = None), vec!["idle-clients: likely"]),
        ("one of them woke up", woken, vec!["idle-clients: likely"]),
        ("everybody works", busy, vec![]),
        ("of many hosts", scattered, vec![]),
        ("they wait for a list", waiting, vec![]),
        ("there is room", redis(|r| r.connected = 10), vec![]),
        ("the server did not answer", bent(|f| f.redis = None), vec![]),
        ("another symptom", bent(|f| f.finding = FindingKind::ProbeFailing), vec![]),
    ];
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn the_longest_idle_go_and_no_more_than_it_takes() {
    let facts = crowded();
    let ids: Vec<u64> = idle_to_end(&facts).iter().map(|client| client.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6], "24 of 30 slots stay taken");
    let facts = redis(|r| r.connected = 10);
    assert!(idle_to_end(&facts).is_empty());
}

#[test]
fn only_a_higher_limit_is_restored() {
    assert_eq!(limit_to_restore(&crowded()), None);
    assert_eq!(limit_to_restore(&bent(|f| limit_was(f, 10_000))), Some(10_000));
    assert_eq!(limit_to_restore(&bent(|f| limit_was(f, 5))), None);
}
