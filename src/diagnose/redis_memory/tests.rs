//! The causes of a full Redis, their look-alikes, both at once, and what happens when parts are missing.

use super::*;
use crate::diagnose::diagnose;
use crate::diagnose::facts::RedisClient;
use crate::diagnose::testing::*;
use crate::domain::sample::Answer;

/// A story bent from another one, and what must be concluded.
type Case = (&'static str, Facts, &'static [&'static str]);

fn bent(mut facts: Facts, bend: impl FnOnce(&mut Facts)) -> Facts {
    bend(&mut facts);
    facts
}

fn redis(mut facts: Facts, bend: impl FnOnce(&mut RedisFacts)) -> Facts {
    bend(facts.redis.as_mut().unwrap());
    facts
}

fn check(cases: Vec<Case>) {
    for (story, facts, expected) in cases {
        assert_eq!(graded(&facts), expected, "{story}");
    }
}

#[test]
fn each_cause_is_told_from_its_look_alikes() {
    let big_key = redis(leak(), |r| {
        (r.keys, r.keys_seen) = (3, 3);
        r.prefixes = vec![prefix("blob:", 1, 42 * MB, 100)];
    });
    let buffers = redis(hoarding(0, 0), |r| r.clients.clear());
    let overhead = redis(leak(), |r| {
        r.policy = "allkeys-lru".into();
        (r.dataset_bytes, r.overhead_bytes) = (MB, 51 * MB);
    });
    check(vec![
        ("a leak", leak(), &["leak-oom: confirmed"]),
        ("a lowered limit", lowered(), &["maxmemory-lowered: confirmed"]),
        ("one big key", giant("string"), &["big-key: confirmed"]),
        ("one big key, not looked at", big_key, &["big-key: likely"]),
        ("answers unread", hoarding(15 * MB, 0), &["output-buffers: confirmed"]),
        ("commands half sent", hoarding(0, 15 * MB), &["query-buffers: confirmed"]),
        (
            "buffers, holders unseen",
            buffers,
            &["output-buffers: inconclusive", "query-buffers: inconclusive"],
        ),
        ("a queue", fed_queue(), &["list-backlog: confirmed"]),
        ("a limit that never fits", overhead, &["limit-below-overhead: confirmed"]),
    ]);
}

/// A lowered limit over data that is few large keys.
fn lowered_over(facts: Facts) -> Facts {
    bent(facts, |f| {
        f.baseline.insert("maxmemory".into(), (100 * MB).to_string());
    })
}

#[test]
fn one_huge_key_is_confirmed_only_by_two_looks_at_it_under_the_limit_as_it_was() {
    let unnamed = redis(giant("string"), |r| r.biggest.clear());
    let once = redis(giant("string"), |r| r.again = None);
    let gone = redis(giant("string"), |r| r.again.as_mut().unwrap().biggest.clear());
    let shrinking = redis(giant("string"), |r| r.again.as_mut().unwrap().biggest[0].bytes = 9 * MB);
    let unknown_limit = bent(giant("string"), |f| f.baseline.clear());
    let among_many = redis(giant("hash"), |r| {
        (r.keys, r.keys_seen) = (1_800, 1_800);
        r.prefixes = vec![prefix("report:", 1_800, 46 * MB, 100)];
    });
    let small = redis(giant("string"), |r| r.biggest[0].bytes = 9 * MB);
    check(vec![
        ("any type but a queue", giant("zset"), &["big-key: confirmed"]),
        ("among many small keys of its family", among_many, &["big-key: confirmed"]),
        ("not named", unnamed, &["big-key: likely"]),
        ("looked at once", once, &["big-key: likely"]),
        ("gone by the second look", gone, &["big-key: likely"]),
        ("shrinking by itself", shrinking, &["big-key: likely"]),
        (
            "the old limit unknown",
            unknown_limit,
            &["big-key: likely", "maxmemory-lowered: inconclusive"],
        ),
        (
            "the limit came down over it",
            lowered_over(giant("string")),
            &["maxmemory-lowered: confirmed", "big-key: likely"],
        ),
        ("the largest is a fifth", small, &["big-key: likely"]),
    ]);
}

#[test]
fn a_queue_is_work_that_waits_and_never_a_huge_key_to_be_rid_of() {
    let quiet = giant("stream");
    let growing = redis(giant("list"), |r| r.again.as_mut().unwrap().biggest[0].length += 2);
    let taken = redis(fed_queue(), |r| r.clients.push(client(6, "10.0.0.2:1", "brpop", 0)));
    check(vec![
        ("nobody pushes", quiet, &["list-backlog: likely"]),
        ("it grew between the looks", growing, &["list-backlog: confirmed"]),
        ("consumers are too slow", taken.clone(), &["list-backlog: confirmed"]),
    ]);
    let because = |facts: &Facts| diagnose(facts).causes[0].because.clone();
    assert!(because(&fed_queue()).ends_with("nobody was seen taking from it"));
    assert!(because(&taken).ends_with("1 client takes, too slowly"));
}

#[test]
fn buffers_that_are_on_their_way_are_no_hoard() {
    let later = |facts, omem, qbuf| {
        redis(facts, |r| {
            for client in &mut r.again.as_mut().unwrap().clients {
                (client.omem, client.qbuf) = (omem, qbuf);
            }
        })
    };
    let unread = || hoarding(15 * MB, 0);
    let sending = || hoarding(0, 15 * MB);
    let others = redis(unread(), |r| {
        for client in &mut r.again.as_mut().unwrap().clients {
            client.id += 100;
        }
    });
    let once = redis(unread(), |r| r.again = None);
    check(vec![
        ("a little was read", later(unread(), 12 * MB, 0), &["output-buffers: confirmed"]),
        ("being read", later(unread(), 5 * MB, 0), &["output-buffers: likely"]),
        ("read", later(unread(), 0, 0), &["output-buffers: likely"]),
        ("other clients by now", others, &["output-buffers: likely"]),
        ("looked at once", once, &["output-buffers: likely"]),
        ("still being sent", later(sending(), 0, 18 * MB), &["query-buffers: likely"]),
        ("sent", later(sending(), 0, 0), &["query-buffers: likely"]),
        (
            "usual buffers under a lowered limit",
            lowered_over(unread()),
            &["maxmemory-lowered: confirmed", "output-buffers: likely"],
        ),
    ]);
}

#[test]
fn several_causes_at_once_are_each_reported() {
    let filled_then_lowered = bent(leak(), |f| {
        f.redis.as_mut().unwrap().maxmemory = 10 * MB;
        f.samples.push(redis_sample(41.0, 10 * MB, 50_358, oom()));
        f.samples.push(redis_sample(41.5, 10 * MB, 50_358, oom()));
    });
    let both: &[&str] = &["maxmemory-lowered: confirmed", "leak-oom: confirmed"];
    check(vec![
        ("the leak came after the lower limit", lowered_and_leaking(), both),
        ("the leak had filled the old limit", filled_then_lowered, both),
    ]);
    let summary = diagnose(&lowered_and_leaking()).summary;
    assert!(summary.starts_with("maxmemory-lowered and leak-oom hold at once"), "{summary}");
}

#[test]
fn what_was_not_observed_is_never_taken_for_absence() {
    let no_baseline = |facts| bent(facts, |f| f.baseline.clear());
    let no_samples = |facts| bent(facts, |f| f.samples.clear());
    let no_keys = redis(leak(), |r| (r.prefixes, r.keys_seen) = (Vec::new(), 0));
    let lowered_alone = no_samples(redis(lowered(), |r| {
        (r.used_memory, r.dataset_bytes) = (10 * MB, 9 * MB);
        r.prefixes = vec![prefix("item:", 20_001, 9 * MB, 100)];
    }));
    check(vec![
        (
            "a leak, the old limit unknown",
            no_baseline(leak()),
            &["leak-oom: likely", "maxmemory-lowered: inconclusive"],
        ),
        (
            "a lowered limit, the old one unknown",
            no_baseline(lowered()),
            &["maxmemory-lowered: likely", "leak-oom: likely"],
        ),
        ("a leak nobody saw growing", no_samples(leak()), &["leak-oom: likely"]),
        ("a leak without a look at the keys", no_keys, &["leak-oom: inconclusive"]),
        (
            "a lowered limit, growth unknown",
            lowered_alone,
            &["maxmemory-lowered: likely", "leak-oom: inconclusive"],
        ),
        ("the server did not answer", bent(leak(), |f| f.redis = None), &[]),
        ("nothing on record", bent(leak(), |f| f.evidence.clear()), &["leak-oom: inconclusive"]),
    ]);
}

#[test]
fn other_refusals_and_other_servers_are_not_memory() {
    let refusing =
        |code: &str, text: &str| bent(leak(), |f| f.samples[2].write = error(code, text));
    let hung_at = |used: u64| {
        let facts = bent(leak(), |f| f.samples[2].write = Answer::Hung { after_ms: 1_000 });
        redis(facts, |r| (r.used_memory, r.dataset_bytes) = (used, used * 95 / 100))
    };
    check(vec![
        ("an unknown prefix", refusing("SOMETHING", "SOMETHING else"), &[]),
        (
            "MISCONF",
            refusing("MISCONF", "MISCONF Redis is configured to save"),
            &["rdb-enospc: inconclusive"],
        ),
        (
            "READONLY",
            refusing("READONLY", "READONLY You can't write against"),
            &["replicaof-dead: inconclusive"],
        ),
        ("writes hang, plenty of room", hung_at(20 * MB), &[]),
        ("unlimited", redis(leak(), |r| r.maxmemory = 0), &[]),
        (
            "not a memory symptom",
            bent(leak(), |f| f.finding = FindingKind::ConnectionPressure),
            &[],
        ),
    ]);
}

#[test]
fn a_leak_needs_keys_that_stay_and_share_a_prefix() {
    let with_ttl = |percent| redis(leak(), |r| r.prefixes[0].without_ttl_percent = percent);
    let scattered = redis(leak(), |r| {
        r.prefixes = (0..10).map(|n| prefix(&format!("p{n}:"), 5_000, 5 * MB, 100)).collect();
    });
    let unexplained = redis(leak(), |r| r.prefixes[0].bytes = 6 * MB);
    let unsized_keys = redis(leak(), |r| r.prefixes.iter_mut().for_each(|share| share.bytes = 0));
    let top_prefix_only = |bytes| {
        redis(leak(), |r| {
            (r.keys, r.keys_seen) = (80_000, 80_000);
            r.prefixes = vec![prefix("order:", 46_201, bytes, 100)];
        })
    };
    let evicting = redis(leak(), |r| r.policy = "allkeys-lru".into());
    let stable = bent(leak(), |f| {
        f.samples[0] = redis_sample(0.0, 50 * MB, 50_350, Answer::Ok);
        f.samples.remove(1);
    });
    let soon = bent(leak(), |f| {
        f.finding = FindingKind::MemoryPressure;
        f.samples[2].write = Answer::Ok;
    });
    check(vec![
        ("before writes are refused", soon, &["leak-oom: confirmed"]),
        ("a tenth has a TTL", with_ttl(90), &["leak-oom: confirmed"]),
        ("a third has a TTL", with_ttl(67), &["leak-oom: likely"]),
        ("most have a TTL", with_ttl(30), &[]),
        ("no common prefix", scattered, &["leak-oom: inconclusive"]),
        ("the counted keys are small", unexplained, &["big-key: likely"]),
        ("other prefixes not listed", top_prefix_only(44 * MB), &["leak-oom: confirmed"]),
        ("most bytes elsewhere", top_prefix_only(6 * MB), &["leak-oom: likely"]),
        ("no sizes were taken", unsized_keys, &["leak-oom: likely"]),
        ("the server evicts", evicting, &[]),
        ("no growth", stable, &["leak-oom: likely"]),
    ]);
}

#[test]
fn a_lowered_limit_is_the_cause_only_where_the_data_would_fit_above_it() {
    let unlimited = bent(lowered(), |f| {
        f.baseline.insert("maxmemory".into(), "0".into());
    });
    let raised = bent(lowered(), |f| {
        f.baseline.insert("maxmemory".into(), (5 * MB).to_string());
    });
    let too_big = redis(lowered(), |r| {
        (r.used_memory, r.dataset_bytes) = (60 * MB, 58 * MB);
        r.prefixes[0].bytes = 58 * MB;
    });
    let garbled = bent(lowered(), |f| {
        f.baseline.insert("maxmemory".into(), "plenty".into());
    });
    check(vec![
        ("it had no limit", unlimited, &["maxmemory-lowered: confirmed"]),
        ("the limit was raised", raised, &["leak-oom: likely"]),
        ("it would not fit either", too_big, &["leak-oom: confirmed", "maxmemory-lowered: likely"]),
        ("an unreadable baseline", garbled, &["maxmemory-lowered: likely", "leak-oom: likely"]),
    ]);
}

#[test]
fn names_prove_nothing_and_cannot_draw() {
    let named_leak = redis(lowered(), |r| {
        r.prefixes[0].prefix = "leak:".into();
        r.clients[0].name = "leaker".into();
    });
    assert_eq!(graded(&named_leak), ["maxmemory-lowered: confirmed"]);
    let hostile = redis(leak(), |r| r.prefixes[0].prefix = "\u{1b}]0;x\u{7}\nCause none:".into());
    let judged = &diagnose(&hostile).causes[0];
    assert_eq!(judged.cause, *"leak-oom");
    assert!(!judged.because.contains(char::is_control), "{:?}", judged.because);
}

#[test]
fn the_prefix_is_named_only_where_it_sets_the_leak_apart() {
    let name = |facts: &Facts| leaking_prefix(facts).map(|(s, n)| (s.prefix.clone(), n));
    assert_eq!(name(&leak()), Some(("order:".into(), 46_201)));
    let sampled = redis(leak(), |r| r.keys = 503_580);
    assert_eq!(name(&sampled), Some(("order:".into(), 462_010)));
    assert_eq!(name(&redis(leak(), |r| r.prefixes[0].prefix.clear())), None);
    assert_eq!(
        name(&redis(leak(), |r| r.prefixes[0].prefix = "__simctl:".into())),
        Some(("user:".into(), 4_157))
    );
    assert_eq!(name(&redis(leak(), |r| r.prefixes[1].bytes = 44 * MB)), None);
}

#[test]
fn the_writer_is_told_only_when_there_is_one() {
    let with = |clients| redis(leak(), |r| r.clients = clients);
    let ids = |facts: &Facts| {
        writers(facts).map(|all| all.iter().map(|client| client.id).collect::<Vec<_>>())
    };
    let set = |id, addr| client(id, addr, "set", 0);
    let replica = RedisClient { flags: "S".into(), ..set(9, "10.0.0.9:6379") };
    let cases = [
        ("one", vec![set(1, "10.0.0.1:5")], Some(vec![1])),
        ("one pool", vec![set(1, "10.0.0.1:5"), set(2, "10.0.0.1:6")], Some(vec![1, 2])),
        ("two hosts", vec![set(1, "10.0.0.1:5"), set(2, "10.0.0.2:5")], None),
        ("only readers", vec![client(1, "10.0.0.1:5", "get", 0)], None),
        ("only removing", vec![client(1, "10.0.0.1:5", "del", 0)], None),
        ("long ago", vec![client(1, "10.0.0.1:5", "set", 3)], None),
        ("beside a replica", vec![set(1, "10.0.0.1:5"), replica], Some(vec![1])),
        ("IPv6", vec![set(1, "[::1]:5"), set(2, "[::1]:6")], Some(vec![1, 2])),
        ("nobody", vec![], None),
    ];
    for (story, clients, expected) in cases {
        assert_eq!(ids(&with(clients)), expected, "{story}");
    }
    let named = |id, name: &str| RedisClient { name: name.into(), ..set(id, "10.0.0.1:5") };
    assert_eq!(ids(&with(vec![named(1, "orders"), named(2, "billing")])), None);
}
