//! Servers broken by hand, told apart from outside, and mended by what the playbook proposes: nothing here was
//! injected, so nothing but the server itself can tell.

use simctl::actions;
use simctl::agent::playbook;
use simctl::diagnose;
use simctl::domain::diagnosis::Grade;
use simctl::domain::effect::Known;
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::ActionId;
use simctl::domain::target::Engine;
use simctl::ports::probe::Probe;
use simctl::targets::{Link, Server};

use super::facts::server;
use super::servers::Redis;
use super::{assert_all_ok, eventually};

/// One way to break a server, what it is, and what mends it.
struct Case {
    by_hand: &'static str,
    finding: FindingKind,
    cause: &'static str,
    actions: &'static [&'static str],
}

const WRITES: FindingKind = FindingKind::WritesRefused;
const PROBE: FindingKind = FindingKind::ProbeFailing;

const CASES: [Case; 6] = [
    Case {
        by_hand: "REPLICAOF 127.0.0.1 1",
        finding: WRITES,
        cause: "replicaof-dead",
        actions: &["detach_replica"],
    },
    Case {
        by_hand: "CONFIG SET min-replicas-to-write 2",
        finding: WRITES,
        cause: "min-replicas",
        actions: &["reset_redis_setting"],
    },
    Case {
        by_hand: "ACL SETUSER default -set",
        finding: WRITES,
        cause: "acl-no-write",
        actions: &["reset_redis_acl"],
    },
    Case {
        by_hand: "CONFIG SET requirepass hunter2",
        finding: PROBE,
        cause: "requirepass",
        actions: &["reset_redis_setting"],
    },
    Case {
        by_hand: "ACL SETUSER default off",
        finding: PROBE,
        cause: "user-off",
        actions: &["reset_redis_acl"],
    },
    Case {
        by_hand: "CONFIG SET maxmemory 1mb",
        finding: WRITES,
        cause: "maxmemory-lowered",
        actions: &["reset_redis_setting"],
    },
];

async fn known(probe: &dyn Probe, mut known: Known) -> Known {
    known.samples = vec![probe.fresh().await, probe.held().await];
    known
}

/// The confirmed cause, and the actions that would be tried first.
async fn looked_into(
    server: &Server,
    finding: FindingKind,
    known: &Known,
) -> (String, Vec<(ActionId, simctl::domain::proposal::Args)>) {
    let facts = server.facts(finding, known, &|_| ()).await;
    let diagnosis = diagnose::diagnose(&facts);
    let Some(leading) = diagnosis.causes.first() else { panic!("no cause: {facts:#?}") };
    assert_eq!(leading.grade, Grade::Confirmed, "{diagnosis:#?}");
    let remedies = playbook::remedies(&diagnosis, &facts, &[], &[]);
    let first = remedies.candidates.into_iter().next();
    (leading.cause.to_string(), first.map(|candidate| candidate.steps).unwrap_or_default())
}

async fn carry_out(server: &Server, id: &ActionId, args: &simctl::domain::proposal::Args) {
    let action = actions::find_for(id.as_str(), Engine::Redis).expect("in the catalogue");
    action.preview(server, args).await.expect("preview");
    let saved = action.save(server, args).await.expect("save");
    let output = action.run(server, args, &|_| ()).await.expect("run");
    assert_eq!(output.exit_code, Some(0), "{output:?}");
    for check in action.verify(server, args, &saved).await {
        assert_eq!(check.passed, Some(true), "{check:?}");
    }
}

#[tokio::test]
async fn each_refusal_is_traced_to_its_own_cause_and_mended() {
    for case in CASES {
        let redis = Redis::start(&["--maxmemory", "20mb"]);
        redis.inline("SET keep value");
        let server = server(Engine::Redis, Link::Redis(redis.link.clone()));
        let probe = server.probe();
        assert_all_ok(&probe.held().await);
        let baseline = probe.settings().await.expect("settings");
        let known_before = Known { baseline, ..Known::default() };
        redis.inline(case.by_hand);
        let mut known = known(probe.as_ref(), known_before.clone()).await;
        if case.cause == "maxmemory-lowered" {
            // Whether keys come in is only seen over a while.
            eventually("a second of samples", async || {
                let (first, now) = (known.samples[0].at, probe.held().await.at);
                (now - first).num_milliseconds() > 1_200
            })
            .await;
            known.samples.push(probe.held().await);
        }
        let (cause, steps) = looked_into(&server, case.finding, &known).await;
        assert_eq!(cause, case.cause, "{}", case.by_hand);
        let named: Vec<&str> = steps.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(named, case.actions, "{}", case.by_hand);
        for (id, args) in &steps {
            carry_out(&server, id, args).await;
        }
        assert_all_ok(&probe.fresh().await);
        assert!(redis.inline("GET keep").contains("value"), "{}", case.by_hand);
    }
}

#[tokio::test]
async fn a_script_is_killed_and_one_that_has_written_is_known_by_the_refusal() {
    let redis = Redis::start(&["--busy-reply-threshold", "100"]);
    let server = server(Engine::Redis, Link::Redis(redis.link.clone()));
    let probe = server.probe();
    assert_all_ok(&probe.held().await);
    let long = "local s = redis.call('TIME')[1] while redis.call('TIME')[1] - s < 5 do end";
    let run = |script: String, keys: &str| {
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", redis.link.port)).unwrap();
        let line = format!("EVAL \"{script}\" {keys}\r\n");
        std::io::Write::write_all(&mut socket, line.as_bytes()).unwrap();
        socket
    };
    let is_busy = async || probe.fresh().await.read.code() == Some("BUSY");

    let _caller = run(long.to_owned(), "0");
    eventually("the server is busy", is_busy).await;
    let first = known(probe.as_ref(), Known::default()).await;
    let (cause, steps) = looked_into(&server, PROBE, &first).await;
    assert_eq!((cause.as_str(), steps[0].0.as_str()), ("busy-script", "kill_redis_script"));
    carry_out(&server, &steps[0].0, &steps[0].1).await;
    assert_all_ok(&probe.fresh().await);

    let _caller = run(format!("redis.call('SET', KEYS[1], '1') {long}"), "1 mark");
    eventually("the server is busy", is_busy).await;
    let kill = actions::find("kill_redis_script").expect("in the catalogue");
    let refused = kill.run(&server, &steps[0].1, &|_| ()).await.expect("it was asked");
    assert!(refused.stderr.contains("UNKILLABLE"), "{refused:?}");
    let told = (steps[0].0.clone(), refused.stderr.trim().to_owned());
    let second = Known { refusals: vec![told], ..Known::default() };
    let second = known(probe.as_ref(), second).await;
    let (cause, steps) = looked_into(&server, PROBE, &second).await;
    assert_eq!((cause.as_str(), steps[0].0.as_str()), ("busy-script-wrote", "stop_redis_nosave"));
}
