//! However a model's server behaves, an investigation ends in a proposal: the model's, or the playbook's with the
//! reason. Never in a crash, a hang, or an action.

use simctl::domain::incident::Incident;

use super::super::watched::{MB, Watched, waits};
use super::*;

/// Answers a case.
type Answering = fn(&Value) -> Value;

/// What came of an incident with this script.
struct Ending {
    incident: std::sync::Arc<Incident>,
    /// The lines of the log, and the events' kinds with the verdict.
    log: String,
    verdict: Option<Value>,
    asked: usize,
}

async fn ending(
    more: &str,
    script: impl Fn(usize, &Value) -> Play + Send + Sync + 'static,
) -> Ending {
    let server = Scripted::start(script);
    let watched = Watched::advised(Some(advisor(&server, more)), &[]).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let incident = watched.incident(1, waits).await;
    assert_eq!(watched.maxmemory().await, 5 * MB, "nothing may run by itself");
    let records = watched.records().await;
    let lines = records.iter().filter(|one| one.kind == "phase");
    let log: Vec<&str> = lines.filter_map(|one| one.body["line"]["text"].as_str()).collect();
    let verdict = records.iter().rev().find(|one| one.kind == "model_judged");
    let ending = Ending {
        log: log.join("\n"),
        verdict: verdict.map(|one| one.body["verdict"].clone()),
        asked: server.asked().len(),
        incident,
    };
    watched.engine.stop("the test is over").await;
    ending
}

impl Ending {
    fn agent(&self) -> &str {
        &self.incident.executions[0].agent
    }

    fn actions(&self) -> String {
        self.incident.executions[0].proposal.as_ref().expect("a proposal").draft.actions()
    }

    /// The model decided.
    fn is_the_models(&self) {
        assert_eq!(self.agent(), "compatible/scripted-1", "{}", self.log);
        assert_eq!(self.actions(), "reset_redis_setting");
        assert_eq!(self.verdict.as_ref().expect("a verdict")["accepted"], true);
    }

    /// The playbook decided, for this reason.
    fn is_the_playbooks(&self, reason: &str) {
        assert_eq!(self.agent(), "playbook", "{}", self.log);
        assert_eq!(self.actions(), "reset_redis_setting");
        let said = self.log.lines().find(|line| line.starts_with("The playbook decides: "));
        let said = said.unwrap_or_else(|| panic!("no reason in:\n{}", self.log));
        assert!(said.contains(reason), "{said}\nwanted: {reason}");
        let verdict = self.verdict.as_ref().expect("a verdict");
        assert_eq!(verdict["accepted"], false);
        assert!(verdict["reason"].as_str().expect("a reason").contains(reason), "{verdict}");
    }
}

#[tokio::test]
async fn a_proper_answer_is_proposed_streamed_or_not() {
    for more in ["stream = true", "stream = false"] {
        let ending = ending(more, plain_script(good_answer)).await;
        ending.is_the_models();
        assert!(
            ending.log.contains("scripted-1: The limit is lower than it was.\n"),
            "{}",
            ending.log
        );
        assert_eq!(ending.asked, 3, "a look, an answer, and one without texts");
    }
}

#[tokio::test]
async fn what_it_looks_at_is_seen_and_can_be_cited() {
    let ending = ending("", |number, request| {
        if !wants_answer(request) {
            return match number {
                0 => Play::call("settings", &json!({"names": ["maxmemory"]})),
                _ => Play::say("I know enough."),
            };
        }
        let case = case(request);
        let mut answer = good_answer(&case);
        let look = &case["looks"][0];
        assert_eq!(look["seen"][0]["name"], "maxmemory");
        assert_eq!(
            (&look["seen"][0]["was"], &look["seen"][0]["now"]),
            (&json!("52428800"), &json!("5242880"))
        );
        answer["causes"][0]["evidence"] = json!([look["id"]]);
        Play::say(&answer.to_string())
    });
    let ending = ending.await;
    ending.is_the_models();
    assert!(ending.log.contains("look: settings"), "{}", ending.log);
    let diagnosis = ending.incident.diagnosis.as_ref().expect("a diagnosis");
    assert!(diagnosis.causes[0].evidence.contains(&"m1".to_owned()));
    assert!(diagnosis.evidence.iter().any(|one| one.id == "m1" && one.text.contains("maxmemory")));
}

#[tokio::test]
async fn a_busy_server_is_waited_for_and_a_failing_one_asked_again() {
    let ending = ending("", |number, request| match number {
        0 => Play::Status {
            code: 429,
            headers: "retry-after: 1\r\n",
            body: r#"{"error": {"message": "slow down"}}"#.into(),
        },
        1 => Play::Status { code: 500, headers: "", body: "<html>oops</html>".into() },
        _ => plain_script(good_answer)(number, request),
    });
    let ending = ending.await;
    ending.is_the_models();
    assert_eq!(ending.asked, 5);
}

