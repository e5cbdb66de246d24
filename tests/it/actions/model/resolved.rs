//! A real incident on a real server, resolved by way of a model: proposed, approved, executed, proven, recorded.

use std::sync::{Arc, Mutex};

use simctl::agent::model::{Before, Inquiry, narrative, question};
use simctl::domain::consult::{Purpose, Record, StandingNow};
use simctl::domain::effect::{Command, Known};
use simctl::domain::incident::{Incident, Status};

use super::super::harness::{RedisServer, Way};
use super::super::watched::{MB, Watched, fingerprint, waits};
use super::*;

/// Passwords that simctl knows or that are in the server's own log and settings.
const PASSWORD: &str = "s3cret-of-the-server";

/// Approves what waits, and waits until it has helped.
async fn approved(watched: &Watched<RedisServer>, waiting: &Incident) -> Arc<Incident> {
    let typed = Some(waiting.target.to_string());
    let (incident, fingerprint) = (waiting.number, fingerprint(waiting));
    let approve = Command::Approve { incident, fingerprint, typed, seen: None };
    watched.order(approve).await.expect("it is accepted");
    watched.incident(incident, |incident| incident.status == Status::Resolved).await
}

#[tokio::test]
async fn an_incident_is_resolved_and_its_whole_conversation_is_in_the_audit() {
    let server = Scripted::start(|number, request| {
        if wants_answer(request) {
            return Play::say(&good_answer(&case(request)).to_string());
        }
        match number {
            0 => Play::call("monitor_redis_clients", &json!({})),
            _ => Play::say("The limit fell and nothing else changed."),
        }
    });
    let more = "usd_per_million_in = 2.0\nusd_per_million_out = 10.0";
    let settings = ["--masterauth", PASSWORD];
    let watched = Watched::advised(Some(advisor(&server, more)), &settings).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    assert_eq!(waiting.executions[0].agent, "compatible/scripted-1");
    let proposal = waiting.executions[0].proposal.clone().expect("a proposal");
    assert!(
        proposal.draft.why.contains("compatible/scripted-1: Put the limit back"),
        "{}",
        proposal.draft.why
    );
    assert_eq!(proposal.draft.steps[0].args["value"], "52428800");

    let resolved = approved(&watched, &waiting).await;
    assert_eq!(watched.maxmemory().await, 50 * MB);
    let cause = &resolved.diagnosis.as_ref().expect("a diagnosis").causes[0];
    assert_eq!(cause.cause, *"maxmemory-lowered");
    assert!(!cause.evidence.is_empty());
    // 4 calls of 1,000 and 100 tokens.
    assert_eq!((resolved.model_spend.tokens(), resolved.model_spend.micro_usd), (4_400, 12_000));

    let records = watched.records().await;
    let asked: Vec<&Value> = records
        .iter()
        .filter(|one| one.kind == "model_asked")
        .map(|one| &one.body["exchange"])
        .collect();
    let purposes: Vec<&str> = asked.iter().filter_map(|one| one["purpose"].as_str()).collect();
    assert_eq!(purposes, ["look", "look", "decide", "doubt"]);
    for exchange in &asked {
        assert_eq!(
            (&exchange["provider"], &exchange["model"]),
            (&json!("compatible"), &json!("scripted-1"))
        );
        assert_eq!(exchange["spend"]["tokens_in"], 1_000);
        assert!(exchange["latency_ms"].is_u64());
    }
    // What was sent is what is recorded: the openings whole, the rest of the first conversation after its opening.
    let sent = server.asked();
    assert_eq!(asked[0]["sent"], sent[0]["messages"]);
    assert_eq!(asked[2]["sent"], sent[2]["messages"]);
    assert_eq!(asked[3]["sent"], sent[3]["messages"]);
    let added: Vec<Value> = sent[1]["messages"].as_array().expect("messages")[2..].to_vec();
    assert_eq!(asked[1]["sent"], json!(added));
    assert_eq!(asked[0]["calls"][0]["name"], "monitor_redis_clients");
    assert!(asked[2]["said"].as_str().expect("words").contains("maxmemory-lowered"));
    let verdict = records.iter().find(|one| one.kind == "model_judged").expect("a verdict");
    assert_eq!(verdict.body["verdict"]["accepted"], true);
    assert_eq!(verdict.body["verdict"]["answers"].as_array().map(Vec::len), Some(2));

    let ledger = watched.store.load().await.expect("a ledger");
    assert_eq!(ledger.model.spend, resolved.model_spend, "a restart knows what was spent today");

    let all = serde_json::to_string(&records).expect("JSON");
    for secret in [KEY, PASSWORD] {
        assert!(!all.contains(secret), "a secret in the audit");
        assert!(!server.raw().contains(secret), "a secret in a request");
    }
    watched.engine.stop("the test is over").await;
}