#[tokio::test]
async fn a_server_that_is_busy_for_long_is_left_alone() {
    let busy = |_: usize, _: &Value| Play::Status {
        code: 429,
        headers: "retry-after: 3600\r\n",
        body: "later".into(),
    };
    let ending = ending("", busy).await;
    ending.is_the_playbooks("asks to wait 3600 s");
    assert_eq!(ending.asked, 1);
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_given_up() {
    let broken =
        |_: usize, _: &Value| Play::Status { code: 500, headers: "", body: "broken".into() };
    let ending = ending("", broken).await;
    ending.is_the_playbooks("refused with status 500: broken");
    assert_eq!(ending.asked, 3);
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    ending("time = \"2s\"", |_, _| Play::Hang).await.is_the_playbooks("did not answer within");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_no_answer() {
    let cut = |_: usize, _: &Value| {
        Play::Cut("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"All is \"}}]}\n\n")
    };
    ending("", cut).await.is_the_playbooks("broke off");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_no_answer() {
    ending("stream = false", |_, _| Play::Body("<html>welcome</html>".into()))
        .await
        .is_the_playbooks("cannot be read");
    let stream = |_: usize, _: &Value| Play::Body("data: {\"choices\": [\n\n".into());
    ending("", stream).await.is_the_playbooks("cannot be read");
}

#[tokio::test]
async fn an_answer_against_the_schema_is_asked_for_once_more() {
    let repaired = |_: usize, request: &Value| match request["messages"].as_array().map(Vec::len) {
        Some(2) if wants_answer(request) => Play::say("Sure! Restart it, that always helps."),
        _ => plain_script(good_answer)(0, request),
    };
    ending("", repaired).await.is_the_models();
    let stubborn = |_: usize, _: &Value| Play::say("Sure! Restart it, that always helps.");
    let ending = ending("", stubborn).await;
    ending
        .is_the_playbooks("its answer was refused twice: the answer is not as the schema wants it");
    assert_eq!(ending.asked, 3, "a look, an answer, a repair");
}

#[tokio::test]
async fn an_empty_answer_is_none() {
    ending("", |_, _| Play::say("")).await.is_the_playbooks("the answer is empty");
}

#[tokio::test]
async fn a_tool_that_does_not_exist_is_refused_and_the_model_goes_on() {
    let ending = ending("", |number, request| match number {
        0 => Play::call("run_shell", &json!({"command": "rm -rf /"})),
        1 => Play::call("approve", &json!({"incident": 1})),
        2 => Play::call("settings", &json!({"names": ["maxmemory"], "sql": "drop"})),
        _ => {
            let told = request["messages"].to_string();
            assert!(!wants_answer(request) || !told.contains("run_shell"), "{told}");
            plain_script(good_answer)(number, request)
        }
    });
    let ending = ending.await;
    ending.is_the_models();
    for refused in [
        "there is no tool `run_shell`",
        "there is no tool `approve`",
        "settings has no argument `sql`",
    ] {
        assert!(ending.log.contains(refused), "{refused} in\n{}", ending.log);
    }
}

#[tokio::test]
async fn endless_looks_end_at_the_limit() {
    let endless = |_: usize, request: &Value| {
        if wants_answer(request) {
            Play::say(&good_answer(&case(request)).to_string())
        } else {
            Play::call("check_redis_memory", &json!({}))
        }
    };
    let ending = ending("turns = 3", endless).await;
    ending.is_the_models();
    assert!(ending.log.contains("has looked 3 times"), "{}", ending.log);
    assert_eq!(ending.asked, 5);
}

#[tokio::test]
async fn tokens_and_money_end_it() {
    let ending = ending("tokens = 1500", plain_script(good_answer)).await;
    ending.is_the_playbooks("the 1500 tokens for this incident are used up");
    assert_eq!(ending.asked, 2);
    let more = "usd_per_million_in = 100.0\nusd_per_day = 0.05";
    let ending = self::ending(more, plain_script(good_answer)).await;
    ending.is_the_playbooks("$0.0500 for today are used up");
    assert_eq!(ending.asked, 1);
    assert_eq!(ending.incident.model_spend.micro_usd, 100_000);
}

#[tokio::test]
async fn ungrounded_answers_are_refused_whatever_they_say() {
    let cases: [(Answering, &str); 5] = [
        (|case| answer(case, "maxmemory-lowered", &["clear_redis_cache"]), "clear_redis_cache is"),
        (
            |case| answer(case, "leak-oom", &["unlink_keys"]),
            "the evidence does not support leak-oom",
        ),
        (|case| answer(case, "unknown", &[]), "the model names no cause"),
        (
            |case| answer(case, "maxmemory-lowered", &["CONFIG SET maxmemory 0"]),
            "there is no action",
        ),
        (
            |case| {
                let mut answer = good_answer(case);
                answer["causes"][0]["evidence"] = json!(["e77"]);
                answer
            },
            "which does not exist",
        ),
    ];
    for (bad, reason) in cases {
        ending("", plain_script(bad)).await.is_the_playbooks(reason);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_costs_nothing_but_a_sentence() {
    let server = Scripted::start(|_, _| Play::Hang);
    let advisor = advisor(&server, "");
    // Its port is closed from now on.
    drop(server);
    let watched = Watched::advised(Some(advisor), &[]).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let incident = watched.incident(1, waits).await;
    assert_eq!(incident.executions[0].agent, "playbook");
    let records = watched.records().await;
    let verdict = records.iter().find(|one| one.kind == "model_judged").expect("a verdict");
    let reason = verdict.body["verdict"]["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("the model's server cannot be reached: error sending request"),
        "{reason}"
    );
    watched.engine.stop("the test is over").await;
}

#[tokio::test]
async fn an_inspection_is_asked_anew_and_can_be_cited() {
    let ending = ending("", |number, request| {
        if !wants_answer(request) {
            return match number {
                0 => Play::call("check_redis_config_drift", &json!({})),
                _ => Play::say("I know enough."),
            };
        }
        let case = case(request);
        let look = &case["looks"][0];
        let changes = &look["seen"]["parts"][0];
        assert_eq!(changes["part"], "changes", "{look}");
        let rows = changes["rows"].as_array().expect("rows");
        // Its name is a number in the second question, the figures are themselves in both.
        let limit = |row: &Value| row[1] == "52428800" && row[2] == "5242880";
        assert!(rows.iter().any(limit), "{rows:?}");
        let mut answer = good_answer(&case);
        answer["causes"][0]["evidence"] = json!([look["id"]]);
        Play::say(&answer.to_string())
    });
    let ending = ending.await;
    ending.is_the_models();
    assert!(ending.log.contains("look: check_redis_config_drift"), "{}", ending.log);
}

#[tokio::test]
async fn several_calls_at_once_are_each_answered_whatever_they_hold() {
    let function = |name: &str, text: &str| json!({"name": name, "arguments": text});
    let calls = json!([
        {"id": "a", "type": "function", "function": function("check_redis_memory", "{\"limit")},
        {"id": "b", "type": "function", "function": function("find_big_keys", "{\"top\": 2}")},
        {"id": "", "type": "function", "function": function("find_big_keys", "{\"top\": 0}")},
    ]);
    let message = json!({"role": "assistant", "content": "", "tool_calls": calls});
    let ending = ending("", move |number, request| match number {
        0 => Play::Say { message: message.clone() },
        1 => {
            let told = request["messages"].to_string();
            assert!(told.contains("no JSON") && told.contains("from 1 to 1000"), "{told}");
            plain_script(good_answer)(number, request)
        }
        _ => plain_script(good_answer)(number, request),
    });
    let ending = ending.await;
    ending.is_the_models();
    assert!(ending.log.contains("look: find_big_keys {\"top\": 2}"), "{}", ending.log);
}

#[tokio::test]
async fn a_stream_of_another_make_is_understood() {
    let stream = ": keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"All is known.\"}}]}\r\n\r\n\
                  : keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"eos_token\"}]}\r\n\r\n\
                  data: [DONE]\r\n\r\n";
    let ending = ending("", move |number, request| match number {
        0 => Play::Body(stream.into()),
        _ => plain_script(good_answer)(number, request),
    });
    let ending = ending.await;
    ending.is_the_models();
    assert!(ending.log.contains("scripted-1: All is known."), "{}", ending.log);
}

#[tokio::test]
async fn a_server_that_takes_no_schema_is_asked_in_words() {
    let ending = ending("", |_, request| {
        if wants_answer(request) {
            let said = r#"{"error": {"message": "json_schema is not supported"}}"#;
            return Play::Status { code: 400, headers: "", body: said.into() };
        }
        let opening = request["messages"][1]["content"].as_str().expect("an opening");
        if opening.contains("Give your answer now") {
            Play::say(&good_answer(&case(request)).to_string())
        } else {
            Play::say("The limit fell.")
        }
    });
    let ending = ending.await;
    ending.is_the_models();
    let said = "Its server takes no schema (json_schema is not supported)";
    assert!(ending.log.contains(said), "{}", ending.log);
    assert_eq!(ending.asked, 4, "a look, an answer refused, the answer, and one without texts");
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_none() {
    let long = |bytes: usize| Play::say(&"x".repeat(bytes));
    for (more, bytes) in
        [("stream = false", 3_000_000), ("stream = false", 17_000_000), ("", 300_000)]
    {
        ending(more, move |_, _| long(bytes)).await.is_the_playbooks("it is longer than");
    }
}

#[tokio::test]
async fn what_is_no_model_server_says_what_it_is() {
    let moved = |_: usize, _: &Value| Play::Status {
        code: 302,
        headers: "location: http://elsewhere.example/v1?token=abc\r\n",
        body: String::new(),
    };
    let ending = ending("", moved).await;
    ending.is_the_playbooks("status 302: it sends on to http://elsewhere.example/v1, and a key");
    assert_eq!(ending.asked, 1);
    let page = "<html><head><title>403 Forbidden</title></head></html>";
    let forbidden =
        move |_: usize, _: &Value| Play::Status { code: 403, headers: "", body: page.into() };
    self::ending("", forbidden).await.is_the_playbooks("status 403: a web page, `403 Forbidden`");
}