#[tokio::test]
async fn a_second_incident_hears_of_the_first() {
    let server = Scripted::start(plain_script(good_answer));
    let watched = Watched::advised(Some(advisor(&server, "")), &[]).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    approved(&watched, &waiting).await;
    watched.lower_the_limit().await;
    watched.incident(2, waits).await;
    let last = server.asked().pop().expect("a request");
    let before = &case(&last)["similar_incidents_before"][0];
    assert_eq!((&before["incident"], &before["resolved"]), (&json!("INC-0001"), &json!(true)));
    assert_eq!(before["done"][0], json!({"action": "reset_redis_setting", "result": "success"}));
    let records = watched.records().await;
    let texts = records.iter().filter_map(|one| one.body["line"]["text"].as_str());
    let told: Vec<&str> = texts.filter(|text| text.starts_with("Like it before: ")).collect();
    let told = told.first().expect("the operator is told too");
    assert!(
        told.contains("INC-0001 ") && told.contains(" fixed by reset_redis_setting, "),
        "{told}"
    );
    watched.engine.stop("the test is over").await;
}

#[tokio::test]
async fn a_report_may_have_a_telling_beside_the_facts() {
    let server = Scripted::start(|_, request| {
        let told = request["messages"][1]["content"].as_str().unwrap_or_default();
        if told.contains("This incident is over.") {
            return Play::say("# All is <b>well</b>\nThe limit fell.\n\nIt was put back.");
        }
        plain_script(good_answer)(0, request)
    });
    let watched = Watched::advised(None, &[]).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    let resolved = approved(&watched, &waiting).await;
    let events = simctl::report::events_of(&*watched.store, &resolved).await.expect("events");
    let advisor = advisor(&server, "");
    let about = (&*resolved, events.as_slice());
    let kept = Mutex::new(Vec::new());
    let record = |record| kept.lock().unwrap().push(record);
    let standing = StandingNow::default();
    let told = narrative(&advisor, about, standing, &record).await.expect("a telling");
    let kept = kept.into_inner().unwrap();
    let [Record::Asked(exchange), Record::Judged(verdict)] = kept.as_slice() else {
        panic!("a call and how it went: {kept:?}")
    };
    assert_eq!((exchange.purpose, exchange.spend.tokens()), (Purpose::Narrate, 1_100));
    assert!(verdict.accepted && exchange.said.contains("It was put back."), "{exchange:?}");
    assert!(told.contains("## Told by compatible/scripted-1"), "{told}");
    assert!(told.contains("checked by nobody; the facts are above"), "{told}");
    assert!(told.contains("\n> # All is &lt;b>well&lt;/b> The limit fell.\n"), "{told}");
    assert!(told.contains("\n> It was put back.\n"), "{told}");
    let timeline = &case(&server.asked()[0])["timeline"];
    let lines = timeline.as_array().expect("a timeline");
    assert!(lines.iter().any(|line| line["what"] == "resolved"), "{timeline}");
    watched.engine.stop("the test is over").await;
}

#[tokio::test]
async fn a_question_is_answered_by_looking() {
    let server = Scripted::start(|number, request| {
        let case = case(request);
        assert_eq!(case["question_of_the_operator"], "Who is connected?");
        match number {
            0 => Play::call("monitor_redis_clients", &json!({})),
            _ => Play::say("One client is connected. It is idle."),
        }
    });
    let redis = RedisServer::start(&[]).await;
    let _client = redis.client("web").await;
    let view = redis.server(Way::Direct);
    let lines = Mutex::new(Vec::new());
    let report = |line: simctl::domain::execution::PhaseLine| lines.lock().unwrap().push(line.text);
    let kept = Mutex::new(Vec::new());
    let record = |record| kept.lock().unwrap().push(record);
    let advisor = advisor(&server, "");
    let inquiry = Inquiry {
        server: &view,
        asked: "Who is connected?",
        known: Known::default(),
        before: Before::default(),
    };
    let spent = question(&advisor, inquiry, &report, &record).await.expect("an answer");
    assert_eq!(spent.tokens(), 2_200);
    let kept = kept.into_inner().unwrap();
    let [Record::Asked(first), Record::Asked(second), Record::Judged(verdict)] = kept.as_slice()
    else {
        panic!("two calls and how it went: {kept:?}")
    };
    assert_eq!((first.purpose, second.purpose), (Purpose::Answer, Purpose::Answer));
    assert!(verdict.accepted, "{verdict:?}");
    let lines = lines.into_inner().unwrap();
    assert!(lines[0].starts_with("look: monitor_redis_clients"), "{lines:?}");
    assert_eq!(
        lines[lines.len() - 2..],
        ["scripted-1: One client is connected.", "scripted-1: It is idle."]
    );
    let sent = server.asked()[1]["messages"].to_string();
    assert!(sent.contains("web"), "the look saw the client: {sent}");
}
